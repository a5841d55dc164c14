// The page: one screen at a time, and the dialog above it.

import type { ComponentType } from "preact";

import { isLocked } from "./api/server";
import { Dialogs } from "./dialogs/all";
import { place } from "./selection";
import { SessionScreen } from "./session/screen";
import { SessionsScreen } from "./sessions/screen";
import { StoreScreen } from "./store/screen";
import { TokenScreen } from "./token/screen";

const SCREENS: Record<string, ComponentType> = { session: SessionScreen, sessions: SessionsScreen, store: StoreScreen };

export function App() {
  if (isLocked.value) return <TokenScreen />;
  const Screen = SCREENS[place.value.screen]!;
  return (
    <>
      <Screen />
      <Dialogs />
    </>
  );
}

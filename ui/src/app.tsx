// The page: one screen at a time, and the dialog above it.

import type { ComponentType } from "preact";

import { Dialogs } from "./dialogs/all";
import { place } from "./selection";
import { SessionScreen } from "./session/screen";
import { SessionsScreen } from "./sessions/screen";
import { StoreScreen } from "./store/screen";

const SCREENS: Record<string, ComponentType> = { session: SessionScreen, sessions: SessionsScreen, store: StoreScreen };

export function App() {
  const Screen = SCREENS[place.value.screen]!;
  return (
    <>
      <Screen />
      <Dialogs />
    </>
  );
}

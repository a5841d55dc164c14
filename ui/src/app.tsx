// The page: one screen at a time, and the dialog above it.

import { effect } from "@preact/signals";
import type { ComponentType } from "preact";

import { isLocked } from "./api/server";
import { Dialogs } from "./dialogs/all";
import { place } from "./selection";
import { open } from "./session/open";
import { SessionScreen } from "./session/screen";
import { SessionsScreen } from "./sessions/screen";
import { StoreScreen } from "./store/screen";
import { TokenScreen } from "./token/screen";

const SCREENS: Record<string, ComponentType> = { session: SessionScreen, sessions: SessionsScreen, store: StoreScreen };

effect(() => {
  const info = open.value?.head.value?.info;
  const title = place.value.screen === "session" ? (info ? info.title || info.first_words || info.id : "") : place.value.screen === "store" ? "Store" : "";
  document.title = title ? `${title.slice(0, 80)} · Refold` : "Refold";
});

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

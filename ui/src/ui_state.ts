// What is shown beside the selection, and forgotten with the tab.

import { signal } from "@preact/signals";

import { remember, settings } from "./settings";

/** Whether a request, or an event, is shown as it reads; else as it is. */
export const isRendered = signal(true);
/** A session of the table that is looked at without leaving it. */
export const peekSession = signal<string | null>(null);
/** Goes to the next (1) or previous (-1) place of what was searched for here; null without a search. */
export const searchStep = signal<((way: 1 | -1) => void) | null>(null);
/** The tab of the inspector. */
export const inspectorTab = signal<"event" | "state" | "why" | "usage" | "links">("why");
/** Whether a pane that is a drawer on a narrow screen is open. */
export const drawer = signal<"list" | "inspector" | null>(null);
/** Whether the raw view shows updates, too: tokens, partial results. */
export const showsUpdates = signal(false);

/** Shows or hides the list; where there is no room for it, as a drawer. */
export function toggleList(): void {
  if (innerWidth >= 700) remember({ hasList: !settings.peek().hasList });
  else drawer.value = drawer.peek() === "list" ? null : "list";
}

/** Shows or hides the inspector; where there is no room for it, as a drawer. */
export function toggleInspector(): void {
  if (innerWidth >= 1100) remember({ hasInspector: !settings.peek().hasInspector });
  else drawer.value = drawer.peek() === "inspector" ? null : "inspector";
}

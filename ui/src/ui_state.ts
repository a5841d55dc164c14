// What is shown beside the selection, and forgotten with the tab.

import { signal } from "@preact/signals";

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

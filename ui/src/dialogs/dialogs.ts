// Which dialog is open: one at a time, above whatever the page shows.

import { signal } from "@preact/signals";

export type Dialog =
  | { name: "palette" }
  | { name: "shortcuts" }
  | { name: "about-file" }
  | { name: "search"; everywhere: boolean }
  | { name: "fork"; seq: number; before: number | null }
  | { name: "decide"; key: string }
  | { name: "export" }
  | { name: "bookmark"; seq: number }
  | { name: "say"; how: "run" | "steer" | "follow-up" | "send" };

export const dialog = signal<Dialog | null>(null);

/** Closes the dialog. */
export function closeDialog(): void {
  dialog.value = null;
}

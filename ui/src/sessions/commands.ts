// What can be done in the table of sessions.

import type { Command } from "../commands";
import { place } from "../selection";
import { table } from "./table";

const onSessions = () => place.value.screen === "sessions";

function inTable(id: string, group: Command["group"], keys: string, title: string, run: () => void): Command {
  return { id: `sessions-${id}`, group, keys: keys.split(" "), title, run, when: onSessions };
}

/** Puts the cursor into the filter. */
function toFilter(): void {
  const field = document.getElementById("filter");
  if (field instanceof HTMLInputElement) field.select();
  field?.focus();
}

export const TABLE_COMMANDS: readonly Command[] = [
  inTable("next", "move", "j down", "Next session", () => table.step(1)),
  inTable("previous", "move", "k up", "Previous session", () => table.step(-1)),
  inTable("page-down", "move", "pagedown", "Twenty sessions on", () => table.step(20)),
  inTable("page-up", "move", "pageup", "Twenty sessions back", () => table.step(-20)),
  inTable("first", "move", "gg home", "First session", () => table.step(-Infinity)),
  inTable("last", "move", "G end", "Last session that is loaded", () => table.step(Infinity)),
  inTable("unfold", "view", "right l", "Show the sessions that came from it", () => table.fold(1)),
  inTable("fold", "view", "left h", "Fold its family, or go to what it came from", () => table.fold(-1)),
  inTable("open", "do", "enter o", "Open the session", () => table.open()),
  inTable("peek", "do", "space", "Look into the session, or no longer", () => table.peek()),
  inTable("filter", "do", "/", "Filter sessions", toFilter),
];

// What a session is called.

import type { TableRow } from "../api/types";

/** The words that a session is known by; "" where nothing was said in it. */
export function titleOf(row: Pick<TableRow, "info">): string {
  return row.info.title || row.info.first_words;
}

// How rows of the table lie under each other: forks and sub-agents under the session that they come from.

import type { TableRow } from "../api/types";

/** A line of the table. `members`: how many sessions of its family lie under it, shown or folded. */
export interface Line {
  row: TableRow;
  depth: number;
  members: number;
  isOpen: boolean;
  /** Of folded members the one whose state asks for a look the most; null without one. */
  hot: TableRow | null;
}

const HOT = ["waiting", "stuck", "failed", "running"];

/** The session that one comes from: what it was forked from, or who started it; "" without one. */
export function aboveOf(row: TableRow): string {
  return row.info.parent ?? row.info.started_by;
}

/**
 * Lays rows out: a family stands where its first row stood, its root first if that is among the rows; of a folded one
 * only the root is a line.
 */
export function familyLines(rows: readonly TableRow[], isOpen: (id: string) => boolean): Line[] {
  const there = new Map(rows.map((row) => [row.info.id, row]));
  const under = new Map<string, TableRow[]>();
  for (const row of rows) {
    const above = aboveOf(row);
    if (there.has(above) && above !== row.info.id) (under.get(above) ?? under.set(above, []).get(above)!).push(row);
  }
  const lines: Line[] = [];
  const done = new Set<string>();
  for (const row of rows) {
    if (!done.has(row.info.id)) lines.push(...familyOf(rootOf(row, there), under, done, isOpen));
  }
  return lines;
}

interface Member extends Line {
  above: number;
  isShown: boolean;
}

/** Walks a family, parents first; then adds up from its leaves what lies under each. */
function familyOf(root: TableRow, under: ReadonlyMap<string, TableRow[]>, done: Set<string>, isOpen: (id: string) => boolean): Line[] {
  const members: Member[] = [];
  const waiting: { row: TableRow; depth: number; above: number; isShown: boolean }[] = [{ row: root, depth: 0, above: -1, isShown: true }];
  while (waiting.length) {
    const one = waiting.pop()!;
    const id = one.row.info.id;
    if (done.has(id)) continue;
    done.add(id);
    const isUnfolded = isOpen(id);
    const number = members.push({ ...one, members: 0, isOpen: isUnfolded, hot: null }) - 1;
    const next = under.get(id) ?? [];
    for (let last = next.length - 1; last >= 0; last--) {
      waiting.push({ row: next[last]!, depth: one.depth + 1, above: number, isShown: one.isShown && isUnfolded });
    }
  }
  for (let number = members.length - 1; number > 0; number--) {
    const one = members[number]!;
    const above = members[one.above]!;
    above.members += one.members + 1;
    for (const hidden of [one.hot, one.isShown ? null : one.row]) {
      if (hidden !== null && hotter(hidden, above.hot)) above.hot = hidden;
    }
  }
  return members.filter((one) => one.isShown);
}

function rootOf(row: TableRow, there: ReadonlyMap<string, TableRow>): TableRow {
  const seen = new Set<string>();
  let root = row;
  while (!seen.has(root.info.id)) {
    seen.add(root.info.id);
    const above = there.get(aboveOf(root));
    if (above === undefined) break;
    root = above;
  }
  return root;
}

function hotter(one: TableRow, than: TableRow | null): boolean {
  const rank = HOT.indexOf(one.status);
  return rank >= 0 && (than === null || rank < HOT.indexOf(than.status));
}

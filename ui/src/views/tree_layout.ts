// Which rows a tree of sessions has, in what order, and which lines lead from one to another.

import type { FamilyMember } from "../api/types";

/** So many sessions are all shown; of more, those that are old and bear no bookmark are folded. */
const ALL = 20;
const NEWEST = 12;
const MOST_LABELLED = 40;

export interface BranchRow {
  key: string;
  member: FamilyMember;
  /** The row of the session that it began in, -1 without one. */
  above: number;
  isChild: boolean;
}

/** Sessions that are not shown by themselves. `away`: their number, with all that began in them. */
export interface FoldRow {
  key: string;
  above: number;
  isChild: boolean;
  members: readonly FamilyMember[];
  away: number;
}

export type TreeRow = BranchRow | FoldRow;

export function isFold(row: TreeRow): row is FoldRow {
  return "members" in row;
}

/** Lays a family out: a fork stands above what it was forked from, the newest on top; what was started hangs below. */
export function layTree(members: readonly FamilyMember[], wanted: ReadonlySet<string>, opened: ReadonlySet<string>): TreeRow[] {
  const forks = new Map<string, FamilyMember[]>();
  const children = new Map<string, FamilyMember[]>();
  const byId = new Map(members.map((one) => [one.info.id, one]));
  const roots: FamilyMember[] = [];
  for (const one of members) {
    const among = one.is_child ? children : forks;
    if (!one.above || !byId.has(one.above)) roots.push(one);
    else if (among.has(one.above)) among.get(one.above)!.push(one);
    else among.set(one.above, [one]);
  }
  for (const some of forks.values()) some.sort((one, two) => two.info.created_at_us - one.info.created_at_us);
  for (const some of children.values()) some.sort((one, two) => one.info.created_at_us - two.info.created_at_us);
  const shown = members.length <= ALL ? null : shownOf(members, byId, wanted);
  const size = sizes(members);

  const rows: TreeRow[] = [];
  const rowOf = new Map<string, number>();
  // without recursion: a tree may be deep
  const todo: (FamilyMember | { own: FamilyMember } | FoldRow)[] = [...roots].reverse();
  while (todo.length) {
    const next = todo.pop()!;
    if ("members" in next) rows.push(next);
    else if ("own" in next) {
      rowOf.set(next.own.info.id, rows.length);
      rows.push({ key: next.own.info.id, member: next.own, above: -1, isChild: next.own.is_child && next.own.above !== "" });
    } else {
      const { id } = next.info;
      const above = grouped(forks.get(id) ?? [], shown, opened, size, false);
      const below = grouped(children.get(id) ?? [], shown, opened, size, true);
      todo.push(...below.reverse(), { own: next }, ...above.reverse());
    }
  }
  for (const row of rows) row.above = rowOf.get(isFold(row) ? row.members[0]!.above : row.member.above) ?? -1;
  return rows;
}

/** The sessions that are not folded: those that are wanted, labelled or new, and all that these began in. */
function shownOf(members: readonly FamilyMember[], byId: ReadonlyMap<string, FamilyMember>, wanted: ReadonlySet<string>): Set<string> {
  const newest = [...members].sort((one, two) => two.info.created_at_us - one.info.created_at_us);
  const some = [
    ...members.filter((one) => !one.above || wanted.has(one.info.id)),
    ...newest.filter((one) => !one.is_child).slice(0, NEWEST),
    ...newest.filter((one) => one.labels.length).slice(0, MOST_LABELLED),
  ];
  const shown = new Set<string>();
  for (const one of some) for (let at: FamilyMember | undefined = one; at && !shown.has(at.info.id); at = byId.get(at.above)) shown.add(at.info.id);
  return shown;
}

/** How many sessions each one stands for: itself and all that began in it. Parents come before what began in them. */
function sizes(members: readonly FamilyMember[]): Map<string, number> {
  const size = new Map<string, number>();
  for (let at = members.length - 1; at >= 0; at--) {
    const { info, above } = members[at]!;
    const own = (size.get(info.id) ?? 0) + 1;
    size.set(info.id, own);
    if (above) size.set(above, (size.get(above) ?? 0) + own);
  }
  return size;
}

/** Sessions in order, those that are not shown and follow each other as one row. */
function grouped(members: readonly FamilyMember[], shown: ReadonlySet<string> | null, opened: ReadonlySet<string>, size: ReadonlyMap<string, number>, isChild: boolean): (FamilyMember | FoldRow)[] {
  if (shown === null) return [...members];
  const found: (FamilyMember | FoldRow)[] = [];
  let run: FamilyMember[] = [];
  const flush = () => {
    if (run.length === 1 && size.get(run[0]!.info.id) === 1 && !isChild) found.push(run[0]!);
    else if (run.length) {
      const key = `fold ${run[0]!.above} ${run.at(-1)!.info.id}`;
      if (opened.has(key)) found.push(...run);
      else found.push({ key, above: -1, isChild, members: run, away: run.reduce((sum, one) => sum + (size.get(one.info.id) ?? 1), 0) });
    }
    run = [];
  };
  for (const one of members) {
    if (!shown.has(one.info.id)) run.push(one);
    else {
      flush();
      found.push(one);
    }
  }
  flush();
  return found;
}

/** Where seq 0 of each row lies, in seqs of the first one: of a fork where that of its parent does, of an agent where it was started. */
export function originsOf(rows: readonly TreeRow[], startOf: (row: TreeRow, above: BranchRow) => number): number[] {
  const found = new Array<number>(rows.length).fill(-1);
  for (let place = 0; place < rows.length; place++) {
    const line: number[] = []; // without recursion: a tree may be deep
    let at = place;
    for (; at >= 0 && found[at]! < 0; at = rows[at]!.above) line.push(at);
    let origin = at < 0 ? 0 : found[at]!;
    for (let one = line.pop(); one !== undefined; one = line.pop()) {
      const row = rows[one]!;
      if (row.above >= 0 && row.isChild) origin += startOf(row, rows[row.above] as BranchRow);
      found[one] = origin;
    }
  }
  return found;
}

/** A line from the row of a session up to the row of a fork, or down to that of a child, at a place on the x axis. */
export interface Stem {
  x: number;
  from: number;
  to: number;
  isChild: boolean;
}

/** The lines between rows; those of one session that would lie on each other are one. `xOf`: where a row begins. */
export function stemsOf(rows: readonly TreeRow[], xOf: (row: number) => number): Stem[] {
  const found = new Map<string, Stem>();
  rows.forEach((row, number) => {
    if (row.above < 0) return;
    const x = Math.round(xOf(number));
    const key = `${row.above} ${x} ${row.isChild}`;
    const there = found.get(key);
    if (there === undefined) found.set(key, { x, from: row.above, to: number, isChild: row.isChild });
    else if (Math.abs(number - row.above) > Math.abs(there.to - row.above)) there.to = number;
  });
  return [...found.values()];
}

/** The seq of a session at which another one was started, as far as the times tell. */
export function seqAt(above: FamilyMember, at_us: number): number {
  const { created_at_us, updated_at_us, fork_seq, head } = above.info;
  const share = updated_at_us > created_at_us ? (at_us - created_at_us) / (updated_at_us - created_at_us) : 1;
  return fork_seq + Math.min(Math.max(share, 0), 1) * (head - fork_seq);
}

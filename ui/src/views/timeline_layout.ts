// Lanes of what took time: which bar lies in which lane, beside which, and from where to where.

import type { DrawnSpan, SpanKind } from "../api/types";

/** A stretch of time, in microseconds since 1970. */
export interface Stretch {
  from: number;
  to: number;
}

/** A bar, of the session or of one that it started. */
export interface Bar {
  session: string;
  span: DrawnSpan;
  /** When it ended; null while it lasts. One that was cut off has no length that is known, and ends where it began. */
  end: number | null;
  /** Which of the rows of its lane it lies in: bars that overlap lie below each other. */
  row: number;
}

export interface Lane {
  key: string;
  name: string;
  kind: SpanKind | "child";
  bars: Bar[];
  rows: number;
}

const MOST_ROWS = 4;
const ORDER: Record<SpanKind, number> = { run: 0, turn: 0, model: 1, tool: 2, wait: 3 };
const NAMES: Record<SpanKind, string> = { run: "runs", turn: "runs", model: "model", tool: "", wait: "waits" };

/** What is drawn of another session: its own bars where there is room for them, else one for all of it. */
export interface ChildSpans {
  session: string;
  title: string;
  /** Whether it is at work, or waits: what has no end lasts then. */
  isOpen: boolean;
  spans: readonly DrawnSpan[];
}

/** Lays bars out in lanes: the session's own first, each tool in its own, then a lane for all children of one title. */
export function layLanes(session: string, spans: readonly DrawnSpan[], children: readonly ChildSpans[], isOpen: boolean): Lane[] {
  const lanes = new Map<string, Lane>();
  const laneOf = (key: string, name: string, kind: Lane["kind"]): Lane => {
    let lane = lanes.get(key);
    if (lane === undefined) lanes.set(key, (lane = { key, name, kind, bars: [], rows: 1 }));
    return lane;
  };
  const sorted = [...spans].sort((one, two) => ORDER[one.kind] - ORDER[two.kind] || (one.kind === "tool" ? 0 : one.started_at_us - two.started_at_us));
  for (const span of sorted) {
    const name = NAMES[span.kind] || span.lane.replace(/^tool /, "");
    laneOf(`${ORDER[span.kind]} ${name}`, name, span.kind === "turn" ? "run" : span.kind).bars.push({ session, span, end: endOf(span, isOpen), row: 0 });
  }
  for (const child of children) {
    const lane = laneOf(`child ${child.title}`, child.title, "child");
    for (const span of child.spans) if (span.kind !== "turn" && (span.kind !== "run" || child.spans.length === 1)) lane.bars.push({ session: child.session, span, end: endOf(span, child.isOpen), row: 0 });
  }
  const found = [...lanes.values()].filter((lane) => lane.bars.length);
  for (const lane of found) if (lane.kind !== "run") stack(lane);
  return found;
}

function endOf(span: DrawnSpan, isOpen: boolean): number | null {
  return span.ended_at_us ?? (isOpen && span.measured ? null : span.started_at_us);
}

/** Lays bars that overlap below each other; of more than there is room for, the last row has the rest. */
function stack(lane: Lane): void {
  const ends: number[] = [];
  lane.bars.sort((one, two) => one.span.started_at_us - two.span.started_at_us);
  for (const bar of lane.bars) {
    const end = bar.end ?? Number.MAX_SAFE_INTEGER;
    let row = ends.findIndex((one) => one <= bar.span.started_at_us);
    if (row < 0) row = Math.min(ends.length, MOST_ROWS - 1);
    ends[row] = Math.max(ends[row] ?? 0, end);
    bar.row = row;
  }
  lane.rows = Math.max(ends.length, 1);
}

/** An answer whose time is that of the sessions that were started, too: they go on where the session itself does nothing. */
export function stretched<T extends { began_us: number; ended_us: number; spans_in_all: number }>(own: T, started: readonly { created_at_us: number; updated_at_us: number }[]): T {
  let began_us = own.spans_in_all ? own.began_us : Number.POSITIVE_INFINITY;
  let ended_us = own.spans_in_all ? own.ended_us : 0;
  for (const one of started) {
    began_us = Math.min(began_us, one.created_at_us);
    ended_us = Math.max(ended_us, one.updated_at_us);
  }
  return started.length ? { ...own, began_us, ended_us } : own;
}

/** A pause takes this much of the axis, however long it was. */
export const PAUSE_PX = 14;
const MOST_PAUSES = 24;
const LEAST_PAUSE_US = 300e6;
const LEAST_SHARE = 0.04;

/** The times within a stretch in which nothing lasted, long ones only, in their order. */
export function pausesOf(spans: readonly DrawnSpan[], shown: Stretch, isOpen: boolean): Stretch[] {
  const sorted = [...spans].sort((one, two) => one.started_at_us - two.started_at_us);
  const found: Stretch[] = [];
  let busy = shown.from;
  for (const { started_at_us, ended_at_us } of [...sorted.map((one) => ({ ...one, ended_at_us: endOf(one, isOpen) ?? shown.to })), { started_at_us: shown.to, ended_at_us: shown.to }]) {
    const long = Math.min(started_at_us, shown.to) - busy;
    if (long >= LEAST_PAUSE_US && long >= LEAST_SHARE * (shown.to - shown.from)) found.push({ from: busy, to: Math.min(started_at_us, shown.to) });
    busy = Math.max(busy, ended_at_us);
  }
  const longest = found.sort((one, two) => two.to - two.from - (one.to - one.from)).slice(0, MOST_PAUSES);
  return longest.sort((one, two) => one.from - two.from);
}

/** A piece of the axis: a stretch of time, and where it is drawn. */
export interface Piece extends Stretch {
  x: number;
  width: number;
  isPause: boolean;
}

/** Time as it is laid out from left to right: evenly, but for pauses, which are cut short. */
export class Axis {
  readonly pieces: readonly Piece[];

  constructor(
    readonly shown: Stretch,
    pauses: readonly Stretch[],
    readonly width: number,
  ) {
    const cut = pauses.reduce((sum, one) => sum + one.to - one.from, 0);
    const busy = Math.max(shown.to - shown.from - cut, 1);
    const scale = Math.max(width - pauses.length * PAUSE_PX, 1) / busy;
    const pieces: Piece[] = [];
    let x = 0;
    let at = shown.from;
    const add = (to: number, isPause: boolean) => {
      const wide = isPause ? PAUSE_PX : (to - at) * scale;
      if (to > at) pieces.push({ from: at, to, x, width: wide, isPause });
      x += to > at ? wide : 0;
      at = Math.max(to, at);
    };
    for (const pause of pauses) {
      add(pause.from, false);
      add(pause.to, true);
    }
    add(shown.to, false);
    this.pieces = pieces;
  }

  /** Where a time is drawn; what is not shown lies beyond the ends. */
  x(us: number): number {
    const piece = this.pieces.find((one) => us <= one.to) ?? this.pieces.at(-1);
    return piece === undefined ? 0 : piece.x + ((us - piece.from) / (piece.to - piece.from)) * piece.width;
  }

  /** The time that is drawn at a place. */
  us(x: number): number {
    const piece = this.pieces.find((one) => x <= one.x + one.width) ?? this.pieces.at(-1);
    return piece === undefined ? this.shown.from : piece.from + ((x - piece.x) / piece.width) * (piece.to - piece.from);
  }

  /** The pieces in which something lasted. */
  get busy(): readonly Piece[] {
    return this.pieces.filter((one) => !one.isPause);
  }
}

const STEPS_US = [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1.5e7, 3e7, 6e7, 1.2e8, 3e8, 6e8, 1.8e9, 3.6e9, 7.2e9, 2.16e10, 4.32e10, 8.64e10, 1.728e11, 6.048e11]; // prettier-ignore
const EACH_PX = 90;

/** Where the axis has its marks: at round times since the beginning, never more than fit; a piece behind a pause has one where it begins. */
export function ticks(axis: Axis, began: number): number[] {
  const found: number[] = [];
  let free = 0;
  for (const [number, piece] of axis.busy.entries()) {
    const wanted = roundTimes(piece, began, piece.width);
    if (number > 0) wanted.unshift(piece.from);
    for (const at of wanted) {
      const x = axis.x(at);
      if (x < free) continue;
      found.push(at);
      free = x + EACH_PX * 0.9;
    }
  }
  return found;
}

function roundTimes(shown: Stretch, began: number, width: number): number[] {
  const most = Math.max(Math.floor(width / EACH_PX), 1);
  const long = Math.max(shown.to - shown.from, 1);
  let step = STEPS_US.find((one) => long / one <= most);
  if (step === undefined) {
    step = STEPS_US.at(-1)!;
    while (long / step > most) step *= 2;
  }
  const found: number[] = [];
  for (let at = Math.ceil((shown.from - began) / step) * step; at <= shown.to - began; at += step) found.push(began + at);
  return found;
}

/** When an event came, as the rows tell: in the middle of a row as far as its seqs have come. */
export function timeAt(rows: { seq: Uint32Array; last: Uint32Array; at: Float64Array; duration: Float64Array; length: number }, row: number, seq: number): number | null {
  if (row < 0 || row >= rows.length) return null;
  const long = rows.last[row]! - rows.seq[row]!;
  const took = rows.duration[row]!;
  const share = long > 0 ? Math.min(Math.max((seq - rows.seq[row]!) / long, 0), 1) : 0;
  return rows.at[row]! + (took > 0 ? share * took : 0);
}

// The events of a session around a seq, as lines: read by windows, grown at both ends, and let go of far away.

import { getPatiently } from "../api/answers";
import { ask } from "../api/source";
import type { EventPage, SentEvent } from "../api/types";

const WINDOW = 120;
/** So many events at once: the answer is never larger. */
const LIMIT = 200;
const FEW = 40;
const MOST_LINES = 3_000;
const SHOWN = 400;

/** An event on a line. `text`: the beginning of its JSON. */
export interface RawLine {
  seq: number;
  at_us: number;
  type: string;
  text: string;
  characters: number;
}

/** Lines of all events with `first <= seq <= last`. */
export interface RawWindow {
  first: number;
  last: number;
  lines: readonly RawLine[];
}

/** What stands in the view: a line, or seqs between two lines of which nothing is shown. */
export type RawItem = { key: number; line: RawLine } | { key: string; from: number; upto: number };

function lineOf({ seq, at_us, event }: SentEvent): RawLine {
  const { type, ...rest } = event;
  const text = JSON.stringify(rest);
  return { seq, at_us, type, text: text.slice(0, SHOWN), characters: text.length };
}

/** Reads events of a session: with its updates, or only what is no update. */
export class RawReader {
  constructor(
    private readonly session: string,
    readonly hasUpdates: boolean,
  ) {}

  /** Reads what is around a seq. */
  async around(seq: number, head: number, stop: AbortSignal): Promise<RawWindow> {
    const before = await this.before({ first: seq + 1, last: seq, lines: [] }, stop);
    return await this.behind(before, head, stop);
  }

  /** Reads what comes before a window: some lines at least, unless it begins at the first event. */
  async before(window: RawWindow, stop: AbortSignal): Promise<RawWindow> {
    let { first } = window;
    let lines: RawLine[] = [];
    for (let span = WINDOW; first > 1 && lines.length < FEW; span *= 4) {
      const after = Math.max(first - 1 - span, 0);
      lines = [...(await this.between(after, first - 1, stop)), ...lines];
      first = after + 1;
    }
    const all = [...lines, ...window.lines];
    if (all.length <= MOST_LINES) return { first, last: window.last, lines: all };
    return { first, last: all[MOST_LINES - 1]!.seq, lines: all.slice(0, MOST_LINES) };
  }

  /** Reads what comes behind a window, up to the head at the most. */
  async behind(window: RawWindow, head: number, stop: AbortSignal): Promise<RawWindow> {
    if (window.last >= head) return window;
    const page = await this.page(window.last, head, WINDOW, stop);
    const all = [...window.lines, ...page.events.map(lineOf)];
    const last = page.next ?? head;
    if (all.length <= MOST_LINES) return { first: window.first, last, lines: all };
    const kept = all.slice(-MOST_LINES);
    return { first: kept[0]!.seq, last, lines: kept };
  }

  private async between(after: number, upto: number, stop: AbortSignal): Promise<RawLine[]> {
    const lines: RawLine[] = [];
    for (let from: number | null = after; from !== null && from < upto; ) {
      const page: EventPage = await this.page(from, upto, LIMIT, stop);
      lines.push(...page.events.map(lineOf));
      from = page.next;
    }
    return lines;
  }

  private page(after: number, upto: number, limit: number, stop: AbortSignal): Promise<EventPage> {
    const query = { after, upto, limit, updates: this.hasUpdates ? ("all" as const) : ("none" as const) };
    return getPatiently(ask("GET /api/sessions/{session}/events", { session: this.session }, query), stop);
  }
}

/** Lays a window out: where seqs are left out between lines, that stands there too. */
export function itemsOf(window: RawWindow): RawItem[] {
  const found: RawItem[] = [];
  let seq = window.first;
  for (const line of window.lines) {
    if (line.seq > seq) found.push({ key: `gap${seq}`, from: seq, upto: line.seq - 1 });
    found.push({ key: line.seq, line });
    seq = line.seq + 1;
  }
  if (seq <= window.last) found.push({ key: `gap${seq}`, from: seq, upto: window.last });
  return found;
}

/** The item that a seq stands in. */
export function itemAt(items: readonly RawItem[], seq: number): RawItem | null {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const one = items[middle]!;
    if (("line" in one ? one.line.seq : one.from) <= seq) low = middle + 1;
    else high = middle;
  }
  return items[low - 1] ?? null;
}

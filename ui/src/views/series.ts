// The figures of a session's model calls, read window by window and kept in columns.

import { signal } from "@preact/signals";

import { getPatiently, wordsOf } from "../api/answers";
import { ask } from "../api/source";
import type { CallSeries } from "../api/types";

const WINDOW = 500;
const FIGURES = ["seq", "end_seq", "at_us", "duration_us", "first_token_us", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "context_tokens", "cost_microusd"] as const; // prettier-ignore
export type Figure = (typeof FIGURES)[number];

/** Columns of so many calls; -1 where a figure is not known. */
export class Series {
  length = 0;
  private columns = new Map<Figure, Float64Array>(FIGURES.map((name) => [name, new Float64Array(0)]));

  of(name: Figure): Float64Array {
    return this.columns.get(name)!;
  }

  /** Takes a window, which may stand for calls that are there already: they may have ended since. */
  take(window: CallSeries): void {
    const end = window.start + window.seq.length;
    for (const name of FIGURES) {
      let column = this.columns.get(name)!;
      if (column.length < end) {
        const grown = new Float64Array(Math.max(end, Math.ceil(column.length * 1.5), 64));
        grown.set(column);
        this.columns.set(name, (column = grown));
      }
      window[name].forEach((figure, number) => (column[window.start + number] = figure));
    }
    this.length = Math.max(this.length, end);
  }

  /** The first call that has not ended yet, or how many there are. */
  settled(): number {
    const ends = this.of("end_seq");
    let at = this.length;
    while (at > 0 && ends[at - 1]! < 0 && at > this.length - 8) at--;
    return at;
  }

  /** The call that a seq belongs to: the last one that began at it or before; -1 before the first. */
  callAt(seq: number): number {
    const seqs = this.of("seq");
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seqs[middle]! <= seq) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Reads the series of a session. `version` counts what came; `calls` is how many there are in all. */
export class SeriesReader {
  readonly series = new Series();
  readonly version = signal(0);
  readonly calls = signal(0);
  readonly error = signal("");
  private stop: AbortController | null = null;

  constructor(readonly session: string) {}

  /** Reads what is new; what is being read goes on. */
  async read(): Promise<void> {
    if (this.stop !== null) return;
    const stop = (this.stop = new AbortController());
    try {
      let from = this.series.settled();
      do {
        const asked = ask("GET /api/sessions/{session}/series", { session: this.session }, { from, limit: WINDOW });
        const window = await getPatiently(asked, stop.signal);
        this.series.take(window);
        this.calls.value = window.calls;
        this.version.value++;
        if (!window.seq.length) break;
        from += window.seq.length;
      } while (from < this.calls.peek());
      this.error.value = "";
    } catch (error) {
      if (!stop.signal.aborted) this.error.value = wordsOf(error);
    } finally {
      if (this.stop === stop) this.stop = null;
    }
  }

  /** Stops reading; `read` goes on where it was. */
  close(): void {
    this.stop?.abort();
    this.stop = null;
  }
}

/** Of the calls under one pixel one point, the largest (or the last); only those whose figure is known. */
export function points(length: number, x: (at: number) => number, figure: (at: number) => number, takes: "most" | "last" = "most"): [number, number][] {
  const found: [number, number][] = [];
  for (let at = 0; at < length; at++) {
    const value = figure(at);
    if (!(value >= 0)) continue;
    const place = Math.round(x(at));
    const last = found.at(-1);
    if (last === undefined || last[0] !== place) found.push([place, value]);
    else last[1] = takes === "last" ? value : Math.max(last[1], value);
  }
  return found;
}

/** Moves labels that lie on each other apart, from the top down, within a height. Returns: where each stands. */
export function apart(wanted: readonly number[], least: number, top: number, bottom: number): number[] {
  const order = wanted.map((_, number) => number).sort((one, two) => wanted[one]! - wanted[two]!);
  const found = [...wanted];
  let free = top;
  for (const number of order) {
    found[number] = Math.max(wanted[number]!, free);
    free = found[number]! + least;
  }
  let limit = bottom;
  for (const number of order.reverse()) {
    found[number] = Math.min(found[number]!, limit);
    limit = found[number]! - least;
  }
  return found;
}

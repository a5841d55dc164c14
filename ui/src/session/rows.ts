// The rows of a session's list, in columns: a hundred thousand of them are a few megabytes, and nothing is made for each.

import type { Row, RowColumns, RowKind } from "../api/types";

export const ERROR = 1;
export const OPEN = 2;
export const ADOPTED = 4;
export const REFUSED = 8;
export const INTERRUPTED = 16;
export const HIDDEN = 32;
export const COMPACTED = 64;

/** So many rows back it is looked for one that goes on up to a seq. */
const NEAR = 64;
/** Kinds of rows whose last seq tells what they are: what they show is complete there. */
const ENDS: ReadonlySet<RowKind> = new Set(["user", "assistant", "tool", "custom"]);
/** Kinds of rows that say nothing of what was said or done: the list leaves them out until it is told otherwise. */
export const NOTES: ReadonlySet<RowKind> = new Set(["note", "metadata", "token"]);

/** Columns of rows: `length` of them hold. */
export class Rows {
  length = 0;
  indexedTo = 0;
  kinds: RowKind[] = [];
  whos: string[] = [];
  seq = new Uint32Array(0);
  last = new Uint32Array(0);
  name = new Uint32Array(0);
  kind = new Uint8Array(0);
  who = new Uint32Array(0);
  flags = new Uint16Array(0);
  at = new Float64Array(0);
  duration = new Float64Array(0);
  tokens = new Float64Array(0);
  private readonly whoNumbers = new Map<string, number>();

  /** Takes all rows anew. */
  load(columns: RowColumns): void {
    const many = columns.seq.length;
    this.grow(many);
    this.length = many;
    this.indexedTo = columns.indexed_to;
    this.kinds = columns.kinds;
    this.whos = [...columns.whos];
    this.whoNumbers.clear();
    this.whos.forEach((who, number) => this.whoNumbers.set(who, number));
    let seq = 0;
    let at = 0;
    for (let row = 0; row < many; row++) {
      seq += columns.seq[row]!;
      at += columns.at_us[row]!;
      this.seq[row] = seq;
      this.at[row] = at;
      this.last[row] = seq + columns.last_seq[row]!;
      this.name[row] = columns.name[row]! < 0 ? 0 : seq + columns.name[row]!;
      this.kind[row] = columns.kind[row]!;
      this.who[row] = columns.who[row]!;
      this.flags[row] = columns.flags[row]!;
      this.duration[row] = columns.duration_us[row]!;
      this.tokens[row] = columns.tokens[row]!;
    }
  }

  /** Takes rows that have changed or are new; false where one is missing between. */
  take(rows: readonly Row[], indexedTo: number): boolean {
    for (const one of rows) {
      if (one.row > this.length) return false;
      if (one.row === this.length) {
        this.grow(one.row + 1);
        this.length = one.row + 1;
      }
      const row = one.row;
      let kind = this.kinds.indexOf(one.kind);
      if (kind < 0) kind = this.kinds.push(one.kind) - 1;
      this.kind[row] = kind;
      this.seq[row] = one.seq;
      this.last[row] = one.last_seq;
      this.name[row] = one.name;
      this.who[row] = this.numberOf(one.who);
      this.flags[row] = one.flags;
      this.at[row] = one.at_us;
      this.duration[row] = one.duration_us;
      this.tokens[row] = one.tokens;
    }
    this.indexedTo = Math.max(this.indexedTo, indexedTo);
    return true;
  }

  kindOf(row: number): RowKind {
    return this.kinds[this.kind[row]!] ?? "note";
  }

  whoOf(row: number): string {
    return this.whos[this.who[row]!] ?? "";
  }

  /** The seq that a row stands for: where what it shows is complete, or where it began. */
  anchor(row: number): number {
    return ENDS.has(this.kindOf(row)) && row < this.length ? this.last[row]! : this.seq[row]!;
  }

  /** The row that a seq belongs to; -1 without rows. */
  rowOf(seq: number): number {
    if (!this.length) return -1;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.seq[middle]! <= seq) low = middle + 1;
      else high = middle;
    }
    const nearest = Math.max(low - 1, 0);
    if (this.seq[nearest] === seq) return nearest;
    let within = -1;
    for (let row = nearest; row > nearest - NEAR && row >= 0; row--) {
      if (this.name[row] === seq || (this.last[row] === seq && ENDS.has(this.kindOf(row)))) return row;
      const lasts = this.last[row]! >= seq || (this.flags[row]! & OPEN && this.kindOf(row) === "assistant");
      if (within < 0 && lasts && ENDS.has(this.kindOf(row))) within = row;
    }
    return within < 0 ? nearest : within;
  }

  /** The nearest row before (-1) or behind (1) one that is of some sort; -1 without one. */
  near(row: number, way: 1 | -1, is: (row: number) => boolean): number {
    for (let one = row + way; one >= 0 && one < this.length; one += way) if (is(one)) return one;
    return -1;
  }

  private numberOf(who: string): number {
    let number = this.whoNumbers.get(who);
    if (number === undefined) {
      number = this.whos.push(who) - 1;
      this.whoNumbers.set(who, number);
    }
    return number;
  }

  private grow(many: number): void {
    if (many <= this.seq.length) return;
    const size = Math.max(many, Math.ceil(this.seq.length * 1.5), 256);
    const grown = <T extends { set(from: T): void }>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.seq = grown(this.seq, new Uint32Array(size));
    this.last = grown(this.last, new Uint32Array(size));
    this.name = grown(this.name, new Uint32Array(size));
    this.kind = grown(this.kind, new Uint8Array(size));
    this.who = grown(this.who, new Uint32Array(size));
    this.flags = grown(this.flags, new Uint16Array(size));
    this.at = grown(this.at, new Float64Array(size));
    this.duration = grown(this.duration, new Float64Array(size));
    this.tokens = grown(this.tokens, new Float64Array(size));
  }
}

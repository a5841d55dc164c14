// The blocks of a file: long lists cut into pieces of JSON, each packed alone. What is shown is unpacked, and the rest is not.

import { ApiError } from "./source";
import type { Listed } from "./types";

/** Of blocks that are kept unpacked, in letters of their JSON: a view and those around it. */
const MOST_KEPT = 16_000_000;
const DAMAGED = "The file is damaged: `refold export` writes it anew, where the log is.";

/** What stood in a block, and how long it was. */
interface Unpacked {
  value: unknown;
  letters: number;
}

/** Unpacks blocks, and keeps those that were asked for last. */
export class Blocks {
  private readonly kept = new Map<number, Promise<Unpacked>>();
  private readonly letters = new Map<number, number>();

  constructor(
    private readonly packed: readonly string[],
    private readonly mostKept = MOST_KEPT,
  ) {}

  /** The things of a block. Raises: ApiError when it cannot be read. */
  async read(number: number): Promise<readonly unknown[]> {
    const found = this.kept.get(number) ?? this.begin(number);
    this.kept.delete(number);
    this.kept.set(number, found);
    return (await found).value as unknown[];
  }

  /** The things of a block that is looked through, and not kept. */
  async pass(number: number): Promise<readonly unknown[]> {
    return (await (this.kept.get(number) ?? unpack(this.packed[number] ?? ""))).value as unknown[];
  }

  private begin(number: number): Promise<Unpacked> {
    const found = unpack(this.packed[number] ?? "");
    found.then(
      ({ letters }) => this.keep(number, letters),
      () => this.kept.delete(number),
    );
    return found;
  }

  private keep(number: number, letters: number): void {
    this.letters.set(number, letters);
    let all = [...this.letters.values()].reduce((sum, one) => sum + one, 0);
    for (const old of [...this.kept.keys()]) {
      if (all <= this.mostKept) break;
      const size = this.letters.get(old);
      if (size === undefined || old === number) continue; // it is under way, or was just asked for
      this.kept.delete(old);
      this.letters.delete(old);
      all -= size;
    }
  }
}

/** A list of a file. */
export class Listing<T> {
  constructor(
    private readonly blocks: Blocks,
    private readonly listed: Listed,
  ) {}

  get length(): number {
    return this.listed.many;
  }

  async at(place: number): Promise<T | undefined> {
    return (await this.slice(place, place + 1))[0];
  }

  /** The things from one place to before another. */
  async slice(from: number, to: number): Promise<T[]> {
    const end = Math.min(to, this.length);
    const start = Math.max(from, 0);
    if (start >= end) return [];
    const first = this.blockOf(start);
    const last = this.blockOf(end - 1);
    const begin = this.listed.begins[first]!;
    const read = await Promise.all(this.listed.blocks.slice(first, last + 1).map((block) => this.blocks.read(block)));
    return (read.length === 1 ? read[0]! : read.flat()).slice(start - begin, end - begin) as T[];
  }

  /** Its things, a block at a time, the last ones first; each block with the place of its first. */
  async *backwards(): AsyncGenerator<[number, readonly T[]]> {
    for (let number = this.listed.blocks.length - 1; number >= 0; number--) {
      yield [this.listed.begins[number]!, (await this.blocks.pass(this.listed.blocks[number]!)) as readonly T[]];
    }
  }

  private blockOf(place: number): number {
    return lastUpTo(this.listed.begins, place);
  }
}

/** Reads what was packed. Raises: ApiError when it cannot be read. */
export async function unpacked(packed: string): Promise<unknown> {
  return (await unpack(packed)).value;
}

async function unpack(packed: string): Promise<Unpacked> {
  try {
    const plain = new Blob([bytesOf(packed)]).stream().pipeThrough(new DecompressionStream("gzip"));
    const text = await new Response(plain).text();
    return { value: JSON.parse(text), letters: text.length };
  } catch {
    throw new ApiError(422, DAMAGED);
  }
}

/** Raises: ApiError for a file that ends before its last block. */
export function checkWhole(found: number, wanted: number): void {
  if (found !== wanted) throw new ApiError(422, `The file is cut short: ${DAMAGED}`);
}

/** Numbers that are told as steps from one to the next. */
export function added(steps: readonly number[]): number[] {
  let sum = 0;
  return steps.map((step) => (sum += step));
}

/** The place of the last of ascending numbers up to one; -1 before the first. */
export function lastUpTo(numbers: readonly number[], wanted: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function bytesOf(letters: string): Uint8Array<ArrayBuffer> {
  const binary = atob(letters);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < bytes.length; place++) bytes[place] = binary.charCodeAt(place);
  return bytes;
}

import { expect, test } from "vitest";

import { itemAt, itemsOf, type RawLine, type RawWindow } from "../src/views/raw_lines";

const line = (seq: number): RawLine => ({ seq, at_us: seq, type: "turn_start", text: "{}", characters: 2 });
const window = (first: number, last: number, ...seqs: number[]): RawWindow => ({ first, last, lines: seqs.map(line) });
const shown = (of: RawWindow) => itemsOf(of).map((one) => ("line" in one ? one.line.seq : [one.from, one.upto]));

test("seqs between lines stand there as one gap, at both ends too", () => {
  expect(shown(window(1, 9, 1, 2, 6, 7))).toEqual([1, 2, [3, 5], 6, 7, [8, 9]]);
  expect(shown(window(3, 6, 5))).toEqual([[3, 4], 5, [6, 6]]);
  expect(shown(window(1, 2))).toEqual([[1, 2]]);
  expect(shown(window(1, 0))).toEqual([]);
});

test("a seq is found in its line, or in the gap that it lies in", () => {
  const items = itemsOf(window(1, 9, 1, 2, 6, 7));
  const at = (seq: number) => {
    const one = itemAt(items, seq);
    return one === null ? null : "line" in one ? one.line.seq : [one.from, one.upto];
  };
  expect([1, 2, 3, 5, 6, 9].map(at)).toEqual([1, 2, [3, 5], [3, 5], 6, [8, 9]]);
  expect(at(0)).toBeNull();
});

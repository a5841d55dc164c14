import { expect, test } from "vitest";

import type { CallSeries } from "../src/api/types";
import { apart, points, Series } from "../src/views/series";

function window(start: number, ends: readonly number[]): CallSeries {
  const same = ends.map(() => 7);
  const names = ["at_us", "duration_us", "first_token_us", "model", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "context_tokens", "cost_microusd"];
  return { indexed_to: 0, calls: start + ends.length, start, models: [], seq: ends.map((_, at) => (start + at) * 10 + 1), end_seq: [...ends], ...Object.fromEntries(names.map((name) => [name, same])) } as unknown as CallSeries;
}

test("windows join, and a call that had not ended is read again", () => {
  const series = new Series();
  series.take(window(0, [5, 15, -1]));
  expect([series.length, series.settled()]).toEqual([3, 2]);
  series.take(window(2, [25, 35]));
  expect([series.length, series.settled()]).toEqual([4, 4]);
  expect([...series.of("end_seq").slice(0, 4)]).toEqual([5, 15, 25, 35]);
});

test("a seq belongs to the call that began last before it", () => {
  const series = new Series();
  series.take(window(0, [5, 15, 25]));
  expect([0, 1, 10, 11, 99].map((seq) => series.callAt(seq))).toEqual([-1, 0, 0, 1, 2]);
});

test("of the calls under a pixel the largest figure stands, or the last; what is not known is no point", () => {
  const figures = [3, 9, -1, 4, 2];
  const at = (number: number) => figures[number]!;
  expect(points(5, (call) => call / 4, at)).toEqual([[0, 9], [1, 4]]);
  expect(points(5, (call) => call / 4, at, "last")).toEqual([[0, 9], [1, 2]]);
});

test("names at the ends of lines do not lie on each other", () => {
  const found = apart([30, 31, 5, 60], 11, 7, 64);
  const sorted = [...found].sort((one, two) => one - two);
  for (let at = 1; at < sorted.length; at++) expect(sorted[at]! - sorted[at - 1]!).toBeGreaterThanOrEqual(11);
  expect(Math.max(...found)).toBeLessThanOrEqual(64);
  expect(found[2]).toBe(7);
});

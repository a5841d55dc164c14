import { expect, test } from "vitest";

import { offsetsOf, placeAt } from "../src/parts/windowed";

test("what was measured counts, and the rest is guessed", () => {
  expect([...offsetsOf(["a", "b", "c"], new Map([["b", 100]]), 28)]).toEqual([0, 28, 128, 156]);
  expect([...offsetsOf([], new Map(), 28)]).toEqual([0]);
});

test("a height lies in the thing that begins at it or above", () => {
  const offsets = offsetsOf(["a", "b", "c"], new Map([["b", 100]]), 28);
  expect([-5, 0, 27, 28, 127, 128, 155, 156, 9_000].map((y) => placeAt(offsets, y))).toEqual([0, 0, 0, 1, 1, 2, 2, 2, 2]);
});

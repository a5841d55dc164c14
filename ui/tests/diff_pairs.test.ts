import { expect, test } from "vitest";

import type { ComparedPair, PairKind } from "../src/api/types";
import { joined } from "../src/views/diff_pairs";

const pair = (kind: PairKind, count = 1): ComparedPair => ({ kind, count, left: null, right: null, pieces: [], lines: [] });
const told = (pairs: readonly ComparedPair[]) => pairs.map((one) => `${one.kind} ${one.count}`);

test("equal pairs on either side of the seam of two pages are one run", () => {
  expect(told(joined([pair("left"), pair("same", 40)], [pair("same", 2), pair("right")]))).toEqual(["left 1", "same 42", "right 1"]);
});

test("other pairs stay apart", () => {
  expect(told(joined([pair("same", 4)], [pair("changed")]))).toEqual(["same 4", "changed 1"]);
  expect(told(joined([], [pair("same", 4)]))).toEqual(["same 4"]);
  expect(told(joined([pair("same", 4)], []))).toEqual(["same 4"]);
});

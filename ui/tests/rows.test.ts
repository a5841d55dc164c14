import { expect, test } from "vitest";

import type { Row, RowColumns } from "../src/api/types";
import { grown, placeOf } from "../src/session/open";
import { ERROR, OPEN, Rows } from "../src/session/rows";

/** Rows as (kind, seq, last, name). */
function columns(rows: [Row["kind"], number, number, number][]): RowColumns {
  const kinds = [...new Set(rows.map((row) => row[0]))];
  return {
    indexed_to: rows.at(-1)?.[2] ?? 0,
    kinds,
    whos: ["bash"],
    seq: rows.map((row, n) => row[1] - (rows[n - 1]?.[1] ?? 0)),
    last_seq: rows.map((row) => row[2] - row[1]),
    name: rows.map((row) => (row[3] ? row[3] - row[1] : -1)),
    kind: rows.map((row) => kinds.indexOf(row[0])),
    who: rows.map(() => 0),
    flags: rows.map(() => 0),
    at_us: rows.map(() => 10),
    duration_us: rows.map(() => -1),
    tokens: rows.map(() => 0),
  };
}

function rowsOf(...rows: [Row["kind"], number, number, number][]): Rows {
  const found = new Rows();
  found.load(columns(rows));
  return found;
}

const SAID = rowsOf(["config", 1, 1, 0], ["user", 3, 5, 5], ["assistant", 6, 20, 20], ["tool", 21, 27, 27], ["tool", 22, 29, 29], ["wait", 24, 40, 0], ["assistant", 31, 50, 50]);

test("steps are added up", () => {
  expect([...SAID.seq.subarray(0, 7)]).toEqual([1, 3, 6, 21, 22, 24, 31]);
  expect([...SAID.at.subarray(0, 3)]).toEqual([10, 20, 30]);
  expect([SAID.name[0], SAID.name[2], SAID.last[3]]).toEqual([0, 20, 27]);
});

test.each([
  [1, 0], [2, 0], [3, 1], [5, 1], [6, 2], [13, 2], [20, 2], [21, 3], [22, 4], [24, 5], [27, 3], [28, 4], [29, 4], [31, 6], [45, 6], [50, 6], [99, 6],
])("seq %d is of row %d", (seq, row) => expect(SAID.rowOf(seq)).toBe(row)); // prettier-ignore

test("a row stands for where it is complete, one that goes on beside others for its beginning", () => {
  expect(Array.from({ length: 7 }, (_, row) => SAID.anchor(row))).toEqual([1, 5, 20, 27, 29, 24, 50]);
  for (let row = 0; row < 7; row++) expect(SAID.rowOf(SAID.anchor(row))).toBe(row);
});

test("rows that change or are new are taken, and one that is missing between is noticed", () => {
  const rows = rowsOf(["user", 1, 3, 3], ["assistant", 4, 9, 0]);
  const row = (number: number, change: Partial<Row> = {}): Row => ({
    row: number, seq: 4, last_seq: 12, name: 0, kind: "assistant", who: "m", flags: OPEN, at_us: 1, duration_us: -1, tokens: 0, preview: "", text_tail: "", ...change,
  }); // prettier-ignore
  expect(rows.take([row(1), row(2, { seq: 13, last_seq: 13, kind: "tool", who: "bash", flags: ERROR })], 13)).toBe(true);
  expect([rows.length, rows.last[1], rows.kindOf(2), rows.whoOf(1), rows.whoOf(2), rows.flags[2], rows.indexedTo]).toEqual([3, 12, "tool", "m", "bash", ERROR, 13]);
  expect(rows.take([row(5)], 20)).toBe(false);
  expect(rows.length).toBe(3);
  for (let n = 3; n < 2000; n++) rows.take([row(n, { seq: 10 + n, last_seq: 10 + n })], 0);
  expect([rows.length, rows.seq[1999], rows.seq[0]]).toEqual([2000, 2009, 1]);
});

test("where a row stands among those that are shown", () => {
  const shown = Uint32Array.from([0, 3, 4, 9]);
  expect([0, 1, 3, 4, 8, 9, 30].map((row) => placeOf(shown, row))).toEqual([0, 0, 1, 2, 2, 3, 3]);
  expect(placeOf(new Uint32Array(0), 3)).toBe(-1);
});

test("what is being said grows by what came of it, once", () => {
  const text = (seq: number, kind: "text_delta" | "text_start" | "thinking_delta" | "tool_call_start" | "tool_call_delta" | "text_end", said: string, name = "") => ({ first_seq: seq, seq, kind, content_index: 0, name, text: said });
  const first = grown([{ kind: "text", name: "", text: "I lo", characters: 4 }], [text(4, "text_delta", "lo"), text(5, "text_delta", "ok")], 4);
  expect(first).toEqual([{ kind: "text", name: "", text: "I look", characters: 6 }]);
  const then = grown(first, [text(6, "text_end", ""), text(7, "tool_call_start", "", "bash"), text(8, "tool_call_delta", "{")], 5);
  expect(then.map((one) => [one.kind, one.name, one.text])).toEqual([["text", "", "I look"], ["tool_call", "bash", "{"]]); // prettier-ignore
});

import { expect, test } from "vitest";

import type { DrawnSpan, SpanKind } from "../src/api/types";
import { boxAt, boxesOf } from "../src/views/timeline_draw";
import { layLanes, ticks, timeAt } from "../src/views/timeline_layout";

function span(kind: SpanKind, from: number, to: number | null, name: string = kind): DrawnSpan {
  const lane = kind === "tool" ? `tool ${name}` : kind;
  return { lane, kind, name, spans: 1, start_seq: from, started_at_us: from, end_seq: to, ended_at_us: to, first_token_us: null, note: "", measured: true };
}

test("runs and turns share a lane, each tool has its own, and children come last, those of a title together", () => {
  const lanes = layLanes("s", [span("tool", 20, 30, "bash"), span("wait", 40, 50), span("turn", 1, 60), span("model", 2, 10), span("run", 0, 60), span("tool", 12, 14, "read")], [
    { session: "a", title: "helper", spans: [span("run", 21, 29), span("model", 22, 28)] },
    { session: "b", title: "helper", spans: [span("run", 31, 39)] },
  ]);
  expect(lanes.map((lane) => [lane.name, lane.bars.length])).toEqual([
    ["runs", 2],
    ["model", 1],
    ["bash", 1],
    ["read", 1],
    ["waits", 1],
    ["helper", 2],
  ]);
  expect(lanes.at(-1)!.bars.map((bar) => `${bar.session} ${bar.span.kind}`)).toEqual(["a model", "b run"]);
});

test("calls of a tool that overlap lie below each other, as far as there is room", () => {
  const [lane] = layLanes("s", [span("tool", 0, 10), span("tool", 5, 12), span("tool", 10, 20)], []);
  expect(lane!.bars.map((bar) => bar.row)).toEqual([0, 1, 0]);
  expect(lane!.rows).toBe(2);
  const [full] = layLanes("s", Array.from({ length: 9 }, (_, at) => span("tool", at, 100)), []);
  expect(full!.rows).toBe(4);
});

test("the axis has round times, and never more than fit", () => {
  expect(ticks({ from: 1_000_000, to: 11_000_000 }, 1_000_000, 450)).toEqual([1_000_000, 3_000_000, 5_000_000, 7_000_000, 9_000_000, 11_000_000]);
  for (const long of [1, 999, 1e6, 3.6e9, 1e13, 1e16]) expect(ticks({ from: 0, to: long }, 0, 700).length).toBeLessThanOrEqual(9);
});

test("within a row time goes on with the seqs", () => {
  const rows = { seq: Uint32Array.of(1, 11), last: Uint32Array.of(10, 11), at: Float64Array.of(100, 900), duration: Float64Array.of(90, -1), length: 2 };
  expect([1, 4, 10, 400].map((seq) => timeAt(rows, 0, seq))).toEqual([100, 130, 190, 190]);
  expect(timeAt(rows, 1, 11)).toBe(900);
  expect(timeAt(rows, 2, 11)).toBeNull();
});

test("a bar is found where it was drawn, and one that is too narrow to hit, near it", () => {
  const lanes = layLanes("s", [span("model", 0, 500), span("tool", 600, 601)], []);
  const boxes = boxesOf(lanes, { from: 0, to: 1000 }, 1000, 1000);
  expect(boxAt(boxes, 100, 8)?.bar.span.kind).toBe("model");
  expect(boxAt(boxes, 604, 32)?.bar.span.kind).toBe("tool");
  expect(boxAt(boxes, 700, 8)).toBeNull();
  expect(boxAt(boxes, 100, 32)).toBeNull();
});

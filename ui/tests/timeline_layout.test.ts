import { expect, test } from "vitest";

import type { DrawnSpan, SpanKind } from "../src/api/types";
import { boxAt, boxesOf } from "../src/views/timeline_draw";
import { Axis, layLanes, PAUSE_PX, pausesOf, stretched, ticks, timeAt } from "../src/views/timeline_layout";

function span(kind: SpanKind, from: number, to: number | null, name: string = kind): DrawnSpan {
  const lane = kind === "tool" ? `tool ${name}` : kind;
  return { lane, kind, name, spans: 1, start_seq: from, started_at_us: from, end_seq: to, ended_at_us: to, first_token_us: null, note: "", measured: true };
}

test("runs and turns share a lane, each tool has its own, and children come last, those of a title together", () => {
  const lanes = layLanes("s", [span("tool", 20, 30, "bash"), span("wait", 40, 50), span("turn", 1, 60), span("model", 2, 10), span("run", 0, 60), span("tool", 12, 14, "read")], [
    { session: "a", title: "helper", isOpen: false, spans: [span("run", 21, 29), span("model", 22, 28)] },
    { session: "b", title: "helper", isOpen: false, spans: [span("run", 31, 39)] },
  ], false);
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

test("the time is that of the sessions that were started, too", () => {
  const own = { began_us: 10, ended_us: 20, spans_in_all: 1 };
  const started = [{ created_at_us: 15, updated_at_us: 90 }, { created_at_us: 5, updated_at_us: 7 }];
  expect(stretched(own, started)).toEqual({ began_us: 5, ended_us: 90, spans_in_all: 1 });
  expect(stretched(own, [])).toEqual(own);
  expect(stretched({ began_us: 0, ended_us: 0, spans_in_all: 0 }, started)).toMatchObject({ began_us: 5, ended_us: 90 });
});

test("calls of a tool that overlap lie below each other, as far as there is room", () => {
  const [lane] = layLanes("s", [span("tool", 0, 10), span("tool", 5, 12), span("tool", 10, 20)], [], false);
  expect(lane!.bars.map((bar) => bar.row)).toEqual([0, 1, 0]);
  expect(lane!.rows).toBe(2);
  const [full] = layLanes("s", Array.from({ length: 9 }, (_, at) => span("tool", at, 100)), [], false);
  expect(full!.rows).toBe(4);
});

test("what has no end lasts while its session is at work; else it was cut off, and nothing is said of its length", () => {
  const ends = (isOpen: boolean) => layLanes("s", [span("tool", 0, null), span("tool", 5, 9)], [], isOpen)[0]!.bars.map((bar) => [bar.end, bar.row]);
  expect(ends(true)).toEqual([[null, 0], [9, 1]]);
  expect(ends(false)).toEqual([[0, 0], [9, 0]]);
});

test("the axis has round times, and never more than fit", () => {
  expect(ticks(new Axis({ from: 1_000_000, to: 11_000_000 }, [], 450), 1_000_000)).toEqual([1_000_000, 3_000_000, 5_000_000, 7_000_000, 9_000_000, 11_000_000]);
  for (const long of [1, 999, 1e6, 3.6e9, 1e13, 1e16]) expect(ticks(new Axis({ from: 0, to: long }, [], 700), 0).length).toBeLessThanOrEqual(9);
});

const MINUTE = 60e6;

test("a pause is where nothing lasts for long; what is short, or short for what is shown, is none", () => {
  const spans = [span("run", 0, 10 * MINUTE), span("model", 1, 2), span("run", 12 * MINUTE, 20 * MINUTE), span("run", 200 * MINUTE, null)];
  expect(pausesOf(spans, { from: 0, to: 230 * MINUTE }, true)).toEqual([{ from: 20 * MINUTE, to: 200 * MINUTE }]);
  expect(pausesOf([span("run", 0, MINUTE)], { from: 0, to: 60 * MINUTE }, false)).toEqual([{ from: MINUTE, to: 60 * MINUTE }]);
  expect(pausesOf([span("run", 0, 100 * MINUTE), span("run", 106 * MINUTE, 300 * MINUTE)], { from: 0, to: 300 * MINUTE }, false)).toEqual([]);
});

test("an axis with pauses gives the time of every place, and the place of every time", () => {
  const axis = new Axis({ from: 0, to: 1000 }, [{ from: 100, to: 500 }, { from: 600, to: 900 }], 300 + 2 * PAUSE_PX);
  expect(axis.pieces.map((one) => [one.x, one.width, one.isPause])).toEqual([
    [0, 100, false],
    [100, PAUSE_PX, true],
    [100 + PAUSE_PX, 100, false],
    [200 + PAUSE_PX, PAUSE_PX, true],
    [200 + 2 * PAUSE_PX, 100, false],
  ]);
  for (let us = 0; us <= 1000; us += 37) expect(axis.us(axis.x(us))).toBeCloseTo(us, 6);
  let before = -1;
  for (let us = 0; us <= 1000; us += 5) {
    expect(axis.x(us)).toBeGreaterThan(before);
    before = axis.x(us);
  }
});

test("within a row time goes on with the seqs", () => {
  const rows = { seq: Uint32Array.of(1, 11), last: Uint32Array.of(10, 11), at: Float64Array.of(100, 900), duration: Float64Array.of(90, -1), length: 2 };
  expect([1, 4, 10, 400].map((seq) => timeAt(rows, 0, seq))).toEqual([100, 130, 190, 190]);
  expect(timeAt(rows, 1, 11)).toBe(900);
  expect(timeAt(rows, 2, 11)).toBeNull();
});

test("a bar is found where it was drawn, and one that is too narrow to hit, near it", () => {
  const lanes = layLanes("s", [span("model", 0, 500), span("tool", 600, 601)], [], false);
  const boxes = boxesOf(lanes, new Axis({ from: 0, to: 1000 }, [], 1000), 1000);
  expect(boxAt(boxes, 100, 8)?.bar.span.kind).toBe("model");
  expect(boxAt(boxes, 604, 32)?.bar.span.kind).toBe("tool");
  expect(boxAt(boxes, 700, 8)).toBeNull();
  expect(boxAt(boxes, 100, 32)).toBeNull();
});

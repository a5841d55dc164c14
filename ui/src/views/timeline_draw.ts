// Draws lanes of bars on a canvas, and says which bar lies at a point.

import type { Axis, Bar, Lane } from "./timeline_layout";

export const LANE_PX = 24;
const ROW_PX = 13;
const BAR_PX = 14;
const LEAST_PX = 2;
/** Signs closer than this would lie on each other: then the bar is underlined. */
const SIGN_PX = 11;
/** A bar without an end has dots behind it; if it lasts still, it is not narrower than this with them. */
const OPEN_PX = 24;
const DOTS_PX = 14;

/** Where a bar was drawn. */
export interface Box {
  bar: Bar;
  lane: Lane;
  x: number;
  y: number;
  width: number;
  height: number;
}

export function heightOf(lane: Lane): number {
  return lane.rows === 1 ? LANE_PX : 10 + lane.rows * ROW_PX;
}

const COLOURS: Record<string, string> = { run: "faint", turn: "faint", model: "accent", tool: "tool", wait: "wait" };

/** Lays out where each bar is drawn. */
export function boxesOf(lanes: readonly Lane[], axis: Axis, nowUs: number): Box[] {
  const { shown, width } = axis;
  const found: Box[] = [];
  let top = 0;
  for (const lane of lanes) {
    const height = lane.rows === 1 ? BAR_PX : ROW_PX - 2;
    for (const bar of lane.bars) {
      const from = Math.max(bar.span.started_at_us, shown.from);
      const to = Math.min(bar.end ?? nowUs, shown.to);
      if (to < shown.from || from > shown.to) continue;
      const isOpen = bar.end === null;
      const begin = axis.x(from);
      const x = Math.min(begin, width - (isOpen ? OPEN_PX : LEAST_PX));
      const y = top + 5 + bar.row * ROW_PX;
      found.push({ bar, lane, x, y, width: Math.max(axis.x(to) - begin - (isOpen ? DOTS_PX : 0), isOpen ? OPEN_PX - DOTS_PX : LEAST_PX), height });
    }
    top += heightOf(lane);
  }
  return found;
}

/** The bar at a point: what was drawn last of those that lie there, or the nearest within a few pixels. */
export function boxAt(boxes: readonly Box[], x: number, y: number): Box | null {
  let found: Box | null = null;
  let near = 5;
  for (const box of boxes) {
    if (y < box.y - 3 || y > box.y + box.height + 3) continue;
    const away = x < box.x ? box.x - x : x > box.x + box.width ? x - box.x - box.width : 0;
    if (away < near || (away === 0 && near === 0)) {
      found = box;
      near = away;
    }
  }
  return found;
}

/** Draws the bars, with a line at each mark of the axis, and pauses as gaps. */
export function drawLanes(
  { draw, width, height, colour }: { draw: CanvasRenderingContext2D; width: number; height: number; colour: (name: string) => string },
  lanes: readonly Lane[],
  boxes: readonly Box[],
  axis: Axis,
  marks: readonly number[],
  isRetried: (bar: Bar) => boolean,
): void {
  const tones = new Map(["faint", "dim", "accent", "tool", "wait", "error", "config", "line", "pane", "ink"].map((name) => [name, colour(name)]));
  const tone = (name: string) => tones.get(name)!;
  draw.fillStyle = tone("line");
  for (const at of marks) draw.fillRect(Math.round(axis.x(at)), 0, 1, height);
  let top = 0;
  for (const lane of lanes) {
    top += heightOf(lane);
    draw.fillRect(0, top - 1, width, 1);
  }
  for (const piece of axis.pieces) if (piece.isPause) drawPause(draw, piece.x, piece.width, height, tone);
  const hatch = hatched(draw, tone("wait"));
  for (const box of boxes) {
    const { span } = box.bar;
    if (span.kind === "turn") drawTurn(draw, box, tone("faint"));
    else if (span.kind === "run" && box.lane.kind === "child") drawBar(draw, box, tone("dim"), tone("dim"), span.measured);
    else if (span.kind === "run") drawRun(draw, box, tone(span.note ? "error" : "faint"));
    else if (span.kind === "wait") drawBar(draw, box, tone("wait"), hatch, span.measured);
    else if (span.kind === "model") drawModel(draw, box, tone(COLOURS[span.kind]!), axis);
    else drawBar(draw, box, tone(COLOURS[span.kind]!), tone(COLOURS[span.kind]!), span.measured);
    if (span.ended_at_us === null) drawOpenEnd(draw, box, tone(box.bar.end === null ? "ink" : "faint"));
  }
  // signs lie above all bars: a red cross on a red bar would not be seen
  const signed = new Map<number, number>();
  for (const box of boxes) {
    const { note, kind } = box.bar.span;
    if (!note || kind === "turn" || (kind === "run" && box.lane.kind !== "child")) continue;
    const x = box.x + box.width / 2;
    if (x - (signed.get(box.y) ?? -SIGN_PX) < SIGN_PX) {
      draw.fillStyle = tone("error");
      draw.fillRect(box.x, box.y + box.height, Math.max(box.width, 1), 2);
    } else {
      signed.set(box.y, x);
      drawNote(draw, box, tone, isRetried(box.bar));
    }
  }
}

/** A pause is a torn edge: what lies between takes no room. */
function drawPause(draw: CanvasRenderingContext2D, x: number, width: number, height: number, tone: (name: string) => string): void {
  draw.fillStyle = tone("pane");
  draw.fillRect(x + 2, 0, width - 4, height);
  draw.strokeStyle = tone("faint");
  draw.lineWidth = 1;
  for (const at of [x + 2, x + width - 2]) {
    draw.beginPath();
    for (let y = 0; y <= height; y += 4) draw.lineTo(at + (y % 8 ? 1.5 : -1.5), y);
    draw.stroke();
  }
}

/** What waits is hatched. */
function hatched(draw: CanvasRenderingContext2D, colour: string): CanvasPattern | string {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const on = tile.getContext("2d");
  if (on === null) return colour;
  on.strokeStyle = colour;
  on.lineWidth = 1.4;
  on.beginPath();
  for (const at of [-3, 3, 9]) {
    on.moveTo(at - 3, 9);
    on.lineTo(at + 6, 0);
  }
  on.stroke();
  return draw.createPattern(tile, "repeat") ?? colour;
}

function drawBar(draw: CanvasRenderingContext2D, { x, y, width, height }: Box, line: string, fill: string | CanvasPattern, isMeasured: boolean): void {
  if (isMeasured) {
    draw.fillStyle = fill;
    draw.fillRect(x, y, Math.max(width - 0.5, 1), height);
    if (typeof fill === "string") return;
  }
  draw.strokeStyle = line;
  draw.lineWidth = 1;
  draw.strokeRect(x + 0.5, y + 0.5, Math.max(width - 1.5, 0.5), height - 1);
}

/** A model call: while nothing came of it yet, lighter. */
function drawModel(draw: CanvasRenderingContext2D, box: Box, colour: string, axis: Axis): void {
  const { span } = box.bar;
  if (!span.measured || span.first_token_us === null) {
    drawBar(draw, box, colour, colour, span.measured);
    return;
  }
  const first = axis.x(Math.max(span.started_at_us + span.first_token_us, axis.shown.from));
  const waited = Math.min(Math.max(first - box.x, 0), box.width);
  draw.fillStyle = colour;
  draw.globalAlpha = 0.32;
  draw.fillRect(box.x, box.y, waited, box.height);
  draw.globalAlpha = 1;
  draw.fillRect(box.x + waited, box.y, Math.max(box.width - waited - 0.5, 1), box.height);
}

function drawRun(draw: CanvasRenderingContext2D, { x, y, width, bar }: Box, colour: string): void {
  draw.fillStyle = colour;
  if (bar.span.measured) draw.fillRect(x, y + 1, width, 3);
  else {
    draw.fillRect(x, y + 1, width, 1);
    draw.fillRect(x, y + 3, width, 1);
  }
}

/** A turn begins with a notch under its run. */
function drawTurn(draw: CanvasRenderingContext2D, { x, y, width }: Box, colour: string): void {
  draw.fillStyle = colour;
  draw.fillRect(x, y + 6, 1, 8);
  if (width > 4) draw.fillRect(x, y + 10, width - 2, 1);
}

/** What lasts still, or was cut off, has dots for an end. */
function drawOpenEnd(draw: CanvasRenderingContext2D, { x, y, width, height }: Box, colour: string): void {
  draw.fillStyle = colour;
  for (let at = 0; at < 3; at++) draw.fillRect(x + width + 2 + at * 4, y + height / 2 - 1, 2, 2);
}

/** How it ended, if not well: a retry has an arrow round, everything else a cross. */
function drawNote(draw: CanvasRenderingContext2D, { x, y, width, height }: Box, tone: (name: string) => string, isRetry: boolean): void {
  const middle = x + Math.min(width / 2, width - 1);
  const centre = y + height / 2;
  draw.lineCap = "round";
  for (const [colour, thick] of [
    [tone("pane"), 4.5],
    [tone(isRetry ? "config" : "error"), 1.7],
  ] as const) {
    draw.strokeStyle = colour;
    draw.lineWidth = thick;
    draw.beginPath();
    if (isRetry) {
      draw.arc(middle, centre, 3.6, -0.4 * Math.PI, 1.2 * Math.PI);
      draw.moveTo(middle - 0.2, centre - 5.6);
      draw.lineTo(middle + 1.6, centre - 3.4);
      draw.lineTo(middle - 1, centre - 2);
    } else {
      draw.moveTo(middle - 3, centre - 3);
      draw.lineTo(middle + 3, centre + 3);
      draw.moveTo(middle + 3, centre - 3);
      draw.lineTo(middle - 3, centre + 3);
    }
    draw.stroke();
  }
  draw.lineCap = "butt";
}

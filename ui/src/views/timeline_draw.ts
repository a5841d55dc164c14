// Draws lanes of bars on a canvas, and says which bar lies at a point.

import type { Bar, Lane, Stretch } from "./timeline_layout";

export const LANE_PX = 24;
const ROW_PX = 13;
const BAR_PX = 14;
const LEAST_PX = 2;
/** A bar that lasts still ends in dots, and is not narrower than this. */
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
export function boxesOf(lanes: readonly Lane[], shown: Stretch, width: number, nowUs: number): Box[] {
  const scale = width / Math.max(shown.to - shown.from, 1);
  const found: Box[] = [];
  let top = 0;
  for (const lane of lanes) {
    const height = lane.rows === 1 ? BAR_PX : ROW_PX - 2;
    for (const bar of lane.bars) {
      const from = Math.max(bar.span.started_at_us, shown.from);
      const to = Math.min(bar.span.ended_at_us ?? nowUs, shown.to);
      if (to < shown.from || from > shown.to) continue;
      const isOpen = bar.span.ended_at_us === null;
      const x = Math.min((from - shown.from) * scale, width - (isOpen ? OPEN_PX : LEAST_PX));
      const y = top + 5 + bar.row * ROW_PX;
      found.push({ bar, lane, x, y, width: Math.max((to - from) * scale - (isOpen ? DOTS_PX : 0), isOpen ? OPEN_PX - DOTS_PX : LEAST_PX), height });
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

/** Draws the bars. `shown` is the time that the canvas is wide. */
export function drawLanes(
  { draw, width, height, colour }: { draw: CanvasRenderingContext2D; width: number; height: number; colour: (name: string) => string },
  lanes: readonly Lane[],
  boxes: readonly Box[],
  shown: Stretch,
  marks: readonly number[],
  isRetried: (bar: Bar) => boolean,
): void {
  const tones = new Map(["faint", "dim", "accent", "tool", "wait", "error", "config", "line", "pane", "ink"].map((name) => [name, colour(name)]));
  const tone = (name: string) => tones.get(name)!;
  const scale = width / Math.max(shown.to - shown.from, 1);
  draw.fillStyle = tone("line");
  for (const at of marks) draw.fillRect(Math.round((at - shown.from) * scale), 0, 1, height);
  let top = 0;
  for (const lane of lanes) {
    top += heightOf(lane);
    draw.fillRect(0, top - 1, width, 1);
  }
  const hatch = hatched(draw, tone("wait"));
  for (const box of boxes) {
    const { span } = box.bar;
    if (span.kind === "turn") drawTurn(draw, box, tone("faint"));
    else if (span.kind === "run" && box.lane.kind === "child") drawBar(draw, box, tone("dim"), tone("dim"), span.measured);
    else if (span.kind === "run") drawRun(draw, box, tone(span.note ? "error" : "faint"));
    else if (span.kind === "wait") drawBar(draw, box, tone("wait"), hatch, span.measured);
    else if (span.kind === "model") drawModel(draw, box, tone(COLOURS[span.kind]!), scale);
    else drawBar(draw, box, tone(COLOURS[span.kind]!), tone(COLOURS[span.kind]!), span.measured);
    if (span.ended_at_us === null) drawOpenEnd(draw, box, tone("ink"));
  }
  // signs lie above all bars: a red cross on a red bar would not be seen
  for (const box of boxes) if (box.bar.span.note && (box.bar.span.kind !== "run" || box.lane.kind === "child") && box.bar.span.kind !== "turn") drawNote(draw, box, tone, isRetried(box.bar));
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
function drawModel(draw: CanvasRenderingContext2D, box: Box, colour: string, scale: number): void {
  const { span } = box.bar;
  if (!span.measured || span.first_token_us === null) {
    drawBar(draw, box, colour, colour, span.measured);
    return;
  }
  const waited = Math.min(span.first_token_us * scale, box.width);
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

/** What lasts still, or was cut off, has an open end. */
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

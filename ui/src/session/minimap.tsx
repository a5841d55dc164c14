// The whole session in one line: how much the model was sent, where it failed, what was compacted, where it was forked.

import { useEffect, useRef } from "preact/hooks";

import { whole } from "../format";
import { canvasOf, oncePerFrame, useSeldom, useSize, useTheme } from "../parts/sizes";
import { goToSeq, type OpenSession } from "./open";
import { ERROR } from "./rows";

const STEP = 10;
/** All rows are drawn anew, and so not with every token. */
const LIVE_MS = 250;

/** Draws a session into a canvas; its x axis is the seq. */
function drawMap(canvas: HTMLCanvasElement, session: OpenSession): void {
  const on = canvasOf(canvas);
  const { rows } = session;
  const last = Math.max(session.last.peek(), 1);
  if (on === null) return;
  const { draw, width, height, colour } = on;
  const x = (seq: number) => (seq / last) * width;
  const base = height - 5;
  const kinds = rows.kinds;
  const assistant = kinds.indexOf("assistant");
  let most = 1;
  for (let row = 0; row < rows.length; row++) if (rows.kind[row] === assistant) most = Math.max(most, rows.tokens[row]!);
  const y = (tokens: number) => base - (tokens / most) * (base - 15);

  // of the calls under one pixel the largest is drawn
  const line = new Path2D();
  let began = -1;
  let pixel = -1;
  let top = base;
  let before = base;
  for (let row = 0; row < rows.length; row++) {
    if (rows.kind[row] !== assistant || !rows.tokens[row]) continue;
    const at = Math.floor(x(rows.last[row]!));
    const to = y(rows.tokens[row]!);
    if (began < 0) {
      line.moveTo((began = at), to);
      pixel = at;
      top = before = to;
    } else if (at === pixel) top = Math.min(top, to);
    else {
      line.lineTo(pixel, top);
      if (to > before + 8) line.lineTo(at, before); // a step down is drawn as one
      line.lineTo(at, to);
      pixel = at;
      top = to;
    }
    before = to;
  }
  if (began >= 0) {
    line.lineTo(pixel, top);
    const area = new Path2D(line);
    area.lineTo(pixel, base + 5);
    area.lineTo(began, base + 5);
    area.closePath();
    draw.fillStyle = colour("selected");
    draw.fill(area);
    draw.strokeStyle = colour("accent");
    draw.lineWidth = 1.2;
    draw.lineJoin = "round";
    draw.stroke(line);
  }

  const config = colour("config");
  const error = colour("error");
  const dim = colour("dim");
  const accent = colour("accent");
  draw.lineWidth = 1;
  const drawn = new Set<string>();
  const isNew = (what: string, at: number) => {
    const key = `${what}${Math.round(at)}`;
    return drawn.has(key) ? false : (drawn.add(key), true);
  };
  for (let row = 0; row < rows.length; row++) {
    const kind = kinds[rows.kind[row]!];
    const at = x(rows.seq[row]!);
    if (kind === "compaction" && isNew("c", at)) {
      draw.strokeStyle = config;
      draw.setLineDash([2, 2]);
      draw.beginPath();
      draw.moveTo(at, 3);
      draw.lineTo(at, height);
      draw.stroke();
      draw.setLineDash([]);
    } else if (kind === "user" && isNew("u", at)) {
      draw.fillStyle = accent;
      draw.fillRect(at - 0.5, height - 4, 1.5, 4);
    } else if (kind === "label" && isNew("l", at)) {
      draw.fillStyle = accent;
      draw.fillRect(at - 1.5, 2, 3, 6);
    }
    if (rows.flags[row]! & ERROR && isNew("e", x(rows.last[row]!))) {
      draw.fillStyle = error;
      draw.fillRect(x(rows.last[row]!) - 1, 3, 2, 10);
    }
  }
  draw.fillStyle = dim;
  for (const seq of session.head.peek()?.forks ?? []) {
    const at = x(seq);
    if (!isNew("f", at)) continue;
    draw.beginPath();
    draw.moveTo(at, 3);
    draw.lineTo(at + 4, 10);
    draw.lineTo(at - 4, 10);
    draw.fill();
  }
}

/** The map, which is the slider too. */
export function Minimap({ session }: { session: OpenSession }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width } = useSize(box);
  const isDark = useTheme();
  const version = useSeldom(session.version.value, LIVE_MS);
  const head = session.head.value;
  useEffect(() => {
    if (canvas.current !== null) drawMap(canvas.current, session);
  }, [session, version, head?.forks.length, width, isDark]);
  const last = session.last.value;
  const seq = session.seq.value;
  const inner = Math.max(width - 28, 1);
  const at = (seq / Math.max(last, 1)) * inner;
  const seqAt = (clientX: number) => {
    const left = (box.current?.getBoundingClientRect().left ?? 0) + 14;
    return Math.round(((clientX - left) / inner) * last);
  };
  const scrub = useRef(oncePerFrame((clientX: number) => goToSeq(seqAtNow.current(clientX), "step")));
  const seqAtNow = useRef(seqAt);
  seqAtNow.current = seqAt;
  const onDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    goToSeq(seqAt(event.clientX), "jump");
    const element = box.current!;
    element.setPointerCapture(event.pointerId);
    element.focus({ preventScroll: true });
    const move = (moved: PointerEvent) => scrub.current(moved.clientX);
    element.addEventListener("pointermove", move);
    element.addEventListener("lostpointercapture", () => element.removeEventListener("pointermove", move), { once: true });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -STEP, ArrowUp: STEP }[event.key];
    if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    goToSeq(seq + by * (event.shiftKey ? STEP : 1), "step");
  };
  const isRight = at > inner - 160;
  return (
    <div
      class="minimap"
      ref={box}
      role="slider"
      tabIndex={0}
      aria-label="Seq"
      aria-valuemin={1}
      aria-valuemax={last}
      aria-valuenow={seq}
      aria-valuetext={`${whole(seq)} of ${whole(last)}`}
      onPointerDown={onDown}
      onKeyDown={onKeyDown}
    >
      <canvas ref={canvas} />
      <div class="playhead" style={{ transform: `translateX(${at}px)` }} />
      <div class="place" style={{ transform: isRight ? `translateX(calc(${at - 8}px - 100%))` : `translateX(${at + 8}px)` }}>
        {whole(seq)} <span class="faint">of {whole(last)}</span>
      </div>
    </div>
  );
}

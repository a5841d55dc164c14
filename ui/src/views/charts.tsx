// What the model calls of a session came to, call by call, over its seqs: the axis of the map.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { dollars, duration, percent, short, whole } from "../format";
import { canvasOf, oncePerFrame, useSeldom, useSize, useTheme } from "../parts/sizes";
import { goToSeq, type OpenSession } from "../session/open";
import { apart, points, type Series, SeriesReader } from "./series";
import "./charts.css";

/** Room for the names at the ends of the lines. */
const NAMES_PX = 76;
const FEW = 90;

interface LineOf {
  name: string;
  colour: string;
  dash: readonly number[];
  figure: (series: Series) => (at: number) => number;
  words: (figure: number) => string;
  takes?: "most" | "last";
}

interface Chart {
  name: string;
  height: number;
  /** Whether ten times as much is a step of the same height. */
  isLog?: boolean;
  /** The highest figure of the axis, where it is not that of the lines. */
  most?: number;
  lines: readonly LineOf[];
  hasSteps?: boolean;
  isFilled?: boolean;
}

const column = (name: Parameters<Series["of"]>[0]) => (series: Series) => {
  const found = series.of(name);
  return (at: number) => found[at]!;
};

/** A figure of calls that were sent anything: an answer that failed at once says nothing, and no figure of it is true. */
const sentColumn = (name: Parameters<Series["of"]>[0]) => (series: Series) => {
  const [found, context] = [series.of(name), series.of("context_tokens")];
  return (at: number) => (context[at]! > 0 ? found[at]! : -1);
};

/** What was paid up to each call, from the first one with a known price on; others add nothing. */
function spent(series: Series): (at: number) => number {
  const costs = series.of("cost_microusd");
  const sums = new Float64Array(series.length);
  let sum = -1;
  for (let at = 0; at < series.length; at++) {
    if (costs[at]! >= 0) sum = Math.max(sum, 0) + costs[at]!;
    sums[at] = sum;
  }
  return (at) => sums[at]!;
}

function cachedShare(series: Series): (at: number) => number {
  const [cached, context] = [series.of("cached_tokens"), series.of("context_tokens")];
  return (at) => (context[at]! > 0 && cached[at]! >= 0 ? cached[at]! / context[at]! : -1);
}

const CHARTS: readonly Chart[] = [
  { name: "context", height: 54, isFilled: true, hasSteps: true, lines: [{ name: "tokens", colour: "accent", dash: [], figure: sentColumn("context_tokens"), words: short }] },
  {
    name: "tokens, log",
    height: 74,
    isLog: true,
    lines: [
      { name: "cached", colour: "accent", dash: [], figure: sentColumn("cached_tokens"), words: short },
      { name: "not cached", colour: "config", dash: [5, 3], figure: sentColumn("input_tokens"), words: short },
      { name: "into cache", colour: "tool", dash: [8, 2, 2, 2], figure: sentColumn("cache_write_tokens"), words: short },
      { name: "out", colour: "ink", dash: [2, 2], figure: sentColumn("output_tokens"), words: short },
      { name: "reasoning", colour: "thinking", dash: [1, 3], figure: sentColumn("reasoning_tokens"), words: short },
    ],
  },
  { name: "cost so far", height: 44, isFilled: true, lines: [{ name: "dollars", colour: "accent", dash: [], figure: spent, words: dollars, takes: "last" }] },
  {
    name: "time, log",
    height: 54,
    isLog: true,
    lines: [
      { name: "whole call", colour: "accent", dash: [], figure: column("duration_us"), words: duration },
      { name: "first token", colour: "config", dash: [4, 3], figure: column("first_token_us"), words: duration },
    ],
  },
  { name: "from cache", height: 44, most: 1, isFilled: true, lines: [{ name: "share", colour: "result", dash: [], figure: cachedShare, words: percent, takes: "last" }] },
];

let reader: SeriesReader | null = null;

/** The series of a session; that of the one before is let go of. */
function useSeries(session: OpenSession): SeriesReader {
  const one = useMemo(() => (reader?.session === session.id ? reader : (reader = new SeriesReader(session.id))), [session]);
  const changes = useSeldom(session.changes.value, 1_000);
  useEffect(() => {
    void one.read();
  }, [one, changes]);
  useEffect(() => () => one.close(), [one]);
  return one;
}

export function Charts({ session }: { session: OpenSession }) {
  const box = useRef<HTMLDivElement>(null);
  const { width } = useSize(box);
  const isDark = useTheme();
  const one = useSeries(session);
  const version = one.version.value;
  const [hovered, setHovered] = useState<number | null>(null);
  const last = Math.max(session.last.value, 1);
  const { series } = one;
  const calls = one.calls.value;
  const seq = session.seq.value;
  const inner = Math.max(width - NAMES_PX, 1);
  const call = hovered ?? series.callAt(seq);
  const seen = useMemo(() => CHARTS.map((chart) => chart.lines.map((line) => line.figure(series))), [series, version]);
  const at = useRef(oncePerFrame((clientX: number | null) => setHovered(clientX === null ? null : callAtNow.current(clientX))));
  const callAtNow = useRef((_: number): number => -1);
  callAtNow.current = (clientX) => {
    const left = box.current?.getBoundingClientRect().left ?? 0;
    return nearest(series, ((clientX - left) / inner) * last);
  };
  const pick = (event: MouseEvent) => {
    const found = callAtNow.current(event.clientX);
    if (found >= 0) goToSeq(seqOf(series, found));
  };
  if (version > 0 && !calls && !one.error.value) return <p class="charts-none">No model was called here: there is nothing to chart.</p>;
  return (
    <section class="charts" aria-label="Charts">
      <div class="charts-names">
        {CHARTS.map((chart, number) => (
          <div key={chart.name} style={{ height: `${chart.height}px` }}>
            <span class="dim">{chart.name}</span>
            {chart.lines.length <= 2 && call >= 0 && call < series.length && chart.lines.map((line, which) => (seen[number]![which]!(call) >= 0 ? <b key={line.name}>{line.words(seen[number]![which]!(call))}</b> : null))}
          </div>
        ))}
      </div>
      <div class="charts-all" ref={box} onPointerMove={(event) => at.current(event.clientX)} onPointerLeave={() => at.current(null)} onClick={pick}>
        {CHARTS.map((chart, number) => (
          <ChartCanvas key={chart.name} chart={chart} session={session} series={series} figures={seen[number]!} drawn={`${version} ${width} ${last} ${isDark}`} />
        ))}
        {width > 0 && <div class="charts-playhead" style={{ transform: `translateX(${(seq / last) * inner}px)` }} />}
        {hovered !== null && hovered >= 0 && <div class="charts-hair" style={{ transform: `translateX(${(seqOf(series, hovered) / last) * inner}px)` }} />}
      </div>
      <p class="charts-foot">
        {one.error.value ? (
          <span class="is-error">{one.error.value}</span>
        ) : series.length < calls ? (
          `reading the figures of ${whole(series.length)} of ${whole(calls)} calls…`
        ) : call >= 0 && call < series.length ? (
          <CallWords series={series} call={call} />
        ) : (
          calls > 0 && "before the first model call"
        )}
      </p>
    </section>
  );
}

function seqOf(series: Series, call: number): number {
  const end = series.of("end_seq")[call]!;
  return end >= 0 ? end : series.of("seq")[call]!;
}

/** The call whose place on the axis is nearest to a seq; -1 without calls. */
function nearest(series: Series, seq: number): number {
  const before = series.callAt(seq);
  const [one, two] = [Math.max(before, 0), Math.min(before + 1, series.length - 1)];
  if (two < 0) return -1;
  return Math.abs(seqOf(series, one) - seq) <= Math.abs(seqOf(series, two) - seq) ? one : two;
}

/** All figures of a call, in words. */
function CallWords({ series, call }: { series: Series; call: number }) {
  const of = (name: Parameters<Series["of"]>[0]) => series.of(name)[call]!;
  const found = [
    `call ${whole(call + 1)} of ${whole(series.length)}`,
    of("context_tokens") >= 0 && `${short(of("context_tokens"))} in`,
    of("cached_tokens") > 0 && `${short(of("cached_tokens"))} of it cached`,
    of("output_tokens") >= 0 && `${short(of("output_tokens"))} out`,
    of("reasoning_tokens") > 0 && `${short(of("reasoning_tokens"))} of it reasoning`,
    of("cost_microusd") >= 0 && dollars(of("cost_microusd")),
    of("duration_us") >= 0 && duration(of("duration_us")),
    of("first_token_us") >= 0 && `first token after ${duration(of("first_token_us"))}`,
  ].filter(Boolean);
  return <>{found.join(" · ")}</>;
}

/** One chart. `drawn` says when to draw it again. */
function ChartCanvas({ chart, session, series, figures, drawn }: { chart: Chart; session: OpenSession; series: Series; figures: readonly ((at: number) => number)[]; drawn: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current !== null) drawChart(canvas.current, chart, session, series, figures);
  }, [chart, session, series, figures, drawn]);
  const lines = chart.lines.map((one) => one.name).join(", ");
  return <canvas ref={canvas} style={{ height: `${chart.height}px` }} role="img" aria-label={`${chart.name} by seq: ${lines}. What a call came to stands below the charts.`} />;
}

function drawChart(canvas: HTMLCanvasElement, chart: Chart, session: OpenSession, series: Series, figures: readonly ((at: number) => number)[]): void {
  const on = canvasOf(canvas);
  if (on === null) return;
  const { draw, width, height, colour } = on;
  const last = Math.max(session.last.peek(), 1);
  const inner = width - NAMES_PX;
  const base = height - 6;
  const top = 8;
  const x = (at: number) => (seqOf(series, at) / last) * inner;
  const lines = chart.lines.map((line, number) => points(series.length, x, figures[number]!, line.takes ?? "most"));
  let most = chart.most ?? 0;
  if (!most) for (const line of lines) for (const [, value] of line) most = Math.max(most, value);
  draw.strokeStyle = colour("line");
  draw.lineWidth = 1;
  draw.beginPath();
  draw.moveTo(0, base + 0.5);
  draw.lineTo(inner, base + 0.5);
  draw.stroke();
  if (chart.hasSteps) drawSteps(draw, session, inner, height, colour("config"));
  if (!most || lines.every((line) => !line.length)) {
    draw.font = getComputedStyle(canvas).font;
    draw.fillStyle = colour("faint");
    if (series.length) draw.fillText("not on record", 3, base - 10);
    return;
  }
  const scale = chart.isLog ? (value: number) => Math.log10(1 + value) / Math.log10(1 + most) : (value: number) => value / most;
  const y = (value: number) => base - scale(value) * (base - top);
  const ends: { y: number; words: string; colour: string }[] = [];
  lines.forEach((line, number) => {
    const { name, colour: tone, dash } = chart.lines[number]!;
    const end = line.at(-1);
    if (end === undefined || line.every(([, value]) => value === 0)) return;
    const path = new Path2D();
    line.forEach(([at, value], place) => (place ? path.lineTo(at, y(value)) : path.moveTo(at, y(value))));
    if (chart.isFilled) {
      const area = new Path2D(path);
      area.lineTo(end[0], base);
      area.lineTo(line[0]![0], base);
      area.closePath();
      draw.fillStyle = colour(tone);
      draw.globalAlpha = 0.1;
      draw.fill(area);
      draw.globalAlpha = 1;
    }
    draw.strokeStyle = draw.fillStyle = colour(tone);
    draw.lineWidth = 1.4;
    draw.setLineDash([...dash]);
    draw.stroke(path);
    draw.setLineDash([]);
    if (line.length <= FEW) for (const [at, value] of line) draw.fillRect(at - 1.5, y(value) - 1.5, 3, 3);
    ends.push({ y: y(end[1]), words: name, colour: tone });
  });
  draw.font = getComputedStyle(canvas).font;
  draw.textBaseline = "middle";
  const places = apart(ends.map((one) => one.y), 11, 7, height - 6);
  ends.forEach((one, number) => {
    draw.fillStyle = colour(one.colour);
    draw.fillText(one.words, inner + 8, places[number]!);
  });
  const words = chart.lines[0]!.words(most);
  draw.fillStyle = colour("pane");
  draw.globalAlpha = 0.8;
  draw.fillRect(0, 0, draw.measureText(words).width + 6, 12);
  draw.globalAlpha = 1;
  draw.fillStyle = colour("faint");
  draw.fillText(words, 3, 6);
}

/** Where the context was compacted. */
function drawSteps(draw: CanvasRenderingContext2D, session: OpenSession, inner: number, height: number, colour: string): void {
  const { rows } = session;
  const kind = rows.kinds.indexOf("compaction");
  if (kind < 0) return;
  const last = Math.max(session.last.peek(), 1);
  draw.strokeStyle = colour;
  draw.setLineDash([2, 2]);
  let before = -2;
  for (let row = 0; row < rows.length; row++) {
    if (rows.kind[row] !== kind) continue;
    const at = Math.round((rows.seq[row]! / last) * inner);
    if (at === before) continue;
    before = at;
    draw.beginPath();
    draw.moveTo(at + 0.5, 2);
    draw.lineTo(at + 0.5, height - 6);
    draw.stroke();
  }
  draw.setLineDash([]);
}

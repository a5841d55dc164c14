// What took time: a lane for the runs, the model, each tool, waits, and those that were started; charts at its foot.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { getPatiently, tell, useAnswer } from "../api/answers";
import { ask, NOT_HERE, theSource } from "../api/source";
import type { DrawnSpan, FamilyMember, Timespans } from "../api/types";
import { clock, count, duration, moment, shortId, whole } from "../format";
import { Sign, type Sign as SignName } from "../parts/signs";
import { canvasOf, oncePerFrame, useSeldom, useSize, useTheme } from "../parts/sizes";
import { Line, spelled } from "../parts/text";
import { Windowed } from "../parts/windowed";
import { go, selection } from "../selection";
import { useFamily } from "../session/family";
import { goToSeq, type OpenSession } from "../session/open";
import { remember, settings } from "../settings";
import { Charts } from "./charts";
import { type Box, boxAt, boxesOf, drawLanes, heightOf } from "./timeline_draw";
import { Axis, type Bar, type ChildSpans, type Lane, layLanes, pausesOf, type Stretch, stretched, ticks, timeAt } from "./timeline_layout";
import "./timeline.css";

const NAMES_PX = 112;
/** Of so many sessions that this one started the own bars are read; of others one bar is drawn. */
const MOST_CHILDREN = 24;
const LEAST_CHILD_PX = 6;
const AT_ONCE = 3;
/** A canvas is no higher: lanes behind that are named. */
const MOST_PX = 3_000;
const CLICK_PX = 4;
/** So much room a time above the lanes takes; behind it nothing of it would be seen. */
const TICK_PX = 48;
/** While the session goes on, the bars are read anew no more often. */
const LIVE_MS = 1_000;

/** What the time was zoomed to, by session: another view and back shows it again. */
const zooms = new Map<string, readonly Stretch[]>();

function useZoom(session: OpenSession) {
  const [stack, setStack] = useState<readonly Stretch[]>(zooms.get(session.id) ?? []);
  const set = (next: readonly Stretch[]) => {
    zooms.set(session.id, next);
    setStack(next);
  };
  return {
    zoom: stack.at(-1) ?? null,
    into: (stretch: Stretch) => set([...stack, stretch]),
    move: (stretch: Stretch) => set([...stack.slice(0, -1), stretch]),
    back: () => set(stack.slice(0, -1)),
    all: () => set([]),
  };
}

export function Timeline({ session }: { session: OpenSession }) {
  const box = useRef<HTMLDivElement>(null);
  const { width: all } = useSize(box);
  const width = Math.max(all - NAMES_PX, 0);
  const [isTable, setTable] = useState(false);
  const { zoom, into, move, back, all: whole_ } = useZoom(session);
  const changes = useSeldom(session.changes.value, LIVE_MS);
  const query = { px: Math.max(width, 1), ...(zoom ? { from_us: Math.floor(zoom.from), to_us: Math.ceil(zoom.to) } : {}) };
  const { answer: own, error, isOld } = useAnswer(width ? ask("GET /api/sessions/{session}/spans", { session: session.id }, query) : null, { keep: false, again: changes });
  const { family } = useFamily(session);
  const started = useMemo(() => (family === null ? [] : childrenOf(session, family.members)), [session, family]);
  const answer = useMemo(() => own && stretched(own, started.map((one) => one.info)), [own, started]);
  const asked = JSON.stringify(query);
  const answered = useRef(asked);
  useEffect(() => {
    answered.current = asked;
  }, [answer]);
  const info = session.head.value?.info;
  const isOpen = info?.open ?? false;
  // what lasts still has lasted until the last event at least
  const nowUs = Math.max(answer?.ended_us ?? 0, isOpen ? (info?.updated_at_us ?? 0) : 0);
  const shown: Stretch | null = zoom ?? (answer ? { from: answer.began_us, to: Math.max(nowUs, answer.began_us + 1000) } : null);
  const children = useChildren(started, shown, width, answer);
  const { cutsPauses, hasCharts } = settings.value;
  const pauses = useMemo(() => (answer === null || shown === null ? [] : pausesOf([...answer.bars, ...children.spans.flatMap((one) => one.spans)], shown, isOpen)), [answer, children.spans, shown?.from, shown?.to, isOpen]);
  const axis = useMemo(() => (shown === null ? null : new Axis(shown, cutsPauses ? pauses : [], width)), [shown?.from, shown?.to, pauses, cutsPauses, width]);
  const bars = useFine(session, axis, answer);
  const lanes = useMemo(() => layLanes(session.id, bars, children.spans, isOpen), [bars, children.spans, isOpen]);
  return (
    <div class="timeline" style={{ "--lane-names": `${NAMES_PX}px` }}>
      <div class="reader-head">
        <b>Timeline</b>
        <span class="cut">{answer !== null && shown !== null && <span title={`${moment(shown.from)} to ${moment(shown.to)}`}>{zoom ? `${duration(shown.to - shown.from)} of ${duration(nowUs - answer.began_us)}` : duration(nowUs - answer.began_us)}</span>}</span>
        {all > 560 && <Key answer={answer} />}
        <span class="at-end">
          {zoom !== null && (
            <>
              <button type="button" class="plain switch" onClick={back} title="Double click, or Escape">
                back
              </button>
              <button type="button" class="plain switch" onClick={whole_}>
                all
              </button>
            </>
          )}
          {pauses.length > 0 && (
            <button type="button" class={`plain switch${cutsPauses ? " faint" : ""}`} aria-pressed={!cutsPauses} onClick={() => remember({ cutsPauses: !cutsPauses })} title={`${count(pauses.length, "pause")} in which nothing lasted`}>
              Pauses
            </button>
          )}
          <button type="button" class={`plain switch${isTable ? "" : " faint"}`} aria-pressed={isTable} onClick={() => setTable(!isTable)}>
            List
          </button>
          <button type="button" class={`plain switch${hasCharts ? "" : " faint"}`} aria-pressed={hasCharts} onClick={() => remember({ hasCharts: !hasCharts })}>
            Charts
          </button>
        </span>
      </div>
      <div class="pane" ref={box}>
        {error ? (
          <p class="empty is-error">{error}</p>
        ) : answer === null || axis === null || !width ? (
          <p class="empty is-late">Reading what took time…</p>
        ) : !answer.spans_in_all && !lanes.length ? (
          <p class="empty">Nothing took time here yet.</p>
        ) : isTable ? (
          <Table session={session} lanes={lanes} began={answer.began_us} />
        ) : (
          <Lanes session={session} lanes={lanes} axis={axis} answer={answer} nowUs={nowUs} isOld={isOld && answered.current !== asked} more={children.more} zoom={{ isIn: zoom !== null, into, move, back }} />
        )}
      </div>
      {hasCharts && <Charts session={session} />}
    </div>
  );
}

/** The bars; where pauses are cut, those of each piece of the axis for as many pixels as it has. */
function useFine(session: OpenSession, axis: Axis | null, answer: Timespans | null): readonly DrawnSpan[] {
  const [fine, setFine] = useState<{ axis: Axis; answer: Timespans; bars: readonly DrawnSpan[] } | null>(null);
  useEffect(() => {
    if (axis === null || answer === null || axis.busy.length === axis.pieces.length) return;
    const stop = new AbortController();
    const asked = axis.busy.map((piece) => {
      const query = { px: Math.max(Math.ceil(piece.width), 1), from_us: Math.floor(piece.from), to_us: Math.ceil(piece.to) };
      return getPatiently(ask("GET /api/sessions/{session}/spans", { session: session.id }, query), stop.signal);
    });
    Promise.all(asked).then(
      (all) => setFine({ axis, answer, bars: all.flatMap((one) => one.bars) }),
      () => {}, // then those that are joined stay, and the next change asks again
    );
    return () => stop.abort();
  }, [session, axis, answer]);
  return fine !== null && fine.axis === axis && fine.answer === answer ? fine.bars : (answer?.bars ?? []);
}

/** What the bars mean, as far as there are such. */
function Key({ answer }: { answer: Timespans | null }) {
  const bars = answer?.bars ?? [];
  return (
    <span class="key" aria-hidden="true">
      {bars.some((bar) => bar.first_token_us !== null) && (
        <span>
          <i class="is-first" /> until the first token
        </span>
      )}
      {bars.some((bar) => !bar.measured) && (
        <span>
          <i class="is-told" /> by the messages’ own times
        </span>
      )}
      {bars.some((bar) => bar.kind === "wait") && (
        <span>
          <i class="is-waiting" /> waits
        </span>
      )}
    </span>
  );
}

/** The sessions that this one, or what it was forked from until then, started. */
function childrenOf(session: OpenSession, members: readonly FamilyMember[]): FamilyMember[] {
  const { rows } = session;
  const until = new Map([[session.id, Number.MAX_SAFE_INTEGER]]);
  for (const [id, seq] of session.head.peek()?.lineage ?? []) if (id !== session.id) until.set(id, timeAt(rows, rows.rowOf(seq), seq) ?? 0);
  const found: FamilyMember[] = [];
  // parents come before what began in them
  for (const one of members) {
    const ends = one.is_child ? until.get(one.above) : undefined;
    if (ends === undefined || one.info.created_at_us > ends) continue;
    until.set(one.info.id, Number.MAX_SAFE_INTEGER);
    found.push(one);
  }
  return found;
}

function barOf({ info, status }: FamilyMember): DrawnSpan {
  const ended = info.open ? null : info.updated_at_us;
  return { lane: "", kind: "run", name: info.title, spans: 1, start_seq: 1, started_at_us: info.created_at_us, end_seq: info.head, ended_at_us: ended, first_token_us: null, note: status === "failed" ? "error" : "", measured: true };
}

/** The bars of the sessions that were started, of the longest in sight their own. */
function useChildren(started: readonly FamilyMember[], shown: Stretch | null, width: number, answer: Timespans | null): { spans: readonly ChildSpans[]; more: number } {
  const [read, setRead] = useState<ReadonlyMap<string, readonly DrawnSpan[]>>(new Map());
  const seen = useMemo(() => {
    if (shown === null) return [];
    return started.filter((one) => one.info.created_at_us <= shown.to && one.info.updated_at_us >= shown.from);
  }, [started, shown?.from, shown?.to]);
  const scale = shown === null ? 0 : width / Math.max(shown.to - shown.from, 1);
  const long = useMemo(() => {
    const lasts = (one: FamilyMember) => one.info.updated_at_us - one.info.created_at_us;
    return seen.filter((one) => theSource().holds(one.info.id) && lasts(one) * scale >= LEAST_CHILD_PX).sort((one, two) => lasts(two) - lasts(one)).slice(0, MOST_CHILDREN);
  }, [seen, scale]);
  useEffect(() => {
    if (shown === null || !long.length) return;
    const stop = new AbortController();
    const waiting = [...long];
    const next = async (): Promise<void> => {
      const one = waiting.shift();
      if (one === undefined || stop.signal.aborted) return;
      const query = { px: Math.max(width, 1), from_us: Math.floor(shown.from), to_us: Math.ceil(shown.to) };
      const found = await getPatiently(ask("GET /api/sessions/{session}/spans", { session: one.info.id }, query), stop.signal);
      setRead((now) => new Map(now).set(one.info.id, found.bars));
      await next();
    };
    // a child that cannot be read is drawn as one bar, as before
    void Promise.allSettled(Array.from({ length: AT_ONCE }, next));
    return () => stop.abort();
  }, [long, width, answer?.indexed_to]);
  const spans = useMemo(() => {
    const own = new Set(long.map((one) => one.info.id));
    return seen.map((one) => {
      const bars = own.has(one.info.id) ? read.get(one.info.id) : undefined;
      return { session: one.info.id, title: nameOf(one), isOpen: one.info.open, spans: bars?.length ? bars : [barOf(one)] };
    });
  }, [seen, long, read]);
  return { spans, more: Math.max(seen.length - long.length, 0) };
}

/** What a child is called among its like: summaries are made for one session after the other. */
function nameOf({ info }: FamilyMember): string {
  const name = info.title || info.first_words || info.id;
  return name.startsWith("summary for ") ? "summaries" : name.replace(/^agent:/, "");
}

interface Zoom {
  isIn: boolean;
  into: (stretch: Stretch) => void;
  move: (stretch: Stretch) => void;
  back: () => void;
}

const LANE_SIGNS: Record<Lane["kind"], [SignName, string]> = {
  run: ["end", "faint"],
  turn: ["end", "faint"],
  model: ["answer", "is-accent"],
  tool: ["tool", "is-tool"],
  wait: ["waiting", "is-wait"],
  child: ["child", "is-tool"],
};

function Lanes({ session, lanes, axis, answer, nowUs, isOld, more, zoom }: { session: OpenSession; lanes: readonly Lane[]; axis: Axis; answer: Timespans; nowUs: number; isOld: boolean; more: number; zoom: Zoom }) {
  const { shown, width } = axis;
  const canvas = useRef<HTMLCanvasElement>(null);
  const area = useRef<HTMLDivElement>(null);
  const isDark = useTheme();
  const [brush, setBrush] = useState<[number, number] | null>(null);
  const [hovered, setHovered] = useState<{ box: Box; x: number; y: number } | null>(null);
  const [pause, setPause] = useState<{ long: number; x: number } | null>(null);
  const drawn = useMemo(() => fitting(lanes), [lanes]);
  const height = drawn.reduce((sum, lane) => sum + heightOf(lane), 0);
  const boxes = useMemo(() => boxesOf(drawn, axis, nowUs), [drawn, axis, nowUs]);
  const marks = useMemo(() => ticks(axis, answer.began_us), [axis, answer.began_us]);
  const version = session.version.value;
  const retries = useMemo(() => retriesOf(session), [session, version]);
  useEffect(() => {
    const on = canvas.current === null ? null : canvasOf(canvas.current);
    if (on !== null) drawLanes(on, drawn, boxes, axis, marks, (bar) => isRetried(session, bar, retries));
  }, [drawn, boxes, marks, isDark, height, retries]);

  const head = timeAt(session.rows, session.row.value, session.seq.value);
  const headX = head === null ? null : axis.x(head);
  const placeOf = (event: PointerEvent | MouseEvent): [number, number] => {
    const rect = area.current!.getBoundingClientRect();
    return [Math.min(Math.max(event.clientX - rect.left, 0), width), event.clientY - rect.top];
  };
  const hover = useRef(oncePerFrame(([x, y]: [number, number]) => hoverNow.current(x, y)));
  const hoverNow = useRef((_x: number, _y: number): void => {});
  hoverNow.current = (x, y) => {
    const found = boxAt(boxes, x, y);
    setHovered(found === null ? null : { box: found, x, y });
    const piece = found === null ? axis.pieces.find((one) => one.isPause && x >= one.x && x <= one.x + one.width) : undefined;
    setPause(piece === undefined ? null : { long: piece.to - piece.from, x: piece.x });
  };
  const onDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const element = area.current!;
    const [began, y] = placeOf(event);
    element.setPointerCapture(event.pointerId);
    let to = began;
    const moveTo = oncePerFrame((x: number) => setBrush(Math.abs(x - began) >= CLICK_PX ? [Math.min(began, x), Math.max(began, x)] : null));
    const onMove = (moved: PointerEvent) => {
      [to] = placeOf(moved);
      setHovered(null);
      moveTo(to);
    };
    const onEnd = (ended: Event) => {
      element.removeEventListener("pointermove", onMove);
      if (ended.type === "pointercancel") to = began;
      setBrush(null);
      requestAnimationFrame(() => setBrush(null)); // what was to be drawn this frame, too
      if (Math.abs(to - began) >= CLICK_PX) zoom.into({ from: axis.us(Math.min(began, to)), to: axis.us(Math.max(began, to)) });
      else pick(boxAt(boxes, began, y), axis.us(began));
    };
    element.addEventListener("pointermove", onMove);
    element.addEventListener("pointerup", onEnd, { once: true });
    element.addEventListener("pointercancel", onEnd, { once: true });
  };
  const pick = (box: Box | null, at_us: number) => {
    if (box !== null) goToBar(session, box.bar);
    else if (!zoom.isIn) {
      // zoomed in, a click beside the bars is the beginning of a double click, which leads back
      const row = rowAt(session, at_us);
      if (row >= 0) goToSeq(session.rows.anchor(row));
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!zoom.isIn || event.ctrlKey || event.altKey || event.metaKey) return;
    const by = { ArrowLeft: -0.15, ArrowRight: 0.15 }[event.key];
    if (event.key === "Escape") zoom.back();
    else if (by !== undefined) zoom.move({ from: shown.from + by * (shown.to - shown.from), to: shown.to + by * (shown.to - shown.from) });
    else return;
    event.preventDefault();
  };
  const left = lanes.length - drawn.length;
  const starts = new Set([answer.began_us, ...axis.busy.map((piece) => piece.from)]);
  return (
    <div class={`lanes scrolls${isOld ? " is-old" : ""}`} tabIndex={0} role="region" aria-label="Lanes of what took time; List shows the same as rows" onKeyDown={onKeyDown}>
      <div class="lanes-axis" aria-hidden="true">
        {marks.filter((at) => axis.x(at) <= width - TICK_PX || starts.has(at)).map((at) => (
          <span key={at} style={{ transform: `translateX(${axis.x(at)}px)` }}>
            {starts.has(at) ? startWords(at, answer.began_us) : `+${duration(at - answer.began_us)}`}
          </span>
        ))}
      </div>
      <div class="lanes-all">
        <div class="lane-names">
          {drawn.map((lane) => (
            <div key={lane.key} style={{ height: `${heightOf(lane)}px` }} title={`${spelled(lane.name)}: ${count(lane.bars.reduce((sum, bar) => sum + bar.span.spans, 0), "bar")}`}>
              <span class={LANE_SIGNS[lane.kind][1]}>
                <Sign of={LANE_SIGNS[lane.kind][0]} />
              </span>
              <span class="cut">
                <Line text={lane.name} />
              </span>
            </div>
          ))}
        </div>
        <div
          class={`lanes-drawn${hovered ? " is-on" : ""}`}
          ref={area}
          style={{ height: `${height}px` }}
          onPointerDown={onDown}
          onPointerMove={(event) => brush === null && hover.current(placeOf(event))}
          onPointerLeave={() => {
            setHovered(null);
            setPause(null);
          }}
          onDblClick={() => zoom.isIn && zoom.back()}
        >
          <canvas ref={canvas} />
          {headX !== null && headX >= 0 && headX <= width && <div class="lanes-playhead" style={{ transform: `translateX(${headX}px)` }} />}
          {brush !== null && <div class="lanes-brush" style={{ transform: `translateX(${brush[0]}px)`, width: `${brush[1] - brush[0]}px` }} />}
          {pause !== null && brush === null && (
            <div class="lanes-tip" style={{ transform: `translate(${Math.min(pause.x + 20, width - 190)}px, 8px)` }}>
              a pause of {duration(pause.long)}, cut short
            </div>
          )}
          {hovered !== null && brush === null && <Tip hovered={hovered} width={width} began={answer.began_us} isRetry={isRetried(session, hovered.box.bar, retries)} />}
        </div>
      </div>
      {(left > 0 || more > 0) && (
        <p class="lanes-note">
          {left > 0 && `${count(left, "more lane")} not drawn; List has them. `}
          {more > 0 && `Of ${count(more, "session")} that were started, one bar each is drawn${theSource().isArchive ? "; what is not in the file cannot be opened" : ": zoom in to see theirs"}.`}
        </p>
      )}
    </div>
  );
}

/** The time at which a piece of the axis begins: with its day, if that is another one. */
function startWords(at_us: number, began: number): string {
  const [day, time] = [moment(at_us).slice(5, 10), clock(at_us, at_us === began)];
  return at_us !== began && moment(began).slice(5, 10) !== day ? `${day} ${time}` : time;
}

/** The lanes that a canvas has room for. */
function fitting(lanes: readonly Lane[]): readonly Lane[] {
  let height = 0;
  const end = lanes.findIndex((lane) => (height += heightOf(lane)) > MOST_PX);
  return end < 0 ? lanes : lanes.slice(0, end);
}

/** The seqs at which a model call was given up, to be made again. */
function retriesOf({ rows }: OpenSession): ReadonlySet<number> {
  const kind = rows.kinds.indexOf("retry");
  const found = new Set<number>();
  if (kind >= 0) for (let row = 0; row < rows.length; row++) if (rows.kind[row] === kind) found.add(rows.seq[row]!);
  return found;
}

function isRetried(session: OpenSession, { session: of, span }: Bar, retries: ReadonlySet<number>): boolean {
  return of === session.id && span.kind === "model" && span.end_seq !== null && retries.has(span.end_seq);
}

/** The last row that began at a time or before. */
function rowAt({ rows }: OpenSession, at_us: number): number {
  let found = -1;
  for (let row = 0; row < rows.length; row++) if (rows.at[row]! <= at_us && (found < 0 || rows.at[row]! >= rows.at[found]!)) found = row;
  return found;
}

/** Selects what a bar stands for; one of another session opens that. */
function goToBar(session: OpenSession, { session: of, span }: Bar): void {
  const seq = span.kind === "run" || span.kind === "turn" || span.spans > 1 ? span.start_seq : (span.end_seq ?? span.start_seq);
  if (of === session.id) goToSeq(seq);
  else if (!theSource().holds(of)) tell(NOT_HERE);
  else {
    const now = selection.peek();
    if (now !== null) go({ ...now, session: of, seq, part: null });
  }
}

/** What a bar is called. */
function barName({ span }: Bar): string {
  if (span.spans > 1) return `${whole(span.spans)} × ${span.name || (span.kind === "model" ? "model calls" : `${span.kind}s`)}`;
  if (span.kind === "model") return span.name.startsWith("attempt") ? (span.name === "attempt 1" ? "model call" : `model call, ${span.name}`) : span.name || "model call";
  if (span.kind === "turn") return `turn ${span.name}`;
  return span.kind === "run" ? `run: ${span.name}` : span.name;
}

function Tip({ hovered: { box, x, y }, width, began, isRetry }: { hovered: { box: Box; x: number; y: number }; width: number; began: number; isRetry: boolean }) {
  const { span } = box.bar;
  const isRight = x > width - 220;
  const took = span.ended_at_us === null ? (box.bar.end === null ? "it lasts still" : "cut off: no end is on record") : `${span.spans > 1 ? "in all " : ""}${duration(span.ended_at_us - span.started_at_us)}`;
  return (
    <div class="lanes-tip" style={{ transform: `translate(calc(${x}px + ${isRight ? "-100% - 8px" : "12px"}), ${y + 14}px)` }}>
      <div>
        <Line text={barName(box.bar)} />
      </div>
      <div class="dim">
        {took}
        {span.first_token_us !== null && `, first token after ${duration(span.first_token_us)}`}
      </div>
      {span.note && (
        <div class={isRetry ? "is-config" : "is-error"}>
          <Sign of={isRetry ? "retry" : "error"} /> {isRetry ? "tried again: " : ""}
          <Line text={span.note} />
        </div>
      )}
      <div class="faint">
        {whole(span.start_seq)}
        {span.end_seq !== null && span.end_seq !== span.start_seq && `–${whole(span.end_seq)}`} · {clock(span.started_at_us, true)} · +{duration(span.started_at_us - began)}
        {!span.measured && " · by the messages’ own times"}
      </div>
    </div>
  );
}

/** The same bars as rows, in the order in which they began. */
function Table({ session, lanes, began }: { session: OpenSession; lanes: readonly Lane[]; began: number }) {
  const bars = useMemo(() => lanes.flatMap((lane) => lane.bars.map((bar) => ({ lane, bar }))).sort((one, two) => one.bar.span.started_at_us - two.bar.span.started_at_us), [lanes]);
  const keys = useMemo(() => bars.map(({ bar }, number) => `${bar.session} ${bar.span.kind} ${bar.span.start_seq} ${number}`), [bars]);
  const seq = session.seq.value;
  let selected = -1;
  bars.forEach(({ bar }, number) => {
    const { span } = bar;
    if (bar.session === session.id && span.kind !== "run" && span.kind !== "turn" && span.start_seq <= seq) selected = number;
  });
  const draw = (place: number) => {
    const { lane, bar } = bars[place]!;
    const { span } = bar;
    return (
      <button type="button" class={`span-line${place === selected ? " is-selected" : ""}`} onClick={() => goToBar(session, bar)}>
        <span class="faint number">{bar.session === session.id ? whole(span.start_seq) : shortId(bar.session)}</span>
        <span class={`cut ${LANE_SIGNS[lane.kind][1]}`}>
          <Sign of={LANE_SIGNS[lane.kind][0]} /> <Line text={lane.name} />
        </span>
        <span class="cut">
          <Line text={barName(bar)} />
          {span.note && (
            <span class="is-error">
              {" "}
              <Sign of="error" words="ended with" /> <Line text={span.note} />
            </span>
          )}
        </span>
        <span class="faint" title={moment(span.started_at_us)}>
          {clock(span.started_at_us, true)} +{duration(span.started_at_us - began)}
        </span>
        <span class="number" title={span.measured ? undefined : "by the messages’ own times"}>
          {span.ended_at_us === null ? "…" : `${span.measured ? "" : "~"}${duration(span.ended_at_us - span.started_at_us)}`}
        </span>
      </button>
    );
  };
  return <Windowed keys={keys} draw={draw} estimate={28} label="What took time" wanted={keys[selected] ?? null} wantedFor={`${seq}`} />;
}

// The log itself: every event on a line, as it is stored.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { useAnswer, wordsOf } from "../api/answers";
import { ask, theSource } from "../api/source";
import { bytes, clock, count, moment, whole } from "../format";
import { Sign } from "../parts/signs";
import { JsonText, Line } from "../parts/text";
import { Windowed } from "../parts/windowed";
import { goToSeq, type OpenSession } from "../session/open";
import { OPEN } from "../session/rows";
import { showsUpdates } from "../ui_state";
import { itemAt, itemsOf, type RawItem, type RawLine, RawReader, type RawWindow } from "./raw_lines";
import "./raw.css";

const UPDATES: ReadonlySet<string> = new Set(["message_update", "tool_execution_update", "stream_update"]);

export function Raw({ session }: { session: OpenSession }) {
  const { window, hasUpdates, error, grow } = useLines(session, showsUpdates.value);
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set());
  const items = useMemo(() => (window === null ? [] : itemsOf(window)), [window]);
  const keys = useMemo(() => items.map((one) => one.key), [items]);
  const seq = session.calm.value;
  const isFollowing = session.isFollowing.value;
  if (error) return <p class="empty is-error">{error}</p>;
  if (!seq) return <p class="empty">Nothing has happened here yet.</p>;
  if (window === null) return <p class="empty is-late">Reading events…</p>;
  const selected = itemAt(items, seq);
  const sealedTo = openedAt(session);
  const toggle = (one: number) => {
    const next = new Set(opened);
    if (!next.delete(one)) next.add(one);
    setOpened(next);
  };
  const draw = (place: number) => {
    const one = items[place]!;
    const isSelected = one === selected;
    if (!("line" in one)) return <Gap gap={one} isSelected={isSelected} isDropped={hasUpdates} />;
    const { line } = one;
    return (
      <>
        <EventLine line={line} isSelected={isSelected} isLater={line.seq > seq} isSealed={line.seq < sealedTo} isOpen={opened.has(line.seq)} onToggle={() => toggle(line.seq)} />
        {opened.has(line.seq) && <WholeEvent session={session} line={line} />}
      </>
    );
  };
  return (
    <div class="view" style={{ "--raw-seq": `${whole(session.last.value).length * 0.56 + 0.6}em` }}>
      <div class="reader-head">
        <b>Events</b>
        <span>
          {whole(window.first)} to {whole(window.last)} of {whole(session.last.value)}
        </span>
        <span class="at-end">
          <button type="button" class="plain switch" aria-pressed={showsUpdates.value} onClick={() => (showsUpdates.value = !showsUpdates.value)} title="Updates are what came piece by piece: tokens, partial results">
            {showsUpdates.value ? "without updates" : "with updates"} <kbd>u</kbd>
          </button>
        </span>
      </div>
      <Windowed
        keys={keys}
        draw={draw}
        estimate={28}
        label="Events"
        wanted={selected?.key ?? null}
        wantedFor={`${seq} ${hasUpdates}`}
        follows={isFollowing}
        onStart={() => void grow("before")}
        onEnd={() => void grow("behind")}
        below={window.last >= session.last.value ? null : <p class="empty is-late">Reading more…</p>}
      />
    </div>
  );
}

/** The first seq of the message that is being said; updates before it are of messages that have ended. */
function openedAt(session: OpenSession): number {
  const { rows } = session;
  session.version.value;
  for (let row = rows.length - 1; row >= 0 && row > rows.length - 64; row--) if (rows.flags[row]! & OPEN && rows.kindOf(row) === "assistant") return rows.seq[row]!;
  return Number.MAX_SAFE_INTEGER;
}

/** The lines around the selection; while the head is followed, up to it. */
function useLines(session: OpenSession, hasUpdates: boolean) {
  const [there, setThere] = useState<{ reader: RawReader; window: RawWindow } | null>(null);
  const [error, setError] = useState("");
  const reader = useMemo(() => new RawReader(session.id, hasUpdates), [session, hasUpdates]);
  const shown = useRef(there);
  const busy = useRef<AbortController | null>(null);
  const seq = session.calm.value;
  const show = (next: RawWindow) => {
    shown.current = { reader, window: next };
    setError("");
    setThere(shown.current);
  };
  const read = async (work: (stop: AbortSignal) => Promise<RawWindow>) => {
    const stop = (busy.current = new AbortController());
    try {
      const next = await work(stop.signal);
      if (!stop.signal.aborted) show(next);
    } catch (problem) {
      if (!stop.signal.aborted) setError(wordsOf(problem));
    } finally {
      if (busy.current === stop) busy.current = null;
    }
  };
  useEffect(() => {
    if (!seq) return;
    const now = shown.current?.reader === reader ? shown.current.window : null;
    if (now !== null && seq >= now.first && seq <= now.last) return;
    busy.current?.abort();
    const isNext = now !== null && seq > now.last && seq - now.last < 200;
    void read((stop) => (isNext ? reader.behind(now, session.last.peek(), stop) : reader.around(seq, session.last.peek(), stop)));
  }, [reader, seq]);
  useEffect(() => () => busy.current?.abort(), []);
  const grow = async (way: "before" | "behind") => {
    const now = shown.current;
    if (now?.reader !== reader || busy.current !== null) return;
    if (way === "before" ? now.window.first <= 1 : now.window.last >= session.last.peek()) return;
    await read((stop) => (way === "before" ? reader.before(now.window, stop) : reader.behind(now.window, session.last.peek(), stop)));
  };
  return { window: there?.window ?? null, hasUpdates: there?.reader.hasUpdates ?? false, error, grow };
}

function EventLine({ line, isSelected, isLater, isSealed, isOpen, onToggle }: { line: RawLine; isSelected: boolean; isLater: boolean; isSealed: boolean; isOpen: boolean; onToggle: () => void }) {
  const isUpdate = UPDATES.has(line.type);
  const select = () => {
    if (!getSelection()?.toString()) goToSeq(line.seq);
  };
  return (
    <div class={`raw-line${isSelected ? " is-selected" : ""}${isLater ? " is-later" : ""}${isUpdate ? " is-update" : ""}`} data-seq={line.seq} aria-current={isSelected || undefined} onClick={select}>
      <button
        type="button"
        class="plain raw-open"
        aria-expanded={isOpen}
        aria-label={`All of event ${whole(line.seq)}`}
        onClick={(event) => {
          event.stopPropagation();
          onToggle();
        }}
      >
        <Sign of={isOpen ? "open" : "shut"} />
      </button>
      <span class="raw-seq">{whole(line.seq)}</span>
      <span class="raw-type mono cut">{line.type}</span>
      <span class="raw-at mono" title={moment(line.at_us)}>
        {clock(line.at_us, true)}.{String(Math.floor(line.at_us / 1000) % 1000).padStart(3, "0")}
      </span>
      <span class="raw-json mono cut" title={line.characters > 400 ? bytes(line.characters) : undefined}>
        {isUpdate && isSealed && line.type === "message_update" && (
          <span class="faint" title="Its message has ended: the log keeps this piece as a place in the message, and reads it back from there.">
            sealed{" "}
          </span>
        )}
        <Line text={line.text} />
      </span>
    </div>
  );
}

/** Seqs of which nothing is shown: pieces of messages that were not asked for, or whose content is gone. */
function Gap({ gap, isSelected, isDropped }: { gap: Extract<RawItem, { from: number }>; isSelected: boolean; isDropped: boolean }) {
  const many = gap.upto - gap.from + 1;
  return (
    <div class={`raw-gap${isSelected ? " is-selected" : ""}${isDropped ? " is-dropped" : ""}`} data-seq={gap.from}>
      <span>
        {whole(gap.from)}
        {many > 1 && `–${whole(gap.upto)}`}
      </span>
      {isDropped ? (
        <span>{count(many, "update")} whose content {theSource().isArchive ? "is not in this file" : "was dropped"}</span>
      ) : (
        <button type="button" class="link" onClick={() => (showsUpdates.value = true)}>
          {count(many, "update")}
        </button>
      )}
    </div>
  );
}

function WholeEvent({ session, line }: { session: OpenSession; line: RawLine }) {
  const { answer, error, isSlow } = useAnswer(ask("GET /api/sessions/{session}/events/{seq}", { session: session.id, seq: line.seq }));
  return (
    <div class="raw-all">
      {error ? <p class="is-error">{error}</p> : answer !== null ? <JsonText value={answer} /> : isSlow ? <p class="faint">Reading…</p> : <p>&nbsp;</p>}
    </div>
  );
}

// The list of rows: only those in sight are elements.

import { useLayoutEffect, useRef } from "preact/hooks";

import type { Row } from "../api/types";
import { clock, count, duration, moment, short, whole } from "../format";
import { Line } from "../parts/text";
import { type Sign as SignName, Sign } from "../parts/signs";
import { useScroll, useSize } from "../parts/sizes";
import { select } from "../selection";
import { WAITS } from "../inspector/state";
import { goToRow, type OpenSession } from "./open";
import { ADOPTED, COMPACTED, ERROR, HIDDEN, INTERRUPTED, OPEN, REFUSED } from "./rows";

export const ROW_PX = 28;
const OVER = 8;

const SIGNS: Record<string, [SignName, string]> = {
  user: ["prompt", "is-user"],
  assistant: ["answer", ""],
  tool: ["tool", "is-tool"],
  custom: ["note", "dim"],
  compaction: ["compaction", "is-config"],
  edit: ["edit", "is-config"],
  config: ["config", "is-config"],
  fork: ["fork", "dim"],
  wait: ["waiting", "is-wait"],
  child: ["child", "is-tool"],
  task: ["child", "dim"],
  step: ["done", "dim"],
  abort: ["end", "is-config"],
  retry: ["retry", "is-config"],
  resume: ["retry", "dim"],
  token: ["waiting", "dim"],
  label: ["label", "is-accent"],
  erase: ["erase", "is-config"],
  end: ["end", "dim"],
  inbox: ["prompt", "dim"],
};

/** What a row is called where its words do not say it. */
const NAMES: Record<string, string> = {
  abort: "asked to end",
  child: "agent",
  clear: "queue cleared",
  compaction: "compaction",
  config: "configured",
  edit: "edit",
  end: "run ended",
  erase: "erased",
  fork: "fork",
  inbox: "inbox",
  label: "bookmark",
  loop: "loop",
  metadata: "set",
  resume: "went on",
  retry: "tried again",
  step: "step",
  task: "task",
  token: "token",
  wait: "waiting",
};

/** The words of a row. */
export function RowWords({ row }: { row: Row }) {
  if (row.kind === "tool") {
    return (
      <span class="words cut mono is-tool">
        {row.who} <span class="dim">{<Line text={shortArguments(row.preview)} />}</span>
      </span>
    );
  }
  if (row.kind === "wait") {
    const [call = "", ...rest] = row.preview.split(" ");
    return (
      <span class="words cut is-wait">
        waiting for {WAITS[row.who] ?? (row.who || "a token")}: <Line text={rest.length ? `${call} ${shortArguments(rest.join(" "))}` : call} />
      </span>
    );
  }
  const words = row.text_tail ? tailOf(row.text_tail) : row.preview;
  const name = NAMES[row.kind];
  const who = row.who && !["user", "assistant"].includes(row.kind) ? row.who : "";
  const tone = SIGNS[row.kind]?.[1] ?? "dim";
  if (name === undefined) {
    const said = words || (row.kind === "assistant" ? (row.flags & OPEN ? "…" : row.flags & (ERROR | INTERRUPTED) ? "nothing said" : "calls tools") : row.who);
    return (
      <span class={`words cut ${words ? "" : "dim"}`}>
        <Line text={said} />
      </span>
    );
  }
  return (
    <span class={`words cut ${tone}`}>
      {name}
      {who && <> {<Line text={who} />}</>}
      {words && (
        <>
          {": "}
          <Line text={words} />
        </>
      )}
    </span>
  );
}

const TAIL = 42;

/** The end of what is being said, as much as a row holds. */
function tailOf(text: string): string {
  return text.length > TAIL ? `…${text.slice(-TAIL).trimStart()}` : text;
}

/** Arguments as the list shows them: the values, without braces and names. */
function shortArguments(written: string): string {
  const values = [...written.matchAll(/"(?:[^"\\]|\\.)*"\s*:\s*("(?:[^"\\]|\\.)*"?|[^,}\]]+)/g)].map((match) => match[1]!.replace(/^"|"$/g, "").replace(/\\n/g, " ").replace(/\\"/g, '"'));
  return values.length && written.startsWith("{") ? values.join("  ") : written;
}

/** What stands at the end of a row: how it ended, and how long it took. */
function RowEnd({ row }: { row: Row }) {
  if (row.flags & OPEN) return <span class="took">{row.kind === "wait" ? "waits" : "…"}</span>;
  const took = row.duration_us >= 0 ? duration(row.duration_us) : row.kind === "user" ? clock(row.at_us) : row.tokens ? short(row.tokens) : "";
  if (row.flags & ERROR)
    return (
      <span class="took is-error">
        <Sign of="error" words="failed" /> {took}
      </span>
    );
  if (row.flags & REFUSED) return <span class="took is-config">refused</span>;
  if (row.flags & INTERRUPTED) return <span class="took is-config">cut off</span>;
  return <span class="took">{took}</span>;
}

/** All that a row says, for a title. */
function titleOf(row: Row): string {
  const said = [`${moment(row.at_us)}`];
  if (row.duration_us >= 0) said.push(duration(row.duration_us));
  if (row.tokens) said.push(`${whole(row.tokens)} tokens`);
  if (row.flags & ADOPTED) said.push("adopted from elsewhere");
  if (row.flags & HIDDEN) said.push("hidden from the model");
  if (row.flags & COMPACTED) said.push("compacted: a summary stands in its place");
  return said.join(" · ");
}

/** The rows of the open session. */
export function List({ session }: { session: OpenSession }) {
  const box = useRef<HTMLDivElement>(null);
  const { height } = useSize(box);
  const top = useScroll(box);
  const shown = session.shown.value;
  const place = session.shownPlace.value;
  const isFollowing = session.isFollowing.value;
  session.previewVersion.value;
  const wasAt = useRef(-2);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || place < 0 || !height) return;
    const y = place * ROW_PX;
    const jumped = Math.abs(place - wasAt.current) > 3;
    wasAt.current = place;
    if (isFollowing) element.scrollTop = shown.length * ROW_PX;
    else if (y < element.scrollTop || y + ROW_PX > element.scrollTop + height) {
      if (jumped) element.scrollTop = Math.max(y - height / 3, 0);
      else element.scrollTop = y < element.scrollTop ? y - ROW_PX : y + 2 * ROW_PX - height;
    }
  }, [place, isFollowing, shown.length, height > 0]);

  const first = Math.max(Math.floor(top / ROW_PX) - OVER, 0);
  const end = Math.min(Math.ceil((top + height) / ROW_PX) + OVER, shown.length);
  if (end > first) session.keepAsking(shown[first]!, shown[end - 1]!);
  const width = `${String(whole(session.last.value)).length * 0.56 + 0.6}em`;
  const hiddenNotes = session.rows.length - shown.length;
  return (
    <section class="pane is-list" aria-label="Rows">
      <div
        class="list scrolls"
        ref={box}
        tabIndex={0}
        role="listbox"
        aria-label={`${whole(shown.length)} rows`}
        aria-activedescendant={place >= 0 ? `row-${shown[place]}` : undefined}
        style={{ "--seq-width": width }}
      >
        <div class="list-inner" style={{ height: `${shown.length * ROW_PX}px` }}>
          {Array.from({ length: Math.max(end - first, 0) }, (_, number) => (
            <ListRow key={shown[first + number]} session={session} number={first + number} row={shown[first + number]!} isSelected={first + number === place} />
          ))}
        </div>
      </div>
      {session.unseen.value > 0 && (
        <button type="button" class="pill" onClick={() => select({ seq: null })}>
          {whole(session.unseen.value)} new
        </button>
      )}
      <div class="list-foot">
        <span>{whole(shown.length)} rows</span>
        {(hiddenNotes > 0 || session.showsNotes.value) && (
          <button type="button" class="link" onClick={() => (session.showsNotes.value = !session.showsNotes.value)}>
            {session.showsNotes.value ? "hide notes" : `${count(hiddenNotes, "note")} hidden`}
          </button>
        )}
      </div>
    </section>
  );
}

function ListRow({ session, number, row, isSelected }: { session: OpenSession; number: number; row: number; isSelected: boolean }) {
  const rows = session.rows;
  const found = session.preview(row);
  const flags = rows.flags[row]!;
  const isAway = (flags & (COMPACTED | HIDDEN)) !== 0;
  const kind = rows.kindOf(row);
  const [sign, tone] = SIGNS[kind] ?? (["note", "faint"] as [SignName, string]);
  const now: Row = {
    row,
    seq: rows.seq[row]!,
    last_seq: rows.last[row]!,
    name: rows.name[row]!,
    kind,
    who: rows.whoOf(row),
    flags,
    at_us: rows.at[row]!,
    duration_us: rows.duration[row]!,
    tokens: rows.tokens[row]!,
    preview: found?.preview ?? "",
    text_tail: found?.text_tail ?? "",
  };
  return (
    <div
      id={`row-${row}`}
      class={`row${isSelected ? " is-selected" : ""}${isAway ? " is-away" : ""}`}
      role="option"
      aria-selected={isSelected}
      aria-busy={found === null || undefined}
      style={{ top: `${number * ROW_PX}px` }}
      title={titleOf(now)}
      onClick={() => goToRow(row)}
    >
      <span class="seq">{whole(rows.anchor(row))}</span>
      <span class={`kind ${tone}`}>
        <Sign of={sign} words={kind} />
      </span>
      <RowWords row={now} />
      <RowEnd row={now} />
    </div>
  );
}

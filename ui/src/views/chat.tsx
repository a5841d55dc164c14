// What was said, as it stood at the seq that is selected; what came later is there too, dimmed.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { getKept, wordsOf } from "../api/answers";
import { ask, theSource } from "../api/source";
import type { ChatCall, ChatMessage, FamilyMember, StreamedBlock, TextSlice, Transcript } from "../api/types";
import { clock, count, duration, moment, shortId, whole } from "../format";
import { ABSENCES } from "../inspector/why";
import { useJump } from "../inspector/inspector";
import { SeqLink } from "../parts/links";
import { Sign, Status } from "../parts/signs";
import { argumentsLine, isLeftOut, layOut, Line, Text } from "../parts/text";
import { useNear } from "../parts/sizes";
import { select } from "../selection";
import { useFamily } from "../session/family";
import type { OpenSession } from "../session/open";
import "./chat.css";

const BEFORE = 30;
const LATER = 12;
const GROW = 40;
const EDGE_PX = 300;
/** Of a text that the server cut, so many characters are fetched at a time. */
const SLICE = 64_000;

interface Window {
  /** What was asked for: while it is another one, this is of a selection before. */
  seq: number;
  said: ChatMessage[];
  before: number;
  later: ChatMessage[];
  after: number;
}

function asked(session: string, query: { around: number; before: number; after: number; at?: number }) {
  return ask("GET /api/sessions/{session}/transcript", { session }, query);
}

/** The messages around a seq: up to it as they stood there, and behind it as they stand at the head. */
function useWindow(session: OpenSession): { window: Window | null; error: string; grow: (way: "before" | "later") => Promise<void> } {
  const seq = session.calm.value;
  const isAtHead = seq >= session.last.value;
  const changes = session.changes.value;
  const [window, setWindow] = useState<Window | null>(null);
  const [error, setError] = useState("");
  const growing = useRef(false);
  useEffect(() => {
    if (!seq) return;
    const stop = new AbortController();
    const up = getKept(asked(session.id, { around: seq + 1, before: BEFORE, after: 1, at: seq }), stop.signal);
    const on: Promise<Transcript | null> = isAtHead ? Promise.resolve(null) : getKept(asked(session.id, { around: seq + 1, before: 1, after: LATER }), stop.signal);
    Promise.all([up, on]).then(
      ([said, later]) => {
        if (stop.signal.aborted) return;
        setError("");
        setWindow((now) => {
          const older = now !== null && said.messages.length ? olderOf(now, said) : null;
          return {
            seq,
            said: older ? [...older.said, ...said.messages] : said.messages,
            before: older ? older.before : said.before,
            later: later?.messages.filter((one) => one.seq > seq) ?? [],
            after: later?.after ?? 0,
          };
        });
      },
      (problem: unknown) => {
        if (!stop.signal.aborted) setError(wordsOf(problem));
      },
    );
    return () => stop.abort();
  }, [session, seq, isAtHead, isAtHead ? changes : 0]);
  const grow = async (way: "before" | "later") => {
    if (window === null || growing.current) return;
    const edge = way === "before" ? window.said[0] : window.later.at(-1);
    if (edge === undefined || (way === "before" ? !window.before : !window.after)) return;
    growing.current = true;
    try {
      const query = way === "before" ? { around: edge.seq, before: GROW, after: 1, at: window.seq } : { around: edge.seq + 1, before: 1, after: GROW };
      const more = await getKept(asked(session.id, query));
      setWindow((now) => {
        if (now === null || now.seq !== window.seq) return now;
        if (way === "before") return { ...now, said: [...more.messages.filter((one) => one.seq < edge.seq), ...now.said], before: more.before };
        return { ...now, later: [...now.later, ...more.messages.filter((one) => one.seq > edge.seq)], after: more.after };
      });
    } catch (problem) {
      setError(wordsOf(problem));
    } finally {
      growing.current = false;
    }
  };
  return { window, error, grow };
}

/** What was loaded before stays above what is new, as long as both join. */
function olderOf(now: Window, said: Transcript): { said: ChatMessage[]; before: number } | null {
  const first = said.messages[0]!.seq;
  const known = now.said.findIndex((one) => one.seq === first);
  if (known <= 0 || known > 400) return null;
  return { said: now.said.slice(0, known), before: now.before };
}

export function Chat({ session }: { session: OpenSession }) {
  const { window, error, grow } = useWindow(session);
  const box = useRef<HTMLDivElement>(null);
  const jump = useJump(session).answer;
  const { family } = useFamily(session);
  const isFollowing = session.isFollowing.value;
  const blocks = isFollowing ? session.streaming.value : jump !== null && jump.seq === session.calm.value ? jump.streaming : [];
  const open = new Map(jump?.calls.map((call) => [`${call.place.message_seq}.${call.place.content_index}`, call.status]));
  const selected = session.row.value;
  const isSettled = useRef(-1);
  const isAtBottom = useRef(true);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || window === null) return;
    if (isFollowing) {
      if (isAtBottom.current || isSettled.current !== -2) element.scrollTop = element.scrollHeight;
      isSettled.current = -2;
      return;
    }
    if (isSettled.current === window.seq) return;
    isSettled.current = window.seq;
    const at = element.querySelector(".message.is-selected, .message.is-open") ?? element.querySelector(".here");
    if (at === null) return;
    const box_ = element.getBoundingClientRect();
    const place = at.getBoundingClientRect();
    const fits = place.height < box_.height * 0.7;
    if (place.top < box_.top + 8 || place.bottom > box_.bottom - 40) {
      element.scrollTop += place.top - box_.top - (fits ? Math.max((box_.height - place.height) / 2, 12) : 12);
    }
  }, [window, isFollowing, blocks]);

  if (error) return <p class="empty is-error">{error}</p>;
  if (window === null) return <p class="empty is-late">Reading what was said…</p>;
  const forks = family?.members.filter((one) => one.info.parent === session.id) ?? [];
  const labels = session.head.value?.labels ?? [];
  const onScroll = (event: Event) => {
    const element = event.currentTarget as HTMLElement;
    isAtBottom.current = element.scrollTop + element.clientHeight > element.scrollHeight - 40;
    if (element.scrollTop < EDGE_PX) void grow("before");
    if (element.scrollTop + element.clientHeight > element.scrollHeight - EDGE_PX) void grow("later");
  };
  const between = (from: number, upto: number) => ({
    forks: forks.filter((one) => one.info.fork_seq >= from && one.info.fork_seq < upto),
    labels: labels.filter(([seq]) => seq >= from && seq < upto),
  });
  const all = [...window.said, ...window.later];
  const nextOf = (number: number) => all[number + 1]?.seq ?? Number.MAX_SAFE_INTEGER;
  const selectedSeq = selectedMessage(session, window.said, selected);
  return (
    <div class="chat scrolls" ref={box} onScroll={onScroll} tabIndex={0} aria-label="What was said">
      <div class="chat-edge faint">{window.before ? `${count(window.before, "message")} before` : "The beginning."}</div>
      {!all.length && !blocks.length && <p class="empty">Nothing was said up to here.</p>}
      {window.said.map((message, number) => (
        <>
          <Message key={message.seq} session={session} message={message} isSelected={message.seq === selectedSeq} isLater={false} open={open} />
          <Notches key={`n${message.seq}`} {...between(message.seq, nextOf(number))} />
        </>
      ))}
      {blocks.length > 0 && <Streaming blocks={blocks} isLive={isFollowing} />}
      {!isFollowing && (
        <div class="here">
          <span>
            at {whole(window.seq)}
            {window.later.length + window.after > 0 && ` · ${count(window.later.length + window.after, "message")} came later`}
          </span>
        </div>
      )}
      {window.later.map((message, number) => (
        <>
          <Message key={message.seq} session={session} message={message} isSelected={false} isLater />
          <Notches key={`n${message.seq}`} {...between(message.seq, nextOf(window.said.length + number))} />
        </>
      ))}
    </div>
  );
}

/** The message that the selected row shows, or whose call it is. */
function selectedMessage(session: OpenSession, said: readonly ChatMessage[], row: number): number {
  if (row < 0) return 0;
  const name = session.rows.name[row] ?? 0;
  if (!name) return 0;
  for (let at = said.length - 1; at >= 0; at--) {
    const one = said[at]!;
    if (one.seq === name || one.calls.some((call) => call.result_seq === name)) return one.seq;
  }
  if (session.rows.kindOf(row) !== "tool") return 0;
  return said.findLast((one) => one.calls.length > 0)?.seq ?? 0; // its result is not said yet: a call is of the last who called
}

/** Forks that begin, and bookmarks that stand, behind a message. */
function Notches({ forks, labels }: { forks: readonly FamilyMember[]; labels: readonly (readonly [number, string])[] }) {
  if (!forks.length && !labels.length) return null;
  return (
    <div class="notches">
      {forks.map((one) => (
        <div key={one.info.id}>
          <Sign of="fork" /> fork at {whole(one.info.fork_seq)}:{" "}
          <SeqLink session={one.info.id} seq={one.info.head}>
            {one.info.title || one.info.first_words || shortId(one.info.id)}
          </SeqLink>{" "}
          <Status of={one.status} reason={one.reason} />
        </div>
      ))}
      {labels.map(([seq, text]) => (
        <div key={seq} class="is-accent">
          <Sign of="label" /> <SeqLink seq={seq}>{text}</SeqLink>
        </div>
      ))}
    </div>
  );
}

const ROLES: Record<string, [string, string]> = {
  user: ["you", "is-user"],
  assistant: ["model", ""],
  tool_result: ["result", "is-result"],
  compaction: ["summary", "is-config"],
  summary: ["summary", "is-config"],
  custom: ["note", "dim"],
};

function Message({ session, message, isSelected, isLater, open }: {
  session: OpenSession;
  message: ChatMessage;
  isSelected: boolean;
  isLater: boolean;
  /** Calls of the answer under way: what they are about, by their places. */
  open?: ReadonlyMap<string, string>;
}) {
  const [word, tone] = ROLES[message.role] ?? [message.role, "dim"];
  const isGone = message.not_read !== null && !isLater;
  const pick = (event: MouseEvent) => {
    if ((event.target as HTMLElement).closest("a, button, summary, details") || getSelection()?.toString()) return;
    select({ seq: message.seq });
  };
  const isCut = message.text.characters > message.text.text.length;
  const box = useRef<HTMLElement>(null);
  const { isNear, height } = useNear(box);
  const more = theSource().isArchive ? undefined : behind(session, message.seq, "text");
  if (!isNear) return <article ref={box} class="message is-far" data-seq={message.seq} style={{ height: `${height}px` }} />;
  return (
    <article
      ref={box}
      class={`message of-${message.role}${isSelected ? " is-selected" : ""}${isLater ? " is-later" : ""}${isGone ? " is-gone" : ""}`}
      data-seq={message.seq}
      onClick={pick}
    >
      <div class="who">
        <span class={message.is_error ? "is-error" : tone}>
          {message.is_error && <Sign of="error" words="failed" />} {word}
        </span>
        <div class="from">
          <SeqLink seq={message.seq} /> <span title={moment(message.at_us)}>{clock(message.at_us)}</span>
        </div>
      </div>
      <div class="said">
        {isGone && (
          <div class="gone-why is-config">
            {ABSENCES[message.not_read!]} {message.not_read_seq > 0 && <SeqLink seq={message.not_read_seq} />}
            {message.instead && (
              <>
                ; the model reads: <q>{<Line text={message.instead} />}</q>
              </>
            )}
          </div>
        )}
        {message.note && <div class="dim">{<Line text={message.note} />}</div>}
        {message.thinking && isLeftOut(message.thinking.text) && (
          <div>
            <Line text={message.thinking.text} />
          </div>
        )}
        {message.thinking && !isLeftOut(message.thinking.text) && (
          <details class="thinking">
            <summary class="is-thinking">
              <Sign of="thinking" /> thinking, {count(message.thinking.characters, "character")}
            </summary>
            <Text text={message.thinking.text} prose first={6_000} characters={message.thinking.characters} more={theSource().isArchive ? undefined : behind(session, message.seq, "thinking")} />
          </details>
        )}
        {message.tool && (
          <div class="mono is-tool">
            {message.tool}
            {message.call && (
              <>
                {" "}
                <SeqLink seq={message.call.message_seq}>its call</SeqLink>
              </>
            )}
          </div>
        )}
        {message.text.text && <Text text={message.text.text} prose={message.role !== "tool_result"} first={6_000} characters={more ? message.text.characters : undefined} more={more} />}
        {isCut && !more && (
          <button type="button" class="link" onClick={() => select({ seq: message.seq, view: "request", part: message.seq })}>
            all {whole(message.text.characters)} characters, in Request
          </button>
        )}
        {message.images > 0 && (
          <button type="button" class="chip" onClick={() => select({ seq: message.seq, view: "request", part: message.seq })}>
            <Sign of="image" /> {count(message.images, "image")}
          </button>
        )}
        {message.calls.map((call) => (
          <Call key={call.place.content_index} session={session} call={call} standing={open?.get(`${call.place.message_seq}.${call.place.content_index}`)} />
        ))}
        {!message.text.text && !message.calls.length && !message.thinking && !message.images && <span class="faint">nothing</span>}
      </div>
    </article>
  );
}

/** Reads on in a text of a message, or of a result by its name: a slice at a time. */
function behind(session: OpenSession, seq: number, of: "text" | "thinking"): (from: number) => Promise<TextSlice> {
  return (from) => getKept(ask("GET /api/sessions/{session}/messages/{seq}/text", { session: session.id, seq }, { of, from, limit: SLICE }));
}

function statusOf(call: ChatCall, standing: string | undefined): { words: string; tone: string; says?: string } {
  const took = call.started_at_us !== null && call.ended_at_us !== null ? duration(call.ended_at_us - call.started_at_us) : "";
  if (call.refused) return { words: `refused: ${call.refused}`, tone: "is-config" };
  if (call.is_error) return { words: took, tone: "is-error" };
  const status = standing ?? call.status;
  if (call.adopted && status === "open") return { words: "no result on record", tone: "is-config", says: "It came from elsewhere, without a result up to here: what it was taken from ended or was cut off before it, or goes on." };
  const since = call.started_at_us;
  if (status === "running" && since !== null) return { words: `running since ${clock(since, true)}`, tone: "dim", says: moment(since) };
  if (call.result === null) return { words: status || "no result", tone: status === "waiting" ? "is-wait" : "dim" };
  return { words: took, tone: "faint" };
}

/** A call, with its result folded in. */
export function Call({ session, call, standing }: { session: OpenSession; call: ChatCall; standing?: string | undefined }) {
  const { words, tone, says } = statusOf(call, standing);
  const [isOpen, setOpen] = useState(false);
  const result = call.result?.text ?? "";
  const lines = result.split("\n");
  const head = lines.slice(0, 3).join("\n").slice(0, 320);
  const isCut = head.length < result.length;
  return (
    <div class={`call${call.is_error ? " has-failed" : ""}`}>
      <button type="button" class="call-head" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Sign of={isOpen ? "open" : "shut"} />
        <span class="cut mono">
          <span class="is-tool">{call.name}</span> <span class="dim">{<Line text={argumentsLine(call.arguments.text).slice(0, 400)} />}</span>
        </span>
        <span class={tone} title={says}>
          {call.is_error && <Sign of="error" words="failed" />} {[call.attempts > 1 ? `${call.attempts} attempts` : "", words].filter(Boolean).join(", ")}
        </span>
      </button>
      {isOpen ? (
        <div class="call-body">
          <Text text={layOut(call.arguments.text)} first={3_000} characters={call.arguments.characters} />
          {call.asked && (
            <>
              <div class="dim">The model had asked for:</div>
              <Text text={layOut(call.asked.text)} first={1_000} characters={call.asked.characters} />
            </>
          )}
          {call.adopted && <div class="faint">adopted: it was made elsewhere</div>}
          {call.decided && <div class="is-wait">{call.decided}</div>}
          {call.children.map((child) => (
            <div key={child}>
              <Sign of="child" />{" "}
              <SeqLink session={child} seq={1}>
                the agent that it started
              </SeqLink>
            </div>
          ))}
        </div>
      ) : (
        call.children.length > 0 && (
          <div class="call-body">
            {call.children.map((child) => (
              <SeqLink key={child} session={child} seq={1}>
                <Sign of="child" /> agent {shortId(child)}
              </SeqLink>
            ))}
          </div>
        )
      )}
      {call.result !== null && (
        <div class={`call-result${call.is_error ? " is-error" : ""}`}>
          <Text text={isOpen ? result : head} first={4_000} characters={isOpen ? call.result.characters : undefined} more={isOpen && call.result_seq > 0 && !theSource().isArchive ? behind(session, call.result_seq, "text") : undefined} />
          {!isOpen && isCut && (
            <button type="button" class="link" onClick={() => setOpen(true)}>
              {count(lines.length, "line")}
            </button>
          )}
          {call.images > 0 && <span class="dim">{count(call.images, "image")}</span>}
          {call.result_seq > 0 && isOpen && (
            <div class="faint">
              told the model at <SeqLink seq={call.result_seq} />
            </div>
          )}
        </div>
      )}
    </div>
  );
}

/** The message that is being said, as far as it has come. */
function Streaming({ blocks, isLive }: { blocks: readonly StreamedBlock[]; isLive: boolean }) {
  return (
    <article class="message of-assistant is-open" aria-live={isLive ? "polite" : "off"}>
      <div class="who">
        model
        <div class="from">{isLive ? <Sign of="running" words="being said" /> : "so far"}</div>
      </div>
      <div class="said">
        {blocks.map((block, number) => (
          <div key={number} class={block.kind === "thinking" ? "is-thinking" : block.kind === "tool_call" ? "mono is-tool" : ""}>
            {block.kind === "tool_call" && <>{block.name} </>}
            {block.characters > block.text.length && <span class="faint">{whole(block.characters - block.text.length)} characters before … </span>}
            <Text text={block.text} prose={block.kind !== "tool_call"} first={20_000} />
          </div>
        ))}
      </div>
    </article>
  );
}

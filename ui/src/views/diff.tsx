// What is otherwise: in a request than in another one, or in a branch than in another one.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { getKept, getPatiently, useAnswer, wordsOf } from "../api/answers";
import { ask, theSource } from "../api/source";
import type { PartChange, Piece, RequestChanges, RequestHead, Source } from "../api/types";
import { count, short, shortId, whole } from "../format";
import { SeqLink } from "../parts/links";
import { Line, plain, spelled, Text } from "../parts/text";
import { Windowed } from "../parts/windowed";
import { select, selection } from "../selection";
import { useFamily } from "../session/family";
import type { OpenSession } from "../session/open";
import { BranchDiff } from "./diff_branches";
import "./diff.css";

const PAGE = 100;
const MOST_BRANCHES = 60;

/** Of another session: whether requests are compared, as with a point of this one; else all that was said in either. */
const comparesRequests = signal(false);

export function Diff({ session }: { session: OpenSession }) {
  const pin = selection.value?.pin ?? null;
  const isOther = pin !== null && pin.session !== session.id;
  if (isOther && !comparesRequests.value) return <BranchDiff session={session} other={pin.session} switches={<Switches session={session} />} />;
  return <RequestDiff session={session} />;
}

/** What it is compared with. */
function Switches({ session }: { session: OpenSession }) {
  const { family } = useFamily(session);
  const pin = selection.value?.pin ?? null;
  const others = (family?.members ?? []).filter((one) => !one.is_child && one.info.id !== session.id && theSource().compares(one.info.id, session.id));
  const listed = others.slice().sort((one, two) => two.info.updated_at_us - one.info.updated_at_us).slice(0, MOST_BRANCHES);
  const isListed = pin !== null && listed.some((one) => one.info.id === pin.session);
  const value = pin === null ? "" : pin.session === session.id || !isListed ? "pin" : pin.session;
  const choose = (event: Event) => {
    const chosen = (event.currentTarget as HTMLSelectElement).value;
    const branch = listed.find((one) => one.info.id === chosen);
    if (branch) select({ pin: { session: branch.info.id, seq: branch.info.head } }, "jump");
    else if (!chosen) select({ pin: null }, "jump");
  };
  return (
    <>
      <select class="diff-with" value={value} onChange={choose} aria-label="Compare with">
        <option value="">the request before</option>
        {value === "pin" && pin !== null && <option value="pin">the pin, {pin.session === session.id ? whole(pin.seq) : `${whole(pin.seq)} of ${shortId(pin.session)}`}</option>}
        {listed.length > 0 && (
          <optgroup label={others.length > listed.length ? `the ${listed.length} newest branches of ${whole(others.length)}` : "another branch"}>
            {listed.map((one) => (
              <option key={one.info.id} value={one.info.id}>
                {spelled(one.info.title || one.info.first_words)} ({shortId(one.info.id)})
              </option>
            ))}
          </optgroup>
        )}
      </select>
      {pin !== null && pin.session !== session.id && !theSource().isArchive && (
        <button type="button" class="plain switch faint" onClick={() => (comparesRequests.value = !comparesRequests.peek())}>
          {comparesRequests.value ? "all that was said" : "requests"}
        </button>
      )}
    </>
  );
}

interface Listed {
  first: RequestChanges;
  changes: readonly PartChange[];
  more: number;
}

/** Reads what is otherwise in a request, page by page. */
function useChanges(session: OpenSession, seq: number, against: string) {
  const [listed, setListed] = useState<{ of: string; is: Listed } | null>(null);
  const [error, setError] = useState("");
  const busy = useRef(false);
  const of = `${session.id} ${seq} ${against}`;
  const page = (from: number) => ask("GET /api/sessions/{session}/requests/{seq}/changes", { session: session.id, seq }, { ...(against ? { against } : {}), from, limit: PAGE });
  useEffect(() => {
    if (!seq) return;
    const stop = new AbortController();
    getKept(page(0), stop.signal).then(
      (first) => {
        if (stop.signal.aborted) return;
        setError("");
        setListed({ of, is: { first, changes: first.changes, more: first.more } });
      },
      (problem: unknown) => {
        if (!stop.signal.aborted) setError(wordsOf(problem));
      },
    );
    return () => stop.abort();
  }, [of]);
  const grow = async () => {
    if (listed === null || listed.of !== of || busy.current || !listed.is.more) return;
    busy.current = true;
    try {
      const next = await getPatiently(page(listed.is.changes.length));
      setListed((now) => (now?.of === of ? { of, is: { ...now.is, changes: [...now.is.changes, ...next.changes], more: next.more } } : now));
    } catch (problem) {
      setError(wordsOf(problem));
    } finally {
      busy.current = false;
    }
  };
  return { listed: listed?.is ?? null, isOld: listed !== null && listed.of !== of, error, grow };
}

function RequestDiff({ session }: { session: OpenSession }) {
  const pin = selection.value?.pin ?? null;
  const at = session.calm.value;
  const { answer: head } = useAnswer(at ? ask("GET /api/sessions/{session}/requests/{seq}", { session: session.id, seq: at }) : null);
  const seq = head === null ? 0 : head.request_seq || head.seq;
  const against = pin === null ? "" : pin.session === session.id ? String(pin.seq) : `${pin.session}:${pin.seq}`;
  const { listed, isOld, error, grow } = useChanges(session, seq, against);
  const changes = listed?.changes ?? [];
  const keys = useMemo(() => changes.map((_, number) => number), [changes]);
  const first = listed?.first ?? null;
  const hasNone = first !== null && !first.against_seq && pin === null;
  return (
    <div class={`view${isOld ? " is-old" : ""}`}>
      <div class="reader-head">
        <b>
          {head === null || first === null ? (
            "Diff"
          ) : (
            <>
              <RequestName head={head} /> <span class="dim">against</span>{" "}
              {first.against_seq ? <SeqLink session={first.against_session} seq={first.against_seq} view="request" /> : hasNone ? "nothing" : "the next one there, not sent yet"}
              {first.against_session !== session.id && <span class="dim"> of {shortId(first.against_session)}</span>}
            </>
          )}
        </b>
        {first !== null && !hasNone && <Counts head={head} changes={first} />}
        <span class="at-end">
          <Switches session={session} />
        </span>
      </div>
      {error && pin !== null && theSource().isArchive ? (
        <p class="empty">
          {error}{" "}
          <button type="button" class="link" onClick={() => select({ pin: null }, "jump")}>
            Compare with the request before
          </button>
        </p>
      ) : error ? (
        <p class="empty is-error">{error}</p>
      ) : !at ? (
        <p class="empty">Nothing has happened here yet.</p>
      ) : first === null ? (
        <p class="empty is-late">Comparing…</p>
      ) : hasNone ? (
        <p class="empty">This is the first request: none came before it.{!theSource().isArchive && " Pin a point with m, or choose a branch, to compare with that."}</p>
      ) : !changes.length ? (
        <p class="empty">Nothing is otherwise: the same was sent.</p>
      ) : (
        <Windowed
          keys={keys}
          draw={(place) => <Change session={session} request={first} change={changes[place]!} />}
          estimate={84}
          label="What is otherwise"
          onEnd={() => void grow()}
          below={<SameRun head={head} changes={first} />}
        />
      )}
    </div>
  );
}

function RequestName({ head }: { head: RequestHead }) {
  return head.request_seq ? (
    <>
      Request <SeqLink seq={head.request_seq} view="request" />
    </>
  ) : (
    <>The next request</>
  );
}

function equalIn(head: RequestHead | null, changes: RequestChanges): number {
  return head === null ? 0 : Math.max(head.messages + head.parts.length - changes.added - changes.changed, 0);
}

function Counts({ head, changes }: { head: RequestHead | null; changes: RequestChanges }) {
  const found = [
    changes.added && `${whole(changes.added)} added`,
    changes.removed && `${whole(changes.removed)} dropped`,
    changes.changed && `${whole(changes.changed)} changed`,
    `${whole(equalIn(head, changes))} as before`,
  ].filter(Boolean);
  return <span class="cut">{found.join(", ")}</span>;
}

function SameRun({ head, changes }: { head: RequestHead | null; changes: RequestChanges }) {
  return <div class="same-run">{count(equalIn(head, changes), "part")} as before</div>;
}

const KINDS: Record<PartChange["kind"], [string, string, string]> = {
  added: ["+", "added", "is-good"],
  removed: ["−", "dropped", "is-error"],
  changed: ["~", "changed", "is-config"],
  truncated: ["…", "truncated", "is-config"],
};
const PARTS: Record<string, string> = { system_prompt: "system prompt", tools: "tools", options: "options", model: "model", tool_result: "result" };
/** Who changed a part, as a sentence goes on behind "by". */
const SOURCES: Partial<Record<Source, string>> = { config: "configuration", nobody: "nobody", completed: "Refold, to complete it", hook: "a hook", edit: "an edit", compaction: "compaction" };

/** A part that came, is gone, or is another one. */
function Change({ session, request, change }: { session: OpenSession; request: RequestChanges; change: PartChange }) {
  const [isOpen, setOpen] = useState(false);
  const { kind, part, before } = change;
  const [sign, word, tone] = KINDS[kind];
  const isSummary = (before ?? part).source === "compaction";
  const name = isSummary ? "summary" : (PARTS[part.role] ?? PARTS[part.what] ?? (part.role || part.what));
  const isMono = part.role === "tool_result" || part.what === "tools" || part.what === "options";
  const showNew = () => select({ view: "request", seq: request.request_seq || session.seq.peek(), part: part.name || null });
  const isOfThis = request.against_session === session.id;
  const showOld = () => select({ view: "request", seq: request.against_seq || session.seq.peek(), part: (before?.name ?? part.name) || null });
  const characters = change.characters;
  return (
    <div class={`change is-${kind}`}>
      <div>
        <div class={`kind ${tone}`}>
          <b aria-hidden="true">{sign}</b> {word}
        </div>
        <div class="dim">{name}</div>
        <div class="source">
          by {SOURCES[part.source] ?? part.source} {part.seq > 0 && <SeqLink session={kind === "removed" && !isOfThis ? request.session : session.id} seq={part.seq} />}
        </div>
      </div>
      <div class="change-body">
        {change.pieces.length > 0 ? (
          <Pieces pieces={change.pieces} isMono={isMono} />
        ) : isOpen && part.name > 0 ? (
          <Said session={kind === "removed" ? request.against_session : session.id} name={part.name} text={part.text} isMono={isMono} />
        ) : (
          <div class={isMono ? "mono said-words" : "prose said-words"}>{kind === "removed" ? <del>{plain(part.text)}</del> : plain(part.text)}</div>
        )}
        {change.is_cut && <span class="source">only the beginnings were compared: the texts are long</span>}
        <span class="source links">
          {part.name > 0 && !change.pieces.length && part.text.endsWith("…") && (
            <button type="button" class="link" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
              {isOpen ? "less" : "all of it"}
            </button>
          )}
          {kind !== "removed" && (
            <button type="button" class="link" onClick={showNew}>
              in this request
            </button>
          )}
          {before !== null && (
            <span>
              {isOfThis ? (
                <button type="button" class="link" onClick={showOld}>
                  as it was
                </button>
              ) : (
                <SeqLink session={request.against_session} seq={request.against_seq || before.seq} view="request">
                  as it is there
                </SeqLink>
              )}
              , by {SOURCES[before.source] ?? before.source} {before.seq > 0 && <SeqLink session={request.against_session} seq={before.seq} />}
            </span>
          )}
        </span>
      </div>
      <div class="much" title={`${characters > 0 ? "+" : "−"}${count(Math.abs(characters), "character")}`}>
        {characters === 0 ? "" : `${characters > 0 ? "+" : "−"}${short(Math.abs(characters))}`}
      </div>
    </div>
  );
}

/** A text in which words were changed. `side`: only what one of both says. */
export function Pieces({ pieces, isMono, side }: { pieces: readonly Piece[]; isMono: boolean; side?: "left" | "right" }) {
  const shown = pieces.filter((one) => one.kind === "same" || side === undefined || one.kind === (side === "left" ? "removed" : "added"));
  return (
    <div class={isMono ? "mono said-words" : "prose said-words"}>
      {shown.map((piece, number) => {
        if (piece.kind === "added") return <ins key={number}>{plain(piece.text)}</ins>;
        if (piece.kind === "removed") return <del key={number}>{plain(piece.text)}</del>;
        return <Same key={number} text={piece.text} isFirst={number === 0} isLast={number === shown.length - 1} />;
      })}
    </div>
  );
}

const AROUND = 160;

/** What both say: of a long stretch only what stands beside a change, until all is asked for. */
function Same({ text, isFirst, isLast }: { text: string; isFirst: boolean; isLast: boolean }) {
  const [isWhole, setWhole] = useState(false);
  const head = isFirst ? 0 : AROUND;
  const tail = isLast ? 0 : AROUND;
  if (isWhole || text.length <= head + tail + 120) return <>{plain(text)}</>;
  return (
    <>
      {plain(text.slice(0, head))}
      <button type="button" class="link" onClick={() => setWhole(true)}>
        {" "}
        … {whole(text.length - head - tail)} characters as before …{" "}
      </button>
      {plain(text.slice(text.length - tail))}
    </>
  );
}

/** All that a message says. */
function Said({ session, name, text, isMono }: { session: string; name: number; text: string; isMono: boolean }) {
  const { answer, error } = useAnswer(ask("GET /api/sessions/{session}/transcript", { session }, { around: name, before: 1, after: 1 }));
  if (error) return <p class="is-error">{error}</p>;
  const messages = answer?.messages ?? [];
  const message = messages.find((one) => one.seq === name);
  const call = messages.flatMap((one) => one.calls).find((one) => one.result_seq === name);
  const said = message?.text ?? call?.result;
  if (!said) return <Line text={answer === null ? text : `${text} (its text is not in the transcript)`} />;
  return (
    <>
      <Text text={said.text} prose={!isMono} first={8_000} characters={said.characters} />
      {message?.calls.map((one) => (
        <div key={one.place.content_index} class="mono is-tool said-words">
          {one.name} {plain(one.arguments.text)}
        </div>
      ))}
    </>
  );
}

// What the model was, or would next be, sent: every part, who put it there, and what was left out where it would have stood.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { attempt, getKept, tell, useAnswer, wordsOf } from "../api/answers";
import { ask, type Asked, get, isLess } from "../api/source";
import type { Agreement, LeftOut, PartLine, PartWindow, RequestHead, SentTool } from "../api/types";
import { bytes, count, moment, short, whole } from "../format";
import { ABSENCES } from "../inspector/why";
import { SeqLink } from "../parts/links";
import { MessageContent } from "../parts/message";
import { Sign } from "../parts/signs";
import { JsonText, Line, Text, Tokens } from "../parts/text";
import { select, selection } from "../selection";
import type { OpenSession } from "../session/open";
import { isRendered } from "../ui_state";
import "./request.css";

const PAGE = 80;
const EDGE_PX = 400;

export function RequestView({ session }: { session: OpenSession }) {
  const seq = session.calm.value;
  const names = { session: session.id, seq };
  const { answer: head, error, isOld, isSlow } = useAnswer(seq ? ask("GET /api/sessions/{session}/requests/{seq}", names) : null);
  if (error) return <p class="empty is-error">{error}</p>;
  if (head === null) return isSlow ? <p class="empty">Building the request…</p> : null;
  return (
    <div class={`view${isOld ? " is-old" : ""}`}>
      <RequestHeadLine session={session} head={head} />
      {isRendered.value ? <Parts session={session} head={head} /> : <Body session={session} head={head} />}
    </div>
  );
}

/** Where the request that is shown may be asked for: at its own seq, so that all seqs of one call ask for the same. */
function seqOf(head: RequestHead): number {
  return head.request_seq || head.seq;
}

const AGREES: Record<Agreement, [string, string]> = {
  equal: ["digest equal", "is-good"],
  differs: ["digest differs", "is-error"],
  unchecked: ["digest not on record", "faint"],
};

const LESS: [string, string] = ["digest unchecked: what it is of was left out", "faint"];

function RequestHeadLine({ session, head }: { session: OpenSession; head: RequestHead }) {
  const check = useAnswer(head.request_seq && !head.adopted ? ask("GET /api/sessions/{session}/requests/{seq}/check", { session: session.id, seq: seqOf(head) }) : null);
  const isUnknown = check.answer?.digest === "unchecked" && isLess();
  const agrees = isUnknown ? LESS : check.answer ? AGREES[check.answer.digest] : null;
  return (
    <div class="reader-head">
      {head.request_seq ? (
        <b title={moment(head.at_us)}>
          Request <SeqLink seq={head.request_seq} />
        </b>
      ) : (
        <b>The next request, not sent yet</b>
      )}
      {head.adopted && (
        <span class="is-config" title="The answer was made elsewhere. What was sent there is not on record: this is what had been said before it.">
          put together here
        </span>
      )}
      <span class="cut">
        {head.model.provider}
        {head.model.provider && ":"}
        {head.model.model || "no model"}
      </span>
      {head.attempt > 1 && <span>attempt {head.attempt}</span>}
      {agrees && (
        <span class={agrees[1]} title={isUnknown ? "The digest on record is of the whole request, and is not in this file." : `built again: ${check.answer!.request_sha256 || "not in this file"}\non record: ${check.answer!.recorded_sha256 || "nothing"}`}>
          {check.answer!.digest === "equal" && <Sign of="done" />} {check.answer!.digest === "differs" && <Sign of="error" />} {agrees[0]}
        </span>
      )}
      <span>
        {count(head.messages, "message")}, <Tokens many={head.tokens} estimated={head.estimated} /> tokens
      </span>
      {head.selected && <span class="is-config">chosen by a hook</span>}
      <span class="at-end">
        {(["Rendered", "Body"] as const).map((word, number) => (
          <button key={word} type="button" class={`plain switch${isRendered.value === !number ? "" : " faint"}`} aria-pressed={isRendered.value === !number} onClick={() => (isRendered.value = !number)}>
            {word}
          </button>
        ))}
      </span>
    </div>
  );
}

interface Listed {
  of: string;
  first: number;
  parts: PartLine[];
  left: LeftOut[];
  moreLeft: number;
  end: number;
}

/** Loads the messages of a request by windows: at first its end, where the newest stand, or around the part that is asked for. */
function useParts(session: OpenSession, head: RequestHead) {
  const seq = seqOf(head);
  const of = `${seq}`;
  const [listed, setListed] = useState<Listed | null>(null);
  const [error, setError] = useState("");
  const busy = useRef(false);
  const windowOf = (from: number, limit: number): Asked<PartWindow> => ask("GET /api/sessions/{session}/requests/{seq}/parts", { session: session.id, seq }, { from, limit });
  useEffect(() => {
    const stop = new AbortController();
    const from = Math.max(head.messages - PAGE, 0);
    getKept(windowOf(from, PAGE), stop.signal).then(
      (window) => {
        if (!stop.signal.aborted) setListed({ of, first: from, parts: window.parts, left: window.left_out, moreLeft: window.more_left_out ?? 0, end: from + window.parts.length });
      },
      (problem: unknown) => {
        if (!stop.signal.aborted) setError(wordsOf(problem));
      },
    );
    return () => stop.abort();
  }, [session, of, head.messages]);
  const grow = async (most = PAGE) => {
    if (listed === null || busy.current || listed.first === 0) return;
    busy.current = true;
    await attempt(async () => {
      const from = Math.max(listed.first - most, 0);
      const window = await getKept(windowOf(from, listed.first - from));
      setListed((now) => (now?.of === of ? { ...now, first: from, parts: [...window.parts, ...now.parts], left: [...window.left_out, ...now.left], moreLeft: window.more_left_out ?? 0 } : now));
    });
    busy.current = false;
  };
  return { listed, error, grow };
}

function Parts({ session, head }: { session: OpenSession; head: RequestHead }) {
  const { listed, error, grow } = useParts(session, head);
  const box = useRef<HTMLDivElement>(null);
  const wanted = selection.value?.part ?? null;
  const most = Math.max(...(listed?.parts ?? []).map((one) => one.tokens), ...head.parts.map((one) => one.tokens), 1);
  const of = listed?.of;
  const kept = useRef({ height: 0, first: 0 });
  const placed = useRef("");

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || listed === null) return;
    const key = `${of} ${wanted ?? ""}`;
    if (listed.first < kept.current.first && placed.current === key) element.scrollTop += element.scrollHeight - kept.current.height;
    kept.current = { height: element.scrollHeight, first: listed.first };
    if (placed.current === key) return;
    const at = wanted !== null ? element.querySelector(`[data-name="${wanted}"]`) : null;
    if (wanted !== null && at === null && listed.first > 0) {
      void grow(400);
      return;
    }
    if (wanted !== null || head.messages > 12) {
      if (at) at.scrollIntoView({ block: "center" });
      else if (wanted === null && placed.current.split(" ")[0] !== of) element.scrollTop = element.scrollHeight;
    }
    placed.current = key;
    kept.current = { height: element.scrollHeight, first: listed.first };
  }, [listed, wanted]);

  if (error) return <p class="empty is-error">{error}</p>;
  const left = new Map<number, LeftOut[]>();
  for (const one of listed?.left ?? []) left.set(one.before, [...(left.get(one.before) ?? []), one]);
  const onScroll = (event: Event) => {
    if ((event.currentTarget as HTMLElement).scrollTop < EDGE_PX) void grow();
  };
  return (
    <div class="parts scrolls" ref={box} onScroll={onScroll} tabIndex={0} aria-label="Parts of the request">
      {head.parts.filter((part) => part.source !== "nobody" || part.text || (part.what === "tools" && head.tools.length)).map((part) => (part.what === "tools" ? <ToolsPart key={part.what} part={part} tools={head.tools} most={most} /> : <Part key={part.what} session={session} head={head} part={part} most={most} />))}
      {listed !== null && listed.first > 0 && (
        <div class="part-gap">
          <button type="button" class="link" onClick={() => void grow()}>
            {count(listed.first, "message")} between
          </button>
        </div>
      )}
      {listed !== null && listed.moreLeft > 0 && <div class="part-gap faint">{count(listed.moreLeft, "more message")} left out before these</div>}
      {listed?.parts.map((part) => (
        <>
          {left.get(part.place)?.map((one) => <Gone key={`left${one.name}`} session={session} one={one} isWanted={one.name === wanted} />)}
          <Part key={`${part.place}.${part.name}`} session={session} head={head} part={part} most={most} isWanted={part.name > 0 && part.name === wanted} />
        </>
      ))}
      {listed && left.get(listed.end)?.map((one) => <Gone key={`left${one.name}`} session={session} one={one} isWanted={one.name === wanted} />)}
      {head.messages === 0 && <p class="empty">No messages.</p>}
    </div>
  );
}

const ROLES: Record<string, [string, string]> = {
  user: ["user", "is-user"],
  assistant: ["assistant", ""],
  tool_result: ["result", "is-result"],
  custom: ["note", "dim"],
};
const WHATS: Record<string, string> = { system_prompt: "system", model: "model", options: "options", tools: "tools" };

function Weight({ tokens, most, estimated = true }: { tokens: number; most: number; estimated?: boolean }) {
  return (
    <div class="weight">
      <span title={`${estimated ? "about " : ""}${whole(tokens)} tokens, by length`}>{short(tokens)}</span>
      {tokens / most > 0.02 && <div class="weight-bar" style={{ width: `${Math.max((tokens / most) * 100, 4)}%` }} />}
    </div>
  );
}

/** One part: its beginning, and all of it when it is opened. */
function Part({ session, head, part, most, isWanted = false }: { session: OpenSession; head: RequestHead; part: PartLine; most: number; isWanted?: boolean }) {
  const [isOpen, setOpen] = useState(isWanted);
  useEffect(() => {
    if (isWanted) setOpen(true);
  }, [isWanted]);
  const all = useAnswer(isOpen ? ask("GET /api/parts/{sha256}", { sha256: part.sha256 }, { session: session.id, seq: seqOf(head), ...(part.name ? { name: part.name } : {}) }) : null);
  const [word, tone] = part.what === "message" ? (ROLES[part.role] ?? [part.role, "dim"]) : [WHATS[part.what] ?? part.what, ""];
  const isLong = part.size_bytes > part.text.length + 60;
  const isSummary = part.source === "compaction";
  const toggle = () => {
    setOpen(!isOpen);
    if (part.name) select({ part: isOpen ? null : part.name }, "step");
  };
  return (
    <div class={`part${isWanted ? " is-wanted" : ""}`} data-name={part.name || undefined}>
      <div>
        <span class={isSummary ? "is-config" : tone}>{isSummary ? "summary" : word}</span>
        <div class="source" title={part.detail || undefined}>
          {part.source} {part.seq > 0 && <SeqLink seq={part.seq} />}
        </div>
      </div>
      <div class="part-body">
        {isOpen ? (
          all.answer !== null ? (
            part.what === "message" ? (
              <MessageContent message={all.answer} />
            ) : typeof all.answer === "string" ? (
              <Text text={all.answer} prose first={8_000} />
            ) : (
              <JsonText value={all.answer} />
            )
          ) : all.error ? (
            <p class="is-error">{all.error}</p>
          ) : (
            <p class="faint is-late">Reading…</p>
          )
        ) : (
          <div class={part.role === "tool_result" || part.what === "options" ? "mono" : "prose"} onClick={() => !getSelection()?.toString() && toggle()}>
            <Line text={part.text} />
          </div>
        )}
        {(isLong || isOpen) && (
          <button type="button" class="link more" aria-expanded={isOpen} onClick={toggle}>
            {isOpen ? "less" : `all of it, ${bytes(part.size_bytes)}`}
          </button>
        )}
      </div>
      <Weight tokens={part.tokens} most={most} />
    </div>
  );
}

/** The tools, the ones that were called marked; a tool opens to what the model was told of it. */
function ToolsPart({ part, tools, most }: { part: PartLine; tools: readonly SentTool[]; most: number }) {
  const [shown, setShown] = useState("");
  const called = tools.filter((one) => one.called).map((one) => one.name);
  const one = tools.find((tool) => tool.name === shown);
  return (
    <div class="part">
      <div>
        tools
        <div class="source">
          {part.source} {part.seq > 0 && <SeqLink seq={part.seq} />}
        </div>
      </div>
      <div class="part-body">
        <div class="chips">
          {tools.map((tool) => (
            <button key={tool.name} type="button" class={`chip mono${tool.called ? " is-on" : ""}`} aria-expanded={tool.name === shown} onClick={() => setShown(tool.name === shown ? "" : tool.name)}>
              {tool.name}
            </button>
          ))}
          {!tools.length && <span class="faint">none</span>}
          {called.length > 0 && <span class="faint">{called.join(", ")} {called.length === 1 ? "was" : "were"} called</span>}
        </div>
        {one && (
          <div class="well">
            <Text text={one.description || "No description."} prose first={3_000} />
            <JsonText value={one.schema} />
          </div>
        )}
      </div>
      <Weight tokens={part.tokens} most={most} />
    </div>
  );
}

/** A message that was not sent, where it would have stood. */
function Gone({ session, one, isWanted }: { session: OpenSession; one: LeftOut; isWanted: boolean }) {
  return (
    <div class={`part is-gone${isWanted ? " is-wanted" : ""}`} data-name={one.name}>
      <div>
        left out
        <div class="source">
          {ABSENCES[one.reason].replace("left out ", "")} {one.seq > 0 && <SeqLink seq={one.seq} />}
        </div>
      </div>
      <div class="part-body">
        <del class="prose">
          <Line text={one.text} />
        </del>
        <span class="source">
          {(ROLES[one.role] ?? [one.role])[0]}{" "}
          <SeqLink session={session.id} seq={one.name} view="chat">
            {whole(one.name)}
          </SeqLink>
        </span>
      </div>
      <div class="weight">{one.tokens > 0 && <span title={`about ${whole(one.tokens)} tokens, by length`}>−{short(one.tokens)}</span>}</div>
    </div>
  );
}

/** The request as it goes over the wire. */
function Body({ session, head }: { session: OpenSession; head: RequestHead }) {
  const { answer, error, isSlow } = useAnswer(ask("GET /api/sessions/{session}/requests/{seq}/body", { session: session.id, seq: seqOf(head) }));
  if (error) return <p class="empty">{error}</p>;
  if (answer === null) return isSlow ? <p class="empty">Writing the body…</p> : null;
  const words = answer.agrees === "equal" ? "byte for byte what was sent" : answer.agrees === "differs" ? "not what was sent then" : `written by ${answer.codec}; what was sent is not on record`;
  const copy = () =>
    attempt(async () => {
      const text = JSON.stringify((await get(ask("GET /api/sessions/{session}/requests/{seq}/body", { session: session.id, seq: seqOf(head) }))).body);
      await navigator.clipboard.writeText(text);
      tell("The body was copied.");
    });
  return (
    <div class="scrolls wire" tabIndex={0}>
      <p class="dim">
        <span class={answer.agrees === "equal" ? "is-good" : answer.agrees === "differs" ? "is-error" : ""}>{words}</span>
        {answer.recorded_codec && answer.recorded_codec !== answer.codec && <> (it was written by {answer.recorded_codec}, and this by {answer.codec})</>} · <code title={answer.sha256}>{answer.sha256.slice(0, 12)}</code> ·{" "}
        <button type="button" class="link" onClick={() => void copy()}>
          copy
        </button>
      </p>
      <JsonText value={answer.body} first={64_000} />
    </div>
  );
}

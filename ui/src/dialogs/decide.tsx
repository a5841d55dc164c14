// Decides what a run waits for: whether a call may be made, and with what; or the value of a token.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { tell, useAnswer, wordsOf } from "../api/answers";
import { ApiError, ask, post } from "../api/source";
import type { DecisionBody, Json, Waiting } from "../api/types";
import { moment } from "../format";
import { Sign } from "../parts/signs";
import { JsonText, Line } from "../parts/text";
import { goOn, goOnWords } from "../session/go_on";
import type { OpenSession } from "../session/open";
import { waitWords } from "../sessions/wait_words";
import { closeDialog, dialog } from "./dialogs";
import { Actions, Frame } from "./frame";

const BY = "the page";

/** What can be said to a call that may have been made before. */
const AGAIN: Record<string, readonly [string, string][]> = {
  in_doubt: [
    ["rerun", "Make it again"],
    ["fail", "Let it count as failed"],
  ],
  repeat: [
    ["rerun", "Make it again"],
    ["adopt", "Take what it came to before"],
    ["fail", "Let it count as failed"],
  ],
};

/** What was decided here, until the session's head says so, too. */
const decided = new Set<string>();
/** What is being decided here: that its wait is open no more is then no news of somebody else. */
const deciding = new Set<string>();

/** A wait. `wait`: its key; of one that was decided here a moment ago the next one is shown. */
export function DecideDialog({ session, wait: key }: { session: OpenSession; wait: string }) {
  const isOver = (name: string) => decided.has(`${session.id} ${name}`);
  const waits = (session.head.value?.stands.waits ?? []).filter((one) => !isOver(one.key));
  const next = isOver(key) ? waits[0] : undefined;
  const wait = next ?? waits.find((one) => one.key === key) ?? null;
  const asked = useRef<Waiting | null>(null);
  if (wait !== null) asked.current = wait;
  const gone = wait === null && asked.current?.key === key ? asked.current : null; // somebody else was quicker
  useEffect(() => {
    if (next !== undefined) dialog.value = { name: "decide", key: next.key };
  }, [next?.key]);
  if (session.head.value === null) return null;
  return (
    <Frame title={wait ?? gone ? waitWords((wait ?? gone)!) : "It waits no more"}>
      {wait === null && gone === null ? (
        <>
          <p class="dialog-body" role="alert">
            <Ended session={session.id} wait={key} />{" "}
            {waits.length ? "It waits for something else now." : "Nothing waits for a decision here."}
          </p>
          <NextOne waits={waits} />
        </>
      ) : (
        <>
          {wait !== null && waits.length > 1 && <Others waits={waits} chosen={wait} />}
          <Decision key={(wait ?? gone)!.key} session={session} wait={(wait ?? gone)!} isOver={wait === null && !deciding.has(`${session.id} ${key}`)} waits={waits} />
        </>
      )}
    </Frame>
  );
}

/** Says how a wait ended that is open no more. */
function Ended({ session, wait }: { session: string; wait: string }) {
  const { answer } = useAnswer(ask("GET /api/sessions/{session}/ended-waits", { session }, { key: wait }), { keep: false });
  if (answer === null) return <>This was decided meanwhile, or its time is over.</>;
  return (
    <>
      Meanwhile it was <b>{<Line text={answer.words} />}</b> <span class="dim">({moment(answer.at_us).slice(11, 19)})</span>.
    </>
  );
}

/** What can still be done where a wait is over: the next one, if there is one. */
function NextOne({ waits }: { waits: readonly Waiting[] }) {
  return (
    <Actions>
      {waits[0] && (
        <button type="button" class="button is-main" onClick={() => (dialog.value = { name: "decide", key: waits[0]!.key })}>
          {waitWords(waits[0])}
        </button>
      )}
      <button type="button" class="button" onClick={closeDialog}>
        Close
      </button>
    </Actions>
  );
}

function Others({ waits, chosen }: { waits: readonly Waiting[]; chosen: Waiting }) {
  return (
    <label class="dialog-body others">
      <span class="dim">One of {waits.length}:</span>
      <select class="field" value={chosen.key} onChange={(event) => (dialog.value = { name: "decide", key: event.currentTarget.value })}>
        {waits.map((one) => (
          <option key={one.key} value={one.key}>
            {waitWords(one)} {one.tool && JSON.stringify(one.arguments).slice(0, 60)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Reads JSON, or says what is wrong with it. */
function readJson(text: string): { value: Json } | { error: string } {
  try {
    return { value: JSON.parse(text) as Json };
  } catch (problem) {
    return { error: wordsOf(problem) };
  }
}

/** A question and its answer. `isOver`: somebody else was quicker: what was typed stays to be read and copied. */
function Decision({ session, wait, isOver, waits }: { session: OpenSession; wait: Waiting; isOver: boolean; waits: readonly Waiting[] }) {
  const isApproval = wait.reason === "approval";
  const isToken = wait.reason === "";
  const written = useMemo(() => JSON.stringify(wait.arguments, null, 2), [wait]);
  const [text, setText] = useState(isApproval ? written : "");
  const [reason, setReason] = useState("");
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [goesOn, setGoesOn] = useState(true);
  const server = useAnswer(ask("GET /api/server")).answer;
  useEffect(() => setError(""), [text, reason]);
  const read = readJson(text);
  const head = session.head.value;
  // a worker goes on with a task by itself, and whoever began another session with that
  const isLeft = head !== null && head.stands.status !== "running" && !head.info.task && !head.info.started_by;
  const canGoOn = isLeft && server?.runs === true;
  const isChanged = isApproval && text !== written;
  const isObject = "value" in read && typeof read.value === "object" && read.value !== null && !Array.isArray(read.value);
  const decide = async (body: Omit<DecisionBody, "wait" | "decided_by">, done: string) => {
    setBusy(true);
    const name = `${session.id} ${wait.key}`;
    deciding.add(name);
    try {
      await post("POST /api/sessions/{session}/decide", { session: session.id }, { wait: `${wait.session}:${wait.key}`, decided_by: BY, ...body });
      decided.add(name);
      closeDialog();
      tell(isLeft && !goesOn ? `${done} ${goOnWords(session.id)}` : done);
      await session.refresh().finally(() => {
        decided.delete(name);
        deciding.delete(name);
      });
      if (isLeft && goesOn) await goOn(session.id, done); // when all is read that was there before
    } catch (problem) {
      deciding.delete(name);
      setError(problem instanceof ApiError && problem.status === 409 ? `It was decided meanwhile: ${problem.message}` : wordsOf(problem));
      void session.refresh().catch(() => undefined);
    }
    setBusy(false);
  };
  const approve = () => {
    if (isChanged && !isObject) return;
    const changed = isChanged && "value" in read ? { arguments: read.value as Record<string, Json> } : {};
    void decide({ approve: true, ...changed }, isChanged ? `${wait.tool} may run, with other arguments.` : `${wait.tool} may run.`);
  };
  const complete = () => void decide({ value: "value" in read ? read.value : text }, `${wait.key} has its value.`);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (isOver) return;
        if (isApproval) approve();
        else if (isToken && text.trim()) complete();
      }}
    >
      <div class="dialog-body">
        {isOver && (
          <p class="note is-over" role="alert">
            <span>
              <Ended session={wait.session} wait={wait.key} /> What you wrote was not sent.
            </span>
          </p>
        )}
        <Asked wait={wait} session={session} />
        {isApproval && (
          <>
            <label class="labelled">
              <span>
                Arguments of <code>{wait.tool}</code>
                {isChanged && <span class="is-config"> changed</span>}
              </span>
              <textarea class="field mono" rows={Math.min(Math.max(text.split("\n").length, 3), 16)} spellcheck={false} readOnly={isOver} value={text} onInput={(event) => setText(event.currentTarget.value)} />
            </label>
            {isChanged && !isObject && <p class="is-error">{"error" in read ? read.error : "Arguments are a JSON object: {…}"}</p>}
            <label class="labelled">
              <span>Reason, where it may not</span>
              <input class="field" type="text" placeholder="The model reads it" readOnly={isOver} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
            </label>
          </>
        )}
        {isToken && (
          <label class="labelled">
            <span>
              Value <span class="dim">{text.trim() && ("value" in read ? "read as JSON" : "taken as a text")}</span>
            </span>
            <textarea class="field mono" rows={3} autoFocus spellcheck={false} readOnly={isOver} placeholder='any JSON, else a text: true, {"rows": 3}, yes' value={text} onInput={(event) => setText(event.currentTarget.value)} />
          </label>
        )}
        {canGoOn && !isOver && (
          <label class="check">
            <input type="checkbox" checked={goesOn} onChange={(event) => setGoesOn(event.currentTarget.checked)} /> Then go on with the run
          </label>
        )}
        {wait.reason === "inbox" && <p>A message to the task ends it.</p>}
        {wait.reason === "child" && <p>It ends when its child {wait.child} does; {wait.queue ? `a worker of queue ${wait.queue}` : "a worker"} runs that.</p>}
      </div>
      {isOver ? <NextOne waits={waits} /> : <Actions error={error}>
        {isApproval && (
          <>
            <button type="submit" class="button is-main" disabled={isBusy || (isChanged && !isObject)}>
              {isChanged ? "Approve with these" : "Approve"}
            </button>
            <button type="button" class="button is-danger" disabled={isBusy} onClick={() => void decide({ approve: false, reason }, `${wait.tool} does not run.`)}>
              Deny
            </button>
          </>
        )}
        {(AGAIN[wait.reason] ?? []).map(([value, words], number) => (
          <button key={value} type="button" class={number ? "button" : "button is-main"} disabled={isBusy} onClick={() => void decide({ value }, `Decided: ${value}.`)}>
            {words}
          </button>
        ))}
        {isToken && (
          <button type="submit" class="button is-main" disabled={isBusy || !text.trim()}>
            Complete
          </button>
        )}
        {wait.reason === "inbox" && (
          <button type="button" class="button is-main" onClick={() => (dialog.value = { name: "say", how: "send" })}>
            Send a message…
          </button>
        )}
        {(isToken || wait.reason === "sleep" || wait.reason === "inbox") && (
          <button type="button" class="button" disabled={isBusy} onClick={() => void decide({ outcome: "cancelled" }, "It waits no longer.")}>
            {wait.reason === "sleep" ? "Wake it" : "Go on without"}
          </button>
        )}
        <button type="button" class="button" onClick={closeDialog}>
          Not now
        </button>
      </Actions>}
    </form>
  );
}

function Asked({ wait, session }: { wait: Waiting; session: OpenSession }) {
  const tags = wait.tags.filter((one) => one !== wait.reason);
  return (
    <>
      <div class="pairs">
        {wait.session !== session.id && (
          <>
            <span>asked by</span>
            <span class="mono">{wait.session}</span>
          </>
        )}
        <span>wait</span>
        <span class="mono breaks">
          <Line text={wait.key} />
        </span>
        {tags.length > 0 && (
          <>
            <span>tags</span>
            <span>
              <Line text={tags.join(", ")} />
            </span>
          </>
        )}
        {wait.deadline_us !== null && (
          <>
            <span>until</span>
            <span>{moment(wait.deadline_us).slice(0, 19)}</span>
          </>
        )}
      </div>
      {wait.tool && wait.reason !== "approval" && (
        <>
          <h2>
            <Sign of="tool" /> {wait.tool}
          </h2>
          <div class="well">
            <JsonText value={wait.arguments} />
          </div>
        </>
      )}
    </>
  );
}

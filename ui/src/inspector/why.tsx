// Why it is so: where the run stood, where the words come from, what changed in the request, and the call itself.

import { Fragment } from "preact";

import { useAnswer } from "../api/answers";
import { ask } from "../api/source";
import type { Absence, Jump, PartChange, SaidTerm } from "../api/types";
import { count, whole } from "../format";
import { SeqLink } from "../parts/links";
import { layOut, Line, Text } from "../parts/text";
import { select } from "../selection";
import type { OpenSession } from "../session/open";
import { ChildOf, FromHere, RowAt } from "./links";
import { UsedWords } from "./usage";

/** What keeps a message out of a request, in words. */
export const ABSENCES: Record<Absence, string> = {
  hook: "left out by a hook",
  compaction: "left out by compaction",
  edit: "hidden by an edit",
  failed: "a failed answer, which no model gets",
  interrupted: "cut off, which no model gets",
  application: "of a kind that no model reads",
  unpaired: "a result without a call",
};

const PARTS: Record<string, string> = { system_prompt: "system prompt", tools: "tools", options: "options", model: "model" };

export function WhyTab({ session, jump }: { session: OpenSession; jump: Jump }) {
  const row = jump.row;
  const kind = row >= 0 && row < session.rows.length ? session.rows.kindOf(row) : "";
  const hasWords = (kind === "assistant" && session.rows.name[row]! > 0) || kind === "tool";
  return (
    <>
      <h2>Where the run stood</h2>
      <p>{jump.standing}</p>
      <ChildOf session={session} jump={jump} />
      {jump.caused_by > 0 && (
        <>
          <h2>Caused by</h2>
          <RowAt session={session} seq={jump.caused_by} />
        </>
      )}
      {hasWords && <Sources session={session} seq={kind === "tool" ? jump.seq : session.rows.name[row]!} />}
      <Changed session={session} jump={jump} />
      {kind === "tool" && <Call session={session} row={row} />}
      {(jump.call_usage.input_tokens > 0 || jump.call_usage.output_tokens > 0) && (
        <>
          <h2>Usage</h2>
          <div class="pairs">
            <span>this call</span>
            <UsedWords used={jump.call_usage} />
            <span>so far</span>
            <UsedWords used={jump.usage} />
          </div>
        </>
      )}
      <FromHere />
    </>
  );
}

/** Which part of the request said each path, identifier and number of an answer or a call. */
function Sources({ session, seq }: { session: OpenSession; seq: number }) {
  const { answer, error, isSlow } = useAnswer(ask("GET /api/sessions/{session}/sources/{seq}", { session: session.id, seq }));
  if (error) return null; // it is of no answer that has ended: there is nothing to say yet
  if (!answer) return isSlow ? <p class="faint">Looking where its words come from…</p> : null;
  if (!answer.terms.length) return null;
  return (
    <>
      <h2 title="Plain text is compared: the last part in which a word stands is named.">Where its words come from</h2>
      <div class="pairs">
        {answer.terms.map((term) => (
          <Fragment key={term.term}>
            <code class="cut" title={term.term}>
              <Line text={term.term} />
            </code>
            <TermSource session={session} term={term} requestSeq={answer.request_seq} />
          </Fragment>
        ))}
      </div>
      {answer.more > 0 && <p class="faint">{count(answer.more, "more word", "more words")} not looked for</p>}
      <p class="faint">Found by comparing plain text.</p>
    </>
  );
}

function TermSource({ session, term, requestSeq }: { session: OpenSession; term: SaidTerm; requestSeq: number }) {
  if (term.place !== null) {
    const show = () => select({ view: "request", seq: requestSeq || session.seq.peek(), part: term.name || null });
    return (
      <span>
        {term.place < 0 ? (PARTS[term.what ?? ""] ?? term.what) : term.source} <SeqLink seq={term.seq} />{" "}
        {term.name > 0 && (
          <button type="button" class="link" onClick={show}>
            show
          </button>
        )}
      </span>
    );
  }
  if (term.left_out !== null)
    return (
      <span class="is-error">
        not in the request: it stands in <SeqLink seq={term.name} />, {ABSENCES[term.left_out]} <SeqLink seq={term.seq} />
      </span>
    );
  return <span class="dim">nothing that was sent says it</span>;
}

/** What changed in the request since the one before. */
function Changed({ session, jump }: { session: OpenSession; jump: Jump }) {
  const seq = jump.request.request_seq || jump.seq;
  const { answer } = useAnswer(jump.request.before_seq ? ask("GET /api/sessions/{session}/requests/{seq}/changes", { session: session.id, seq }, { limit: 8 }) : null);
  if (!answer || !jump.request.before_seq) return null;
  return (
    <>
      <h2>
        Changed since request <SeqLink seq={answer.against_seq}>{whole(answer.against_seq)}</SeqLink>
        &ensp;
        <button type="button" class="link" onClick={() => select({ view: "diff" }, "step")}>
          d
        </button>
      </h2>
      <div class="well mono changed">
        {answer.changes.map((change, number) => (
          <ChangeLine key={number} change={change} />
        ))}
        {answer.more > 0 && <div class="faint">{count(answer.more, "more change")}</div>}
        {!answer.changes.length && <div class="faint">nothing: the same was sent again</div>}
      </div>
    </>
  );
}

const SIGNS = { added: "+", removed: "−", changed: "~", truncated: "…" };

/** A change of a request on one line. */
export function ChangeLine({ change }: { change: PartChange }) {
  const name = change.part.role || PARTS[change.part.what] || change.part.what;
  return (
    <div class={`cut ${change.kind === "added" ? "ins" : change.kind === "removed" ? "del" : ""}`}>
      {SIGNS[change.kind]} {name.replace("_", " ")} <Line text={change.part.text} />
    </div>
  );
}

/** The call of a row, and what came of it. */
function Call({ session, row }: { session: OpenSession; row: number }) {
  const seq = session.rows.anchor(row);
  const asked = ask("GET /api/sessions/{session}/transcript", { session: session.id }, { around: session.rows.seq[row]!, before: 1, after: 1, at: seq });
  const { answer } = useAnswer(asked);
  const calls = answer?.messages.flatMap((message) => message.calls) ?? [];
  const call = calls.find((one) => one.result_seq === session.rows.name[row] && one.result_seq > 0) ?? calls.find((one) => one.name === session.rows.whoOf(row));
  if (!call) return null;
  return (
    <>
      <h2>The call</h2>
      <div class="well">
        <div class="mono is-tool">{call.name}</div>
        <Text text={layOut(call.arguments.text)} first={1_200} characters={call.arguments.characters} />
      </div>
      {call.result && (
        <>
          <h2>{call.is_error ? <span class="is-error">What went wrong</span> : "What came of it"}</h2>
          <div class="well">
            <Text text={call.result.text} first={1_200} characters={call.result.characters} />
          </div>
        </>
      )}
    </>
  );
}

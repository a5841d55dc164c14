// What a fork's next request would be, against the original's; and which calls it might make again.

import type { CallAgain, ForkPreview, PartChange } from "../api/types";
import { count, shortId, whole } from "../format";
import { Sign } from "../parts/signs";
import { argumentsLine, Line, plain } from "../parts/text";
import { Pieces } from "../views/diff";
import type { Tools } from "./fork_draft";

const KINDS: Record<PartChange["kind"], [string, string, string]> = {
  added: ["+", "added", "is-good"],
  removed: ["−", "dropped", "is-error"],
  changed: ["~", "changed", "is-config"],
  truncated: ["…", "truncated", "is-config"],
};
const NAMES: Record<string, string> = { system_prompt: "system prompt", tool_result: "result" };

/** The preview. */
export function Preview({ preview, problem, isOld, tools }: { preview: ForkPreview | null; problem: string; isOld: boolean; tools: Tools }) {
  return (
    <section class={`fork-preview scrolls${isOld ? " is-waiting" : ""}`} aria-label="What would be sent" aria-busy={isOld}>
      <h2>
        The next request
        {preview && <span class="faint"> {preview.against_seq ? `against ${whole(preview.against_seq)} of the original` : "against what the original would send next"}</span>}
      </h2>
      {problem ? (
        <p class="is-error" role="alert">
          {problem}
        </p>
      ) : preview === null ? (
        <p class="dim is-late">Asking what would be sent…</p>
      ) : (
        <>
          {!preview.changes.length && <p class="dim">Nothing is otherwise: the same would be sent.</p>}
          {preview.changes.map((change, number) => (
            <Change key={number} change={change} />
          ))}
          {preview.more_changes > 0 && <p class="dim">and {count(preview.more_changes, "change")} more</p>}
          <p class="faint">{count(preview.messages, "message")} in it</p>
          <Again preview={preview} tools={tools} />
        </>
      )}
    </section>
  );
}

function Change({ change }: { change: PartChange }) {
  const { kind, part } = change;
  const [sign, word, tone] = KINDS[kind];
  const isMono = part.role === "tool_result" || part.what === "tools" || part.what === "options" || part.what === "model";
  return (
    <div class="fork-change">
      <div class={tone}>
        <b aria-hidden="true">{sign}</b> {word} <span class="dim">{NAMES[part.role] ?? NAMES[part.what] ?? (part.role || part.what)}</span>
      </div>
      {change.pieces.length > 0 ? (
        <Pieces pieces={change.pieces} isMono={isMono} />
      ) : (
        <div class={isMono ? "mono said-words" : "said-words"}>{kind === "removed" ? <del>{plain(part.text)}</del> : plain(part.text)}</div>
      )}
      {change.is_cut && <div class="faint">only the beginnings were compared: the texts are long</div>}
    </div>
  );
}

const BECOMES: Record<CallAgain["becomes"]["ask"], [string, string]> = {
  run: ["made again", "is-config"],
  adopt: ["gets the result on record", "is-good"],
  ask: ["asks a person", "is-wait"],
  refuse: ["refused", "is-error"],
};

/** The calls that were made behind this place: those with an effect, and those that are made again anyway. */
function Again({ preview, tools }: { preview: ForkPreview; tools: Tools }) {
  const once = preview.once.length + preview.more_once;
  const others = preview.others.length + preview.more_others;
  return (
    <>
      {once > 0 && (
        <>
          <h2 class="is-config">
            <Sign of="stuck" /> {count(once, "call")} with an effect behind this place
          </h2>
          <p class="dim">What the fork does if it makes {once === 1 ? "it" : "one of them"} again, with the same arguments:</p>
          <Calls calls={preview.once} more={preview.more_once} session={preview.session} tools={tools} />
        </>
      )}
      {others > 0 && (
        <details>
          <summary>{count(others, "call")} without one, which it makes again in any case</summary>
          <Calls calls={preview.others} more={preview.more_others} session={preview.session} tools={tools} />
        </details>
      )}
    </>
  );
}

function Calls({ calls, more, session, tools }: { calls: readonly CallAgain[]; more: number; session: string; tools: Tools }) {
  return (
    <ul class="again">
      {calls.map((call) => {
        const [words, tone] = BECOMES[call.becomes[tools]];
        return (
          <li key={`${call.session} ${call.seq}`}>
            <div class="mono cut" title={call.arguments}>
              <span class="faint">{whole(call.seq)}</span> <span class="is-tool">{call.name}</span> <Line text={argumentsLine(call.arguments)} />
            </div>
            <div class="cut">
              <span class="dim">{call.effect || "once, for all that is known"}</span>
              {call.session !== session && <span class="dim"> · made in {shortId(call.session)}</span>}
              <span class={call.status === "failed" ? "is-error" : "dim"}> · {call.status === "unknown" ? "what came of it is not known" : call.status}</span>
              {call.result && (
                <span class="faint">
                  : <Line text={call.result} />
                </span>
              )}
            </div>
            <div class={tone}>{words}</div>
          </li>
        );
      })}
      {more > 0 && <li class="dim">and {whole(more)} more</li>}
    </ul>
  );
}

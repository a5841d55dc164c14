// What a fork's next request would be, against the original's; and which calls it might make again.

import type { CallAgain, ForkPreview, PartChange } from "../api/types";
import { count, whole } from "../format";
import { Sign } from "../parts/signs";
import { Line, plain } from "../parts/text";
import { Pieces } from "../views/diff";

const KINDS: Record<PartChange["kind"], [string, string, string]> = {
  added: ["+", "added", "is-good"],
  removed: ["−", "dropped", "is-error"],
  changed: ["~", "changed", "is-config"],
  truncated: ["…", "truncated", "is-config"],
};
const NAMES: Record<string, string> = { system_prompt: "system prompt", tool_result: "result" };

/** The preview. */
export function Preview({ preview, problem, isOld }: { preview: ForkPreview | null; problem: string; isOld: boolean }) {
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
          {preview.once.length > 0 && <Again calls={preview.once} more={preview.more_once} />}
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

/** Calls that have an effect once. */
function Again({ calls, more }: { calls: readonly CallAgain[]; more: number }) {
  return (
    <>
      <h2 class="is-config">
        <Sign of="stuck" /> {count(calls.length + more, "call", "calls")} with an effect behind this place
      </h2>
      <p class="dim">The original made {calls.length + more === 1 ? "it" : "them"}. If the fork makes one again with the same arguments, its run asks, takes what is on record, or makes it, as it was told.</p>
      <ul class="again">
        {calls.map((call) => (
          <li key={`${call.place.message_seq} ${call.place.content_index}`} class="mono cut" title={call.arguments}>
            <span class="is-tool">{call.name}</span> <Line text={call.arguments} />
          </li>
        ))}
        {more > 0 && <li class="dim">and {whole(more)} more</li>}
      </ul>
    </>
  );
}

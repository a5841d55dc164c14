// How the run stood: in words, then its open calls, its queues, and what it waits for.

import { theSource } from "../api/source";
import type { Jump } from "../api/types";
import { dialog } from "../dialogs/dialogs";
import { count, moment } from "../format";
import { SeqLink } from "../parts/links";
import { Sign } from "../parts/signs";
import { argumentsLine, Line } from "../parts/text";
import type { OpenSession } from "../session/open";

/** How a wait is called. */
export const WAITS: Record<string, string> = {
  approval: "approval",
  in_doubt: "in doubt whether it ran",
  repeat: "whether to make the call again",
  inbox: "a message",
  sleep: "a time",
  retry: "the next attempt",
  "": "a token",
};

export function StateTab({ session, jump }: { session: OpenSession; jump: Jump }) {
  const isHead = jump.seq === session.last.value;
  const canDecide = isHead && !theSource().isArchive;
  return (
    <>
      <h2>Where the run stood</h2>
      <p>
        {jump.standing} <span class="faint">({jump.phase.toLowerCase()})</span>
      </p>
      {jump.waits.length > 0 && (
        <>
          <h2>It waits for</h2>
          {jump.waits.map((wait) => (
            <div key={`${wait.session}:${wait.key}`} class="well wait">
              <div class="is-wait">
                <Sign of="waiting" /> {WAITS[wait.reason] ?? wait.reason}
                {wait.deadline_us !== null && <span class="dim"> until {moment(wait.deadline_us)}</span>}
              </div>
              {wait.tool && (
                <div class="mono">
                  <span class="is-tool">{wait.tool}</span> <Line text={argumentsLine(JSON.stringify(wait.arguments))} />
                </div>
              )}
              {canDecide && !["sleep", "retry", "inbox"].includes(wait.reason) && (
                <button type="button" class="button" onClick={() => (dialog.value = { name: "decide", key: wait.key })}>
                  Decide
                </button>
              )}
            </div>
          ))}
          {jump.waits_in_all > jump.waits.length && <p class="dim">{jump.waits_in_all - jump.waits.length} more</p>}
        </>
      )}
      {jump.calls.length > 0 && (
        <>
          <h2>{count(jump.calls_in_all, "call")} of the answer under way</h2>
          {jump.calls.map((call) => (
            <div key={`${call.place.message_seq}.${call.place.content_index}`} class="call-line">
              <span class="mono cut">
                <span class="is-tool">{call.name}</span> <Line text={argumentsLine(call.arguments)} />
              </span>
              <span class={call.status === "refused" ? "is-config" : call.status === "waiting" ? "is-wait" : "dim"}>{call.status}</span>
            </div>
          ))}
        </>
      )}
      {jump.queue.length > 0 && (
        <>
          <h2>{count(jump.queued_in_all, "message")} queued</h2>
          {jump.queue.map((one) => (
            <div key={one.seq} class="call-line">
              <span class="cut">
                <Line text={one.text} />
              </span>
              <span class="dim">
                {one.queue} <SeqLink seq={one.seq} />
              </span>
            </div>
          ))}
        </>
      )}
      {!jump.waits.length && !jump.calls.length && !jump.queue.length && <p class="faint">No open calls, nothing queued, nothing that it waits for.</p>}
    </>
  );
}

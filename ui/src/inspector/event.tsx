// The event itself: when, what, and all that it holds.

import { useState } from "preact/hooks";

import { attempt, tell } from "../api/answers";
import { ask, get } from "../api/source";
import type { Json, Jump } from "../api/types";
import { bytes, moment } from "../format";
import { JsonText, plain, Text } from "../parts/text";
import type { OpenSession } from "../session/open";
import { isRendered } from "../ui_state";

/** Fields of an event that are shown by themselves. */
function fieldsOf(value: Json): [string, Json][] {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).filter(([name]) => name !== "type") : [];
}

export function EventTab({ session, jump }: { session: OpenSession; jump: Jump }) {
  const [whole, setWhole] = useState<{ seq: number; value: Json } | null>(null);
  const all = whole?.seq === jump.seq ? whole.value : null;
  const read = () => get(ask("GET /api/sessions/{session}/events/{seq}", { session: session.id, seq: jump.seq }));
  const copy = () =>
    attempt(async () => {
      await navigator.clipboard.writeText(JSON.stringify(all ?? (jump.event.is_cut ? await read() : jump.event.value), null, 2));
      tell("The event was copied as JSON.");
    });
  if (!jump.type)
    return <p class="empty">This is a piece of a message whose content was dropped: what was said is in the message’s end.</p>;
  const value = all ?? jump.event.value;
  return (
    <>
      <h2>{jump.type}</h2>
      <div class="pairs">
        <span>at</span>
        <span>{moment(jump.at_us)}</span>
        <span>size</span>
        <span>{bytes(jump.event.size_bytes)}</span>
      </div>
      <h2>
        What it holds &ensp;
        <button type="button" class="link" onClick={() => void copy()}>
          copy JSON
        </button>
        &ensp;
        <button type="button" class="link" onClick={() => (isRendered.value = !isRendered.value)}>
          {isRendered.value ? "as JSON" : "as fields"}
        </button>
      </h2>
      {isRendered.value ? (
        <div class="pairs">
          {fieldsOf(value).map(([name, one]) => (
            <>
              <span>{plain(name)}</span>
              <div>{typeof one === "string" ? <Text text={one} first={2_000} /> : typeof one === "number" || typeof one === "boolean" || one === null ? <code>{String(one)}</code> : <JsonText value={one} first={2_000} />}</div>
            </>
          ))}
          {!fieldsOf(value).length && <span class="faint">nothing</span>}
        </div>
      ) : (
        <div class="well">
          <JsonText value={value} />
        </div>
      )}
      {jump.event.is_cut && all === null && (
        <button type="button" class="link" onClick={() => void attempt(async () => setWhole({ seq: jump.seq, value: await read() }))}>
          show all {bytes(jump.event.size_bytes)}
        </button>
      )}
    </>
  );
}

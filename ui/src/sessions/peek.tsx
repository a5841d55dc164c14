// A pane that looks into a session without leaving the table: how it began, how it stands, what it waits for.

import { useAnswer } from "../api/answers";
import { ask } from "../api/source";
import type { ChatMessage, SessionHead, Waiting } from "../api/types";
import { dialog } from "../dialogs/dialogs";
import { ago, count, dollars, duration, moment, short, whole } from "../format";
import { follow } from "../parts/links";
import { Sign, Status } from "../parts/signs";
import { JsonText, Line, Text } from "../parts/text";
import { go, hrefOf, sessionPlace } from "../selection";
import { peekSession } from "../ui_state";
import { table } from "./table";
import { waitWords } from "./wait_words";

const SHOWN = 1_200;
const LAST = 4;

/** What is to be seen of a session. */
export function Peek({ session }: { session: string }) {
  const again = table.rows.value.get(session)?.info.head ?? 0;
  const { answer: head, error, isOld } = useAnswer(ask("GET /api/sessions/{session}", { session }), { keep: false, again });
  return (
    <aside class={`peek scrolls${isOld ? " is-old" : ""}`} aria-label="A look into the session">
      <div class="peek-head">
        <button type="button" class="button is-main" onClick={() => go(sessionPlace(session))}>
          Open
        </button>
        <kbd>enter</kbd>
        <button type="button" class="plain at-end" onClick={() => (peekSession.value = null)} title="Close (space)" aria-label="Close">
          <Sign of="error" />
        </button>
      </div>
      {error && <p class="is-error">{error}</p>}
      {head && <Seen head={head} again={again} />}
    </aside>
  );
}

function Seen({ head, again }: { head: SessionHead; again: number }) {
  const { info, stands, used } = head;
  const sent = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens;
  return (
    <>
      <h1>{info.title ? <Line text={info.title} /> : info.first_words ? <Line text={info.first_words} /> : info.id}</h1>
      <p>
        <Status of={stands.status} /> {stands.reason && <span class="dim">{stands.reason}</span>}
      </p>
      {stands.waits.map((wait) => (
        <WaitsFor key={`${wait.session}:${wait.key}`} wait={wait} session={info.id} />
      ))}
      {info.first_words && info.title && info.first_words !== info.title && (
        <>
          <h2>It began with</h2>
          <Text text={info.first_words} prose first={SHOWN} />
        </>
      )}
      <h2>What was said last</h2>
      <LastWords session={info.id} again={again} />
      <h2>What it is</h2>
      <div class="pairs">
        <span>id</span>
        <span class="mono cut" title={info.id}>
          {info.id}
        </span>
        {info.models.length > 0 && (
          <>
            <span>{info.models.length > 1 ? "models" : "model"}</span>
            <span>{info.models.join(", ")}</span>
          </>
        )}
        <span>events</span>
        <span>
          {whole(info.head)}, {count(info.turns, "turn")}
        </span>
        {sent > 0 && (
          <>
            <span>tokens</span>
            <span>
              {short(sent)} in, {short(used.output_tokens)} out{used.cost_microusd !== null && `, ${dollars(used.cost_microusd)}`}
            </span>
          </>
        )}
        <span>updated</span>
        <span title={moment(info.updated_at_us)}>
          {ago(info.updated_at_us, Date.now())}
          {info.updated_at_us > info.created_at_us && `, ${duration(info.updated_at_us - info.created_at_us)} after it was made`}
        </span>
        {head.family > 1 && (
          <>
            <span>family</span>
            <span>
              <a href={hrefOf(sessionPlace(info.id, null, "tree"))} onClick={follow}>
                {count(head.family, "session")} in its tree
              </a>
            </span>
          </>
        )}
        <Fact name="agent" value={info.agent} />
        <Fact name="folder" value={info.folder} />
        <Fact name="branch" value={info.branch} />
        <Fact name="imported from" value={info.source} />
      </div>
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  if (!value) return null;
  return (
    <>
      <span>{name}</span>
      <span class="breaks">
        <Line text={value} />
      </span>
    </>
  );
}

function WaitsFor({ wait, session }: { wait: Waiting; session: string }) {
  return (
    <div class="well wait">
      <span class="is-wait">
        <Sign of="waiting" /> {waitWords(wait)}
      </span>
      {wait.tool && <JsonText value={wait.arguments} first={SHOWN} />}
      <button
        type="button"
        class="button"
        onClick={() => {
          go(sessionPlace(session));
          dialog.value = { name: "decide", key: wait.key };
        }}
      >
        Decide…
      </button>
    </div>
  );
}

function LastWords({ session, again }: { session: string; again: number }) {
  const { answer, error } = useAnswer(ask("GET /api/sessions/{session}/transcript", { session }, { before: LAST, after: 1 }), { keep: false, again });
  if (error) return <p class="is-error">{error}</p>;
  if (answer === null) return null;
  if (!answer.messages.length) return <p class="dim">Nothing yet.</p>;
  return (
    <>
      {answer.messages.slice(-LAST).map((message) => (
        <LastMessage key={message.seq} message={message} />
      ))}
    </>
  );
}

function LastMessage({ message }: { message: ChatMessage }) {
  return (
    <div class={`last-message is-${message.role}`}>
      <div class="faint">
        {message.role === "tool_result" ? `result of ${message.tool}` : message.role} {whole(message.seq)}
      </div>
      {message.text.text && <Text text={message.text.text} prose first={SHOWN} characters={message.text.characters} />}
      {message.calls.map((call) => (
        <div key={call.place.content_index} class="mono is-tool cut">
          <Sign of="tool" /> {call.name} <span class={call.is_error ? "is-error" : "dim"}>{call.is_error ? "failed" : call.status}</span>
        </div>
      ))}
      {message.note && <div class="is-error">{message.note}</div>}
    </div>
  );
}

// What stands above a session: its title, how it stands, what it used; and the views.

import { useRef } from "preact/hooks";

import { theSource } from "../api/source";
import { dialog } from "../dialogs/dialogs";
import { count, dollars, duration, moment, percent, short, whole } from "../format";
import { Sign, Status } from "../parts/signs";
import { Line } from "../parts/text";
import { hrefOf, select, selection, VIEWS, type View } from "../selection";
import { follow } from "../parts/links";
import { toggleInspector } from "../ui_state";
import type { OpenSession } from "./open";

const NAMES: Record<View, string> = { chat: "Chat", request: "Request", diff: "Diff", timeline: "Timeline", tree: "Tree", raw: "Raw" };

/** The name of a model without who makes it. */
export function modelName(model: string): string {
  return model.slice(model.lastIndexOf("/") + 1);
}

/** The line above a session. */
export function Head({ session }: { session: OpenSession }) {
  const head = session.head.value;
  const tabs = useRef<HTMLElement>(null);
  const view = selection.value?.view ?? "chat";
  const info = head?.info;
  const onKey = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    event.preventDefault();
    const next = VIEWS[(VIEWS.indexOf(view) + by + VIEWS.length) % VIEWS.length]!;
    select({ view: next }, "step");
    (tabs.current?.children[VIEWS.indexOf(next)] as HTMLElement | undefined)?.focus();
  };
  const title = info ? info.title || info.first_words || info.id : session.id;
  return (
    <header>
      {!theSource().isArchive && (
        <a class="home" href={hrefOf({ screen: "sessions", filter: "", sort: "updated" })} onClick={follow} title="All sessions">
          <Sign of="home" words="All sessions" />
        </a>
      )}
      <h1 class="cut" title={`${title}\n${session.id}`}>
        <Line text={title} />
      </h1>
      {head && info && (
        <div class="facts">
          <span>
            <Status of={head.stands.status} reason={head.stands.reason} />
          </span>
          {info.model && <span title={info.models.join("\n")}>{modelName(info.model)}{info.models.length > 1 && ` +${info.models.length - 1}`}</span>}
          <span>{count(info.turns, "turn")}</span>
          <span>{count(session.last.value, "event")}</span>
          {session.indexing.value === 1 && <UsedFacts head={head} />}
          {info.updated_at_us > info.created_at_us && (
            <span title={`${moment(info.created_at_us)} to ${moment(info.updated_at_us)}`}>{duration(info.updated_at_us - info.created_at_us)}</span>
          )}
          {info.source && <span title={`imported from ${info.source}`}>{info.source.split(":")[0]}</span>}
          {head.family > 1 && (
            <span>
              <button type="button" class="plain" onClick={() => select({ view: "tree" }, "step")} title="Sessions that were forked from it, or that it was forked from">
                <Sign of="fork" /> {count(head.family, "session")} in its tree
              </button>
            </span>
          )}
        </div>
      )}
      <nav class="tabs" role="tablist" aria-label="Views" ref={tabs} onKeyDown={onKey}>
        {VIEWS.map((one, number) => (
          <button key={one} type="button" role="tab" id={`tab-${one}`} aria-selected={one === view} aria-controls="reader" tabIndex={one === view ? 0 : -1} onClick={() => select({ view: one }, "step")}>
            {NAMES[one]}
            <kbd aria-hidden="true">{number + 1}</kbd>
          </button>
        ))}
      </nav>
      <div class="more-buttons">
        <button type="button" class="is-narrow" onClick={toggleInspector} aria-label="Inspector" title="Inspector (])">
          <Sign of="note" />
        </button>
        <button type="button" onClick={() => (dialog.value = { name: "palette" })} title="All commands (ctrl+k)" aria-label="All commands">
          <Sign of="more" />
        </button>
      </div>
    </header>
  );
}

function UsedFacts({ head }: { head: NonNullable<OpenSession["head"]["value"]> }) {
  const used = head.used;
  const sent = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens;
  if (!sent && used.cost_microusd === null) return null;
  const title = [
    `${whole(used.input_tokens)} tokens in`,
    `${whole(used.cache_read_tokens)} from the cache`,
    `${whole(used.cache_write_tokens)} into the cache`,
    `${whole(used.output_tokens)} out`,
    ...(used.unpriced ? [`${whole(used.unpriced)} answers without a known price`] : []),
  ].join("\n");
  return (
    <>
      <span title={title}>
        {short(sent)} in {used.cache_read_tokens > 0 && <span class="faint">({percent(used.cache_read_tokens / sent)} cached)</span>}
      </span>
      {used.cost_microusd !== null && (
        <span title={`$${(used.cost_microusd / 1e6).toFixed(6)}`}>
          {used.unpriced ? "≥ " : ""}
          {dollars(used.cost_microusd)}
        </span>
      )}
    </>
  );
}

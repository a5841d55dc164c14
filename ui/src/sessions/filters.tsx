// What sessions are chosen by: a text with fields, and filters that are always at hand.

import { useEffect, useRef, useState } from "preact/hooks";

import { useAnswer } from "../api/answers";
import { ask } from "../api/source";
import { whole } from "../format";
import { type Sign as SignName, Sign } from "../parts/signs";
import { place } from "../selection";
import { showSessions, table } from "./table";

const TYPED_MS = 30;
const COUNTED = 100;

interface Saved {
  name: string;
  filter: string;
  sign: SignName;
  tone: string;
}

const SAVED: readonly Saved[] = [
  { name: "All", filter: "", sign: "home", tone: "dim" },
  { name: "Running", filter: "status:running", sign: "running", tone: "is-accent" },
  { name: "Waiting", filter: "status:waiting", sign: "waiting", tone: "is-wait" },
  { name: "Failed", filter: "status:failed", sign: "error", tone: "is-error" },
  { name: "Imported", filter: "source:any", sign: "down", tone: "dim" },
];

/** Fields of a filter, as they are begun, and what they are compared with. */
const FIELDS: readonly [string, string][] = [
  ["status:", "failed, waiting …"],
  ["model:", "a part of its name"],
  ["tool:", "one that was called"],
  ["title:", "a part of it"],
  ["source:", "claude-code, any …"],
  ["folder:", "where it worked"],
  ["branch:", "of git"],
  ["agent:", "its name"],
  ["cost>", "dollars; also < and :"],
  ["turns>", "events, errors too"],
  ["after:", "2026-11-01; before"],
];

/** The filters. */
export function Filters() {
  const field = useRef<HTMLInputElement>(null);
  const now = place.value.screen === "sessions" ? place.value.filter : "";
  const [typed, setTyped] = useState(now);
  useEffect(() => {
    if (document.activeElement !== field.current) setTyped(now);
  }, [now]);
  useEffect(() => {
    if (typed === now) return;
    const timer = setTimeout(() => showSessions({ filter: typed.trim() }, "step"), TYPED_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const choose = (filter: string) => {
    setTyped(filter);
    showSessions({ filter });
  };
  const begin = (what: string) => {
    const gap = typed && !typed.endsWith(" ") ? " " : "";
    setTyped(typed + gap + what);
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault();
    if (typed.trim() !== now) showSessions({ filter: typed.trim() }, "step");
    document.getElementById("sessions-table")?.focus();
  };
  const error = table.filterError.value;
  return (
    <aside class="filters scrolls" aria-label="Filters">
      <search>
        <input
          id="filter"
          ref={field}
          class="field"
          type="text"
          placeholder="Filter"
          aria-label="Filter"
          aria-invalid={error !== ""}
          aria-describedby={error ? "filter-error" : undefined}
          spellcheck={false}
          autocomplete="off"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {error && (
          <p id="filter-error" class="is-error" role="alert">
            {error.replace(/^filter:? /, "")}
          </p>
        )}
      </search>
      <ul class="saved">
        {SAVED.map((saved) => (
          <li key={saved.name}>
            <button type="button" class={`saved-filter${saved.filter === now ? " is-selected" : ""}`} aria-pressed={saved.filter === now} onClick={() => choose(saved.filter)}>
              <span class={saved.tone}>
                <Sign of={saved.sign} />
              </span>
              {saved.name}
              <Count filter={saved.filter} />
            </button>
          </li>
        ))}
      </ul>
      <details class="fields" open>
        <summary>Fields</summary>
        <ul>
          {FIELDS.map(([what, says]) => (
            <li key={what}>
              <button type="button" class="plain" onClick={() => begin(what)}>
                <code>{what}</code> <span class="faint">{says}</span>
              </button>
            </li>
          ))}
          <li class="faint">
            <code>"exact words"</code> as said
          </li>
        </ul>
      </details>
    </aside>
  );
}

/** How many sessions a filter finds, up to a hundred: more are not worth the reading. */
function Count({ filter }: { filter: string }) {
  const counted = useCalm(table.changes.value);
  const isTold = filter === ""; // whoever watches the table is told how many there are
  const isKnown = isTold && (table.isLive.value || table.inAll.value > 0);
  const { answer } = useAnswer(isTold || !table.isSettled.value ? null : ask("GET /api/sessions", {}, { filter, limit: COUNTED }), { again: counted, keep: false });
  if (!isKnown && answer === null) return null;
  const many = isKnown ? table.inAll.value : answer!.sessions.length;
  const hasMore = isKnown ? table.hasMore.value : answer!.next !== "";
  return (
    <span class="count" title={hasMore ? `more than ${whole(many)}` : undefined}>
      {whole(many)}
      {hasMore && "+"}
    </span>
  );
}

const CALM_MS = 3000;

/** A number as it was at most three seconds ago: what follows it is asked for no more often. */
function useCalm(number: number): number {
  const [calm, setCalm] = useState(number);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const last = useRef(number);
  last.current = number;
  useEffect(() => {
    timer.current ??= setTimeout(() => {
      timer.current = null;
      setCalm(last.current);
    }, CALM_MS);
  }, [number]);
  useEffect(() => () => clearTimeout(timer.current ?? undefined), []);
  return calm;
}

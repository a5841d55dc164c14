// The table as it is drawn: only the rows in sight are elements.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import type { SessionSort } from "../api/types";
import { ago, count, dollars, duration, moment, percent, short, shortId, whole } from "../format";
import { follow } from "../parts/links";
import { Sign, Status } from "../parts/signs";
import { useScroll, useSize } from "../parts/sizes";
import { Line as Words } from "../parts/text";
import { hrefOf, sessionPlace } from "../selection";
import { modelName } from "../session/head";
import { peekSession } from "../ui_state";
import type { Line } from "./families";
import { showSessions, table } from "./table";
import { titleOf } from "./title";

const ROW_PX = 28;
const OVER = 4;
const AHEAD = 30;
const MINUTE_MS = 60_000;
/** The day at the end of a model's name: it stands in the title. */
const DAY = /-20\d{6}$/;

interface Column {
  name: string;
  class: string;
  sort?: SessionSort;
  says?: string;
}

const COLUMNS: readonly Column[] = [
  { name: "Session", class: "is-title" },
  { name: "Status", class: "is-status" },
  { name: "Model", class: "is-model" },
  { name: "Turns", class: "is-turns number", sort: "turns" },
  { name: "Events", class: "is-events number", sort: "events" },
  { name: "Tokens in", class: "is-tokens number", says: "Tokens that were sent, and how many of them the provider had kept" },
  { name: "Out", class: "is-out number", says: "Tokens of answers" },
  { name: "Cost", class: "is-cost number", sort: "cost" },
  { name: "Took", class: "is-took number", says: "From the first event to the last" },
  { name: "Updated", class: "is-updated number", sort: "updated" },
  { name: "Forks", class: "is-forks number", says: "Sessions that were forked from it" },
  { name: "Errors", class: "is-errors number", sort: "errors", says: "Runs, steps and tool calls that failed" },
];

/** The table. */
export function TableView() {
  const box = useRef<HTMLDivElement>(null);
  const { height } = useSize(box);
  const top = useScroll(box);
  const lines = table.lines.value;
  const at = table.at.value;
  const nowMs = useMinute();
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || at < 0 || element.clientHeight === 0) return;
    const rowTop = at * ROW_PX;
    if (rowTop < element.scrollTop) element.scrollTop = rowTop;
    else if (rowTop + 2 * ROW_PX > element.scrollTop + element.clientHeight) element.scrollTop = rowTop + 2 * ROW_PX - element.clientHeight;
  }, [table.selected.value, height]);
  useEffect(() => box.current?.focus({ preventScroll: true }), []);
  const first = Math.max(Math.floor(top / ROW_PX) - OVER, 0);
  const end = Math.min(Math.ceil((top + height) / ROW_PX) + OVER, lines.length);
  useEffect(() => {
    if (height > 0 && lines.length > 0 && end + AHEAD >= lines.length) table.more();
  }, [end, height, lines.length, table.next.value]);
  return (
    <section class={`sessions-table${table.isLoading.value && table.isRead.value ? " is-loading" : ""}`} aria-label="Sessions">
      <div
        id="sessions-table"
        class="scrolls"
        ref={box}
        tabIndex={0}
        role="treegrid"
        aria-label="Sessions"
        aria-rowcount={table.next.value ? -1 : lines.length + 1}
        aria-colcount={COLUMNS.length}
        aria-activedescendant={at >= 0 ? lineId(lines[at]!) : undefined}
      >
        <HeadRow />
        <div class="table-inner" role="rowgroup" style={{ height: `${lines.length * ROW_PX}px` }}>
          {lines.slice(first, end).map((line, number) => (
            <TableLine key={line.row.info.id} line={line} number={first + number} isSelected={first + number === at} nowMs={nowMs} />
          ))}
        </div>
        {!lines.length && (table.error.value ? <p class="empty is-error">{table.error.value}</p> : (table.isRead.value || table.filterError.value) && <NothingFound />)}
        {!table.isRead.value && !table.filterError.value && !table.error.value && <p class="empty is-late">Reading the sessions…</p>}
      </div>
    </section>
  );
}

function lineId(line: Line): string {
  return `session-${line.row.info.id}`;
}

/** The time, minute by minute: "5 min ago" goes on. */
function useMinute(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), MINUTE_MS / 4);
    return () => clearInterval(timer);
  }, []);
  return Math.max(now, Date.now() - MINUTE_MS / 4);
}

function NothingFound() {
  if (table.filterError.value) return <p class="empty">The filter cannot be understood: under it stands why.</p>;
  return (
    <p class="empty">
      No session is like <code>{table.filter.value}</code>.{" "}
      <button type="button" class="link" onClick={() => showSessions({ filter: "" })}>
        Show all
      </button>
    </p>
  );
}

function HeadRow() {
  const sort = table.sort.value;
  return (
    <div class="session-row is-head" role="row" aria-rowindex={1}>
      {COLUMNS.map((column) => {
        const isUpdated = column.sort === "updated";
        const isSorted = column.sort === sort || (isUpdated && sort === "created");
        if (column.sort === undefined)
          return (
            <span key={column.name} class={column.class} role="columnheader" title={column.says}>
              {column.name}
            </span>
          );
        const next = isUpdated && sort === "updated" ? "created" : column.sort;
        const does = next === "created" ? "Sort by when they were made" : isUpdated ? "Sort by when they were updated" : `Sort by ${column.name.toLowerCase()}: the most first`;
        return (
          <span key={column.name} class={column.class} role="columnheader" aria-sort={isSorted ? "descending" : "none"}>
            <button type="button" class={`plain${isSorted ? " is-sorted" : ""}`} title={column.says ? `${column.says}\n${does}` : does} onClick={() => showSessions({ sort: next })}>
              {isUpdated && sort === "created" ? "Made" : column.name}
              {isSorted && <Sign of="down" />}
            </button>
          </span>
        );
      })}
    </div>
  );
}

function TableLine({ line, number, isSelected, nowMs }: { line: Line; number: number; isSelected: boolean; nowMs: number }) {
  const { row } = line;
  const info = row.info;
  const sent = info.input_tokens + info.cache_read_tokens + info.cache_write_tokens;
  const isMade = table.sort.value === "created";
  const whenUs = isMade ? info.created_at_us : info.updated_at_us;
  return (
    <div
      id={lineId(line)}
      class={`session-row${isSelected ? " is-selected" : ""}`}
      role="row"
      aria-rowindex={number + 2}
      aria-selected={isSelected}
      aria-level={line.depth + 1}
      aria-expanded={line.members ? line.isOpen : undefined}
      style={{ top: `${number * ROW_PX}px` }}
      onClick={(event) => {
        table.select(info.id);
        if (!(event.target as HTMLElement).closest("a, button")) table.open();
      }}
    >
      <TitleCell line={line} />
      <span class="is-status cut" role="gridcell">
        <Status of={row.status} reason={row.reason} />
      </span>
      <span class="is-model cut dim" role="gridcell" title={info.models.join("\n") || info.model}>
        {modelName(info.model).replace(DAY, "")}
        {info.models.length > 1 && <span class="faint"> +{info.models.length - 1}</span>}
      </span>
      <span class="is-turns number" role="gridcell">
        {info.turns ? whole(info.turns) : <Nothing />}
      </span>
      <span class="is-events number dim" role="gridcell">
        {whole(info.head)}
      </span>
      <span class="is-tokens number" role="gridcell" title={sent ? `${whole(info.input_tokens)} tokens in\n${whole(info.cache_read_tokens)} from the cache\n${whole(info.cache_write_tokens)} into the cache` : undefined}>
        {sent ? short(sent) : <Nothing />}
        {info.cache_read_tokens > 0 && <span class="faint"> {percent(info.cache_read_tokens / sent)}</span>}
      </span>
      <span class="is-out number" role="gridcell" title={info.output_tokens ? `${whole(info.output_tokens)} tokens out` : undefined}>
        {info.output_tokens ? short(info.output_tokens) : <Nothing />}
      </span>
      <span class="is-cost number" role="gridcell" title={info.cost_microusd === null ? "no price is known" : `$${(info.cost_microusd / 1e6).toFixed(6)}`}>
        {info.cost_microusd === null ? <Nothing /> : dollars(info.cost_microusd)}
      </span>
      <span class="is-took number dim" role="gridcell" title={`${moment(info.created_at_us)} to ${moment(info.updated_at_us)}`}>
        {row.duration_us > 0 ? duration(row.duration_us) : <Nothing />}
      </span>
      <span class="is-updated number dim" role="gridcell" title={moment(whenUs)}>
        {ago(whenUs, nowMs)}
      </span>
      <span class="is-forks number" role="gridcell" title={row.forks ? count(row.forks, "session was forked from it", "sessions were forked from it") : undefined}>
        {row.forks ? whole(row.forks) : <Nothing />}
      </span>
      <span class={`is-errors number${info.errors ? " is-error" : ""}`} role="gridcell" title={info.errors ? count(info.errors, "run, step or call failed", "runs, steps and calls failed") : undefined}>
        {info.errors ? whole(info.errors) : <Nothing />}
      </span>
    </div>
  );
}

function Nothing() {
  return <span class="nothing">–</span>;
}

function TitleCell({ line }: { line: Line }) {
  const { row, depth, members, isOpen, hot } = line;
  const { info } = row;
  const title = titleOf(row);
  const isFork = info.parent !== null;
  const source = info.source.split(":")[0];
  return (
    <span class="is-title" role="gridcell" style={{ "--depth": String(Math.min(depth, 6)) }}>
      {members > 0 ? (
        <button
          type="button"
          class="plain turn"
          tabIndex={-1}
          aria-label={isOpen ? "Fold its family" : "Show its family"}
          title={`${count(members, "session")} came from this one`}
          onClick={(event) => {
            event.stopPropagation();
            table.turn(info.id);
          }}
        >
          <Sign of={isOpen ? "open" : "shut"} />
        </button>
      ) : (
        <span class="turn dim">{(isFork || info.started_by) && <Sign of={isFork ? "fork" : "child"} words={isFork ? "a fork" : "started by another session"} />}</span>
      )}
      <a class={`cut${title ? "" : " faint"}`} href={hrefOf(sessionPlace(info.id))} tabIndex={-1} onClick={follow} title={`${title}\n${info.id}`}>
        {title ? <Words text={title} /> : isFork ? `a fork at ${whole(info.fork_seq)}` : `nothing said yet (${shortId(info.id)})`}
      </a>
      {members > 0 && !isOpen && (
        <span class="faint members">
          +{whole(members)}
          {hot && (
            <>
              {" "}
              <Status of={hot.status} reason={hot.reason} />
            </>
          )}
        </span>
      )}
      {source && (
        <span class="faint source" title={`imported from ${info.source}`}>
          {source}
        </span>
      )}
      <button
        type="button"
        class="plain peek-button"
        tabIndex={-1}
        title="Look into it (space)"
        aria-label="Look into it"
        onClick={(event) => {
          event.stopPropagation();
          table.select(info.id);
          peekSession.value = info.id;
        }}
      >
        <Sign of="search" />
      </button>
    </span>
  );
}

// The screen of all sessions: filters on the left, the table, and a pane that looks into a session.

import { useEffect } from "preact/hooks";

import { useAnswer } from "../api/answers";
import { ask, theSource } from "../api/source";
import { dialog } from "../dialogs/dialogs";
import { whole } from "../format";
import { Foot } from "../parts/foot";
import { follow } from "../parts/links";
import { Sign } from "../parts/signs";
import { hrefOf } from "../selection";
import { peekSession } from "../ui_state";
import { Filters } from "./filters";
import { Peek } from "./peek";
import "./sessions.css";
import { followSessions, table } from "./table";
import { TableView } from "./table_view";
import { FirstRun } from "./first_run";

const HINTS: [string, string][] = [
  ["j k", "row"],
  ["enter", "open"],
  ["space", "look into"],
  ["/", "filter"],
  ["ctrl+shift+f", "search in all"],
  ["?", "all keys"],
];

/** All sessions. */
export function SessionsScreen() {
  const isSettled = table.isSettled.value;
  useEffect(() => (isSettled ? followSessions() : undefined), [isSettled]);
  const peeked = peekSession.value;
  const isEmpty = table.isRead.value && !table.rows.value.size && !table.filter.value && !table.filterError.value;
  return (
    <div class={`screen${peeked !== null ? " has-peek" : ""}`}>
      <header class="bar">
        <h1>Sessions</h1>
        <StoreFacts />
        <nav class="tabs at-end" aria-label="Page">
          <button type="button" onClick={() => (dialog.value = { name: "search", everywhere: true })} title="Search in all sessions (ctrl+shift+f)">
            <Sign of="search" /> Search
          </button>
          <a href={hrefOf({ screen: "store" })} onClick={follow} title="Where the log is, and whether it is whole">
            Store
          </a>
          <button type="button" onClick={() => (dialog.value = { name: "palette" })} title="All commands (ctrl+k)" aria-label="All commands">
            <Sign of="more" />
          </button>
        </nav>
      </header>
      {isEmpty ? (
        <FirstRun />
      ) : (
        <main class="sessions-panes">
          <Filters />
          <TableView />
          {peeked !== null && <Peek key={peeked} session={peeked} />}
        </main>
      )}
      <Foot hints={isEmpty ? [] : HINTS}>
        <Loaded />
      </Foot>
    </div>
  );
}

function StoreFacts() {
  const { answer } = useAnswer(theSource().isArchive ? null : ask("GET /api/store"));
  if (answer === null) return null;
  const name = answer.path.split(/[\\/]/).pop();
  return (
    <div class="facts">
      <span title={answer.path}>{name || (answer.kind === "memory" ? "in memory: it ends with the server" : "on a server")}</span>
    </div>
  );
}

function Loaded() {
  if (!table.isRead.value) return null;
  const many = table.rows.value.size;
  const isFiltered = table.filter.value !== "";
  const inAll = isFiltered ? 0 : table.inAll.value;
  const said = inAll >= many ? `${whole(inAll)}${table.hasMore.value ? " and more" : ""}` : `${whole(many)}${table.next.value ? " and more" : ""}`;
  return (
    <>
      {isFiltered && "found: "}
      {said} {said === "1" ? "session" : "sessions"}
      {!table.isLive.value && <span class="is-config"> · not connected</span>}
    </>
  );
}

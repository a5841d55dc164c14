// Where the log is, how large, in what; and whether every byte of it is as it was written.

import { batch, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { useAnswer, wordsOf } from "../api/answers";
import { ask, stream } from "../api/source";
import type { Finding, StoreInfo, VerifyEnd, VerifyProgress } from "../api/types";
import { bytes, count, duration, percent, whole } from "../format";
import { Foot } from "../parts/foot";
import { follow, SeqLink } from "../parts/links";
import { Sign } from "../parts/signs";
import { Line } from "../parts/text";
import { hrefOf } from "../selection";
import "./store.css";

/** How far the log has been read, while it is; kept while another screen is shown. */
const progress = signal<VerifyProgress | null>(null);
const isReading = signal(false);
const found = signal<VerifyEnd | null>(null);
const error = signal("");
let reading: AbortController | null = null;

async function verify(): Promise<void> {
  const stop = (reading = new AbortController());
  batch(() => {
    isReading.value = true;
    progress.value = found.value = null;
    error.value = "";
  });
  try {
    for await (const event of stream("POST /api/store/verify", {}, undefined, stop.signal)) {
      if (event.name === "progress") progress.value = event.data;
      else if (event.name === "report") found.value = event.data;
      else error.value = event.data.reason;
    }
    if (found.peek() === null && !error.peek()) error.value = "the connection ended before all was read";
  } catch (problem) {
    if (!stop.signal.aborted) error.value = wordsOf(problem);
  }
  if (reading === stop) isReading.value = false;
}

function stopReading(): void {
  reading?.abort();
  isReading.value = false;
  progress.value = null;
}

/** The store. */
export function StoreScreen() {
  const store = useAnswer(ask("GET /api/store"), { keep: false });
  const server = useAnswer(ask("GET /api/server")).answer;
  return (
    <div class="screen">
      <header class="bar">
        <a class="home" href={hrefOf({ screen: "sessions", filter: "", sort: "updated" })} onClick={follow} title="All sessions">
          <Sign of="home" words="All sessions" />
        </a>
        <h1>Store</h1>
      </header>
      <main class="store scrolls">
        <section>
          <h2>Where the log is</h2>
          {store.error && <p class="is-error">{store.error}</p>}
          {store.answer && <Where store={store.answer} />}
        </section>
        <section>
          <h2>Whether it is whole</h2>
          <p class="dim">
            Every event of every session is read again, and compared with its digests: a byte that was changed, lost or added is found. Nothing is written. In a terminal: <code>refold verify</code>.
          </p>
          <Verify />
        </section>
        {server && (
          <section>
            <h2>The server</h2>
            <div class="pairs">
              <span>Refold</span>
              <span>{server.version}</span>
              <span>this page may</span>
              <span>
                {server.runs ? "read, write and run agents" : server.writes ? "read and write; to run agents, start it with --agent MODULE:NAME --allow-run" : "read: it was started with --read-only"}
              </span>
            </div>
          </section>
        )}
      </main>
      <Foot hints={[["esc", "all sessions"], ["?", "all keys"]]} />
    </div>
  );
}

function Where({ store }: { store: StoreInfo }) {
  if (store.kind === "memory") return <p>In the memory of the server: it ends with it.</p>;
  if (store.kind === "server") return <p>On a database server, PostgreSQL; how large it is that one knows.</p>;
  return (
    <div class="pairs">
      <span>file</span>
      <span class="mono breaks">
        <Line text={store.path} />
      </span>
      <Size name="size" of={store.size_bytes} />
      <Size name="write-ahead file" of={store.wal_bytes}>
        <span class="dim"> of commits that are not in the file yet</span>
      </Size>
      <span>SQLite</span>
      <span>
        {store.sqlite_version}
        {store.wal_race ? (
          <p class="is-config race">
            <Sign of="stuck" /> Two programs that empty the write-ahead file of this version at the same time may lose a commit. Those of Refold take turns; only another one that writes into the same file could do
            harm. It is mended in SQLite 3.51.3.
          </p>
        ) : (
          <span class="dim">
            {" "}
            <Sign of="done" /> without the race of write-ahead files
          </span>
        )}
      </span>
    </div>
  );
}

function Size({ name, of, children }: { name: string; of: number | null; children?: ComponentChildren }) {
  if (of === null) return null;
  return (
    <>
      <span>{name}</span>
      <span title={`${whole(of)} bytes`}>
        {bytes(of)}
        {children}
      </span>
    </>
  );
}

function Verify() {
  const now = progress.value;
  const end = found.value;
  return (
    <>
      <div class="verify-line">
        {isReading.value ? (
          <button type="button" class="button" onClick={stopReading}>
            Stop
          </button>
        ) : (
          <button type="button" class="button is-main" onClick={() => void verify()}>
            {end === null ? "Verify" : "Verify again"}
          </button>
        )}
        {isReading.value && <Progress now={now} />}
      </div>
      {error.value && (
        <p class="is-error" role="alert">
          {error.value}
        </p>
      )}
      {end && <Report end={end} />}
    </>
  );
}

function Progress({ now }: { now: VerifyProgress | null }) {
  if (now === null) return <span class="dim">begins…</span>;
  const share = now.sessions_in_all ? now.sessions / now.sessions_in_all : 0;
  return (
    <span class="verify-progress" role="status">
      <progress max={1} value={share} aria-label="Read" />
      <span>
        {percent(share)}, {whole(now.sessions)} of {count(now.sessions_in_all, "session")}, {count(now.facts + now.updates, "event")}, {duration(now.elapsed_s * 1e6)}
        {now.defects > 0 && <span class="is-error">, {count(now.defects, "defect")}</span>}
      </span>
    </span>
  );
}

function Report({ end }: { end: VerifyEnd }) {
  const { report } = end;
  const defects = report.findings.filter((one) => !one.note);
  const notes = report.findings.filter((one) => one.note);
  return (
    <div role="status">
      <p>
        {end.ok ? (
          <b class="is-good">
            <Sign of="done" /> Every byte is as it was written.
          </b>
        ) : (
          <b class="is-error">
            <Sign of="error" /> {count(defects.length, "defect")} found.
          </b>
        )}{" "}
        <span class="dim">
          {count(report.sessions, "session")}, {count(report.facts, "fact")} and {count(report.updates, "update")} were read in {duration(end.elapsed_s * 1e6)}.
        </span>
      </p>
      {defects.length > 0 && <Findings of={defects} tone="is-error" />}
      {notes.length > 0 && (
        <>
          <h2>Dropped or erased on purpose</h2>
          <Findings of={notes} tone="dim" />
        </>
      )}
    </div>
  );
}

const SHOWN = 200;

function Findings({ of, tone }: { of: readonly Finding[]; tone: string }) {
  return (
    <table class="findings">
      <tbody>
        {of.slice(0, SHOWN).map((one, number) => (
          <tr key={number}>
            <td class="mono">{one.session || "the log"}</td>
            <td class="number">{one.session && one.seq > 0 ? <SeqLink session={one.session} seq={one.seq} /> : ""}</td>
            <td class={tone}>
              <Line text={one.problem} />
            </td>
          </tr>
        ))}
        {of.length > SHOWN && (
          <tr>
            <td colSpan={3} class="dim">
              and {whole(of.length - SHOWN)} more: <code>refold verify</code> lists all
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

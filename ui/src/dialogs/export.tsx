// Writes the session to a file: what is in it is said before.

import { useState } from "preact/hooks";

import { tell, wordsOf } from "../api/answers";
import { Server } from "../api/server";
import { ask, theSource } from "../api/source";
import { count, whole } from "../format";
import type { OpenSession } from "../session/open";
import { closeDialog } from "./dialogs";
import { Actions, CommandLine, Frame } from "./frame";
import { fileName, quoted } from "./quoted";

/** Gives the reader a file. */
function save(data: Blob, name: string): void {
  const url = URL.createObjectURL(data);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const OMITTED = [
  ["results", "what tools answered"],
  ["images", "images"],
  ["thinking", "thinking"],
] as const;
type Omitted = (typeof OMITTED)[number][0];

/** An export. */
export function ExportDialog({ session }: { session: OpenSession }) {
  const head = session.head.value;
  const seq = session.seq.value;
  const last = session.last.value;
  const [upto, setUpto] = useState<"all" | "here">("all");
  const [isFamily, setFamily] = useState(false);
  const [omit, setOmit] = useState<readonly Omitted[]>([]);
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  if (head === null) return null;
  const { info } = head;
  const inherited = info.parent !== null ? info.fork_seq : 0;
  const isHere = upto === "here";
  const write = async (what: "page" | "events") => {
    const source = theSource();
    if (!(source instanceof Server)) return;
    setBusy(true);
    try {
      const names = { session: session.id };
      const path = what === "page" ? ask("GET /api/sessions/{session}/file", names, { omit: omit.join(","), ...(isFamily ? { family: true } : {}) }).path : ask("GET /api/sessions/{session}/export", names, isHere ? { upto: seq } : {}).path;
      save(await source.file(path), fileName(info.title || info.first_words, what === "page" ? ".html" : ".refold.jsonl"));
      closeDialog();
      tell("The file is written.");
    } catch (problem) {
      setError(wordsOf(problem));
    }
    setBusy(false);
  };
  const isWithoutResults = omit.includes("results");
  const omitted = omit.map((one) => ` --omit ${one}`).join("");
  const toFile = (form: string, end: string, more = "") => `refold export ${quoted(info.id)} --format ${form}${more}${omitted} -o ${quoted(fileName(info.title || info.first_words, end))}`;
  return (
    <Frame title="Export">
      <div class="dialog-body">
        <div class="choices" role="radiogroup" aria-label="How much of it">
          <label class="check">
            <input type="radio" name="upto" checked={!isHere} onChange={() => setUpto("all")} /> all of it, {count(last, "event")}
          </label>
          {seq < last && (
            <label class="check">
              <input type="radio" name="upto" checked={isHere} onChange={() => setUpto("here")} /> up to {whole(seq)}, what is selected
            </label>
          )}
        </div>
        <h2>This page, in one file</h2>
        <p>
          It opens from the disk, offline, with every view at every event: for a ticket, or a colleague without Refold. It has all of the session
          {isHere && <> (not only what is up to {whole(seq)})</>}
          {head.family > 1 && <>, {isWithoutResults ? "without" : "with"} the agents that it started{isWithoutResults && ", whose answers are results of tools"}</>}, and says at its foot what it is without.
        </p>
        {head.family > 1 && (
          <label class="check">
            <input type="checkbox" checked={isFamily} onChange={() => setFamily(!isFamily)} /> also its branches{!isWithoutResults && <>, and what else is in its tree: {count(head.family, "session")} in all</>}
          </label>
        )}
        <div class="choices" role="group" aria-label="What to leave out of it">
          <span class="dim">Leave out:</span>
          {OMITTED.map(([name, words]) => (
            <label key={name} class="check">
              <input type="checkbox" checked={omit.includes(name)} onChange={() => setOmit(OMITTED.map(([one]) => one).filter((one) => omit.includes(one) !== (one === name)))} /> {words}
            </label>
          ))}
        </div>
        {omit.length > 0 && (
          <p class="is-config">
            It is then nowhere in the file, which says so, where it stood and how much there was. Other programs’ own fields go with it. What people and models wrote stays, arguments and summaries too, and may repeat it: look before you hand it on.
          </p>
        )}
        <CommandLine>{toFile("html", ".html", isFamily ? " --family" : "")}</CommandLine>
        <h2>A file that Refold reads</h2>
        <p>
          One line of JSON for each event, as they are stored{inherited > 0 && <>, with the {whole(inherited)} that it shares with what it was forked from</>}. <code>refold import</code> makes the same session of it, with the same digests.
        </p>
        <p class="is-config">
          It holds all that was said: prompts, answers, thinking, arguments and results of tools, images. Nothing can be left out of the events, since then their digests would not hold.
        </p>
        <h2>A document to read</h2>
        <CommandLine>{toFile("markdown", ".md")}</CommandLine>
        <p class="faint">
          <code>refold export --help</code> names the formats of other agents, too.
        </p>
      </div>
      <Actions error={error}>
        <button type="button" class="button is-main" autoFocus disabled={isBusy} onClick={() => void write("page")}>
          {isBusy ? "Writing…" : "Write the page"}
        </button>
        <button type="button" class="button" disabled={isBusy} onClick={() => void write("events")}>
          Write the events
        </button>
        <button type="button" class="button" onClick={closeDialog}>
          Cancel
        </button>
      </Actions>
    </Frame>
  );
}

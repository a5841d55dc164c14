// What led here, what came of it, and where to go from here.

import type { ComponentChildren } from "preact";

import { theSource } from "../api/source";
import type { Jump, Neighbours } from "../api/types";
import { COMMANDS, keyFor } from "../commands";
import { shortId } from "../format";
import { SeqLink } from "../parts/links";
import { Sign } from "../parts/signs";
import type { OpenSession } from "../session/open";

const WHAT: [keyof Neighbours, string][] = [
  ["turn", "turn"],
  ["prompt", "prompt"],
  ["error", "error"],
  ["tool", "call of the tool"],
  ["compaction", "compaction"],
  ["fork", "fork"],
];

/** The words of a row that a seq belongs to, if they are there. */
export function RowAt({ session, seq }: { session: OpenSession; seq: number }) {
  session.previewVersion.value;
  const row = session.rows.rowOf(seq);
  const found = row >= 0 ? session.preview(row) : null;
  const kind = row >= 0 ? session.rows.kindOf(row) : "";
  return (
    <div class="cut">
      <SeqLink seq={seq} /> <span class="dim">{kind === "tool" ? session.rows.whoOf(row) : kind}</span> <span class="faint">{found?.preview ?? ""}</span>
    </div>
  );
}

/** The session that a row started, if it did. */
export function ChildOf({ session, jump }: { session: OpenSession; jump: Jump }) {
  const { rows } = session;
  if (jump.row < 0 || jump.row >= rows.length || rows.kindOf(jump.row) !== "child") return null;
  return (
    <>
      <h2>The agent that it started</h2>
      <SeqLink session={rows.whoOf(jump.row)} seq={1}>
        <Sign of="child" /> open {shortId(rows.whoOf(jump.row))}
      </SeqLink>
    </>
  );
}

export function LinksTab({ session, jump }: { session: OpenSession; jump: Jump }) {
  const near = (seq: number): ComponentChildren => (seq ? <SeqLink seq={seq} /> : <span class="faint">none</span>);
  return (
    <>
      <ChildOf session={session} jump={jump} />
      <h2>Caused by</h2>
      {jump.caused_by ? <RowAt session={session} seq={jump.caused_by} /> : <p class="faint">nothing of this session</p>}
      <h2>Led to</h2>
      {jump.leads_to.length ? jump.leads_to.map((seq) => <RowAt key={seq} session={session} seq={seq} />) : <p class="faint">nothing yet</p>}
      <h2>Before and behind</h2>
      <table class="near">
        <tbody>
          {WHAT.map(([name, what]) => (
            <tr key={name}>
              <td class="dim">{what}</td>
              <td class="number">{near(jump.previous[name])}</td>
              <td class="number">{near(jump.next[name])}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <FromHere />
    </>
  );
}

const ACTIONS = ["fork", "next-error", "pin", "copy-test", "copy-link", "bookmark"];
const WORDS: Record<string, string> = {
  fork: "fork",
  "next-error": "next error",
  pin: "pin",
  "copy-test": "copy as pytest",
  "copy-link": "copy link",
  bookmark: "bookmark",
};

/** What can be done from here. */
export function FromHere() {
  const isArchive = theSource().isArchive;
  const commands = COMMANDS.filter((one) => ACTIONS.includes(one.id) && (!isArchive || (one.when?.() ?? true)));
  return (
    <>
      <h2>From here</h2>
      <div class="chips">
        {ACTIONS.map((id) => commands.find((one) => one.id === id))
          .filter((one) => one !== undefined)
          .map((one) => (
            <button key={one.id} type="button" class="chip" onClick={one.run} title={one.title}>
              <kbd>{keyFor(one.id)}</kbd> {WORDS[one.id]}
            </button>
          ))}
      </div>
    </>
  );
}

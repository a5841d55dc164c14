// Everything that can be done on the page: keys and the palette do the same.

import { attempt, getKept, tell } from "./api/answers";
import { ask, get, post, theSource } from "./api/source";
import { dialog } from "./dialogs/dialogs";
import { whole } from "./format";
import { isPlaying, setSpeed, togglePlay } from "./playing";
import { VIEWS, type View, go, hrefOf, place, select, selection } from "./selection";
import { goOn } from "./session/go_on";
import { goToRow, goToSeq, open, stepRow } from "./session/open";
import { ERROR } from "./session/rows";
import { remember, settings } from "./settings";
import { TABLE_COMMANDS } from "./sessions/commands";
import { drawer, isRendered, peekSession, searchStep, showsUpdates, toggleInspector, toggleList } from "./ui_state";

export interface Command {
  id: string;
  title: string;
  /** Keys as `keyOf` writes them; the first is shown. */
  keys: readonly string[];
  group: "move" | "view" | "do" | "page";
  run: () => void;
  /** Whether it can be done where the page is. */
  when?: () => boolean;
}

const inSession = () => selection.value !== null;
const onSessions = () => place.value.screen === "sessions";
const canWrite = () => inSession() && !theSource().isArchive;

const TITLES: Record<View, string> = {
  chat: "Chat",
  request: "Request",
  diff: "Diff",
  timeline: "Timeline",
  tree: "Tree",
  raw: "Raw",
};

let viewBefore: View = "request";

/** Shows what changed against the request before; again: what was shown before that. */
function toggleDiff(): void {
  const now = selection.peek();
  if (now === null) return;
  if (now.view === "diff") select({ view: viewBefore }, "step");
  else {
    viewBefore = now.view;
    select({ view: "diff" }, "step");
  }
}

/** Goes to a seq by its number. */
export function goToNumber(seq: number): void {
  if (inSession()) goToSeq(seq, "jump");
}

/** Goes to the nearest row of a sort; past the last one the first one comes again, and that is told. */
function goNear(way: 1 | -1, what: string, is: (row: number) => boolean): void {
  const one = open.peek();
  if (one === null) return;
  const row = one.rows.near(one.row.peek(), way, is);
  const again = row < 0 ? one.rows.near(way > 0 ? -1 : one.rows.length, way, is) : row;
  if (again < 0) tell(`There is no ${what} in this session.`);
  else {
    if (row < 0) tell(`No ${what} ${way < 0 ? "before" : "behind"} this: this is the ${way < 0 ? "last" : "first"} one.`);
    goToRow(again);
  }
}

function rowIs(...kinds: string[]): (row: number) => boolean {
  return (row) => kinds.includes(open.peek()?.rows.kindOf(row) ?? "");
}

function goTool(way: 1 | -1): void {
  const one = open.peek();
  if (one === null) return;
  const row = one.row.peek();
  const isTool = row >= 0 && one.rows.kindOf(row) === "tool";
  const who = isTool ? one.rows.whoOf(row) : "";
  goNear(way, isTool ? `call of ${who}` : "tool call", (other) => one.rows.kindOf(other) === "tool" && (!isTool || one.rows.whoOf(other) === who));
}

async function goWhy(): Promise<void> {
  const one = open.peek();
  const now = selection.peek();
  if (one === null || now === null) return;
  if (now.part !== null && now.part > 0) {
    goToSeq(now.part);
    return;
  }
  const jump = await getKept(ask("GET /api/sessions/{session}/at/{seq}", { session: one.id, seq: one.seq.peek() }));
  if (!jump.caused_by) {
    tell("Nothing in this session led to this event.");
    return;
  }
  goToSeq(jump.caused_by);
}

function pinHere(): void {
  const one = open.peek();
  const now = selection.peek();
  if (one === null || now === null) return;
  const seq = one.seq.peek();
  const same = now.pin?.session === one.id && now.pin.seq === seq;
  select({ pin: same ? null : { session: one.id, seq } }, "step");
  const compares = theSource().isArchive ? "" : " Diff compares with it;";
  tell(same ? "Nothing is pinned any more." : `Pinned: ${whole(seq)}.${compares} ' swaps the two.`);
}

function swapPin(): void {
  const one = open.peek();
  const now = selection.peek();
  if (one === null || now === null) return;
  if (now.pin === null) {
    tell("Nothing is pinned: m pins this point.");
    return;
  }
  go({ ...now, session: now.pin.session, seq: now.pin.seq, pin: { session: one.id, seq: one.seq.peek() }, part: null });
}

async function copy(words: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(words);
    tell(`${what} copied.`);
  } catch {
    tell(`The browser does not let this page write the clipboard. ${what}: ${words.slice(0, 300)}`, true);
  }
}

/** Copies the address of what is seen, at this very seq. */
function copyLink(): void {
  const now = selection.peek();
  const one = open.peek();
  const here = now !== null && one !== null ? { ...now, seq: one.seq.peek() } : place.peek();
  void copy(new URL(hrefOf(here), location.href).href, "Link");
}

async function copyTest(): Promise<void> {
  const one = open.peek();
  if (one === null) return;
  await attempt(async () => {
    const test = await get(ask("GET /api/sessions/{session}/test", { session: one.id }, { upto: one.seq.peek() }));
    await copy(test.source, `A test for pytest up to ${whole(one.seq.peek())}`);
  });
}

function forkHere(): void {
  const one = open.peek();
  if (one === null) return;
  const row = one.row.peek();
  const name = row >= 0 && one.rows.kindOf(row) === "user" ? one.rows.name[row]! : 0;
  dialog.value = { name: "fork", seq: one.seq.peek(), before: name || null };
}

async function abort(): Promise<void> {
  const one = open.peek();
  if (one === null) return;
  await attempt(async () => {
    await post("POST /api/sessions/{session}/abort", { session: one.id }, { by: "the page" });
    tell("The run was asked to end.");
  });
}

/** Closes what is open: a dialog, a search, a pin, then the session. */
function out(): void {
  const now = selection.peek();
  if (dialog.peek() !== null) dialog.value = null;
  else if (drawer.peek() !== null) drawer.value = null;
  else if (peekSession.peek() !== null) peekSession.value = null;
  else if (searchStep.peek() !== null) searchStep.value = null;
  else if (document.activeElement instanceof HTMLElement && document.activeElement.matches("input, textarea")) document.activeElement.blur();
  else if (now?.part != null) select({ part: null }, "step");
  else if (now?.pin != null) select({ pin: null }, "step");
  else if (place.peek().screen !== "sessions" && !theSource().isArchive) go({ screen: "sessions", filter: "", sort: "updated" });
}

const command = (
  id: string,
  group: Command["group"],
  keys: string,
  title: string,
  run: () => void,
  when: () => boolean = inSession,
): Command => ({ id, group, keys: keys.split(" ").filter(Boolean), title, run, when });

export const COMMANDS: readonly Command[] = [
  command("next-row", "move", "j down", "Next row", () => stepRow(1)),
  command("previous-row", "move", "k up", "Previous row", () => stepRow(-1)),
  command("page-down", "move", "pagedown", "Twenty rows on", () => stepRow(20)),
  command("page-up", "move", "pageup", "Twenty rows back", () => stepRow(-20)),
  command("next-event", "move", "J", "Next event; inside a message the next token", () => goToSeq((open.peek()?.seq.peek() ?? 0) + 1, "step")),
  command("previous-event", "move", "K", "Previous event; inside a message the token before", () => goToSeq((open.peek()?.seq.peek() ?? 0) - 1, "step")),
  command("next-turn", "move", "n", "Next turn", () => goNear(1, "turn", rowIs("assistant"))),
  command("previous-turn", "move", "p", "Previous turn", () => goNear(-1, "turn", rowIs("assistant"))),
  command("next-prompt", "move", "h", "Next prompt of a person", () => goNear(1, "prompt", rowIs("user"))),
  command("previous-prompt", "move", "H", "Previous prompt of a person", () => goNear(-1, "prompt", rowIs("user"))),
  command("next-error", "move", "e", "Next error", () => goNear(1, "error", (row) => (open.peek()!.rows.flags[row]! & ERROR) !== 0)),
  command("previous-error", "move", "E", "Previous error", () => goNear(-1, "error", (row) => (open.peek()!.rows.flags[row]! & ERROR) !== 0)),
  command("next-tool", "move", "t", "Next call of the same tool", () => goTool(1)),
  command("previous-tool", "move", "T", "Previous call of the same tool", () => goTool(-1)),
  command("next-compaction", "move", "c", "Next compaction or edit", () => goNear(1, "compaction or edit", rowIs("compaction", "edit"))),
  command("previous-compaction", "move", "C", "Previous compaction or edit", () => goNear(-1, "compaction or edit", rowIs("compaction", "edit"))),
  command("first", "move", "gg home", "First row", () => goToSeq(1, "jump")),
  command("head", "move", "G end", "Head: follow what comes", () => select({ seq: null }, "jump")),
  command("why", "move", "w", "Why: go to the event that put this there", () => void goWhy()),
  command("back", "move", "ctrl+o", "Back to before the last jump", () => history.back(), () => true),
  ...VIEWS.map((view, number) => command(`view-${view}`, "view", String(number + 1), TITLES[view], () => select({ view }, "step"))),
  command("diff", "view", "d", "What changed against the request before; again: back", toggleDiff),
  command("pin", "view", "m", "Pin this point, for Diff", pinHere),
  command("swap-pin", "view", "'", "Swap the pin and the selection", swapPin),
  command("rendered", "view", ".", "Rendered or raw", () => (isRendered.value = !isRendered.peek())),
  command("updates", "view", "u", "Raw with updates, or without", () => (showsUpdates.value = !showsUpdates.peek()), () => selection.value?.view === "raw"),
  command("notes", "view", "", "Show or hide rows of notes", () => {
    const one = open.peek();
    if (one !== null) one.showsNotes.value = !one.showsNotes.peek();
  }),
  command("play", "view", "space", "Play, or stop", togglePlay),
  command("faster", "view", "+", "Play faster", () => setSpeed(2), () => isPlaying.value),
  command("slower", "view", "-", "Play slower", () => setSpeed(0.5), () => isPlaying.value),
  command("list", "view", "[", "Show or hide the list", toggleList),
  command("inspector", "view", "]", "Show or hide the inspector", toggleInspector),
  command("search", "do", "/", "Search here", () => (dialog.value = { name: "search", everywhere: false })),
  command("search-next", "move", "enter", "Next of what was found", () => searchStep.peek()?.(1), () => searchStep.value !== null),
  command("search-previous", "move", "N", "Previous of what was found", () => searchStep.peek()?.(-1), () => searchStep.value !== null),
  command("search-everywhere", "do", "ctrl+shift+f", "Search everywhere", () => (dialog.value = { name: "search", everywhere: true }), () => theSource().isOfMany),
  command("fork", "do", "f", "Fork here; on a message of a person: edit it", forkHere, canWrite),
  command("bookmark", "do", "b", "Set a bookmark here", () => (dialog.value = { name: "bookmark", seq: open.peek()?.seq.peek() ?? 0 }), canWrite),
  command("decide", "do", "D", "Decide what the run waits for", () => {
    const wait = open.peek()?.head.peek()?.stands.waits[0];
    if (wait === undefined) tell("Nothing waits for a decision here.");
    else dialog.value = { name: "decide", key: wait.key };
  }, canWrite),
  command("run", "do", "r", "Say something to the agent, and run", () => (dialog.value = { name: "say", how: "run" }), canWrite),
  command("resume", "do", "", "Go on with the run from where it stopped", () => {
    const one = open.peek();
    if (one !== null) void goOn(one.id);
  }, canWrite),
  command("steer", "do", "s", "Steer the run under way", () => (dialog.value = { name: "say", how: "steer" }), canWrite),
  command("abort", "do", "", "Ask the run under way to end", () => void abort(), canWrite),
  command("copy-link", "do", "y", "Copy a link to this", copyLink, () => true),
  command("copy-test", "do", "Y", "Copy as a test for pytest", () => void copyTest(), canWrite),
  command("export", "do", "x", "Export", () => (dialog.value = { name: "export" }), canWrite),
  ...TABLE_COMMANDS,
  command("sessions", "page", "", "All sessions", () => go({ screen: "sessions", filter: "", sort: "updated" }), () => !onSessions() && !theSource().isArchive),
  command("store", "page", "", "The store: where the log is, and whether it is whole", () => go({ screen: "store" }), () => !theSource().isArchive),
  command("palette", "page", "ctrl+k", "All commands", () => (dialog.value = { name: "palette" }), () => true),
  command("shortcuts", "page", "?", "Keys", () => (dialog.value = { name: "shortcuts" }), () => true),
  command("letters", "page", "", "Turn single-letter keys on or off", () => remember({ hasLetterKeys: !settings.peek().hasLetterKeys }), () => true),
  command("out", "page", "escape", "Out of this", out, () => true),
];

/** Whether it can be done anywhere on this page: in a file nothing is written, and there is no table of sessions. */
export function isOfThisPage(one: Command): boolean {
  const { isArchive, isOfMany } = theSource();
  return !isArchive || (one.when !== canWrite && !TABLE_COMMANDS.includes(one) && (isOfMany || one.id !== "search-everywhere"));
}

/** The key of a command, as it is shown. */
export function keyFor(id: string): string {
  return COMMANDS.find((one) => one.id === id)?.keys[0] ?? "";
}

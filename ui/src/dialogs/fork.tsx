// Forks the session at a seq, or before a message that then reads otherwise; what its next request would be is shown.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { getKept, tell, useAnswer, wordsOf } from "../api/answers";
import { ask, post } from "../api/source";
import type { ForkPreview, Json, PageFork, SessionInfo } from "../api/types";
import { count, whole } from "../format";
import { Line } from "../parts/text";
import { go } from "../selection";
import type { OpenSession } from "../session/open";
import { closeDialog } from "./dialogs";
import { bodyOf, type Draft, type Instead, replaceable, type Tools, whatBecomes, wholeOf } from "./fork_draft";
import { Preview } from "./fork_preview";
import { Actions, CommandLine, Frame } from "./frame";

const CALM_MS = 250;
const AROUND = 40;

/** A fork. `before`: a message of a person, to be edited. */
export function ForkDialog({ session, seq, before }: { session: OpenSession; seq: number; before: number | null }) {
  const [draft, setDraft] = useState<Draft>({ at: seq, before, edits: before !== null, edit: null, title: "", instead: [], system: null, model: "", options: null, withoutTools: false, tools: null });
  const change = (part: Partial<Draft>) => setDraft((now) => ({ ...now, ...part }));
  const [prompt, setPrompt] = useState("");
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const server = useAnswer(ask("GET /api/server")).answer;
  const made = useMemo(() => bodyOf(draft), [draft]);
  const { preview, problem, isOld } = usePreview(session.id, made);
  const wrong = "error" in made ? made.error : "";
  const fork = async (runs: boolean) => {
    if (!("body" in made)) return;
    setBusy(true);
    try {
      const body = preview?.once.length ? { ...made.body, tools: draft.tools ?? "ask" } : made.body;
      const forked = (await post("POST /api/sessions/{session}/forks", { session: session.id }, body)) as SessionInfo;
      const names = { session: forked.id };
      closeDialog();
      const pin = { session: session.id, seq: session.last.peek() };
      go({ screen: "session", session: forked.id, seq: null, view: runs ? "chat" : "diff", pin, part: null });
      if (!runs) tell(`Forked. To run it: refold continue ${forked.id} --agent MODULE:NAME`);
      else if (prompt.trim()) await post("POST /api/sessions/{session}/run", names, { prompt });
      else await post("POST /api/sessions/{session}/resume", names, {});
    } catch (refused) {
      setError(wordsOf(refused));
      tell(wordsOf(refused), true);
    }
    setBusy(false);
  };
  return (
    <Frame title={draft.before === null ? `Fork at ${whole(draft.at)}` : draft.edits ? "Fork and edit" : `Fork before ${whole(draft.before)}`} width={1080}>
      <form
        class="fork"
        onSubmit={(event) => {
          event.preventDefault();
          void fork(false);
        }}
      >
        <div class="fork-form scrolls">
          <Kept session={session} draft={draft} asked={{ seq, before }} preview={preview} change={change} />
          {draft.before !== null && <Edited session={session} name={draft.before} draft={draft} change={change} />}
          <Otherwise session={session} draft={draft} change={change} />
          <MadeBefore draft={draft} preview={preview} change={change} />
          <label class="labelled">
            <span>Title</span>
            <input class="field" type="text" placeholder="of the fork, if it is to have one" maxLength={1000} value={draft.title} onInput={(event) => change({ title: event.currentTarget.value })} />
          </label>
          {server?.runs && !(draft.before !== null && draft.edits) && (
            <label class="labelled">
              <span>Say, where it is run</span>
              <textarea class="field" rows={2} placeholder="nothing: it goes on from where it stands" value={prompt} onInput={(event) => setPrompt(event.currentTarget.value)} />
            </label>
          )}
        </div>
        <Preview preview={preview} problem={wrong || problem} isOld={isOld} tools={draft.tools ?? "ask"} />
        <Actions error={error}>
          <button type="submit" class="button is-main" disabled={isBusy || wrong !== "" || problem !== ""}>
            Fork
          </button>
          {server?.runs && (
            <button type="button" class="button" disabled={isBusy || wrong !== "" || problem !== ""} onClick={() => void fork(true)}>
              Fork and run
            </button>
          )}
          <button type="button" class="button" onClick={closeDialog}>
            Cancel
          </button>
          <span class="dim at-end">The original is never written.</span>
          {server && !server.runs && (
            <span class="to-run dim">
              This server runs no agents. To run the fork, in a terminal: <CommandLine>refold continue last --agent MODULE:NAME</CommandLine> or start the page with <CommandLine>refold ui --agent MODULE:NAME --allow-run</CommandLine>
            </span>
          )}
        </Actions>
      </form>
    </Frame>
  );
}

/** Has the server say what the fork would be, a moment after it was changed last. */
function usePreview(session: string, made: { body: PageFork } | { error: string }) {
  const [preview, setPreview] = useState<ForkPreview | null>(null);
  const [problem, setProblem] = useState("");
  const written = "body" in made ? JSON.stringify({ ...made.body, title: undefined, tools: undefined }) : "";
  const [answered, setAnswered] = useState("");
  const asking = useRef(0);
  useEffect(() => {
    if (!written) return;
    const number = ++asking.current;
    const timer = setTimeout(async () => {
      try {
        const found = (await post("POST /api/sessions/{session}/forks", { session }, JSON.parse(written) as PageFork, { dry_run: true })) as ForkPreview;
        if (number !== asking.current) return;
        setPreview(found);
        setProblem("");
      } catch (refused) {
        if (number !== asking.current) return;
        setProblem(wordsOf(refused));
      }
      setAnswered(written);
    }, preview === null ? 0 : CALM_MS);
    return () => clearTimeout(timer);
  }, [written]);
  return { preview, problem, isOld: answered !== written };
}

interface Part {
  session: OpenSession;
  draft: Draft;
  change: (part: Partial<Draft>) => void;
}

/** What the fork keeps, and where it begins. */
function Kept({ draft, asked, preview, change }: Part & { asked: { seq: number; before: number | null }; preview: ForkPreview | null }) {
  const ways: [string, Partial<Draft>, boolean][] =
    asked.before === null
      ? []
      : [
          ["edit the message", { before: asked.before, edits: true }, draft.before !== null && draft.edits],
          ["without it", { before: asked.before, edits: false }, draft.before !== null && !draft.edits],
          ["behind it", { before: null, at: asked.seq }, draft.before === null],
        ];
  return (
    <>
      {ways.length > 0 && (
        <div class="tabs is-choice" role="radiogroup" aria-label="Where it begins">
          {ways.map(([words, part, isChosen]) => (
            <button key={words} type="button" role="radio" aria-checked={isChosen} onClick={() => change(part)}>
              {words}
            </button>
          ))}
        </div>
      )}
      <p class="dim">
        It keeps events 1 to {whole(preview?.at ?? draft.at)}
        {preview?.last_words && (
          <>
            ; the last that was said: <q>{<Line text={preview.last_words.slice(0, 120)} />}</q>
          </>
        )}
      </p>
    </>
  );
}

/** The message that is said otherwise. */
function Edited({ session, name, draft, change }: Part & { name: number }) {
  const { answer, error } = useAnswer(ask("GET /api/sessions/{session}/transcript", { session: session.id }, { around: name, before: 1, after: 1 }));
  const said = answer === null ? null : wholeOf(answer.messages, name);
  const begun = useRef(false);
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (said === null || begun.current) return;
    begun.current = true;
    change({ edit: said.text ?? "" });
    queueMicrotask(() => field.current?.focus());
  }, [said]);
  if (error) return <p class="is-error">{error}</p>;
  if (draft.edit === null || !draft.edits || said === null) return null;
  return (
    <label class="labelled">
      <span>The message at {whole(name)}</span>
      <textarea ref={field} class="field is-prose" rows={6} autoFocus value={draft.edit} onInput={(event) => change({ edit: event.currentTarget.value })} />
      {said.text === null && <span class="is-config">It is too long to be edited here; what you write stands in its place.</span>}
      {said.images > 0 && <span class="is-config">Its {said.images === 1 ? "image is" : `${said.images} images are`} not said again.</span>}
    </label>
  );
}

/** What else is otherwise: messages and results, system prompt, model, options, tools. */
function Otherwise({ session, draft, change }: Part) {
  const at = draft.before === null ? draft.at : draft.before - 1;
  const head = useAnswer(ask("GET /api/sessions/{session}/requests/{seq}", { session: session.id, seq: Math.max(at, 1) })).answer;
  const part = (what: string) => head?.parts.find((one) => one.what === what);
  const read = async (what: "system_prompt" | "options"): Promise<string> => {
    const one = part(what);
    if (one === undefined || head === null) return "";
    const found: Json = await getKept(ask("GET /api/parts/{sha256}", { sha256: one.sha256 }, { session: session.id, seq: head.request_seq || head.seq }));
    return found === null ? "" : typeof found === "string" ? found : JSON.stringify(found, null, 2);
  };
  const begin = async (what: "system_prompt" | "options") => {
    try {
      const text = await read(what);
      change(what === "system_prompt" ? { system: text } : { options: text || "{}" });
    } catch (problem) {
      tell(wordsOf(problem), true);
    }
  };
  return (
    <>
      <h2>What else is otherwise</h2>
      <div class="chips">
        {draft.system === null && (
          <button type="button" class="chip" onClick={() => void begin("system_prompt")}>
            system prompt
          </button>
        )}
        {draft.options === null && (
          <button type="button" class="chip" onClick={() => void begin("options")}>
            options
          </button>
        )}
        {(head?.tools.length ?? 0) > 0 && (
          <button type="button" class={`chip${draft.withoutTools ? " is-on" : ""}`} aria-pressed={draft.withoutTools} onClick={() => change({ withoutTools: !draft.withoutTools })}>
            without tools
          </button>
        )}
        <InsteadOf session={session} draft={draft} change={change} at={at} />
      </div>
      {draft.instead.map((one) => (
        <InsteadField key={one.name} one={one} change={(next) => change({ instead: draft.instead.flatMap((other) => (other.name !== one.name ? [other] : next === null ? [] : [next])) })} />
      ))}
      {draft.system !== null && (
        <div class="labelled">
          <span>
            <label for="fork-system">System prompt</label>{" "}
            <button type="button" class="link" onClick={() => change({ system: null })}>
              as it was
            </button>
          </span>
          <textarea id="fork-system" class="field is-prose" rows={5} value={draft.system} onInput={(event) => change({ system: event.currentTarget.value })} />
        </div>
      )}
      {draft.options !== null && (
        <div class="labelled">
          <span>
            <label for="fork-options">Options</label>{" "}
            <button type="button" class="link" onClick={() => change({ options: null })}>
              as they were
            </button>
          </span>
          <textarea id="fork-options" class="field mono" rows={4} spellcheck={false} value={draft.options} onInput={(event) => change({ options: event.currentTarget.value })} />
        </div>
      )}
      <label class="labelled">
        <span>Model</span>
        <input class="field" type="text" spellcheck={false} placeholder={part("model")?.text ?? "vendor:model"} value={draft.model} onInput={(event) => change({ model: event.currentTarget.value })} />
      </label>
    </>
  );
}

const TOOLS: readonly [Tools, string, string][] = [
  ["ask", "ask", "Its run waits, and a person decides about each."],
  ["recorded", "recorded", "It gets the result that is on record; nothing is done twice. Where none is known, a person is asked."],
  ["live", "live", "It is made once more, with its effect."],
];

/** What becomes of calls that were made behind this place, when the fork makes them again. */
function MadeBefore({ draft, preview, change }: Omit<Part, "session"> & { preview: ForkPreview | null }) {
  if (preview === null) return null;
  const calls = preview.once.length + preview.more_once;
  if (!calls && draft.tools === null) return <p class="faint">No call with an effect was made behind this place, which the fork might make twice.</p>;
  const chosen = draft.tools ?? "ask";
  return (
    <fieldset class="made-before">
      <legend>
        Calls already made <span class="faint">{count(calls, "call")} with an effect behind this place</span>
      </legend>
      <p class="dim">If the fork makes one of them again (same name, same arguments):</p>
      {TOOLS.map(([name, word, words]) => (
        <label key={name} class="check">
          <input type="radio" name="fork-tools" value={name} checked={chosen === name} onChange={() => change({ tools: name })} />
          <span>
            <b>{word}</b> <span class="dim">{words}</span> <span class="faint">Here: {whatBecomes(preview.once, preview.more_once, name)}.</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** Chooses a message, or a result, that is to read otherwise. */
function InsteadOf({ session, draft, change, at }: Part & { at: number }) {
  const { answer } = useAnswer(ask("GET /api/sessions/{session}/transcript", { session: session.id }, { around: at + 1, before: AROUND, after: 1, at: Math.max(at, 1) }));
  const found = answer === null ? [] : replaceable(answer.messages, at).filter((one) => !draft.instead.some((other) => other.name === one.name));
  const choose = async (name: number) => {
    const one = found.find((other) => other.name === name);
    if (one === undefined) return;
    try {
      const alone = await getKept(ask("GET /api/sessions/{session}/transcript", { session: session.id }, { around: name, before: 1, after: 1 }));
      const said = wholeOf(alone.messages, name);
      const was = said.text ?? (one.characters > [...one.text].length ? null : one.text);
      change({ instead: [...draft.instead, { name, role: one.role, was, text: was ?? "", isHidden: false }] });
    } catch (problem) {
      tell(wordsOf(problem), true);
    }
  };
  if (!found.length) return null;
  return (
    <select class="chip" aria-label="A message or result that is to read otherwise" value="" onChange={(event) => void choose(Number(event.currentTarget.value))}>
      <option value="">a message or result…</option>
      {found.map((one) => (
        <option key={one.name} value={one.name}>
          {whole(one.name)} {one.role}: {one.text.replace(/\s+/g, " ").slice(0, 70)}
        </option>
      ))}
    </select>
  );
}

function InsteadField({ one, change }: { one: Instead; change: (next: Instead | null) => void }) {
  return (
    <div class="labelled">
      <span>
        {one.role} {whole(one.name)}{" "}
        <label class="check">
          <input type="checkbox" checked={one.isHidden} onChange={(event) => change({ ...one, isHidden: event.currentTarget.checked })} /> hidden from the model
        </label>{" "}
        <button type="button" class="link" onClick={() => change(null)}>
          as it was
        </button>
      </span>
      {!one.isHidden && <textarea class="field mono" rows={4} aria-label={`What ${one.role} ${one.name} says`} value={one.text} onInput={(event) => change({ ...one, text: event.currentTarget.value })} />}
      {one.was === null && !one.isHidden && <span class="is-config">It is too long to be edited here; what you write stands in its place.</span>}
    </div>
  );
}

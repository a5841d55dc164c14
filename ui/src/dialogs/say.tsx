// Says something to a session: to its agent, to the run under way, behind it, or to a task.

import { useRef, useState } from "preact/hooks";

import { tell, useAnswer, wordsOf } from "../api/answers";
import { ask, post } from "../api/source";
import { select } from "../selection";
import type { OpenSession } from "../session/open";
import { closeDialog, dialog } from "./dialogs";
import { Actions, CommandLine, Frame } from "./frame";
import { quoted } from "./quoted";

type How = "run" | "steer" | "follow-up" | "send";

const WAYS: Record<How, { title: string; button: string; says: string; done: string }> = {
  run: { title: "Say something, and run", button: "Run", says: "The session's agent answers it, and runs until nothing is left to do.", done: "The run has begun." },
  steer: { title: "Steer the run", button: "Steer", says: "The model reads it with its next call; the run goes on.", done: "It is queued for the next model call." },
  "follow-up": { title: "Follow up", button: "Queue", says: "It is delivered when the run would otherwise end.", done: "It is queued for the end of the run." },
  send: { title: "Send to the task", button: "Send", says: "It goes to the inbox of the task, as a text or any JSON.", done: "It is in the inbox." },
};

/** Where no run is under way, nothing that is queued is read yet. */
const LATER = { says: "Nothing runs here now: the model reads it when the session is run next.", done: "Nothing runs now: it is queued, and read when the session is run next." };

/** Something to say. */
export function SayDialog({ session, how }: { session: OpenSession; how: How }) {
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const key = useRef(crypto.randomUUID());
  const server = useAnswer(ask("GET /api/server")).answer;
  const isTask = session.head.value?.info.task !== "";
  const ways = (Object.keys(WAYS) as How[]).filter((one) => one !== "send" || isTask);
  const isIdle = session.head.value !== null && session.head.value.stands.status !== "running";
  const isEarly = isIdle && (how === "steer" || how === "follow-up");
  const cannotRun = how === "run" && server !== null && !server.runs;
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy || !text.trim() || cannotRun) return;
    setBusy(true);
    try {
      const names = { session: session.id };
      if (how === "run") await post("POST /api/sessions/{session}/run", names, { prompt: text, key: key.current });
      else if (how === "steer") await post("POST /api/sessions/{session}/steer", names, { message: text, key: key.current });
      else if (how === "follow-up") await post("POST /api/sessions/{session}/follow-up", names, { message: text, key: key.current });
      else await post("POST /api/sessions/{session}/send", names, { message: anyJson(text), key: key.current });
      closeDialog();
      tell(isEarly ? LATER.done : WAYS[how].done);
      select({ seq: null }, "jump");
    } catch (problem) {
      setError(wordsOf(problem));
    }
    setBusy(false);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) (event.currentTarget as HTMLTextAreaElement).form?.requestSubmit();
  };
  const way = WAYS[how];
  return (
    <Frame title={way.title}>
      <form onSubmit={(event) => void onSubmit(event)}>
        <div class="dialog-body">
          <div class="tabs is-choice" role="radiogroup" aria-label="How it is said">
            {ways.map((one) => (
              <button key={one} type="button" role="radio" aria-checked={one === how} onClick={() => (dialog.value = { name: "say", how: one })}>
                {one}
              </button>
            ))}
          </div>
          <textarea class="field" rows={5} autoFocus aria-label="What is said" value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={onKeyDown} />
          <p class="dim">{isEarly ? LATER.says : way.says}</p>
          {cannotRun && (
            <div class="note">
              <p>This server runs no agents: start it with <code>--agent MODULE:NAME --allow-run</code>, or say it in a terminal.</p>
              <CommandLine>{`refold continue ${quoted(session.id)} --agent MODULE:NAME --prompt ${quoted(text || "…")}`}</CommandLine>
            </div>
          )}
        </div>
        <Actions error={error}>
          <button type="submit" class="button is-main" disabled={isBusy || !text.trim() || cannotRun} title="ctrl enter">
            {way.button}
          </button>
          <button type="button" class="button" onClick={closeDialog}>
            Cancel
          </button>
        </Actions>
      </form>
    </Frame>
  );
}

/** JSON as such, anything else as a text. */
function anyJson(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

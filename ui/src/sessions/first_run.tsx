// What stands where the table would: there is no session yet.

import { useAnswer } from "../api/answers";
import { ask } from "../api/source";

const WAYS: [string, string][] = [
  ["refold ui --from claude-code", "reads what Claude Code keeps of this folder; so with codex, gemini, opencode and pi"],
  ["refold import session.jsonl", "takes a file, or a folder of them, that an agent wrote"],
  ["refold demo", "runs an agent, forks it and goes on: no key, no network"],
  ['refold run "Why is the sky blue?" -m MODEL', "asks a model, such as anthropic:claude-sonnet-4-5"],
];

/** Says which log it is: a command in a terminal may mean another one. */
function WhichLog() {
  const { answer } = useAnswer(ask("GET /api/store"));
  if (answer === null || answer.kind === "memory") return null;
  return (
    <p class="dim">
      {answer.path ? (
        <>
          This log is <code>{answer.path}</code>: where
        </>
      ) : (
        "This log is on a server: where"
      )}{" "}
      <code>refold ls</code> reads another one, add <code>--db</code> and {answer.path ? "this path" : "its address"} to each of them.
    </p>
  );
}

/** Says what to type. */
export function FirstRun() {
  return (
    <main class="first-run">
      <h1>There is no session in this log yet.</h1>
      <p class="dim">Type one of these in a terminal; what comes of it appears here by itself.</p>
      <dl>
        {WAYS.map(([typed, does]) => (
          <div key={typed}>
            <dt>
              <code>{typed}</code>
            </dt>
            <dd class="dim">{does}</dd>
          </div>
        ))}
      </dl>
      <WhichLog />
    </main>
  );
}

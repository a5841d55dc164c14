// What stands where the table would: there is no session yet.

const WAYS: [string, string][] = [
  ["refold ui --from claude-code", "reads what Claude Code keeps of this folder; so with codex, gemini, opencode and pi"],
  ["refold import session.jsonl", "takes a file, or a folder of them, that an agent wrote"],
  ["refold demo", "runs an agent, forks it and goes on: no key, no network"],
  ['refold run "Why is the sky blue?" -m MODEL', "asks a model, such as anthropic:claude-sonnet-4-5"],
];

/** Says what to type. */
export function FirstRun() {
  return (
    <main class="first-run">
      <h1>There is no session in this log yet.</h1>
      <p class="dim">Type one of these in a terminal, in the folder of this log; what comes of it appears here by itself.</p>
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
    </main>
  );
}

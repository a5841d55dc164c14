// Goes on with a run that stopped, where the server runs agents.

import { getKept, tell, wordsOf } from "../api/answers";
import { ask, post } from "../api/source";

/** Says how a session is gone on with elsewhere. */
export function goOnWords(session: string): string {
  return `To go on: refold continue ${session} --agent MODULE:NAME`;
}

/** Goes on with a run. `done`: what was done before, which stands also where that cannot be. */
export async function goOn(session: string, done = ""): Promise<void> {
  const before = done && `${done} `;
  try {
    if (!(await getKept(ask("GET /api/server"))).runs) {
      tell(`${done || "This server runs no agents."} ${goOnWords(session)}`, !done);
      return;
    }
    await post("POST /api/sessions/{session}/resume", { session }, {});
    tell(`${before}The run goes on.`);
  } catch (problem) {
    tell(`${before}The run does not go on here: ${wordsOf(problem)}`, true);
  }
}

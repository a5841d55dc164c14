// What a wait asks.

import type { Waiting } from "../api/types";

/** What is waited for, in words. */
export function waitWords(wait: Waiting): string {
  switch (wait.reason) {
    case "approval":
      return `May ${wait.tool} run?`;
    case "in_doubt":
      return `It is not known whether ${wait.tool} ran: what now?`;
    case "repeat":
      return `${wait.tool} ran before with the same arguments: again?`;
    case "inbox":
      return "A message of somebody";
    case "sleep":
      return "Time to pass";
    case "retry":
      return `Another try${wait.step ? ` of ${wait.step}` : ""}`;
    case "child":
      return `The end of its child ${wait.key.replace(/^child:/, "")}${wait.child_status ? `, which is ${wait.child_status}` : ""}${wait.queue ? ` in queue ${wait.queue}` : ""}`;
    default:
      return `A value for the token ${wait.key}`;
  }
}

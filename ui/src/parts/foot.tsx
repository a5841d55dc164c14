// What stands at the foot of a screen: keys, or what was just done.

import type { ComponentChildren } from "preact";

import { notice } from "../api/answers";
import { AWAY, isAway } from "../api/server";
import { pending } from "../keys";

const ASKED_AGAIN = { words: `${AWAY} It is asked again.`, isError: true };

/** The foot: keys with what they do, and at its end what the screen says of itself. */
export function Foot({ hints, children }: { hints: readonly [string, string][]; children?: ComponentChildren }) {
  const said = notice.value ?? (isAway.value ? ASKED_AGAIN : null);
  return (
    <footer class="foot">
      <span class={said ? `notice${said.isError ? " is-error" : ""}` : "unseen-text"} role="status">
        {said?.words ?? ""}
      </span>
      {!said &&
        hints.map(([keys, what]) => (
          <span key={what} class="hint">
            <kbd>{keys}</kbd> {what}
          </span>
        ))}
      <span class="at-end">
        {pending.value && <kbd>{pending.value} </kbd>}
        {children}
      </span>
    </footer>
  );
}

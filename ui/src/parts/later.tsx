// Parts of the page that are loaded behind what is drawn first: by the time a key asks for them they are there.

import { signal } from "@preact/signals";
import type { ComponentType, VNode } from "preact";
import { useEffect } from "preact/hooks";

const LATER_MS = 200;
const LATEST_MS = 1000;

/** Does something once what is drawn is drawn, in a second at the latest. */
export function whenIdle(does: () => void): void {
  if ("requestIdleCallback" in window) requestIdleCallback(does, { timeout: LATEST_MS });
  else setTimeout(does, LATER_MS);
}

const waiting: (() => Promise<void>)[] = [];

/** Makes a component of one that is loaded later. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): (props: P) => VNode | null {
  const found = signal<ComponentType<P> | null>(null);
  const isLost = signal(false);
  let loading: Promise<void> | null = null;
  const begin = () =>
    (loading ??= load().then(
      (loaded) => {
        found.value = loaded;
      },
      () => {
        isLost.value = true; // a browser does not load a module again whose connection was lost once
      },
    ));
  waiting.push(begin);
  return function Later(props: P) {
    useEffect(() => void begin(), []);
    if (isLost.value) return <Lost />;
    const Loaded = found.value;
    return Loaded === null ? null : <Loaded {...props} />;
  };
}

function Lost() {
  return (
    <p class="lost empty is-error" role="alert">
      This part of the page was lost on its way here.{" "}
      <button type="button" class="link" onClick={() => location.reload()}>
        Load the page again
      </button>
      : it opens at the same place.
    </p>
  );
}

/** Loads what was not shown yet: it is there before a key asks for it. */
export async function loadAll(): Promise<void> {
  await Promise.all(waiting.map((begin) => begin()));
}

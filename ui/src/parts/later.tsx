// Parts of the page that are loaded behind what is drawn first: by the time a key asks for them they are there.

import { signal } from "@preact/signals";
import type { ComponentType, VNode } from "preact";
import { useEffect } from "preact/hooks";

import { tell, wordsOf } from "../api/answers";

const waiting: (() => Promise<void>)[] = [];

/** Makes a component of one that is loaded later. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): (props: P) => VNode | null {
  const found = signal<ComponentType<P> | null>(null);
  let loading: Promise<void> | null = null;
  const begin = () =>
    (loading ??= load().then(
      (loaded) => {
        found.value = loaded;
      },
      (error: unknown) => {
        loading = null; // it is tried again when it is shown the next time
        tell(`A part of the page cannot be loaded: ${wordsOf(error)}`, true);
      },
    ));
  waiting.push(begin);
  return function Later(props: P) {
    useEffect(() => void begin(), []);
    const Loaded = found.value;
    return Loaded === null ? null : <Loaded {...props} />;
  };
}

/** Loads what was not shown yet: it is there before a key asks for it. */
export async function loadAll(): Promise<void> {
  await Promise.all(waiting.map((begin) => begin()));
}

// Answers as components read them: asked for once, kept while they hold, and what is stale is never waited for.

import { type Signal, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError, type Asked, get } from "./source";

const MOST_KEPT = 400;
const AWAY_MS = [250, 500, 1000, 2000];
const kept = new Map<string, unknown>();

/** Forgets what was kept of a session, since something was written to it, or taken from it. */
export function forget(session: string): void {
  const path = `/api/sessions/${encodeURIComponent(session)}`;
  for (const one of [...underWay.keys()]) if (one.startsWith(path)) underWay.delete(one);
  for (const one of [...kept.keys()]) if (one.startsWith(path) || one.startsWith("/api/diff")) kept.delete(one);
}

/** Returns what was answered to a path before, if it was kept. */
export function keptAnswer<T>(asked: Asked<T>): T | undefined {
  return kept.get(asked.path) as T | undefined;
}

/** A question that is under way: whoever else asks it waits for the same answer; when nobody waits any more it is dropped. */
interface UnderWay {
  answer: Promise<unknown>;
  stop: AbortController;
  waiting: number;
}

const underWay = new Map<string, UnderWay>();

/** Asks, and keeps the answer: for what does not change, such as a session at a seq. Waits where the index is behind. */
export async function getKept<T>(asked: Asked<T>, signal?: AbortSignal): Promise<T> {
  const there = kept.get(asked.path);
  if (there !== undefined) {
    kept.delete(asked.path);
    kept.set(asked.path, there);
    return there as T;
  }
  const one = underWay.get(asked.path) ?? begin(asked);
  one.waiting++;
  const leave = () => {
    if (--one.waiting > 0) return;
    if (underWay.get(asked.path) === one) underWay.delete(asked.path);
    one.stop.abort();
  };
  signal?.addEventListener("abort", leave, { once: true });
  try {
    const answer = (await one.answer) as T;
    signal?.throwIfAborted();
    return answer;
  } finally {
    signal?.removeEventListener("abort", leave);
  }
}

function begin(asked: Asked<unknown>): UnderWay {
  const stop = new AbortController();
  const answer: Promise<unknown> = getPatiently(asked, stop.signal).then((found) => {
    if (underWay.get(asked.path) !== one) return found; // it was forgotten meanwhile
    kept.set(asked.path, found);
    const first = kept.size > MOST_KEPT ? kept.keys().next().value : undefined;
    if (first !== undefined) kept.delete(first);
    return found;
  });
  const one: UnderWay = { answer, stop, waiting: 0 };
  underWay.set(asked.path, one);
  const end = () => {
    if (underWay.get(asked.path) === one) underWay.delete(asked.path);
  };
  answer.then(end, end);
  return one;
}

/** Asks again as long as the server says that it has not come so far yet, and while it is away. */
export async function getPatiently<T>(asked: Asked<T>, signal?: AbortSignal): Promise<T> {
  for (let lost = 0; ; ) {
    try {
      return await get(asked, signal);
    } catch (error) {
      const pause_ms = error instanceof ApiError ? pauseAfter(error, lost) : null;
      if (pause_ms === null) throw error;
      lost++;
      await new Promise((done) => setTimeout(done, pause_ms));
      signal?.throwIfAborted();
    }
  }
}

/** How long to wait before asking again; null where that would not help. */
function pauseAfter(error: ApiError, lost: number): number | null {
  if (error.status === 0) return AWAY_MS[Math.min(lost, AWAY_MS.length - 1)]!;
  return error.status === 503 && error.retryAfterS !== null ? 1000 * Math.min(error.retryAfterS, 5) : null;
}

/** An answer as it stands: `isOld` while it is of what was asked before, `isSlow` when the reader has waited for a while. */
export interface Standing<T> {
  answer: T | null;
  error: string;
  isOld: boolean;
  isSlow: boolean;
}

const OLD_MS = 80;
const SLOW_MS = 300;
const NOTHING = { answer: null, error: "", isOld: false, isSlow: false };

/**
 * Asks for what a component shows; null asks for nothing. The last answer stays until the next one comes: it counts as old
 * after 80 ms. `again` asks anew when it changes, `keep` keeps the answer under its path.
 */
export function useAnswer<T>(asked: Asked<T> | null, { again = 0, keep = true }: { again?: number; keep?: boolean } = {}): Standing<T> {
  const [standing, setStanding] = useState<Standing<T>>(NOTHING);
  const shown = useRef("");
  const path = asked?.path ?? "";
  const there = asked !== null && keep && again === 0 ? keptAnswer(asked) : undefined;
  useEffect(() => {
    if (asked === null) {
      setStanding(NOTHING);
      return;
    }
    if (there !== undefined) {
      shown.current = path;
      setStanding({ answer: there, error: "", isOld: false, isSlow: false });
      return;
    }
    const stop = new AbortController();
    const old = setTimeout(() => setStanding((now) => ({ ...now, isOld: true })), OLD_MS);
    const slow = setTimeout(() => setStanding((now) => ({ ...now, isSlow: true })), SLOW_MS);
    const end = () => {
      clearTimeout(old);
      clearTimeout(slow);
    };
    const asking = keep && again === 0 ? getKept(asked, stop.signal) : getPatiently(asked, stop.signal);
    asking.then(
      (answer) => {
        end();
        if (stop.signal.aborted) return;
        shown.current = path;
        setStanding({ answer, error: "", isOld: false, isSlow: false });
      },
      (error: unknown) => {
        end();
        if (!stop.signal.aborted) setStanding({ answer: null, error: wordsOf(error), isOld: false, isSlow: false });
      },
    );
    return () => {
      end();
      stop.abort();
    };
  }, [path, again]);
  if (there !== undefined && shown.current !== path) return { answer: there, error: "", isOld: false, isSlow: false };
  return standing;
}

/** What an error says. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A sentence at the foot of the page, for a few seconds. */
export const notice: Signal<{ words: string; isError: boolean } | null> = signal(null);
let noticeTimer: ReturnType<typeof setTimeout> | undefined;

/** Tells the reader something that is no part of a view. */
export function tell(words: string, isError = false): void {
  clearTimeout(noticeTimer);
  notice.value = { words, isError };
  noticeTimer = setTimeout(() => (notice.value = null), isError ? 12_000 : 4_000);
}

/** Does something, and tells what went wrong. Returns: whether it was done. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    tell(wordsOf(error), true);
    return false;
  }
}

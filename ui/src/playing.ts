// Plays a session: event by event, at the pace at which it happened, long pauses cut short.

import { effect, signal } from "@preact/signals";

import { tell } from "./api/answers";
import { selection } from "./selection";
import { goToSeq, open } from "./session/open";

const LONGEST_MS = 1500;
const FRAME_MS = 33;

export const isPlaying = signal(false);
export const speed = signal(1);
let timer: ReturnType<typeof setTimeout> | undefined;
let at = 0;

/** Plays from where the selection is, or stops. */
export function togglePlay(): void {
  if (isPlaying.peek()) {
    stopPlay();
    return;
  }
  const one = open.peek();
  if (one === null) return;
  if (one.seq.peek() >= one.last.peek()) goToSeq(1);
  isPlaying.value = true;
  at = one.seq.peek();
  next();
}

/** Stops playing. */
export function stopPlay(): void {
  clearTimeout(timer);
  isPlaying.value = false;
}

/** Plays so many times faster than now: from a quarter to 64 times. */
export function setSpeed(factor: number): void {
  speed.value = Math.min(Math.max(speed.peek() * factor, 0.25), 64);
  tell(`${speed.value}×`);
}

function next(): void {
  const one = open.peek();
  if (one === null || one.seq.peek() !== at || at >= one.last.peek()) {
    stopPlay(); // something else was selected, or this is the end
    return;
  }
  const row = one.row.peek();
  const events = Math.max(one.rows.last[row]! - one.rows.seq[row]!, 1);
  const behind = row + 1 < one.rows.length ? one.rows.at[row + 1]! - one.rows.at[row]! : 0;
  const took = one.rows.duration[row]! >= 0 ? one.rows.duration[row]! : behind;
  const each = Math.min(took / events / 1000, LONGEST_MS) / speed.peek();
  const steps = Math.max(Math.round(FRAME_MS / Math.max(each, 1)), 1);
  timer = setTimeout(() => {
    if (open.peek() !== one || one.seq.peek() !== at) return stopPlay();
    at = Math.min(at + steps, one.last.peek());
    goToSeq(at, "step");
    next();
  }, Math.max(each * steps, FRAME_MS));
}

effect(() => {
  if (selection.value === null && isPlaying.peek()) stopPlay();
});

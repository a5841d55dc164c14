// Steps through what was found in the open session, when the dialog is closed.

import { effect } from "@preact/signals";

import { tell, wordsOf } from "../api/answers";
import { ask, get } from "../api/source";
import type { Hits } from "../api/types";
import { whole } from "../format";
import { goToSeq, open } from "../session/open";
import { selection } from "../selection";
import { searchStep } from "../ui_state";
import { nextPlace } from "./places";

const PAGE = 500;
const MOST = 10_000;

/** Reads where a text stands in a session: the seqs, in order. `isWhole`: all of them. */
async function placesOf(session: string, text: string): Promise<{ seqs: number[]; isWhole: boolean }> {
  const seqs = new Set<number>();
  let after = "";
  do {
    const page: Hits = await get(ask("GET /api/search", {}, { q: text, session, limit: PAGE, after }));
    for (const hit of page.hits) seqs.add(hit.seq);
    after = page.next;
  } while (after && seqs.size < MOST);
  return { seqs: [...seqs].sort((one, other) => one - other), isWhole: !after };
}

/** Lets the keys of a search step through a session; until it is left, or escape is pressed. */
export function startStepping(session: string, text: string, seq: number): void {
  let places: Promise<{ seqs: number[]; isWhole: boolean }> | null = null;
  const step = async (way: 1 | -1) => {
    try {
      places ??= placesOf(session, text);
      const { seqs, isWhole } = await places;
      const one = open.peek();
      if (one === null || one.id !== session || !seqs.length) return;
      const to = nextPlace(seqs, one.seq.peek(), way);
      goToSeq(to.seq);
      tell(`${whole(to.number + 1)} of ${whole(seqs.length)}${isWhole ? "" : "+"}: ${text.slice(0, 60)}${to.wraps ? (way > 0 ? " (from the beginning)" : " (from the end)") : ""}`);
    } catch (problem) {
      places = null;
      tell(wordsOf(problem), true);
    }
  };
  const does = (way: 1 | -1) => void step(way);
  searchStep.value = does;
  tell(`At ${whole(seq)}: ${text.slice(0, 60)}. Enter goes to the next, N to the one before, esc ends it.`);
  const end = effect(() => {
    if (searchStep.value !== does) queueMicrotask(() => end());
    else if (selection.value?.session !== session) searchStep.value = null;
  });
}

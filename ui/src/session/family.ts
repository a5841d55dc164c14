// The family of the open session: read once for all that show it, and again when it has grown or stands otherwise.

import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { getPatiently, wordsOf } from "../api/answers";
import { ask } from "../api/source";
import type { Family } from "../api/types";
import type { OpenSession } from "./open";

/** Another session of the same family is not read anew so soon: of ten thousand forks it is ten megabytes. */
const FRESH_MS = 5_000;

const last = signal<{ family: Family; ids: ReadonlySet<string> } | null>(null);
const error = signal("");
/** What was asked for last, and when it was answered. */
let asked = "";
let answeredMs = 0;

async function read(session: string, key: string): Promise<void> {
  asked = key;
  try {
    const family = await getPatiently(ask("GET /api/sessions/{session}/family", { session }));
    if (asked !== key) return;
    answeredMs = Date.now();
    error.value = "";
    last.value = { family, ids: new Set(family.members.map((one) => one.info.id)) };
  } catch (problem) {
    if (asked !== key) return;
    asked = ""; // whoever shows it next asks again
    error.value = wordsOf(problem);
  }
}

/** The family of a session; null until it is known. */
export function useFamily(session: OpenSession): { family: Family | null; error: string } {
  const head = session.head.value;
  const stands = head === null ? "" : `${head.family} ${head.stands.status}`;
  const known = last.value;
  const isKnown = known !== null && known.ids.has(session.id);
  useEffect(() => {
    const key = `${session.id} ${stands}`;
    if (!stands || key === asked) return;
    const isFresh = isKnown && !asked.startsWith(`${session.id} `) && Date.now() - answeredMs < FRESH_MS && known.family.members.length === head?.family;
    if (isFresh) asked = key;
    else void read(session.id, key);
  }, [session, stands]);
  return useMemo(() => ({ family: isKnown ? known.family : null, error: isKnown ? "" : error.value }), [known, isKnown, error.value]);
}

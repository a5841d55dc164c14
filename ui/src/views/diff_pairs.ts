// Pairs of a comparison, as its pages come.

import type { ComparedPair } from "../api/types";

/** Pairs of two pages as one list: equal ones on either side of the seam are one run. */
export function joined(before: readonly ComparedPair[], behind: readonly ComparedPair[]): ComparedPair[] {
  const last = before.at(-1);
  const first = behind[0];
  if (last?.kind !== "same" || first?.kind !== "same") return [...before, ...behind];
  return [...before.slice(0, -1), { ...last, count: last.count + first.count }, ...behind.slice(1)];
}

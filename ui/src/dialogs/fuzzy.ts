// Finds what was meant by a few letters.

/**
 * How well letters fit a text: -1 where they do not stand in it in this order. Letters that follow each other, and
 * those at the beginning of words, count more; a long text counts a little less.
 */
export function fit(letters: string, text: string): number {
  const wanted = letters.toLowerCase().replace(/\s+/g, "");
  const said = text.toLowerCase();
  if (!wanted) return 0;
  const whole = said.indexOf(letters.trim().toLowerCase());
  let score = whole < 0 ? 0 : 40 + (startsWord(said, whole) ? 20 : 0) + (whole === 0 ? 10 : 0);
  let at = -1;
  let last = -2;
  for (const letter of wanted) {
    at = said.indexOf(letter, at + 1);
    if (at < 0) return -1;
    score += at === last + 1 ? 4 : startsWord(said, at) ? 3 : 1;
    last = at;
  }
  return Math.max(score - Math.min(said.length / 50, 5), 0);
}

function startsWord(text: string, at: number): boolean {
  return at === 0 || /[^\p{L}\p{N}]/u.test(text[at - 1]!);
}

/** Chooses what fits, the best first; without letters all of it, as it stands. `best`: how well the first one fits. */
export function choose<T>(letters: string, from: readonly T[], words: (one: T) => string): { found: T[]; best: number } {
  if (!letters.trim()) return { found: [...from], best: 0 };
  const scored = from
    .map((one, number) => ({ one, number, score: fit(letters, words(one)) }))
    .filter(({ score }) => score >= 0)
    .sort((one, other) => other.score - one.score || one.number - other.number);
  return { found: scored.map(({ one }) => one), best: scored[0]?.score ?? -1 };
}

// Places in a session, one after the other.

/** The seq behind (1) or before (-1) one; from the end it goes on at the other. */
export function nextPlace(seqs: readonly number[], seq: number, way: 1 | -1): { seq: number; number: number; wraps: boolean } {
  const found = way > 0 ? seqs.findIndex((one) => one > seq) : seqs.findLastIndex((one) => one < seq);
  const number = found >= 0 ? found : way > 0 ? 0 : seqs.length - 1;
  return { seq: seqs[number]!, number, wraps: found < 0 };
}

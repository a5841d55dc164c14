// Tokens as they are typed or pasted.

/** Reads a token from what was typed: the token itself, or the whole address that `refold ui` prints. */
export function readToken(typed: string): string {
  const found = /#token=([^&\s]+)/.exec(typed)?.[1];
  try {
    return found === undefined ? typed.trim() : decodeURIComponent(found);
  } catch {
    return found ?? "";
  }
}

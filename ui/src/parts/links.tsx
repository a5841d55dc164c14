// Links within the page: they are addresses, and following one loads nothing.

import type { ComponentChildren } from "preact";

import { theSource } from "../api/source";
import { whole } from "../format";
import { go, hrefOf, type Place, readAddress, selection } from "../selection";
import { open } from "../session/open";

/** Follows a link of the page without loading it again, unless a new tab is meant. */
export function follow(event: MouseEvent): void {
  const link = (event.currentTarget as HTMLElement).closest("a");
  if (link === null || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const href = link.getAttribute("href") ?? "";
  const [path = "/", query = ""] = href.replace(/^#/, "").split("?");
  event.preventDefault();
  event.stopPropagation();
  go(readAddress(path, query));
}

/** A seq as a link: to it in the session that is open, or in another one. */
export function SeqLink({ seq, session, children, view }: { seq: number; session?: string; children?: ComponentChildren; view?: "chat" | "request" }) {
  const now = selection.value;
  const id = session ?? open.value?.id;
  if (id !== undefined && !theSource().holds(id)) {
    return (
      <span class="faint" title="This session is not in the file.">
        {children ?? whole(seq)}
      </span>
    );
  }
  if (id === undefined) return <>{children ?? whole(seq)}</>;
  const where: Place =
    now !== null && now.session === id
      ? { ...now, seq, part: null, ...(view ? { view } : {}) }
      : { screen: "session", session: id, seq, view: view ?? "chat", pin: null, part: null };
  return (
    <a href={hrefOf(where)} onClick={follow}>
      {children ?? whole(seq)}
    </a>
  );
}

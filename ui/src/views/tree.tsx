import type { OpenSession } from "../session/open";

export function Tree(_: { session: OpenSession }) {
  return <p class="empty">Tree</p>;
}

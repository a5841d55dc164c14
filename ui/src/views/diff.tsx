import type { OpenSession } from "../session/open";

export function Diff(_: { session: OpenSession }) {
  return <p class="empty">Diff</p>;
}

import type { OpenSession } from "../session/open";

export function Timeline(_: { session: OpenSession }) {
  return <p class="empty">Timeline</p>;
}

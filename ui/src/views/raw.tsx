import type { OpenSession } from "../session/open";

export function Raw(_: { session: OpenSession }) {
  return <p class="empty">Raw</p>;
}

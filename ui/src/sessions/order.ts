// By what the table is sorted: what is largest, or latest, comes first.

import type { SessionSort, TableRow } from "../api/types";

const MINUTE_US = 60e6;

const VALUES: Record<SessionSort, (row: TableRow) => number> = {
  // of sessions that run, the order is by the minute: they would change places with every token
  updated: ({ status, info }) => (status === "running" ? Math.ceil(info.updated_at_us / MINUTE_US) * MINUTE_US : info.updated_at_us),
  created: ({ info }) => info.created_at_us,
  cost: ({ info }) => info.cost_microusd ?? -1,
  turns: ({ info }) => info.turns,
  events: ({ info }) => info.head,
  errors: ({ info }) => info.errors,
};

/** Reads what a table is sorted by; anything else is `updated`. */
export function readSort(text: string): SessionSort {
  return Object.hasOwn(VALUES, text) ? (text as SessionSort) : "updated";
}

/** Compares two rows: negative where the first comes first. */
export function byOrder(sort: SessionSort): (one: TableRow, other: TableRow) => number {
  const value = VALUES[sort];
  return (one, other) => value(other) - value(one) || VALUES.updated(other) - VALUES.updated(one) || (one.info.id < other.info.id ? -1 : 1);
}

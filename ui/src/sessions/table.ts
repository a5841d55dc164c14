// The table of sessions: what is loaded of it, what changes in it, and which row is selected.

import { batch, computed, effect, signal, untracked } from "@preact/signals";

import { getPatiently, wordsOf } from "../api/answers";
import { ApiError, ask, stream, theSource } from "../api/source";
import type { TableBatch, TablePage, TableRow } from "../api/types";
import { whenIdle } from "../parts/later";
import { go, place, sessionPlace, type SessionsPlace } from "../selection";
import { peekSession } from "../ui_state";
import { familyLines, type Line } from "./families";
import { byOrder, readSort } from "./order";

const PAGE = 100;
const MOST_AGAIN = 500;
const AGAIN_MS = [250, 500, 1000, 2000, 5000];
const CALM_MS = 1000;

/** The sessions that a filter asks for, as far as they were looked at. */
class SessionTable {
  readonly rows = signal<ReadonlyMap<string, TableRow>>(new Map());
  readonly isLoading = signal(false);
  /** What is wrong with the filter. */
  readonly filterError = signal("");
  /** Why nothing can be shown. */
  readonly error = signal("");
  /** Behind which session the next page begins; "" at the end. */
  readonly next = signal("");
  readonly isRead = signal(false);
  readonly isLive = signal(false);
  readonly selected = signal<string | null>(null);
  /** Families that were folded, or unfolded, by hand. */
  readonly turned = signal<ReadonlySet<string>>(new Set());
  readonly filter = signal("");
  readonly sort = signal(readSort(""));
  /** Whether it has been said what can be shown, or why nothing can. */
  readonly isAnswered = computed(() => this.isRead.value || this.filterError.value !== "" || this.error.value !== "");
  /** Whether what was asked for first is drawn: what tells of changes, and how many there are, comes behind it. */
  readonly isSettled = signal(false);
  /** Counts how often sessions came, went, or stood otherwise. */
  readonly changes = signal(0);
  /** How many sessions there are; `hasMore`: at least. 0 until it is known. */
  readonly inAll = signal(0);
  readonly hasMore = signal(false);

  /** The lines that are shown, folded families as one. A filter unfolds them: what it found is to be seen. */
  readonly lines = computed<readonly Line[]>(() => {
    const turned = this.turned.value;
    const unfolds = this.filter.value !== "";
    const rows = [...this.rows.value.values()].sort(byOrder(this.sort.value));
    return familyLines(rows, (id) => turned.has(id) !== unfolds);
  });
  /** The number of the selected line; -1 without one. */
  readonly at = computed(() => {
    const id = this.selected.value;
    return this.lines.value.findIndex((line) => line.row.info.id === id);
  });

  private asking: AbortController | null = null;
  private watching: AbortController | null = null;
  private againTimer: ReturnType<typeof setTimeout> | undefined;

  /** Shows what a filter asks for; what was shown stays until the answer comes. */
  show(where: SessionsPlace): void {
    const sort = readSort(where.sort);
    if (this.isRead.peek() && where.filter === this.filter.peek() && sort === this.sort.peek()) return;
    batch(() => {
      this.filter.value = where.filter;
      this.sort.value = sort;
      this.turned.value = new Set();
    });
    void this.read("");
  }

  /** Reads the next page, if there is one. */
  more(): void {
    if (this.next.peek() && !this.isLoading.peek()) void this.read(this.next.peek());
  }

  /** Reads a page: the first one, or that behind a session. */
  private async read(after: string, limit = PAGE): Promise<void> {
    this.asking?.abort();
    const stop = (this.asking = new AbortController());
    this.isLoading.value = true;
    try {
      const query = { filter: this.filter.peek(), sort: this.sort.peek(), after, limit };
      this.take(await getPatiently<TablePage>(ask("GET /api/sessions", {}, query), stop.signal), after, limit);
    } catch (error) {
      if (stop.signal.aborted) return;
      batch(() => {
        this.isLoading.value = false;
        if (error instanceof ApiError && error.status === 422) this.filterError.value = error.message;
        else if (error instanceof ApiError && error.status === 404 && after) this.again(); // the last row is gone
        else this.error.value = wordsOf(error);
      });
    }
  }

  private take(page: TablePage, after: string, limit: number): void {
    const before = this.rows.peek();
    const keeps = after !== "" || (limit === MOST_AGAIN && page.next !== "");
    const rows = new Map(keeps ? before : []);
    for (const row of page.sessions) rows.set(row.info.id, row);
    batch(() => {
      this.rows.value = rows;
      this.next.value = page.next;
      this.isLoading.value = false;
      this.isRead.value = true;
      this.filterError.value = "";
      this.error.value = "";
      this.changes.value++;
      if (this.at.value < 0) this.select(this.lines.value[0]?.row.info.id ?? null);
    });
    if (after !== "" && rows.size === before.size) this.more(); // rows moved to the front meanwhile
  }

  /** Reads what is shown anew, soon, and once for all that happens until then; a filter that is wrong stays so. */
  private again(): void {
    this.againTimer ??= setTimeout(() => {
      this.againTimer = undefined;
      if (this.isLoading.peek()) this.again();
      else if (this.watching !== null && !this.filterError.peek()) void this.read("", Math.min(Math.max(this.rows.peek().size, PAGE), MOST_AGAIN));
    }, CALM_MS);
  }

  /** Follows the sessions while the table is looked at. */
  watch(): void {
    if (this.watching !== null || theSource().isArchive) return;
    const stop = (this.watching = new AbortController());
    void this.follow(stop.signal);
  }

  /** Stops following. */
  unwatch(): void {
    this.watching?.abort();
    this.watching = null;
    this.isLive.value = false;
  }

  private async follow(stop: AbortSignal): Promise<void> {
    for (let lost = 0; !stop.aborted; lost++) {
      try {
        for await (const event of stream("GET /api/live", {}, undefined, stop)) {
          this.isLive.value = true;
          lost = 0;
          if (event.name === "sessions") this.hear(event.data);
          else if (event.name === "end") break;
        }
      } catch (error) {
        if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return;
      }
      if (stop.aborted) return;
      this.isLive.value = false;
      await new Promise((done) => setTimeout(done, AGAIN_MS[Math.min(lost, AGAIN_MS.length - 1)]));
    }
  }

  /** Takes rows that have changed. Only the server knows whether they fit a filter: then it is asked again. */
  private hear(told: TableBatch): void {
    const rows = new Map(this.rows.peek());
    const order = byOrder(this.sort.peek());
    const last = this.next.peek() ? rows.get(this.next.peek()) : undefined;
    const isFiltered = this.filter.peek() !== "";
    let hasChanged = false;
    let asksAgain = false;
    for (const row of told.sessions) {
      const was = rows.get(row.info.id);
      hasChanged ||= was?.status !== row.status;
      if (was !== undefined) {
        rows.set(row.info.id, row);
        asksAgain ||= was.info.digest !== row.info.digest || was.status !== row.status;
      } else if (isFiltered) asksAgain = true;
      else if (!this.next.peek() || (last !== undefined && order(row, last) < 0)) rows.set(row.info.id, row);
    }
    for (const id of told.gone) hasChanged = rows.delete(id) || hasChanged;
    batch(() => {
      if (this.isRead.peek()) this.rows.value = rows;
      if (hasChanged) this.changes.value++;
      this.inAll.value = told.watched;
      this.hasMore.value = told.more;
      if (this.at.value < 0 && this.isRead.peek()) this.select(this.lines.value[0]?.row.info.id ?? null);
    });
    if (asksAgain && isFiltered) this.again();
    else if (this.error.peek() && !this.isLoading.peek()) void this.read(""); // the server is there again
  }

  /** Selects a session; a pane that peeks follows. */
  select(id: string | null): void {
    batch(() => {
      this.selected.value = id;
      if (peekSession.peek() !== null) peekSession.value = id;
    });
  }

  /** Selects the line that is so many further. */
  step(by: number): void {
    const lines = this.lines.peek();
    const to = Math.min(Math.max(this.at.peek() + by, 0), lines.length - 1);
    if (to >= 0) this.select(lines[to]!.row.info.id);
    if (to > lines.length - 20) this.more();
  }

  /** Folds a family, or unfolds it. */
  turn(id: string): void {
    const turned = new Set(this.turned.peek());
    if (!turned.delete(id)) turned.add(id);
    this.turned.value = turned;
  }

  /** Folds (-1) or unfolds (1) the family of the selected line; from a member it goes to what it lies under. */
  fold(way: 1 | -1): void {
    const lines = this.lines.peek();
    const at = this.at.peek();
    const line = lines[at];
    if (line === undefined) return;
    if (line.members > 0 && line.isOpen !== way > 0) this.turn(line.row.info.id);
    else if (way > 0 && line.members > 0) this.step(1);
    else if (way < 0 && line.depth > 0) {
      for (let up = at - 1; up >= 0; up--) {
        if (lines[up]!.depth < line.depth) {
          this.select(lines[up]!.row.info.id);
          return;
        }
      }
    }
  }

  /** Opens the selected session. */
  open(): void {
    const id = this.selected.peek();
    if (id !== null && this.at.peek() >= 0) go(sessionPlace(id));
  }

  /** Looks at the selected session without leaving the table, or no longer. */
  peek(): void {
    peekSession.value = peekSession.peek() === null && this.at.peek() >= 0 ? this.selected.peek() : null;
  }
}

export const table = new SessionTable();

/** Keeps the table to what the address says: it is asked for before anything is drawn. */
export function followPlace(): void {
  effect(() => {
    const now = place.value;
    if (now.screen === "sessions") untracked(() => table.show(now));
  });
  effect(() => {
    if (table.isAnswered.value) whenIdle(() => (table.isSettled.value = true));
  });
}

/** Follows sessions while the table is shown. */
export function followSessions(): () => void {
  const look = () => {
    if (document.hidden) table.unwatch();
    else table.watch();
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    table.unwatch();
  };
}

/** Filters and sorts the table: a step while it is typed, a jump when it was chosen. */
export function showSessions(change: Partial<SessionsPlace>, how: "jump" | "step" = "jump"): void {
  const now = place.peek();
  if (now.screen === "sessions") go({ ...now, ...change }, how);
}

// The session that is open: its head, its rows, and what is told of it while it is looked at.

import { batch, computed, effect, signal, untracked } from "@preact/signals";

import { forget, getPatiently, tell, wordsOf } from "../api/answers";
import { ApiError, ask, get, stream, theSource } from "../api/source";
import type { LiveBatch, LiveText, Row, SessionHead, StreamedBlock } from "../api/types";
import { go, selection } from "../selection";
import { NOTES, Rows } from "./rows";

const PREVIEWS = 100;
const MOST_PREVIEW_PAGES = 200;
const INDEX_MS = 250;
const CALM_MS = 250;
const AGAIN_MS = [250, 500, 1000, 2000, 5000];

/** A block of the message that is being said, as far as it has come. */
export type OpenBlock = StreamedBlock;

/** One session, as the page has it. Signals tell what has changed; `version` counts changes of the rows. */
export class OpenSession {
  readonly head = signal<SessionHead | null>(null);
  readonly rows = new Rows();
  readonly version = signal(0);
  readonly previewVersion = signal(0);
  readonly error = signal("");
  /** The seq of the last event that is known. */
  readonly last = signal(0);
  /** What is being said at the head. */
  readonly streaming = signal<readonly OpenBlock[]>([]);
  /** Rows that came while the selection stood still. */
  readonly unseen = signal(0);
  readonly isLive = signal(false);
  readonly showsNotes = signal(false);
  /** Counts what makes answers at the head another: a batch with rows. */
  readonly changes = signal(0);
  /** How much of the session the server has read for its answers, from 0 to 1. */
  readonly indexing = signal(1);
  /** The seq that answers are asked for: the selected one, a moment late while the head is followed. */
  readonly calm = signal(0);
  private readonly previews = new Map<number, Map<number, Row>>();
  /** What was told while rows are read anew, for each reading: the answer may be older. */
  private readonly loading = new Set<LiveBatch[]>();
  private readonly asking = new Map<number, AbortController>();
  /** Rows that were told while the words of their page were asked for, with the seq up to which they are told. */
  private readonly meanwhile = new Map<number, [number, Row][]>();
  private readonly stop = new AbortController();
  private watching: AbortController | null = null;
  private streamedTo = 0;

  constructor(readonly id: string) {}

  /** The seq that is looked at. */
  readonly seq = computed(() => selection.value?.seq ?? this.last.value);
  readonly isFollowing = computed(() => selection.value?.seq === null);
  /** The row that is looked at, -1 without one. */
  readonly row = computed(() => {
    this.version.value;
    return this.rows.rowOf(this.seq.value);
  });
  /** The rows that the list shows, by their numbers. */
  readonly shown = computed<Uint32Array>(() => {
    this.version.value;
    const all = this.showsNotes.value;
    const found = new Uint32Array(this.rows.length);
    const isNote = this.rows.kinds.map((kind) => NOTES.has(kind));
    let many = 0;
    for (let row = 0; row < this.rows.length; row++) if (all || !isNote[this.rows.kind[row]!]) found[many++] = row;
    return found.subarray(0, many);
  });
  /** Where among the rows that are shown the selection stands. */
  readonly shownPlace = computed(() => placeOf(this.shown.value, this.row.value));

  /** Loads the head and the rows, and goes on watching while the page is looked at. */
  async start(): Promise<void> {
    try {
      await this.load();
    } catch (error) {
      if (!this.stop.signal.aborted) this.error.value = wordsOf(error);
      return;
    }
    if (theSource().isArchive) return;
    const look = () => {
      if (document.hidden) this.watching?.abort();
      else void this.watch();
    };
    document.addEventListener("visibilitychange", look, { signal: this.stop.signal });
    look();
  }

  /** Forgets the session. */
  close(): void {
    this.stop.abort();
    this.watching?.abort();
    for (const one of this.asking.values()) one.abort();
    for (const end of this.ends) end();
    clearTimeout(this.calmTimer);
    clearTimeout(this.headTimer);
  }

  private readonly ends = [
    effect(() => {
      if (this.isFollowing.value) this.unseen.value = 0;
    }),
    effect(() => this.settle(this.seq.value, this.isFollowing.value)),
  ];

  private calmTimer: ReturnType<typeof setTimeout> | undefined;

  /** Lets answers follow the selection at once, and the head a few times a second: it moves with every token. */
  private settle(seq: number, isFollowing: boolean): void {
    if (!isFollowing || this.calm.peek() === 0) {
      clearTimeout(this.calmTimer);
      this.calmTimer = undefined;
      this.calm.value = seq;
    } else {
      this.calmTimer ??= setTimeout(() => {
        this.calmTimer = undefined;
        this.calm.value = untracked(() => this.seq.value);
      }, CALM_MS);
    }
  }

  /** Loads what is indexed by now, and again until all of it is: a long session is drawn as far as it has come. */
  private async load(): Promise<void> {
    for (let round = 0; ; round++) {
      const isWhole = await this.loadIndexed();
      if (isWhole) break;
      await new Promise((done) => setTimeout(done, Math.min(INDEX_MS * 1.5 ** round, 1500)));
      this.stop.signal.throwIfAborted();
    }
    await this.readStreaming();
  }

  private async loadIndexed(): Promise<boolean> {
    const names = { session: this.id };
    const query = theSource().isArchive ? undefined : { partial: true };
    const told: LiveBatch[] = [];
    this.loading.add(told);
    const [head, columns] = await Promise.all([
      getPatiently(ask("GET /api/sessions/{session}", names, query), this.stop.signal),
      getPatiently(ask("GET /api/sessions/{session}/rows", names, query), this.stop.signal),
    ]).finally(() => this.loading.delete(told));
    this.rows.load(columns);
    this.previews.clear();
    batch(() => {
      this.head.value = head;
      this.last.value = Math.min(head.info.head, Math.max(head.indexed_to, columns.indexed_to));
      this.indexing.value = this.last.value < head.info.head ? this.last.value / head.info.head : 1;
      this.version.value++;
      this.previewVersion.value++;
      this.changes.value++;
      this.error.value = "";
    });
    const unseen = this.unseen.peek();
    for (const one of told) if (!one.reload && one.seq > this.last.peek()) await this.take(one); // it is newer than what was answered
    this.unseen.value = unseen; // in which these are already
    return this.indexing.value === 1;
  }

  /** Reads how far the message has come that is being said at the head. */
  private async readStreaming(): Promise<void> {
    if (!this.head.peek()?.info.open) return;
    const seq = this.last.peek();
    const jump = await getPatiently(ask("GET /api/sessions/{session}/at/{seq}", { session: this.id, seq }), this.stop.signal);
    this.streamedTo = seq;
    this.streaming.value = jump.streaming;
  }

  /** Follows the session, and begins again where the connection was lost. */
  private async watch(): Promise<void> {
    this.watching?.abort();
    const stop = (this.watching = new AbortController());
    for (let lost = 0; !stop.signal.aborted && !this.stop.signal.aborted; lost++) {
      try {
        const cursor = this.head.peek()?.cursor;
        const seen = this.last.peek();
        const at_digest = cursor?.seq === seen && cursor.digest ? cursor.digest : null;
        const told = stream("GET /api/sessions/{session}/live", { session: this.id }, { after: seen, at_digest }, stop.signal);
        for await (const event of told) {
          this.isLive.value = true;
          lost = 0;
          if (event.name === "rows") await this.take(event.data);
          else if (event.name === "reset") {
            tell("The end of what was shown is in the log no more: the session was read anew.");
            forget(this.id);
            await this.load();
            break;
          } else if (event.name === "end") break;
        }
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) {
          if (!this.stop.signal.aborted) this.error.value = error.message;
          return;
        }
        if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
          if (!this.stop.signal.aborted) tell(error.message, true);
          return;
        }
      }
      this.isLive.value = false;
      await new Promise((done) => setTimeout(done, AGAIN_MS[Math.min(lost, AGAIN_MS.length - 1)]));
    }
  }

  private async take(told: LiveBatch): Promise<void> {
    for (const one of this.loading) one.push(told);
    const before = this.last.peek();
    const many = this.rows.length;
    if (told.reload || !this.rows.take(told.rows, told.seq)) {
      await this.load();
      return;
    }
    for (const row of told.rows) {
      const page = Math.floor(row.row / PREVIEWS);
      this.previews.get(page)?.set(row.row, row);
      this.meanwhile.get(page)?.push([told.seq, row]);
    }
    const head = this.head.peek();
    const isSaying = told.phase === "STREAMING";
    batch(() => {
      if (head !== null && told.seq !== before) {
        this.head.value = { ...head, info: told.info, cursor: { seq: told.seq, digest: told.info.digest }, rows: told.rows_in_all };
      }
      if (told.rows.length) {
        this.version.value++;
        this.previewVersion.value++;
      }
      this.streaming.value = isSaying ? grown(this.streaming.peek(), told.texts, this.streamedTo) : [];
      if (told.rows.some((row) => !row.text_tail) && told.seq > before) this.changes.value++;
      if (!untracked(() => this.isFollowing.value)) this.unseen.value += Math.max(told.rows_in_all - many, 0);
      this.last.value = told.seq;
      this.streamedTo = Math.max(this.streamedTo, told.seq);
    });
    if (told.rows.some((row) => row.kind !== "assistant") || !isSaying) void this.readHead();
  }

  private headTimer: ReturnType<typeof setTimeout> | undefined;

  /** Reads the head anew, soon, and once for all that happens until then. */
  private readHead(): void {
    if (this.headTimer !== undefined) return;
    this.headTimer = setTimeout(async () => {
      this.headTimer = undefined;
      try {
        const head = await get(ask("GET /api/sessions/{session}", { session: this.id }), this.stop.signal);
        if (head.info.head >= this.last.peek()) this.head.value = head;
      } catch {
        // the next change reads it again
      }
    }, 500);
  }

  /** Reads head and rows anew, after something was written. */
  async refresh(): Promise<void> {
    forget(this.id);
    await this.load();
  }

  /** A row with its first words, if they are there; else they are asked for, and `previewVersion` tells. */
  preview(row: number): Row | null {
    const page = Math.floor(row / PREVIEWS);
    const there = this.previews.get(page);
    if (there !== undefined) return there.get(row) ?? null;
    if (!this.asking.has(page)) void this.readPreviews(page);
    return null;
  }

  /** Stops asking for words of rows that are out of sight: those that are `from` to `to` are in it. */
  keepAsking(from: number, to: number): void {
    for (const [page, stop] of this.asking) {
      if ((page + 1) * PREVIEWS <= from || page * PREVIEWS > to) {
        stop.abort();
        this.asking.delete(page);
      }
    }
  }

  private async readPreviews(page: number): Promise<void> {
    const stop = new AbortController();
    this.asking.set(page, stop);
    const told: [number, Row][] = [];
    this.meanwhile.set(page, told);
    try {
      const asked = ask("GET /api/sessions/{session}/previews", { session: this.id }, { from: page * PREVIEWS, limit: PREVIEWS });
      const found = await getPatiently(asked, stop.signal);
      if (stop.signal.aborted) return;
      const first = this.previews.size >= MOST_PREVIEW_PAGES ? this.previews.keys().next().value : undefined;
      if (first !== undefined) this.previews.delete(first);
      const rows = new Map(found.rows.map((row) => [row.row, row]));
      for (const [seq, row] of told) if (seq >= found.indexed_to) rows.set(row.row, row);
      this.previews.set(page, rows);
      this.previewVersion.value++;
    } catch (error) {
      if (!stop.signal.aborted && !this.stop.signal.aborted) tell(wordsOf(error), true);
    } finally {
      if (this.asking.get(page) === stop) this.asking.delete(page);
      if (this.meanwhile.get(page) === told) this.meanwhile.delete(page);
    }
  }
}

/** What is being said, with what came of it behind a seq. */
export function grown(blocks: readonly OpenBlock[], texts: readonly LiveText[], seen: number): readonly OpenBlock[] {
  const found = blocks.map((block) => ({ ...block }));
  for (const one of texts) {
    if (one.seq <= seen) continue;
    const kind = one.kind.replace(/_(start|delta|end)$/, "");
    const last = found.at(-1);
    if (one.kind.endsWith("_start") || last === undefined || (one.kind.endsWith("_delta") && last.kind !== kind)) {
      found.push({ kind, name: one.name, text: one.text, characters: one.text.length });
    } else if (one.kind.endsWith("_delta")) {
      last.text += one.text;
      last.characters += one.text.length;
    }
  }
  return found;
}

/** Where a row stands among those that are shown: itself, or the last one before it; -1 without one. */
export function placeOf(shown: Uint32Array, row: number): number {
  let low = 0;
  let high = shown.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (shown[middle]! <= row) low = middle + 1;
    else high = middle;
  }
  return shown.length ? Math.max(low - 1, 0) : -1;
}

/** The session that the page shows, or null. */
export const open = signal<OpenSession | null>(null);

/** Keeps the open session to what is selected. */
export function followSelection(): void {
  effect(() => {
    const wanted = selection.value?.session ?? null;
    const now = open.peek();
    if (now?.id === wanted || (now === null && wanted === null)) return;
    now?.close();
    const next = wanted === null ? null : new OpenSession(wanted);
    open.value = next;
    if (next !== null) untracked(() => void next.start());
  });
}

/** Goes to the row that is so many further among those that are shown. */
export function stepRow(by: number): void {
  const one = open.peek();
  if (one === null) return;
  const shown = one.shown.peek();
  const to = Math.min(Math.max(one.shownPlace.peek() + by, 0), shown.length - 1);
  if (to >= 0) goToRow(shown[to]!, "step");
}

/** Selects a row. */
export function goToRow(row: number, how: "jump" | "step" = "jump"): void {
  const one = open.peek();
  const now = selection.peek();
  if (one === null || now === null || row < 0) return;
  go({ ...now, seq: one.rows.anchor(row), part: null }, how);
}

/** Selects a seq, kept within the session. */
export function goToSeq(seq: number, how: "jump" | "step" = "jump"): void {
  const one = open.peek();
  const now = selection.peek();
  if (one === null || now === null) return;
  go({ ...now, seq: Math.min(Math.max(seq, 1), one.last.peek()), part: null }, how);
}

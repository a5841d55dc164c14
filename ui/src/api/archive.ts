// Answers of a file: what a server would have said about its sessions, written into the page by `refold export`.
// Nothing is folded here: whole lists are cut to the windows that are asked for, and what is not in the file is said.

import { ApiError, type Source, type StreamEvent } from "./source";
import type {
  Archive as Written,
  ArchivedRequest,
  ArchivedSession,
  ChatMessage,
  Comparison,
  ComparisonPage,
  Hit,
  Hits,
  Jump,
  Json,
  LeftOut,
  PartLine,
  RequestHead,
  SentEvent,
} from "./types";

const EXCERPT = 80;

/** Reads what was written into the page; null where there is nothing: then a server is asked. */
export async function readArchive(): Promise<Archive | null> {
  const written = document.getElementById("archive")?.textContent;
  if (!written) return null;
  const packed = Uint8Array.from(atob(written.trim()), (letter) => letter.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Archive((await new Response(plain).json()) as Written);
}

type Query = URLSearchParams;

/** Answers the page's paths from a file. */
export class Archive implements Source {
  readonly isArchive = true;
  /** The session that the file is of. */
  readonly session: string;
  readonly about: string;
  readonly without: readonly string[];
  readonly omitted: readonly string[];
  private readonly sessions = new Map<string, SessionAnswers>();
  private readonly comparisons: ReadonlyMap<string, Comparison>;

  constructor(private readonly written: Written) {
    const head = written.sessions[0]!.head;
    this.session = head.info.id;
    const last = new Date(head.info.updated_at_us / 1000).toISOString().slice(0, 16).replace("T", " ");
    this.about = `a file as of ${last} UTC`;
    this.without = written.without;
    this.omitted = written.omitted;
    const parentsFirst = written.sessions.toSorted((one, other) => one.head.info.number - other.head.info.number);
    for (const one of parentsFirst) this.sessions.set(one.head.info.id, new SessionAnswers(written, one, this.sessions));
    this.comparisons = new Map(written.comparisons.map((one) => [`${one.head.left.session} ${one.head.right.session}`, one]));
  }

  get isOfMany(): boolean {
    return this.sessions.size > 1;
  }

  holds(session: string): boolean {
    return this.sessions.has(session);
  }

  compares(left: string, right: string): boolean {
    return this.comparisons.has(`${left} ${right}`);
  }

  async get(path: string): Promise<unknown> {
    const url = new URL(path, "http://archive");
    const found = this.answer(url.pathname, url.searchParams);
    if (found === undefined) throw new ApiError(404, "This is not in the file: `refold ui` shows it, where the log is.");
    return found;
  }

  async post(): Promise<unknown> {
    throw new ApiError(403, "A file cannot be changed: `refold ui` opens the log itself.");
  }

  // biome-ignore lint: a stream that tells nothing
  async *stream(): AsyncGenerator<StreamEvent> {}

  private answer(path: string, query: Query): unknown {
    if (path === "/api/server") return { version: this.written.version, writes: false, runs: false };
    if (path === "/api/search") return this.search(query);
    if (path === "/api/diff" || path === "/api/diff/pairs") return this.compared(path, query);
    const part = /^\/api\/parts\/(\w+)$/.exec(path)?.[1];
    if (part !== undefined) return this.written.parts[part];
    const [, name, rest = ""] = /^\/api\/sessions\/([^/]+)(?:\/(.*))?$/.exec(path) ?? [];
    const session = name === undefined ? undefined : decodeURIComponent(name);
    if (session === undefined || !this.holds(session)) return undefined;
    if (rest === "family") return { ...this.written.family, session };
    return this.sessions.get(session)!.answer(rest, query);
  }

  private compared(path: string, query: Query): unknown {
    const found = this.comparisons.get(`${query.get("left")} ${query.get("right")}`);
    if (found === undefined || path === "/api/diff") return found?.head;
    return { pairs: found.pairs, next: null, left_out: [0, 0] } satisfies ComparisonPage;
  }

  /** Looks through what was said; what a branch shares with the one before it is found in the one alone. */
  private search(query: Query): Hits {
    const wanted = pattern(query.get("q") ?? "");
    const only = query.get("session");
    const searched = only === null ? [...this.sessions.values()].reverse() : [this.sessions.get(only)].filter((one) => one !== undefined);
    const found = wanted === null ? [] : searched.map((one) => one.search(wanted, only === null));
    const counts = found.map((hits, number) => ({ session: searched[number]!.session, hits: hits.length, more: false })).filter((one) => one.hits > 0);
    const after = numberOf(query, "after") ?? 0;
    const end = after + (numberOf(query, "limit") ?? 100);
    const all = found.flat();
    return { hits: all.slice(after, end), next: end < all.length ? String(end) : "", counts };
  }
}

/** Answers of one session of a file. */
class SessionAnswers {
  readonly session: string;
  private readonly facts: readonly SentEvent[];
  private readonly seqs: number[];

  constructor(
    private readonly pool: Written,
    private readonly written: ArchivedSession,
    others: ReadonlyMap<string, SessionAnswers>,
  ) {
    const session = (this.session = written.head.info.id);
    const [above, upto] = written.inherited ?? ["", 0];
    const inherited = others.get(above)?.facts.filter((one) => one.seq <= upto) ?? [];
    this.facts = [...inherited.map((one) => ({ ...one, session })), ...written.facts];
    this.seqs = this.facts.map((one) => one.seq);
  }

  answer(rest: string, query: Query): unknown {
    const [what = "", seq, more = ""] = rest.split("/");
    switch (what) {
      case "":
        return this.written.head;
      case "rows":
        return this.written.rows;
      case "previews":
        return { indexed_to: this.last, rows_in_all: this.written.previews.length, rows: cut(this.written.previews, query) };
      case "at":
        return this.jump(Number(seq));
      case "transcript":
        return this.transcript(query);
      case "events":
        return seq === undefined ? this.events(query) : this.fact(Number(seq))?.event;
      case "series":
        return this.series(query);
      case "spans":
        return this.spans(query);
      case "sources":
        return this.written.sources[String(this.written.jumps[this.place(Number(seq))]?.row)];
      case "requests":
        return this.request(Number(seq), more, query);
      default:
        return undefined;
    }
  }

  private get last(): number {
    return this.written.head.info.head;
  }

  /** The place of the last fact up to a seq; -1 before the first. */
  private place(seq: number): number {
    let [low, high] = [0, this.seqs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.seqs[middle]! <= seq) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private fact(seq: number) {
    const place = this.place(seq);
    return this.seqs[place] === seq ? this.facts[place] : undefined;
  }

  /** State is there at every fact: at a delta it is that of the fact before. */
  private jump(seq: number): Jump | undefined {
    const place = this.place(seq);
    const jump = this.written.jumps[place];
    if (jump === undefined) return undefined;
    const event = jump.event.is_cut ? jump.event : { ...jump.event, value: this.facts[place]!.event as unknown as Json };
    return { ...jump, seq, event };
  }

  /** Messages as they stand at the end of the file; what came behind a seq is not told of those up to it. */
  private transcript(query: Query) {
    const at = numberOf(query, "at") ?? this.last;
    const all = this.written.messages.filter((one) => one.seq <= at).map((one) => asOf(one, at));
    const around = numberOf(query, "around") ?? at + 1;
    const middle = firstFrom(all, around);
    const first = Math.max(middle - (numberOf(query, "before") ?? 50), 0);
    const end = Math.min(middle + (numberOf(query, "after") ?? 50), all.length);
    return { session: this.session, seq: at, indexed_to: this.last, before: first, after: all.length - end, messages: all.slice(first, end) };
  }

  private events(query: Query) {
    const after = numberOf(query, "after") ?? 0;
    const upto = numberOf(query, "upto") ?? this.last;
    const first = this.place(after) + 1;
    const end = this.place(upto) + 1;
    const stop = Math.min(first + (numberOf(query, "limit") ?? 1000), end);
    return { events: this.facts.slice(first, stop), next: stop < end ? this.seqs[stop - 1]! : null };
  }

  private series(query: Query) {
    const start = numberOf(query, "from") ?? 0;
    const columns = Object.entries(this.written.series).map(([name, value]) => [name, Array.isArray(value) && name !== "models" ? cut(value, query) : value]);
    return { ...Object.fromEntries(columns), start };
  }

  private spans(query: Query) {
    const spans = this.written.spans;
    const from = numberOf(query, "from_us") ?? -Infinity;
    const to = numberOf(query, "to_us") ?? Infinity;
    return { ...spans, bars: spans.bars.filter((one) => one.started_at_us <= to && (one.ended_at_us ?? Infinity) >= from) };
  }

  private request(seq: number, what: string, query: Query): unknown {
    const number = this.numberOfRequest(seq);
    const found = this.written.requests[number];
    if (found === undefined) return undefined;
    switch (what) {
      case "":
        return { ...found.head, seq, tools: this.pool.tools[found.tools]! } satisfies RequestHead;
      case "parts":
        return this.parts(seq, number, found, query);
      case "check":
        return found.check;
      case "changes":
        return query.has("against") ? undefined : { ...found.changes, changes: cut(found.changes.changes, query) };
      default:
        return undefined;
    }
  }

  /** Which request a seq is about: the one under way there, or else what would come next. */
  private numberOfRequest(seq: number): number {
    const asked = this.written.jumps[this.place(seq)]?.request.request_seq;
    if (asked === undefined) return -1;
    return this.written.requests.findLastIndex((one) => one.head.request_seq === asked && (asked > 0 || one.head.seq <= seq));
  }

  private parts(seq: number, number: number, found: ArchivedRequest, query: Query) {
    const from = numberOf(query, "from") ?? 0;
    const end = Math.min(from + (numberOf(query, "limit") ?? 100), found.head.messages);
    if (found.head.messages > 0 && end <= found.first) return undefined;
    const isLast = end >= found.head.messages;
    const left = this.pool.left_out[found.left_out]!.filter((one: LeftOut) => one.before >= from && (one.before < end || isLast));
    return { seq, messages: found.head.messages, parts: this.lines(number, Math.max(from, found.first), end), left_out: left, more_left_out: found.more_left_out };
  }

  /** The lines of a request between two places: its own, and those that it has from the ones before it. */
  private lines(number: number, from: number, end: number): PartLine[] {
    const lines: PartLine[] = new Array(Math.max(end - from, 0));
    let open = end;
    for (let one = number; one >= 0 && open > from; one--) {
      const { keep, lines: own } = this.written.requests[one]!;
      for (let place = Math.max(keep, from); place < open; place++) lines[place - from] = this.pool.lines[own[place - keep]!]!;
      open = Math.min(open, keep);
    }
    return lines;
  }

  /** Finds a text, what was said last first; `isOwn`: behind what the session shares with the one that it is a fork of. */
  search(wanted: RegExp, isOwn: boolean): Hit[] {
    const { title, first_words, fork_seq } = this.written.head.info;
    const hits: Hit[] = [];
    for (const message of this.written.messages.toReversed()) {
      if (isOwn && message.seq <= fork_seq) break;
      const calls = message.calls.flatMap((call) => [call.name, call.arguments.text, call.result?.text]);
      for (const text of [message.text.text, message.thinking?.text, ...calls]) {
        const found = text ? wanted.exec(text) : null;
        if (found === null) continue;
        const start = Math.max(found.index - EXCERPT, 0);
        const before = characters(text!.slice(start, found.index));
        hits.push({
          session: this.session,
          title: title || first_words,
          seq: message.seq,
          role: message.role,
          at_us: message.at_us,
          excerpt: text!.slice(start, found.index + found[0].length + EXCERPT),
          marks: [[before, before + characters(found[0])]],
        });
        break;
      }
    }
    return hits;
  }
}

/** A text to look for, in any case and with any white space between its words; null where there is none. */
function pattern(text: string): RegExp | null {
  const words = text.split(/\s+/).filter(Boolean);
  return words.length ? new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("\\s+"), "iu") : null;
}

/** How many characters a text has: pairs of surrogates are one. */
function characters(text: string): number {
  return [...text].length;
}

function numberOf(query: Query, name: string): number | undefined {
  const text = query.get(name);
  return text === null || text === "" ? undefined : Number(text);
}

function cut<T>(list: readonly T[], query: Query): T[] {
  const from = numberOf(query, "from") ?? 0;
  return list.slice(from, from + (numberOf(query, "limit") ?? 100));
}

function firstFrom(messages: readonly ChatMessage[], seq: number): number {
  const found = messages.findIndex((one) => one.seq >= seq);
  return found < 0 ? messages.length : found;
}

/** A message without what happened to it behind a seq. */
function asOf(message: ChatMessage, seq: number): ChatMessage {
  return message.not_read_seq > seq ? { ...message, not_read: null, not_read_seq: 0, instead: "" } : message;
}

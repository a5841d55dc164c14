// Answers of a file: what a server would have said about its sessions, written into the page by `refold export`.
// Nothing is folded here: whole lists are cut to the windows that are asked for, and what is not in the file is said.

import { added, Blocks, checkWhole, lastUpTo, Listing, unpacked } from "./blocks";
import { ApiError, type Source, type StreamEvent } from "./source";
import type {
  ArchivedLine,
  ArchivedRequest,
  ArchivedSession,
  CallSeries,
  ChatMessage,
  Comparison,
  ComparisonPage,
  Hit,
  Hits,
  Jump,
  Json,
  LeftOut,
  PartLine,
  PartWindow,
  RequestChanges,
  RequestHead,
  Row,
  RowColumns,
  SaidWhere,
  SentEvent,
  SentTool,
  Timespans,
  Archive as Written,
} from "./types";

const EXCERPT = 80;
const NOT_COMPARED = "A file has each request compared with the one before it, and with no other: `refold ui` compares any two, where the log is.";

/** Reads what was written into the page. Raises: ApiError for a damaged file. */
export async function readArchive(): Promise<Archive> {
  const written = document.getElementById("archive")?.textContent ?? "";
  const [first = "", ...blocks] = written.trim().split("\n");
  const directory = (await unpacked(first)) as Written;
  checkWhole(blocks.length, directory.blocks);
  return new Archive(directory, new Blocks(blocks));
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
  private readonly pool: Pool;
  private readonly comparisons: Listing<Comparison>;
  private readonly compared: readonly string[];

  constructor(
    private readonly written: Written,
    blocks: Blocks,
  ) {
    const head = written.sessions[0]!.head;
    this.session = head.info.id;
    const last = new Date(head.info.updated_at_us / 1000).toISOString().slice(0, 16).replace("T", " ");
    this.about = `a file as of ${last} UTC`;
    this.without = written.without;
    this.omitted = written.omitted;
    const parentsFirst = written.sessions.toSorted((one, other) => one.head.info.number - other.head.info.number);
    this.pool = new Pool(written, blocks);
    for (const one of parentsFirst) this.sessions.set(one.head.info.id, new SessionAnswers(this.pool, blocks, one, this.sessions));
    this.comparisons = new Listing(blocks, written.comparisons);
    this.compared = written.compared.map((sides) => sides.join(" "));
  }

  get isOfMany(): boolean {
    return this.sessions.size > 1;
  }

  holds(session: string): boolean {
    return this.sessions.has(session);
  }

  compares(left: string, right: string): boolean {
    return this.compared.includes(`${left} ${right}`);
  }

  async get(path: string): Promise<unknown> {
    const url = new URL(path, "http://archive");
    const found = await this.answer(url.pathname, url.searchParams);
    if (found === undefined) throw new ApiError(404, "This is not in the file: `refold ui` shows it, where the log is.");
    return found;
  }

  async post(): Promise<unknown> {
    throw new ApiError(403, "A file cannot be changed: `refold ui` opens the log itself.");
  }

  // biome-ignore lint: a stream that tells nothing
  async *stream(): AsyncGenerator<StreamEvent> {}

  private answer(path: string, query: Query): unknown | Promise<unknown> {
    if (path === "/api/server") return { version: this.written.version, writes: false, runs: false };
    if (path === "/api/search") return this.search(query);
    if (path === "/api/diff" || path === "/api/diff/pairs") return this.comparison(path, query);
    const part = /^\/api\/parts\/(\w+)$/.exec(path)?.[1];
    if (part !== undefined) return this.pool.content(part);
    const [, name, rest = ""] = /^\/api\/sessions\/([^/]+)(?:\/(.*))?$/.exec(path) ?? [];
    const session = name === undefined ? undefined : decodeURIComponent(name);
    if (session === undefined || !this.holds(session)) return undefined;
    if (rest === "family") return { ...this.written.family, session };
    return this.sessions.get(session)!.answer(rest, query);
  }

  private async comparison(path: string, query: Query): Promise<unknown> {
    const found = await this.comparisons.at(this.compared.indexOf(`${query.get("left")} ${query.get("right")}`));
    if (found === undefined || path === "/api/diff") return found?.head;
    return { pairs: found.pairs, next: null, left_out: [0, 0] } satisfies ComparisonPage;
  }

  /** Looks through what was said; what a branch shares with the one before it is found in the one alone. */
  private async search(query: Query): Promise<Hits> {
    const wanted = pattern(query.get("q") ?? "");
    const only = query.get("session");
    const searched = only === null ? [...this.sessions.values()].reverse() : [this.sessions.get(only)].filter((one) => one !== undefined);
    const found: Hit[][] = [];
    for (const one of wanted === null ? [] : searched) found.push(await one.search(wanted!, only === null));
    const counts = found.map((hits, number) => ({ session: searched[number]!.session, hits: hits.length, more: false })).filter((one) => one.hits > 0);
    const after = numberOf(query, "after") ?? 0;
    const end = after + (numberOf(query, "limit") ?? 100);
    const all = found.flat();
    return { hits: all.slice(after, end), next: end < all.length ? String(end) : "", counts };
  }
}

/** What the requests of a file are made of. */
class Pool {
  readonly tools: Listing<SentTool[]>;
  readonly leftOut: Listing<LeftOut[]>;
  private readonly all: Listing<ArchivedLine>;
  /** Where the content is of lines that were given out, by its hash. */
  private readonly contents = new Map<string, number>();

  constructor(written: Written, blocks: Blocks) {
    this.tools = new Listing(blocks, written.tools);
    this.leftOut = new Listing(blocks, written.left_out);
    this.all = new Listing(blocks, written.lines);
  }

  /** The lines of these numbers. */
  async lines(numbers: readonly number[]): Promise<PartLine[]> {
    const found = (await Promise.all(numbers.map((number) => this.all.at(number)))) as ArchivedLine[];
    for (const { line, of } of found) this.contents.set(line.sha256, of);
    return found.map((one) => one.line);
  }

  /** All of a part, by its hash. */
  async content(sha256: string): Promise<Json | undefined> {
    const known = this.contents.get(sha256);
    if (known !== undefined) return (await this.all.at(known))?.content;
    for await (const [begin, lines] of this.all.backwards()) {
      for (const [place, one] of lines.entries()) if (one.of === begin + place && one.line.sha256 === sha256) return one.content;
    }
    return undefined;
  }
}

/** Answers of one session of a file. */
class SessionAnswers {
  readonly session: string;
  /** The seqs of all facts, and how many of them are those of the session `above`. */
  private readonly seqs: readonly number[];
  private readonly above: SessionAnswers | undefined;
  private readonly inherited: number;
  private readonly asked: readonly number[];
  private readonly messageSeqs: readonly number[];
  private readonly sourceRows: readonly number[];
  private readonly lists: {
    rows: Listing<RowColumns>;
    previews: Listing<Row>;
    messages: Listing<ChatMessage>;
    sources: Listing<SaidWhere>;
    facts: Listing<SentEvent>;
    jumps: Listing<Jump>;
    requests: Listing<ArchivedRequest>;
    sent: Listing<[number, number[]]>;
    series: Listing<CallSeries>;
    spans: Listing<Timespans>;
  };

  constructor(
    private readonly pool: Pool,
    blocks: Blocks,
    private readonly written: ArchivedSession,
    others: ReadonlyMap<string, SessionAnswers>,
  ) {
    this.session = written.head.info.id;
    const [above, upto] = written.inherited ?? ["", 0];
    this.above = others.get(above);
    this.inherited = this.above === undefined ? 0 : lastUpTo(this.above.seqs, upto) + 1;
    this.seqs = [...(this.above?.seqs.slice(0, this.inherited) ?? []), ...added(written.seqs)];
    this.asked = added(written.asked);
    this.messageSeqs = added(written.message_seqs);
    this.sourceRows = added(written.source_rows);
    this.lists = {
      rows: new Listing(blocks, written.rows),
      previews: new Listing(blocks, written.previews),
      messages: new Listing(blocks, written.messages),
      sources: new Listing(blocks, written.sources),
      facts: new Listing(blocks, written.facts),
      jumps: new Listing(blocks, written.jumps),
      requests: new Listing(blocks, written.requests),
      sent: new Listing(blocks, written.sent),
      series: new Listing(blocks, written.series),
      spans: new Listing(blocks, written.spans),
    };
  }

  answer(rest: string, query: Query): unknown | Promise<unknown> {
    const [what = "", seq, more = ""] = rest.split("/");
    switch (what) {
      case "":
        return this.written.head;
      case "rows":
        return this.lists.rows.at(0);
      case "previews":
        return this.previews(query);
      case "at":
        return this.jump(Number(seq));
      case "transcript":
        return this.transcript(query);
      case "events":
        return seq === undefined ? this.events(query) : this.event(Number(seq));
      case "series":
        return this.series(query);
      case "spans":
        return this.spans(query);
      case "sources":
        return this.saidWhere(Number(seq));
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
    return lastUpTo(this.seqs, seq);
  }

  /** Facts from one place to before another: the first ones are those of the session above. */
  private async facts(from: number, to: number): Promise<SentEvent[]> {
    const shared = from < this.inherited ? await this.above!.facts(from, Math.min(to, this.inherited)) : [];
    const own = await this.lists.facts.slice(Math.max(from - this.inherited, 0), to - this.inherited);
    return [...shared.map((one) => ({ ...one, session: this.session })), ...own];
  }

  private async event(seq: number): Promise<unknown> {
    const place = this.place(seq);
    return this.seqs[place] === seq ? (await this.facts(place, place + 1))[0]?.event : undefined;
  }

  private async previews(query: Query) {
    return { indexed_to: this.last, rows_in_all: this.lists.previews.length, rows: await cut(this.lists.previews, query) };
  }

  /** State is there at every fact: at a delta it is that of the fact before. */
  private async jump(seq: number): Promise<Jump | undefined> {
    const place = this.place(seq);
    const [jump, [fact]] = await Promise.all([this.lists.jumps.at(place), this.facts(place, place + 1)]);
    if (jump === undefined || fact === undefined) return undefined;
    const event = jump.event.is_cut ? jump.event : { ...jump.event, value: fact.event as unknown as Json };
    return { ...jump, seq, event };
  }

  private async saidWhere(seq: number): Promise<SaidWhere | undefined> {
    const row = (await this.lists.jumps.at(this.place(seq)))?.row;
    return row === undefined ? undefined : this.lists.sources.at(this.sourceRows.indexOf(row));
  }

  /** Messages as they stand at the end of the file; what came behind a seq is not told of those up to it. */
  private async transcript(query: Query) {
    const at = numberOf(query, "at") ?? this.last;
    const around = numberOf(query, "around") ?? at + 1;
    const all = [...this.messageSeqs.keys()].filter((place) => this.messageSeqs[place]! <= at);
    const found = all.findIndex((place) => this.messageSeqs[place]! >= around);
    const middle = found < 0 ? all.length : found;
    const first = Math.max(middle - (numberOf(query, "before") ?? 50), 0);
    const end = Math.min(middle + (numberOf(query, "after") ?? 50), all.length);
    const messages = await Promise.all(all.slice(first, end).map((place) => this.lists.messages.at(place)));
    return {
      session: this.session,
      seq: at,
      indexed_to: this.last,
      before: first,
      after: all.length - end,
      messages: messages.map((one) => asOf(one!, at)),
    };
  }

  private async events(query: Query) {
    const first = this.place(numberOf(query, "after") ?? 0) + 1;
    const end = this.place(numberOf(query, "upto") ?? this.last) + 1;
    const stop = Math.min(first + (numberOf(query, "limit") ?? 1000), end);
    return { events: await this.facts(first, stop), next: stop < end ? this.seqs[stop - 1]! : null };
  }

  private async series(query: Query) {
    const start = numberOf(query, "from") ?? 0;
    const end = start + (numberOf(query, "limit") ?? 100);
    const whole = (await this.lists.series.at(0))!;
    const columns = Object.entries(whole).map(([name, value]) => [name, Array.isArray(value) && name !== "models" ? value.slice(start, end) : value]);
    return { ...Object.fromEntries(columns), start };
  }

  private async spans(query: Query) {
    const spans = (await this.lists.spans.at(0))!;
    const from = numberOf(query, "from_us") ?? -Infinity;
    const to = numberOf(query, "to_us") ?? Infinity;
    return { ...spans, bars: spans.bars.filter((one) => one.started_at_us <= to && (one.ended_at_us ?? Infinity) >= from) };
  }

  private async request(seq: number, what: string, query: Query): Promise<unknown> {
    const number = this.asked[this.place(seq)] ?? -1;
    const found = await this.lists.requests.at(number);
    if (found === undefined) return undefined;
    switch (what) {
      case "": {
        const [parts, tools] = await Promise.all([this.pool.lines(found.config), this.pool.tools.at(found.tools)]);
        return { ...found.head, seq, parts, tools: tools! } satisfies RequestHead;
      }
      case "parts":
        return this.parts(seq, number, found, query);
      case "check":
        return found.check;
      case "changes":
        return this.changes(number, found, query);
      default:
        return undefined;
    }
  }

  /** What is otherwise than in the request before, or in the request itself; no other two are compared in a file. */
  private async changes(number: number, found: ArchivedRequest, query: Query): Promise<RequestChanges> {
    const against = query.get("against");
    const other = against === null ? -1 : (this.asked[this.place(Number(against))] ?? -1);
    if (against !== null && other === number) {
      return { ...found.changes, against_seq: found.changes.request_seq, added: 0, removed: 0, changed: 0, changes: [], more: 0 };
    }
    const before = (await this.lists.requests.at(other))?.head.request_seq ?? 0;
    if (against !== null && !(before > 0 && before === found.changes.against_seq)) throw new ApiError(404, NOT_COMPARED);
    return { ...found.changes, changes: await cut(found.changes.changes, query) };
  }

  private async parts(seq: number, number: number, found: ArchivedRequest, query: Query): Promise<PartWindow | undefined> {
    const messages = found.head.messages;
    const from = numberOf(query, "from") ?? 0;
    const end = Math.min(from + (numberOf(query, "limit") ?? 100), messages);
    if (messages > 0 && end <= found.first) return undefined;
    const [gone, parts] = await Promise.all([this.pool.leftOut.at(found.left_out), this.lines(number, Math.max(from, found.first), end)]);
    const left = gone!.filter((one) => one.before >= from && (one.before < end || end >= messages));
    return { seq, messages, parts, left_out: left, more_left_out: found.more_left_out };
  }

  /** The lines of a request between two places: its own, and those that it has from the ones before it. */
  private async lines(number: number, from: number, end: number): Promise<PartLine[]> {
    const numbers: number[] = new Array(Math.max(end - from, 0));
    let open = end;
    for (let one = number; one >= 0 && open > from; one--) {
      const [keep, own] = (await this.lists.sent.at(one))!;
      for (let place = Math.max(keep, from); place < open; place++) numbers[place - from] = own[place - keep]!;
      open = Math.min(open, keep);
    }
    return this.pool.lines(numbers);
  }

  /** Finds a text, what was said last first; `isOwn`: behind what the session shares with the one that it is a fork of. */
  async search(wanted: RegExp, isOwn: boolean): Promise<Hit[]> {
    const hits: Hit[] = [];
    for await (const [, messages] of this.lists.messages.backwards()) {
      for (const message of messages.toReversed()) {
        if (isOwn && message.seq <= this.written.head.info.fork_seq) return hits;
        const hit = this.hit(message, wanted);
        if (hit !== null) hits.push(hit);
      }
    }
    return hits;
  }

  private hit(message: ChatMessage, wanted: RegExp): Hit | null {
    const { title, first_words } = this.written.head.info;
    const calls = message.calls.flatMap((call) => [call.name, call.arguments.text, call.result?.text]);
    for (const text of [message.text.text, message.thinking?.text, ...calls]) {
      const found = text ? wanted.exec(text) : null;
      if (found === null) continue;
      const start = Math.max(found.index - EXCERPT, 0);
      const before = characters(text!.slice(start, found.index));
      return {
        session: this.session,
        title: title || first_words,
        seq: message.seq,
        role: message.role,
        at_us: message.at_us,
        excerpt: text!.slice(start, found.index + found[0].length + EXCERPT),
        marks: [[before, before + characters(found[0])]],
      };
    }
    return null;
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

function cut<T>(list: { slice(from: number, to: number): T[] | Promise<T[]> }, query: Query): T[] | Promise<T[]> {
  const from = numberOf(query, "from") ?? 0;
  return list.slice(from, from + (numberOf(query, "limit") ?? 100));
}

/** A message without what happened to it behind a seq. */
function asOf(message: ChatMessage, seq: number): ChatMessage {
  return message.not_read_seq > seq ? { ...message, not_read: null, not_read_seq: 0, instead: "" } : message;
}

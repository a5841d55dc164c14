import { describe, expect, it } from "vitest";

import { Archive } from "../src/api/archive";
import { added, Blocks, checkWhole, Listing, unpacked } from "../src/api/blocks";
import type { ArchivedSession, ChatMessage, Hits, Listed, SentEvent, Archive as Written } from "../src/api/types";

function message(seq: number, text: string): ChatMessage {
  return { seq, at_us: 0, role: "user", text: { text, characters: text.length }, thinking: null, calls: [] } as unknown as ChatMessage;
}

function fact(seq: number, session: string): SentEvent {
  return { session, seq, at_us: 0, event: { type: "turn_start" } } as unknown as SentEvent;
}

/** Blocks as a file has them. */
class Packed {
  private readonly packing: Promise<string>[] = [];

  get many(): number {
    return this.packing.length;
  }

  packed(): Promise<string[]> {
    return Promise.all(this.packing);
  }

  /** Lists things, so many in each block. */
  list(things: readonly unknown[], size = 2): Listed {
    const begins = things.map((_, place) => place).filter((place) => place % size === 0);
    const blocks = begins.map((begin) => this.packing.push(pack(things.slice(begin, begin + size))) - 1);
    return { many: things.length, blocks, begins };
  }
}

async function pack(value: unknown): Promise<string> {
  const packed = new Blob([JSON.stringify(value)]).stream().pipeThrough(new CompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function steps(numbers: readonly number[]): number[] {
  return numbers.map((one, place) => one - (numbers[place - 1] ?? 0));
}

function session(into: Packed, id: string, number: number, seqs: number[], messages: ChatMessage[], inherited: [string, number] | null = null): ArchivedSession {
  const info = { id, number, title: id, first_words: "", fork_seq: inherited?.[1] ?? 0, head: 9, updated_at_us: 0 };
  const facts = into.list(seqs.map((seq) => fact(seq, id)));
  const [none, lists] = [into.list([]), { messages: into.list(messages), facts }];
  const numbers = { message_seqs: steps(messages.map((one) => one.seq)), seqs: steps(seqs), asked: [], source_rows: [] };
  const rest = { rows: none, previews: none, sources: none, jumps: none, requests: none, sent: none, series: none, spans: none };
  return { head: { info } as unknown as ArchivedSession["head"], inherited, ...rest, ...lists, ...numbers };
}

/** A file of a fork, whose facts begin with those of the session that it is a fork of. */
async function file(): Promise<Archive> {
  const into = new Packed();
  const before = session(into, "one", 1, [1, 2, 5], [message(2, "Take a coat.\n\n  It rains."), message(5, "later")]);
  const fork = session(into, "two", 2, [3, 4], [message(2, "Take a coat.\n\n  It rains."), message(4, "🌧🌧 A COAT 🧥 (of wool)")], ["one", 2]);
  const comparisons = into.list([{ head: { left: { session: "one" }, right: { session: "two" } }, pairs: [] }]);
  const pool = { lines: into.list([]), tools: into.list([]), left_out: into.list([]) };
  const written: Written = {
    version: "0",
    blocks: into.many,
    without: ["wire bodies"],
    omitted: [],
    family: { session: "two", members: [] } as unknown as Written["family"],
    sessions: [fork, before],
    comparisons,
    compared: [["one", "two"]],
    ...pool,
  };
  return new Archive(written, new Blocks(await into.packed()));
}

describe("the blocks of a file", () => {
  const into = new Packed();
  const listed = into.list([0, 1, 2, 3, 4, 5, 6], 3);

  it("give what stands between two places, in one block or in several", async () => {
    const list = new Listing<number>(new Blocks(await into.packed()), listed);
    expect(await list.slice(2, 5)).toEqual([2, 3, 4]);
    expect(await list.slice(3, 4)).toEqual([3]);
    expect(await list.slice(5, 100)).toEqual([5, 6]);
    expect(await list.slice(-3, 2)).toEqual([0, 1]);
    expect(await list.slice(4, 4)).toEqual([]);
    expect([await list.at(-1), await list.at(6), await list.at(7)]).toEqual([undefined, 6, undefined]);
  });

  it("are looked through from the end", async () => {
    const found: unknown[] = [];
    for await (const one of new Listing(new Blocks(await into.packed()), listed).backwards()) found.push(one);
    expect(found).toEqual([[6, [6]], [3, [3, 4, 5]], [0, [0, 1, 2]]]);
  });

  it("say that they are damaged, and only those that are", async () => {
    const [first, second, third] = (await into.packed()) as [string, string, string];
    const middle = second.length >> 1;
    const changed = second.slice(0, middle) + (second[middle] === "A" ? "B" : "A") + second.slice(middle + 1);
    for (const broken of [changed, second.slice(0, middle), "", "no base64!", (await pack(1)).slice(4)]) {
      const list = new Listing<number>(new Blocks([first, broken, third]), listed);
      await expect(list.at(4)).rejects.toThrow("The file is damaged");
      await expect(list.at(4)).rejects.toThrow("The file is damaged");
      expect([await list.at(0), await list.at(6)]).toEqual([0, 6]);
    }
    await expect(unpacked("")).rejects.toThrow("The file is damaged");
    expect(() => checkWhole(2, 3)).toThrow("The file is cut short");
  });

  it("are kept while there is room, and unpacked again after that", async () => {
    const two = new Packed();
    const listed = two.list(["first", "second", "third"], 1);
    const blocks = new Blocks(await two.packed(), 20);
    const list = new Listing<string>(blocks, listed);
    for (const word of ["first", "second", "third", "first", "third"]) expect(await list.at(["first", "second", "third"].indexOf(word))).toBe(word);
    const [third, again] = [await blocks.read(2), await blocks.read(2)];
    expect(again).toBe(third);
    await blocks.read(0);
    await blocks.read(1);
    expect(await blocks.read(2)).not.toBe(third);
  });

  it("tell numbers as steps", () => {
    expect(added(steps([3, 4, 9, 9, 2]))).toEqual([3, 4, 9, 9, 2]);
  });
});

describe("a file with several sessions", () => {
  it("opens at the one that it is of, and knows which it holds and compares", async () => {
    const found = await file();
    expect([found.session, found.isOfMany, found.holds("one"), found.holds("three")]).toEqual(["two", true, true, false]);
    expect([found.compares("one", "two"), found.compares("two", "one")]).toEqual([true, false]);
  });

  it("puts the facts of a fork together with those that it shares, under its own name", async () => {
    const page = (await (await file()).get("/api/sessions/two/events")) as { events: SentEvent[] };
    expect(page.events.map((one) => [one.session, one.seq])).toEqual([1, 2, 3, 4].map((seq) => ["two", seq]));
  });

  it("says what is not there", async () => {
    await expect((await file()).get("/api/sessions/three")).rejects.toThrow("not in the file");
    await expect((await file()).get("/api/diff?left=two&right=one")).rejects.toThrow("not in the file");
    expect(await (await file()).get("/api/diff/pairs?left=one&right=two")).toEqual({ pairs: [], next: null, left_out: [0, 0] });
  });
});

describe("the search of a file", () => {
  const search = async (text: string, only = "") => (await (await file()).get(`/api/search?q=${encodeURIComponent(text)}${only && `&session=${only}`}`)) as Hits;
  const marked = (hits: Hits) => hits.hits.map((hit) => hit.marks.map(([from, to]) => [...hit.excerpt].slice(from, to).join("")));

  it("finds in any case and over any white space, and counts characters as the server does", async () => {
    expect(marked(await search("a coat", "two"))).toEqual([["A COAT"], ["a coat"]]);
    expect(marked(await search("coat. it", "two"))).toEqual([["coat.\n\n  It"]]);
    expect(marked(await search("(OF wool"))).toEqual([["(of wool"]]);
    expect((await search(" ")).hits).toEqual([]);
  });

  it("finds what branches share in the one alone, unless one is searched by itself", async () => {
    const everywhere = await search("coat");
    expect(everywhere.hits.map((hit) => [hit.session, hit.seq])).toEqual([["two", 4], ["one", 2]]);
    expect(everywhere.counts).toEqual([{ session: "two", hits: 1, more: false }, { session: "one", hits: 1, more: false }]);
    expect((await search("coat", "two")).hits.map((hit) => hit.seq)).toEqual([4, 2]);
  });

  it("goes on behind a page", async () => {
    const first = (await (await file()).get("/api/search?q=coat&limit=1")) as Hits;
    expect([first.hits.length, first.next]).toEqual([1, "1"]);
    const rest = (await (await file()).get("/api/search?q=coat&limit=1&after=1")) as Hits;
    expect([rest.hits[0]?.session, rest.next]).toEqual(["one", ""]);
  });
});

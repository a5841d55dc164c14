import { describe, expect, it } from "vitest";

import { Archive } from "../src/api/archive";
import type { Archive as Written, ArchivedSession, ChatMessage, Hits, SentEvent } from "../src/api/types";

function message(seq: number, text: string): ChatMessage {
  return { seq, at_us: 0, role: "user", text: { text, characters: text.length }, thinking: null, calls: [] } as unknown as ChatMessage;
}

function fact(seq: number, session: string): SentEvent {
  return { session, seq, at_us: 0, event: { type: "turn_start" } } as unknown as SentEvent;
}

function session(id: string, number: number, facts: number[], messages: ChatMessage[], inherited: [string, number] | null = null): ArchivedSession {
  const info = { id, number, title: id, first_words: "", fork_seq: inherited?.[1] ?? 0, head: 9, updated_at_us: 0 };
  return { head: { info }, inherited, facts: facts.map((seq) => fact(seq, id)), messages, jumps: [] } as unknown as ArchivedSession;
}

/** A file of a fork, whose facts begin with those of the session that it is a fork of. */
function file(): Archive {
  const before = session("one", 1, [1, 2, 5], [message(2, "Take a coat.\n\n  It rains."), message(5, "later")]);
  const fork = session("two", 2, [3, 4], [message(2, "Take a coat.\n\n  It rains."), message(4, "🌧🌧 A COAT 🧥 (of wool)")], ["one", 2]);
  const compared = { head: { left: { session: "one" }, right: { session: "two" } }, pairs: [] };
  return new Archive({ version: "0", without: ["wire bodies"], omitted: [], family: { session: "two", members: [] }, sessions: [fork, before], comparisons: [compared], lines: [], tools: [], left_out: [], parts: {} } as unknown as Written);
}

describe("a file with several sessions", () => {
  it("opens at the one that it is of, and knows which it holds and compares", () => {
    const found = file();
    expect([found.session, found.isOfMany, found.holds("one"), found.holds("three")]).toEqual(["two", true, true, false]);
    expect([found.compares("one", "two"), found.compares("two", "one")]).toEqual([true, false]);
  });

  it("puts the facts of a fork together with those that it shares, under its own name", async () => {
    const page = (await file().get("/api/sessions/two/events")) as { events: SentEvent[] };
    expect(page.events.map((one) => [one.session, one.seq])).toEqual([1, 2, 3, 4].map((seq) => ["two", seq]));
  });

  it("says what is not there", async () => {
    await expect(file().get("/api/sessions/three")).rejects.toThrow("not in the file");
    await expect(file().get("/api/diff?left=two&right=one")).rejects.toThrow("not in the file");
    expect(await file().get("/api/diff/pairs?left=one&right=two")).toEqual({ pairs: [], next: null, left_out: [0, 0] });
  });
});

describe("the search of a file", () => {
  const search = async (text: string, only = "") => (await file().get(`/api/search?q=${encodeURIComponent(text)}${only && `&session=${only}`}`)) as Hits;
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
    const first = (await file().get("/api/search?q=coat&limit=1")) as Hits;
    expect([first.hits.length, first.next]).toEqual([1, "1"]);
    const rest = (await file().get("/api/search?q=coat&limit=1&after=1")) as Hits;
    expect([rest.hits[0]?.session, rest.next]).toEqual(["one", ""]);
  });
});

import { describe, expect, test } from "vitest";

import type { CallAgain, ChatMessage } from "../src/api/types";
import { bodyOf, type Draft, replaceable, whatBecomes, wholeOf } from "../src/dialogs/fork_draft";
import { choose, fit } from "../src/dialogs/fuzzy";
import { keyWords } from "../src/dialogs/keys_words";
import { fileName, quoted } from "../src/dialogs/quoted";
import { nextPlace } from "../src/dialogs/places";

describe("a few letters", () => {
  test("find what they stand in, in their order", () => {
    expect(fit("nxt", "Next row")).toBeGreaterThan(0);
    expect(fit("txn", "Next row")).toBe(-1);
    expect(fit("", "anything")).toBe(0);
  });

  test("find words first, then beginnings of words, then letters", () => {
    const texts = ["Show or hide the list", "Search here", "Otherwise", "Fork here", "The rest of her"];
    expect(choose("her", texts, (one) => one).found).toEqual(["Fork here", "The rest of her", "Search here", "Otherwise"]);
    expect(choose("fork", texts, (one) => one).found).toEqual(["Fork here"]);
    expect(choose("sh", texts, (one) => one).found[0]).toBe("Show or hide the list");
  });

  test("that are none leave everything as it stands", () => {
    expect(choose("  ", ["b", "a"], (one) => one)).toEqual({ found: ["b", "a"], best: 0 });
  });
});

function again(recorded: "run" | "adopt" | "ask"): CallAgain {
  return { session: "s", seq: 7, place: { message_seq: 5, content_index: 0 }, name: "mail", arguments: "{}", effect: "once", status: "done", result: "", becomes: { live: "run", recorded, ask: "ask" } };
}

test("what a choice does with calls that were made is counted", () => {
  const calls = [again("adopt"), again("ask"), again("adopt")];
  expect(whatBecomes(calls, 0, "live")).toBe("3 made again");
  expect(whatBecomes(calls, 0, "recorded")).toBe("2 answered with what is on record, 1 asked about");
  expect(whatBecomes(calls, 4, "ask")).toBe("3 asked about, 4 more not looked at");
  expect(whatBecomes([], 0, "ask")).toBe("");
});

const DRAFT: Draft = { at: 7, before: null, edits: false, edit: null, title: "", instead: [], system: null, model: "", options: null, withoutTools: false, tools: null };

describe("a draft of a fork", () => {
  test("asks for nothing that was not said", () => {
    expect(bodyOf(DRAFT)).toEqual({ body: { at: 7 } });
    expect(bodyOf({ ...DRAFT, before: 5, edits: false, edit: "as it was" })).toEqual({ body: { before: 5 } });
    expect(bodyOf({ ...DRAFT, options: "  ", title: "  " })).toEqual({ body: { at: 7 } });
  });

  test("asks for all that is otherwise", () => {
    const instead = [
      { name: 3, role: "user", was: "a", text: "b", isHidden: false },
      { name: 4, role: "assistant", was: "c", text: "c", isHidden: false },
      { name: 5, role: "result of x", was: null, text: "", isHidden: true },
    ];
    const draft = { ...DRAFT, before: 9, edits: true, edit: "Hello", title: " t ", instead, system: "", model: "openai:gpt-5", options: '{"a": 1}', withoutTools: true, tools: "recorded" as const };
    expect(bodyOf(draft)).toEqual({
      body: { before: 9, edit: "Hello", title: "t", replace: [{ message: 3, new: "b" }], hide: [5], system_prompt: "", model: "openai:gpt-5", options: { a: 1 }, without_tools: true, tools: "recorded" },
    });
  });

  test.each([
    [{ before: 9, edits: true, edit: null }, "being read"],
    [{ before: 9, edits: true, edit: "  " }, "says nothing"],
    [{ model: "gpt-5" }, "vendor:model"],
    [{ options: "{" }, "no JSON"],
    [{ options: "[1]" }, "JSON object"],
    [{ instead: [{ name: 3, role: "user", was: "a", text: " ", isHidden: false }] }, "hide it"],
  ] as [Partial<Draft>, string][])("says what is wrong with it: %j", (part, says) => {
    const made = bodyOf({ ...DRAFT, ...part });
    expect("error" in made && made.error).toContain(says);
  });
});

function message(seq: number, role: string, text: string, more: Partial<ChatMessage> = {}): ChatMessage {
  return { seq, role, text: { text, characters: [...text].length }, calls: [], not_read: null, images: 0, tool: "", ...more } as unknown as ChatMessage;
}

const CALLED = message(4, "assistant", "", {
  calls: [{ name: "bash", result: { text: "12 files", characters: 8 }, result_seq: 6, images: 0 }],
} as unknown as Partial<ChatMessage>);

describe("what can read otherwise", () => {
  const said = [message(2, "user", "Well?"), CALLED, message(8, "user", "later"), message(3, "user", "gone", { not_read: "compaction" } as Partial<ChatMessage>)];

  test("is what a model still reads there, the last first, results with their calls", () => {
    expect(replaceable(said, 7).map((one) => `${one.name} ${one.role}`)).toEqual(["6 result of bash", "4 assistant", "2 user"]);
    expect(replaceable(said, 5).map((one) => one.name)).toEqual([4, 2]);
  });

  test("is not edited where the server cut it", () => {
    expect(wholeOf(said, 6)).toEqual({ text: "12 files", images: 0 });
    expect(wholeOf([message(2, "user", "𝒳!")], 2).text).toBe("𝒳!");
    expect(wholeOf([message(2, "user", "cut", { text: { text: "cut", characters: 9_000 } } as Partial<ChatMessage>)], 2).text).toBeNull();
  });
});

test("steps go on at the other end", () => {
  expect(nextPlace([3, 9, 12], 9, 1)).toEqual({ seq: 12, number: 2, wraps: false });
  expect(nextPlace([3, 9, 12], 12, 1)).toEqual({ seq: 3, number: 0, wraps: true });
  expect(nextPlace([3, 9, 12], 5, -1)).toEqual({ seq: 3, number: 0, wraps: false });
  expect(nextPlace([3, 9, 12], 3, -1)).toEqual({ seq: 12, number: 2, wraps: true });
});

test("keys are written as people know them", () => {
  expect(["ctrl+shift+f", "gg", "down", "+", "escape"].map(keyWords)).toEqual(["ctrl shift F", "g g", "↓", "+", "esc"]);
});

test("texts are quoted for a shell, and titles make names of files", () => {
  expect([quoted("abc-1"), quoted("it's $(x)"), quoted("")]).toEqual(["abc-1", `'it'\\''s $(x)'`, "''"]);
  expect([fileName("../../etc/passwd", ".jsonl"), fileName("Ärger & Söhne?", ".html"), fileName("\u202e", ".md")]).toEqual(["etc-passwd.jsonl", "ärger-söhne.html", "session.md"]);
});

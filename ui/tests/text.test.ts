import { expect, test } from "vitest";

import { argumentsLine, layOut, plain, spelled } from "../src/parts/text";

/** The texts of nodes: of marks in brackets. */
function words(nodes: unknown): string {
  if (typeof nodes === "string") return nodes;
  if (Array.isArray(nodes)) return nodes.map(words).join("");
  if (nodes !== null && typeof nodes === "object" && "props" in nodes) return `[${words((nodes as { props: { children: unknown } }).props.children)}]`;
  return "";
}

test.each([
  ["plain", "plain"],
  ["a\u0000b", "a[NUL]b"],
  ["\u001b[31mred", "[ESC][31mred"],
  ["abc\u202edef", "abc[U+202E]def"],
  ["\ud800x\udc00", "[U+D800]x[U+DC00]"],
  ["😀 ok", "😀 ok"],
  ["zero\u200bwidth", "zero[U+200B]width"],
  ["line\nand\ttab", "line\nand\ttab"],
])("%j is shown as %j", (text, shown) => {
  expect(words(plain(text))).toBe(shown);
  expect(spelled(text)).toBe(shown);
});

test("what is looked for is marked, in any case, and never read as a pattern", () => {
  expect(words(plain("a.b A.B axb", "a.b"))).toBe("[a.b] [A.B] axb");
  expect(words(plain("(x", "("))).toBe("[(]x");
});

test("arguments are shown by their values, or as they were written", () => {
  expect(argumentsLine('{"path": "src/a.ts", "line": 3}')).toBe("src/a.ts  3");
  expect(argumentsLine('{"path": ["a"]}')).toBe('{"path": ["a"]}');
  expect(argumentsLine("{broken")).toBe("{broken");
  expect(layOut('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(layOut("{broken")).toBe("{broken");
});

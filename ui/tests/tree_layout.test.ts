import { expect, test } from "vitest";

import type { FamilyMember } from "../src/api/types";
import { isFold, layTree, originsOf, stemsOf, type TreeRow } from "../src/views/tree_layout";

function member(id: string, above = "", at = 0, more: { isChild?: boolean; label?: string } = {}): FamilyMember {
  const info = { id, parent: above && !more.isChild ? above : null, fork_seq: 5, head: 10, created_at_us: at, updated_at_us: at } as FamilyMember["info"];
  const used = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0, cost_microusd: null };
  return { info, above, depth: above ? 1 : 0, is_child: more.isChild ?? false, labels: more.label ? [[7, more.label]] : [], status: "idle", reason: "", used };
}

const none: ReadonlySet<string> = new Set();
const told = (rows: readonly TreeRow[]) => rows.map((row) => (isFold(row) ? `(${row.away})` : row.key));

test("forks stand above what they were forked from, the newest on top, and agents hang below", () => {
  const rows = layTree([member("root"), member("old", "root", 1), member("inner", "old", 9), member("new", "root", 2), member("agent", "root", 3, { isChild: true })], none, none);
  expect(told(rows)).toEqual(["new", "inner", "old", "root", "agent"]);
  expect(rows.map((row) => row.above)).toEqual([3, 2, 3, -1, 3]);
});

test("an agent begins where it was started, and what it began in turn lies behind that", () => {
  const family = [member("root"), member("fork", "root", 1), member("agent", "root", 2, { isChild: true }), member("again", "agent", 3), member("inner", "agent", 4, { isChild: true })];
  const rows = layTree(family, none, none);
  const origins = originsOf(rows, (row) => (row.key === "agent" ? 8 : 3));
  expect(Object.fromEntries(rows.map((row, place) => [row.key, origins[place]]))).toEqual({ root: 0, fork: 0, agent: 8, again: 8, inner: 11 });
});

const many = (number: number) => [member("root"), ...Array.from({ length: number }, (_, at) => member(`f${at}`, "root", at + 1, at === 3 ? { label: "good" } : {}))];

test("of more than twenty those that are old and bear no bookmark are folded", () => {
  expect(layTree(many(19), none, none).some(isFold)).toBe(false);
  const rows = layTree(many(40), none, none);
  expect(told(rows).slice(-5)).toEqual(["f28", "(24)", "f3", "(3)", "root"]);
  expect(rows.filter((row) => !isFold(row)).length).toBe(12 + 1 + 1);
});

test("what is selected is never folded, nor what it began in", () => {
  const deep = [...many(40), member("inner", "f9", 0.5)];
  const rows = told(layTree(deep, new Set(["inner"]), none));
  expect(rows).toContain("inner");
  expect(rows).toContain("f9");
});

test("a fold counts what began in what it folds, and opens", () => {
  const family = [...many(40), member("inner", "f1", 0.5)];
  const rows = layTree(family, none, none);
  const fold = rows.filter(isFold).at(-1)!;
  expect(fold.away).toBe(4);
  const wide = layTree(family, none, new Set([fold.key]));
  expect(told(wide).slice(-5)).toEqual(["f2", "(1)", "f1", "f0", "root"].map((one) => (one === "(1)" ? "inner" : one)));
});

test("ten thousand forks of forks are laid out without recursion", () => {
  const chain = Array.from({ length: 10_000 }, (_, at) => member(`c${at}`, at ? `c${at - 1}` : "", at));
  const rows = layTree(chain, new Set(["c9999"]), none);
  expect(rows.length).toBe(10_000);
  expect(rows[0]!.key).toBe("c9999");
});

test("lines that would lie on each other are one, as long as the longest", () => {
  const rows = layTree([member("root"), member("a", "root", 1), member("b", "root", 2), member("c", "root", 3)], none, none);
  expect(stemsOf(rows, () => 40)).toEqual([{ x: 40, from: 3, to: 0, isChild: false }]);
  expect(stemsOf(rows, (row) => row * 10).length).toBe(3);
});

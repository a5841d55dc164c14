import { describe, expect, test } from "vitest";

import type { SessionInfo, TableRow } from "../src/api/types";
import { familyLines } from "../src/sessions/families";
import { byOrder, readSort } from "../src/sessions/order";
import { readToken } from "../src/token/token";

function row(id: string, { parent = null, started_by = "", status = "idle", ...info }: Partial<SessionInfo> = {}): TableRow {
  return { info: { id, parent, started_by, ...info } as SessionInfo, status, reason: "", forks: 0, duration_us: 0 };
}

function drawn(rows: TableRow[], open: string[] = []): string[] {
  return familyLines(rows, (id) => open.includes(id)).map(
    (line) => `${"  ".repeat(line.depth)}${line.row.info.id}${line.members ? ` +${line.members}` : ""}${line.hot ? ` ${line.hot.status}` : ""}`,
  );
}

describe("families", () => {
  const rows = [
    row("leaf", { parent: "branch", status: "failed" }),
    row("other"),
    row("root"),
    row("branch", { parent: "root", status: "running" }),
    row("agent", { started_by: "root" }),
  ];

  test("fold under their root, which stands where the first of them stood", () => {
    expect(drawn(rows)).toEqual(["root +3 failed", "other"]);
  });

  test("unfold one level at a time", () => {
    expect(drawn(rows, ["root"])).toEqual(["root +3 failed", "  branch +1 failed", "  agent", "other"]);
    expect(drawn(rows, ["root", "branch"])).toEqual(["root +3", "  branch +1", "    leaf", "  agent", "other"]);
  });

  test("without their root among the rows are lines of their own", () => {
    expect(drawn([row("a", { parent: "far" }), row("b", { parent: "far" })])).toEqual(["a", "b"]);
  });

  test("that go round in a circle are shown, and the drawing ends", () => {
    expect(drawn([row("a", { parent: "b" }), row("b", { parent: "a" })], ["a", "b"]).length).toBe(2);
  });

  test("of ten thousand generations are drawn", () => {
    const many = Array.from({ length: 10_000 }, (_, number) => row(String(number), { parent: number ? String(number - 1) : null }));
    const lines = familyLines(many, () => true);
    expect([lines.length, lines[0]!.members, lines.at(-1)!.depth]).toEqual([10_000, 9_999, 9_999]);
  });
});

describe("the order", () => {
  test("is by what is largest or latest first, and of equal ones by what was updated last", () => {
    const rows = [
      row("old", { turns: 3, updated_at_us: 1 }),
      row("new", { turns: 3, updated_at_us: 2 }),
      row("many", { turns: 9, updated_at_us: 0 }),
    ];
    expect(rows.sort(byOrder("turns")).map((one) => one.info.id)).toEqual(["many", "new", "old"]);
  });

  test("puts unknown costs last", () => {
    const rows = [row("unknown", { cost_microusd: null, updated_at_us: 5 }), row("free", { cost_microusd: 0, updated_at_us: 1 })];
    expect(rows.sort(byOrder("cost")).map((one) => one.info.id)).toEqual(["free", "unknown"]);
  });

  test("of sessions that run does not change within a minute", () => {
    const at = 1_700_000_000_000_000 - (1_700_000_000_000_000 % 60e6);
    const one = row("a", { status: "running", updated_at_us: at + 1e6 });
    const other = row("b", { status: "running", updated_at_us: at + 2e6 });
    const before = [one, other].sort(byOrder("updated")).map((each) => each.info.id);
    const later = row("a", { status: "running", updated_at_us: at + 3e6 });
    expect([later, other].sort(byOrder("updated")).map((each) => each.info.id)).toEqual(before);
  });

  test("that is none is by the last update", () => {
    expect([readSort("cost"), readSort("toString"), readSort("")]).toEqual(["cost", "updated", "updated"]);
  });
});

test("a token is read from an address, too", () => {
  expect(readToken("http://127.0.0.1:8799/s/a?at=3#token=a%2Fb")).toBe("a/b");
  expect(readToken("  abc ")).toBe("abc");
  expect(readToken("#token=%")).toBe("%");
});

import { expect, test } from "vitest";

import { ago, bytes, count, dollars, duration, percent, short, shortId, whole } from "../src/format";

test.each([
  [0, "0"], [7, "7"], [999, "999"], [1000, "1 k"], [1049, "1 k"], [38_200, "38.2 k"], [99_949, "99.9 k"], [100_000, "100 k"],
  [999_499, "999 k"], [999_999, "1 M"], [1_900_000, "1.9 M"], [2_500_000_000, "2.5 G"], [-3800, "-3.8 k"],
])("%d tokens are %s", (number, text) => expect(short(number)).toBe(text)); // prettier-ignore

test.each([
  [0, "0 ms"], [300, "<1 ms"], [6_000, "6 ms"], [999_400, "999 ms"], [999_600, "1.0 s"], [2_100_000, "2.1 s"], [14_000_000, "14 s"],
  [119_000_000, "119 s"], [120_000_000, "2 min"], [2_880_000_000, "48 min"], [11_100_000_000, "3 h 5 min"], [7_200_000_000, "2 h"],
  [187_200_000_000, "2 d 4 h"],
])("%d us are %s", (us, text) => expect(duration(us)).toBe(text)); // prettier-ignore

test.each([
  [0, "$0"], [3_410_000, "$3.41"], [21_000, "$0.021"], [1_900, "$0.0019"], [12, "$0.000012"], [1, "$0.000001"], [120_000_000, "$120"], [999_999, "$1.00"],
])("%d millionths are %s", (cost, text) => expect(dollars(cost)).toBe(text)); // prettier-ignore

test("counts and shares are words", () => {
  expect([whole(30114), count(1, "turn"), count(412, "turn"), count(2, "branch", "branches")]).toEqual(["30,114", "1 turn", "412 turns", "2 branches"]);
  expect([percent(0), percent(0.004), percent(0.92), percent(1)]).toEqual(["0 %", "<1 %", "92 %", "100 %"]);
  expect([bytes(12), bytes(61_000_000), bytes(3_200)]).toEqual(["12 B", "61 MB", "3.2 kB"]);
  expect([shortId("k3f9"), shortId("0123456789abcdef")]).toEqual(["k3f9", "abcdef"]);
});

test("how long ago", () => {
  const now = Date.parse("2026-11-28T12:00:00Z");
  const before = (seconds: number) => ago((now / 1000 - seconds) * 1e6, now);
  expect([before(3), before(300), before(3 * 3600), before(12 * 86400)]).toEqual(["now", "5 min ago", "3 h ago", "12 d ago"]);
  expect(before(90 * 86400)).toMatch(/^2026-08-\d\d$/);
});

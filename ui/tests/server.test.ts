import { expect, test } from "vitest";

import { readFrame } from "../src/api/server";
import { ask } from "../src/api/source";

test("a frame is read, and a comment is none", () => {
  expect(readFrame('id: 12\nevent: rows\ndata: {"seq": 12}')).toEqual({ name: "rows", id: "12", data: { seq: 12 } });
  expect(readFrame("data: [1,\ndata: 2]")).toEqual({ name: "message", id: null, data: [1, 2] });
  expect(readFrame(": ping")).toBeNull();
  expect(readFrame("retry: 500")).toBeNull();
});

test("a path is made of names and a query", () => {
  expect(ask("GET /api/sessions/{session}/at/{seq}", { session: "a/b ü", seq: 7 }).path).toBe("/api/sessions/a%2Fb%20%C3%BC/at/7");
  expect(ask("GET /api/search", {}, { q: "a&b=c", session: null, limit: 5 }).path).toBe("/api/search?q=a%26b%3Dc&limit=5");
});

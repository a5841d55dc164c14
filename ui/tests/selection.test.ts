import { describe, expect, test } from "vitest";

import { type Place, readAddress, VIEWS, writeAddress } from "../src/selection";

const read = (address: string): Place => {
  const [path = "", query = ""] = address.split("?");
  return readAddress(path, query);
};

describe("an address and a place say the same", () => {
  const numbers = [null, 0, 1, 12204, 2 ** 32 - 1];
  const ids = ["k3f9x0", "a b", "ü/?#&=%", "1"];
  const pins = [null, { session: "k3f", seq: 880 }, { session: "a:b", seq: 0 }];
  const places: Place[] = [
    { screen: "store" },
    ...["", "status:failed cost>1 \"exact words\"", "100%"].flatMap((filter) => ["updated", "cost"].map((sort): Place => ({ screen: "sessions", filter, sort }))),
    ...ids.flatMap((session) => numbers.flatMap((seq) => VIEWS.flatMap((view) => pins.flatMap((pin) => [null, 11987].map((part): Place => ({ screen: "session", session, seq, view, pin, part })))))),
  ];
  test.each(places.map((place) => [writeAddress(place), place] as const))("%s", (address, place) => {
    expect(read(address)).toEqual(place);
  });
});

test("an address that is not understood says what it can", () => {
  const head = { screen: "session", session: "x", seq: null, view: "chat", pin: null, part: null };
  expect(read("/s/x?at=-1&view=cake&pin=5&part=12")).toEqual(head);
  expect(read("/s/x?at=99999999999")).toEqual(head);
  expect(read("/s/x?at=4294967296")).toEqual(head);
  expect(read("/s/%E0%A4%A?at=1.5")).toEqual({ ...head, session: "%E0%A4%A" });
  expect(read("/elsewhere")).toEqual({ screen: "sessions", filter: "", sort: "updated" });
});

test("what is usual is not written", () => {
  expect(writeAddress({ screen: "session", session: "k3f", seq: null, view: "chat", pin: null, part: null })).toBe("/s/k3f");
  expect(writeAddress({ screen: "session", session: "k3f", seq: 12204, view: "request", pin: { session: "k3g", seq: 880 }, part: 11987 })).toBe(
    "/s/k3f?at=12204&view=request&pin=k3g:880&part=m11987",
  );
});

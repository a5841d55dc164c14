// The one value that everything on the page is a function of, and that the address holds.

import { batch, computed, signal } from "@preact/signals";

export const VIEWS = ["chat", "request", "diff", "timeline", "tree", "raw"] as const;
export type View = (typeof VIEWS)[number];

/** A seq of a session. */
export interface Point {
  session: string;
  seq: number;
}

/** Where a session is looked at. `seq`: null follows its head. `part`: the name of a message of the request. */
export interface Selection {
  screen: "session";
  session: string;
  seq: number | null;
  view: View;
  pin: Point | null;
  part: number | null;
}

export interface SessionsPlace {
  screen: "sessions";
  filter: string;
  sort: string;
}

export interface StorePlace {
  screen: "store";
}

export type Place = Selection | SessionsPlace | StorePlace;

const HIGHEST = 2 ** 32 - 1;

/** Reads an address; what it does not understand of it is left out. */
export function readAddress(path: string, query: string): Place {
  const asked = new URLSearchParams(query);
  const session = /^\/s\/([^/]+)\/?$/.exec(path)?.[1];
  if (session !== undefined) {
    const view = asked.get("view");
    return {
      screen: "session",
      session: decoded(session),
      seq: readSeq(asked.get("at")),
      view: VIEWS.find((one) => one === view) ?? "chat",
      pin: readPoint(asked.get("pin")),
      part: readSeq(/^m(\d+)$/.exec(asked.get("part") ?? "")?.[1] ?? null),
    };
  }
  if (path === "/store") return { screen: "store" };
  return { screen: "sessions", filter: asked.get("filter") ?? "", sort: asked.get("sort") ?? "updated" };
}

/** Writes the address of a place: `readAddress` reads the same place from it. */
export function writeAddress(place: Place): string {
  const asked: string[] = [];
  const add = (name: string, value: string) => asked.push(`${name}=${encodeURIComponent(value).replaceAll("%3A", ":")}`);
  let path = "/";
  if (place.screen === "session") {
    path = `/s/${encodeURIComponent(place.session)}`;
    if (place.seq !== null) add("at", String(place.seq));
    if (place.view !== "chat") add("view", place.view);
    if (place.pin !== null) add("pin", `${place.pin.session}:${place.pin.seq}`);
    if (place.part !== null) add("part", `m${place.part}`);
  } else if (place.screen === "store") {
    path = "/store";
  } else {
    if (place.filter) add("filter", place.filter);
    if (place.sort !== "updated") add("sort", place.sort);
  }
  return asked.length ? `${path}?${asked.join("&")}` : path;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readSeq(text: string | null): number | null {
  return text !== null && /^\d{1,10}$/.test(text) && Number(text) <= HIGHEST ? Number(text) : null;
}

function readPoint(text: string | null): Point | null {
  const found = /^(.+):(\d+)$/.exec(text ?? "");
  const seq = readSeq(found?.[2] ?? null);
  return found?.[1] !== undefined && seq !== null ? { session: found[1], seq } : null;
}

/** Where the page is. An archive has no address of its own: there the place is kept behind the `#`. */
export const place = signal<Place>({ screen: "sessions", filter: "", sort: "updated" });
export const selection = computed<Selection | null>(() => (place.value.screen === "session" ? place.value : null));

let isBehindHash = false;

/** Takes the place from the address, and goes on doing so when the browser goes back and forth. */
export function followAddress(behindHash: boolean): void {
  isBehindHash = behindHash;
  const read = () => {
    place.value = behindHash ? readHash(location.hash) : readAddress(location.pathname, location.search);
  };
  read();
  addEventListener("popstate", read);
  if (behindHash) addEventListener("hashchange", read);
}

function readHash(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  return readAddress(path || "/", query);
}

/** The address of a place, as a link has it. */
export function hrefOf(where: Place): string {
  return isBehindHash ? `#${writeAddress(where)}` : writeAddress(where);
}

/** Goes to a place. A jump can be taken back with the browser's Back; a step cannot. */
export function go(where: Place, how: "jump" | "step" = "jump"): void {
  const address = hrefOf(where);
  const here = isBehindHash ? location.hash : location.pathname + location.search;
  if (address !== here) {
    if (how === "jump") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }
  batch(() => {
    place.value = where;
  });
}

/** Changes the selection; `seq: null` follows the head. Does nothing where no session is shown. */
export function select(change: Partial<Omit<Selection, "screen">>, how: "jump" | "step" = "jump"): void {
  const now = selection.peek();
  if (now !== null) go({ ...now, ...(change.seq !== undefined && change.part === undefined ? { part: null } : {}), ...change }, how);
}

/** The place of a session, seen in a view at a seq. */
export function sessionPlace(session: string, seq: number | null = null, view: View = "chat"): Selection {
  return { screen: "session", session, seq, view, pin: null, part: null };
}

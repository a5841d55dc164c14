// Where answers come from: a server, or an archive that was written into the page.

import type { Routes } from "./types";

/** What went wrong, in the server's words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** One event of a stream: its name, its id if it has one, and what it tells. */
export interface StreamEvent {
  name: string;
  id: string | null;
  data: unknown;
}

/** Answers paths with their queries. All of it raises `ApiError`, and what `signal` was aborted with. */
export interface Source {
  /** Whether nothing can be changed, searched in other sessions, or followed: the source is a file. */
  readonly isArchive: boolean;
  /** Of a file: as of when it is. */
  readonly about?: string;
  /** Of a file: what a server would answer, and it cannot. */
  readonly without?: readonly string[];
  /** Of a file: what was left out of it because somebody asked for that; marks stand in its place. */
  readonly omitted?: readonly string[];
  /** Whether there is more than one session. */
  readonly isOfMany: boolean;
  /** Whether a session can be opened. */
  holds(session: string): boolean;
  /** Whether all that was said in two sessions can be compared. */
  compares(left: string, right: string): boolean;
  get(path: string, signal?: AbortSignal): Promise<unknown>;
  post(path: string, body: unknown, signal?: AbortSignal): Promise<unknown>;
  stream(path: string, method: "GET" | "POST", signal: AbortSignal): AsyncIterable<StreamEvent>;
}

type Answers<K extends keyof Routes> = Routes[K] extends { answer: infer A } ? A : never;
type Queries<K extends keyof Routes> = Routes[K] extends { query: infer Q } ? Q : Record<string, never>;
type Bodies<K extends keyof Routes> = Routes[K] extends { body: infer B } ? B : Record<string, never>;
type Told<K extends keyof Routes> = Routes[K] extends { events: infer E } ? E : never;
type Gets = Extract<keyof Routes, `GET ${string}`>;
type Posts = Extract<keyof Routes, `POST ${string}`>;
type Streams = { [K in keyof Routes]: Routes[K] extends { events: unknown } ? K : never }[keyof Routes];

/** An answer that is asked for: its path, under which it is kept. */
export interface Asked<T> {
  path: string;
  /** Only for the compiler: what is answered. */
  readonly answer?: T;
}

/** Describes what to ask for: `ask("GET /api/sessions/{session}/at/{seq}", { session, seq })`. */
export function ask<K extends Gets>(route: K, names: Record<string, string | number> = {}, query?: Queries<K>): Asked<Answers<K>> {
  return { path: pathOf(route, names, query) };
}

function pathOf(route: string, names: Record<string, string | number>, query: unknown): string {
  const path = route
    .slice(route.indexOf("/"))
    .replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(names[name] ?? "")));
  const asked = Object.entries((query ?? {}) as object)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return asked.length ? `${path}?${asked.join("&")}` : path;
}

/** Said of a session that a file is without. */
export const NOT_HERE = "This session is not in the file: `refold ui` shows it, where the log is.";

let source: Source | null = null;

/** Sets where answers come from. */
export function useSource(one: Source): void {
  source = one;
}

/** Whether something was left out of what is shown, because somebody asked for that. */
export function isLess(): boolean {
  return Boolean(source?.omitted?.length);
}

/** Where answers come from. */
export function theSource(): Source {
  if (source === null) throw new Error("no source of answers was set");
  return source;
}

let tellFirst: () => void;

/** Comes true with the first answer: what is drawn first is there, and what else is loaded takes no time from it. */
export const firstAnswer = new Promise<void>((done) => (tellFirst = done));

/** Asks once. */
export async function get<T>(asked: Asked<T>, signal?: AbortSignal): Promise<T> {
  try {
    return (await theSource().get(asked.path, signal)) as T;
  } finally {
    tellFirst();
  }
}

/** Writes: one verb of a session. */
export async function post<K extends Posts>(
  route: K,
  names: Record<string, string | number>,
  body: Bodies<K>,
  query?: Queries<K>,
): Promise<Answers<K>> {
  return (await theSource().post(pathOf(route, names, query), body)) as Answers<K>;
}

/** What a stream tells, by the names of its events. */
export type StreamOf<K extends Streams> = { [N in keyof Told<K> & string]: { name: N; id: string | null; data: Told<K>[N] } }[keyof Told<K> &
  string];

/** Follows a stream until it ends, breaks or is aborted. */
export function stream<K extends Streams>(
  route: K,
  names: Record<string, string | number>,
  query: Queries<K> | undefined,
  signal: AbortSignal,
): AsyncIterable<StreamOf<K>> {
  const method = route.startsWith("POST") ? "POST" : "GET";
  return theSource().stream(pathOf(route, names, query), method, signal) as AsyncIterable<StreamOf<K>>;
}

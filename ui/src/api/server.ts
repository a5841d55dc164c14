// Answers of the server that the page came from.

import { signal } from "@preact/signals";

import { ApiError, type Source, type StreamEvent } from "./source";

const TOKEN = "refold-token";

/** What is said when the server cannot be reached. */
export const AWAY = "The server does not answer: is `refold ui` still running?";
const ONCE_MORE_MS = 100;

/** Whether the server refused the token that the page has, if it has one. */
export const isLocked = signal(false);
/** Whether the server could not be reached when it was asked last. */
export const isAway = signal(false);

/** Takes the token from the address, where `refold ui` writes it, and out of the address again. */
export function takeToken(): string {
  const given = /^#token=([^&]+)/.exec(location.hash)?.[1];
  if (given !== undefined) {
    sessionStorage.setItem(TOKEN, decodeURIComponent(given));
    history.replaceState(history.state, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(TOKEN) ?? "";
}

/** Keeps a token that was typed in. */
export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN, token);
}

/** Asks the server, with a token. */
export class Server implements Source {
  readonly isArchive = false;
  readonly isOfMany = true;

  constructor(private readonly token: string) {}

  holds(): boolean {
    return true;
  }

  compares(): boolean {
    return true;
  }

  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    const answer = await this.ask(path, { ...(signal ? { signal } : {}) });
    return await arrived(answer.json());
  }

  async post(path: string, body: unknown, signal?: AbortSignal): Promise<unknown> {
    const answer = await this.ask(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json", "x-refold": "1" },
      ...(signal ? { signal } : {}),
    });
    return await arrived(answer.json());
  }

  /** Reads what is no JSON document: a file to keep. */
  async file(path: string): Promise<Blob> {
    const answer = await this.ask(path, {});
    return await arrived(answer.blob());
  }

  async *stream(path: string, method: "GET" | "POST", signal: AbortSignal): AsyncGenerator<StreamEvent> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (method === "POST") Object.assign(headers, { "content-type": "application/json", "x-refold": "1" });
    const answer = await this.ask(path, { method, headers, signal, ...(method === "POST" ? { body: "{}" } : {}) });
    if (answer.body === null) throw new ApiError(0, "the server answered with no stream");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    while (true) {
      const { done, value } = await arrived(reader.read());
      if (done) return;
      rest += value;
      const frames = rest.split("\n\n");
      rest = frames.pop() ?? "";
      for (const frame of frames) {
        const event = readFrame(frame);
        if (event !== null) yield event;
      }
    }
  }

  private async ask(path: string, asked: RequestInit): Promise<Response> {
    const request = {
      ...asked,
      headers: { authorization: `Bearer ${this.token}`, ...asked.headers },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    } as const;
    let answer: Response;
    try {
      answer = await arrived(asked.method === "POST" ? fetch(path, request) : fetchAgain(path, request));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // nobody waits for it any more, which says nothing of the server
      isAway.value = true;
      throw asked.method === "POST" ? new ApiError(0, `${AWAY} Whether it was done is not known.`) : error;
    }
    isAway.value = false;
    if (answer.status === 401) isLocked.value = true;
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }
}

/** Asks once more where a connection is lost: a network that changes under the browser ends all that are open. */
async function fetchAgain(path: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(path, request);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    await new Promise((done) => setTimeout(done, ONCE_MORE_MS));
    return await fetch(path, request);
  }
}

/** Waits for what comes over the network. Raises `ApiError` with status 0 where the connection is lost. */
async function arrived<T>(coming: Promise<T>): Promise<T> {
  try {
    return await coming;
  } catch (error) {
    throw error instanceof TypeError ? new ApiError(0, AWAY) : error;
  }
}

async function problemOf(answer: Response): Promise<ApiError> {
  const after = Number(answer.headers.get("retry-after") ?? "");
  let words = `${answer.status} ${answer.statusText}`;
  try {
    const problem = (await answer.json()) as { detail?: string; title?: string };
    words = problem.detail ?? problem.title ?? words;
  } catch {
    // no problem document: the status is all there is to say
  }
  return new ApiError(answer.status, words, Number.isFinite(after) && after > 0 ? after : null);
}

/** Reads one event of a stream; null for a comment, or one without data. */
export function readFrame(frame: string): StreamEvent | null {
  let name = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of frame.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "event") name = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
  return data.length ? { name, id, data: JSON.parse(data.join("\n")) } : null;
}

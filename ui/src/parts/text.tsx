// Texts of a log: nothing in them becomes markup, and what cannot be seen in them is shown as a mark.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { isLess } from "../api/source";
import { short, whole } from "../format";

/** What cannot be seen, or changes the direction of the line: control characters, bidi marks, lone surrogates. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const NAMES: Record<number, string> = { 0: "NUL", 7: "BEL", 8: "BS", 12: "FF", 13: "CR", 27: "ESC", 127: "DEL" };
/** What stands in the place of what was left out of a file. */
const LEFT_OUT = /\[(?:(?:tool result|image|thinking) )?left out\]/g;
/** Of a long line so much stands in one node. */
const SLICE = 64_000;

/** A text as nodes: characters that cannot be seen stand as marks. */
export function plain(text: string, marked: string = ""): ComponentChildren {
  if (!marked && isLess() && text.includes("left out]")) return withMarks(text);
  if (!marked && text.search(UNSEEN) < 0) return text;
  const found: ComponentChildren[] = [];
  const parts = marked ? text.split(markPattern(marked)) : [text];
  parts.forEach((part, number) => {
    const nodes = seen(part);
    if (marked && number % 2) found.push(<mark>{nodes}</mark>);
    else found.push(...nodes);
  });
  return found;
}

/** Whether there is nothing in a text but marks of what was left out. */
export function isLeftOut(text: string): boolean {
  return isLess() && text !== "" && text.replace(LEFT_OUT, "").trim() === "";
}

function withMarks(text: string): ComponentChildren[] {
  const found: ComponentChildren[] = [];
  let end = 0;
  for (const match of text.matchAll(LEFT_OUT)) {
    found.push(...seen(text.slice(end, match.index)), <span class="left-out">{match[0]}</span>);
    end = match.index + match[0].length;
  }
  return [...found, ...seen(text.slice(end))];
}

/** A text where no nodes can stand, as in a title: what cannot be seen in it is written out. */
export function spelled(text: string): string {
  return text.replace(UNSEEN, (character) => (character === "\n" ? character : `[${nameOf(character)}]`));
}

function nameOf(character: string): string {
  const code = character.charCodeAt(0);
  return NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

function markPattern(words: string): RegExp {
  return new RegExp(`(${words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")})`, "gi");
}

function seen(text: string): ComponentChildren[] {
  const found: ComponentChildren[] = [];
  let end = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > end) found.push(text.slice(end, match.index));
    const code = match[0].charCodeAt(0);
    found.push(
      <span class="hidden-character" title={`the character U+${code.toString(16).toUpperCase().padStart(4, "0")}`}>
        {nameOf(match[0])}
      </span>,
    );
    end = match.index + 1;
  }
  if (end < text.length) found.push(text.slice(end));
  return found;
}

/** A text on one line. */
export function Line({ text }: { text: string }) {
  return <>{plain(text.replace(/[\n\r\t]+/g, " "))}</>;
}

/**
 * A long text, as it is or with its fenced code and headings set apart; a part of it at first, more when asked for.
 *
 * `characters`: how long all of it is, if it was cut by the server; `more` fetches what comes behind so many of them.
 */
export function Text({ text, prose = false, first = 4_000, characters, more, marked }: {
  text: string;
  prose?: boolean;
  first?: number;
  characters?: number | undefined;
  more?: ((from: number) => Promise<{ text: string; end: number }>) | undefined;
  marked?: string | undefined;
}) {
  const [shown, setShown] = useState(first);
  const [rest, setRest] = useState<{ text: string; end: number } | null>(null);
  const [error, setError] = useState("");
  const all = text + (rest?.text ?? "");
  const end = rest?.end ?? (characters === undefined || text.length < characters ? text.length : [...text].length);
  const isWhole = characters === undefined || end >= characters;
  const long = isWhole ? all.length : characters;
  const cut = all.length > shown ? lineEnd(all, shown) : all.length;
  const part = cut < all.length ? all.slice(0, cut) : all;
  const next = async () => {
    if (cut < all.length) setShown(cut + SLICE);
    else if (more) {
      try {
        const slice = await more(rest?.end ?? [...text].length); // the server counts whole characters
        setRest({ text: (rest?.text ?? "") + slice.text, end: slice.end });
        setShown(cut + SLICE);
        setError("");
      } catch (problem) {
        setError(problem instanceof Error ? problem.message : String(problem));
      }
    }
  };
  return (
    <>
      {prose ? <Prose text={part} marked={marked} /> : <pre>{plain(part, marked)}</pre>}
      {cut < long && (
        <button type="button" class="link more" onClick={() => void next()} disabled={cut >= all.length && !more}>
          {whole(long - cut)} more characters
        </button>
      )}
      {error && <p class="is-error">{error}</p>}
    </>
  );
}

function lineEnd(text: string, near: number): number {
  const end = text.lastIndexOf("\n", near);
  return end > near / 2 ? end : near;
}

/** Prose: fenced code as code, headings stronger; no other markup, and no links. */
function Prose({ text, marked }: { text: string; marked?: string | undefined }) {
  const blocks: ComponentChildren[] = [];
  let lines: string[] = [];
  const flush = () => {
    if (lines.length) blocks.push(<div class="prose-lines">{plain(lines.join("\n"), marked)}</div>);
    lines = [];
  };
  const all = text.split("\n");
  for (let at = 0; at < all.length; at++) {
    const line = all[at]!;
    const fence = /^\s{0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== undefined) {
      const code: string[] = [];
      let end = at + 1;
      while (end < all.length && !all[end]!.trimStart().startsWith(fence)) code.push(all[end++]!);
      flush();
      blocks.push(<pre class="well">{plain(code.join("\n"), marked)}</pre>);
      at = end;
    } else if (/^#{1,6} \S/.test(line)) {
      flush();
      blocks.push(<div class="prose-heading">{plain(line, marked)}</div>);
    } else lines.push(line);
  }
  flush();
  return <div class="prose">{blocks}</div>;
}

/** JSON, laid out; long texts in it are shown with their line ends. */
export function JsonText({ value, first = 6_000 }: { value: unknown; first?: number }) {
  return <Text text={JSON.stringify(value, null, 2) ?? "null"} first={first} />;
}

/** Arguments of a call as they were written; laid out where they are JSON. */
export function layOut(written: string): string {
  try {
    return JSON.stringify(JSON.parse(written), null, 2);
  } catch {
    return written;
  }
}

/** The arguments of a call on one line: the values that say what it does. */
export function argumentsLine(written: string): string {
  try {
    const found: unknown = JSON.parse(written);
    if (found !== null && typeof found === "object" && !Array.isArray(found)) {
      const values = Object.values(found);
      if (values.length && values.every((one) => typeof one === "string" || typeof one === "number")) return values.join("  ");
    }
  } catch {
    // it is shown as it was written
  }
  return written;
}

/** A number of tokens, and what is exact in the title. */
export function Tokens({ many, estimated = false }: { many: number; estimated?: boolean }) {
  return (
    <span title={`${estimated ? "about " : ""}${whole(many)} tokens${estimated ? ", estimated by length" : ""}`}>
      {estimated ? "~" : ""}
      {short(many)}
    </span>
  );
}

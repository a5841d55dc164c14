// The content of a message as a model reads it: texts, thinking, calls, images.

import { useEffect, useMemo } from "preact/hooks";

import type { Json } from "../api/types";
import { bytes } from "../format";
import { Sign } from "./signs";
import { JsonText, layOut, Text } from "./text";

type Fields = { [name: string]: Json };

function isFields(value: Json | undefined): value is Fields {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** A message given as JSON; what is not known of it is shown as JSON. */
export function MessageContent({ message }: { message: Json }) {
  if (!isFields(message)) return <JsonText value={message} />;
  const content = message["content"];
  if (typeof content === "string") return <Text text={content} prose={message["role"] !== "tool_result"} first={16_000} />;
  if (!Array.isArray(content)) return <JsonText value={message} />;
  return (
    <>
      {content.map((block, number) => (
        <Block key={number} block={block} isProse={message["role"] !== "tool_result"} />
      ))}
      {!content.length && <span class="faint">nothing</span>}
    </>
  );
}

function Block({ block, isProse }: { block: Json; isProse: boolean }) {
  if (!isFields(block)) return <JsonText value={block} />;
  const text = (name: string) => (typeof block[name] === "string" ? (block[name] as string) : "");
  switch (block["type"]) {
    case "text":
      return <Text text={text("text")} prose={isProse} first={16_000} />;
    case "thinking":
      return (
        <div class="is-thinking">
          <Sign of="thinking" /> <Text text={text("thinking") || "(not readable)"} prose first={4_000} />
        </div>
      );
    case "tool_call":
      return (
        <div class="mono">
          <span class="is-tool">
            <Sign of="tool" /> {text("name")}
          </span>
          <Text text={layOut(text("arguments"))} first={4_000} />
        </div>
      );
    case "image":
      return <Picture data={text("data")} mediaType={text("media_type") || text("mime_type")} />;
    default:
      return <JsonText value={block} />;
  }
}

/** Types of pictures that are shown, by how their bytes begin: nothing else is given to the browser as an image. */
const RASTER: Record<string, string> = { iVBORw0KGgo: "image/png", "/9j/": "image/jpeg", R0lGOD: "image/gif", UklGR: "image/webp" };
const LARGEST = 20_000_000;

/** A picture of the log; one that is none, or is elsewhere, is named. */
export function Picture({ data, mediaType }: { data: string; mediaType: string }) {
  const url = useMemo(() => pictureUrl(data), [data]);
  useEffect(() => (url === null ? undefined : () => URL.revokeObjectURL(url)), [url]);
  if (url === null)
    return (
      <span class="dim">
        <Sign of="image" /> an image ({mediaType || "of no type"}, {bytes(data.length)}) that is not shown
      </span>
    );
  return <img class="picture" src={url} alt={`an image of ${bytes(Math.round(data.length * 0.75))}`} />;
}

function pictureUrl(data: string): string | null {
  const type = Object.entries(RASTER).find(([beginning]) => data.startsWith(beginning))?.[1];
  if (type === undefined || data.length > LARGEST) return null;
  try {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type }));
  } catch {
    return null;
  }
}

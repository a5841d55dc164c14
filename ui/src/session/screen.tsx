// The screen of a session: head, map, list, the reader with the selected view, inspector, foot.

import type { ComponentType } from "preact";
import { useRef } from "preact/hooks";

import { isLess, theSource } from "../api/source";
import { keyFor } from "../commands";
import { dialog } from "../dialogs/dialogs";
import { count, percent, whole } from "../format";
import { Inspector } from "../inspector/inspector";
import { Foot } from "../parts/foot";
import { Sign } from "../parts/signs";
import { isPlaying, speed } from "../playing";
import { selection, type View } from "../selection";
import { later } from "../parts/later";
import { remember, settings } from "../settings";
import { drawer } from "../ui_state";
import { Chat } from "../views/chat";
import { RequestView } from "../views/request";
import { Head } from "./head";
import { List } from "./list";
import { Minimap } from "./minimap";
import { open, type OpenSession } from "./open";

const READERS: Record<View, ComponentType<{ session: OpenSession }>> = {
  chat: Chat,
  request: RequestView,
  diff: later(async () => (await import("../views/diff")).Diff),
  timeline: later(async () => (await import("../views/timeline")).Timeline),
  tree: later(async () => (await import("../views/tree")).Tree),
  raw: later(async () => (await import("../views/raw")).Raw),
};

/** The open session. */
export function SessionScreen() {
  const session = open.value;
  const view = selection.value?.view ?? "chat";
  if (session === null) return null;
  const Reader = READERS[view];
  const { listWidth, inspectorWidth, hasList, hasInspector } = settings.value;
  const isEmpty = session.head.value === null;
  return (
    <div class={`session${isLess() ? " has-omitted" : ""}`} key={session.id}>
      <Head session={session} />
      <LeftOutLine />
      <Minimap session={session} />
      <main class="panes" style={{ "--list": hasList ? `${listWidth}px` : "0px", "--inspector": hasInspector ? `${inspectorWidth}px` : "0px" }}>
        <div class={`pane-place${drawer.value === "list" ? " is-drawn" : ""}`}>
          {(hasList || drawer.value === "list") && <List session={session} />}
          {hasList && <Handle of="listWidth" side="right" />}
        </div>
        <section class="pane is-reader" id="reader" role="tabpanel" aria-labelledby={`tab-${view}`}>
          {session.error.value ? (
            <p class="empty is-error">{session.error.value}</p>
          ) : isEmpty ? (
            <Loading />
          ) : (
            <Reader session={session} />
          )}
        </section>
        <div class={`pane-place${drawer.value === "inspector" ? " is-drawn" : ""}`}>
          {hasInspector && <Handle of="inspectorWidth" side="left" />}
          {(hasInspector || drawer.value === "inspector") && <Inspector session={session} />}
        </div>
      </main>
      <SessionFoot session={session} />
    </div>
  );
}

/** Of a file from which something was left out: what, and how much. It stands there as long as the file is open. */
function LeftOutLine() {
  const { omitted } = theSource();
  if (!omitted?.length) return null;
  return (
    <div class="omitted-line" role="note">
      <Sign of="erase" />
      <span>
        <b>Left out of this file: {omitted.join(", ")}.</b> <span class="dim">Marks stand in their places. What people and models wrote stays, and may repeat it.</span>
      </span>
    </div>
  );
}

/** Said when it takes a while: before 300 ms nothing is. */
export function Loading({ words = "Reading the session…" }: { words?: string }) {
  return <p class="empty is-late">{words}</p>;
}

const LIMITS = { listWidth: [200, 720], inspectorWidth: [260, 900] } as const;

/** The edge of a pane, by which its width is changed. */
function Handle({ of, side }: { of: "listWidth" | "inspectorWidth"; side: "left" | "right" }) {
  const ref = useRef<HTMLDivElement>(null);
  const [least, most] = LIMITS[of];
  const set = (width: number) => remember({ [of]: Math.round(Math.min(Math.max(width, least), most)) });
  const sign = side === "right" ? 1 : -1;
  const onDown = (event: PointerEvent) => {
    const element = ref.current!;
    const began = event.clientX;
    const was = settings.peek()[of];
    element.setPointerCapture(event.pointerId);
    element.classList.add("is-held");
    const move = (moved: PointerEvent) => set(was + sign * (moved.clientX - began));
    element.addEventListener("pointermove", move);
    element.addEventListener(
      "lostpointercapture",
      () => {
        element.removeEventListener("pointermove", move);
        element.classList.remove("is-held");
      },
      { once: true },
    );
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const by = event.key === "ArrowLeft" ? -16 : event.key === "ArrowRight" ? 16 : 0;
    if (!by) return;
    event.preventDefault();
    set(settings.peek()[of] + sign * by);
  };
  return (
    <div
      ref={ref}
      class={`handle is-${side}`}
      role="separator"
      aria-orientation="vertical"
      aria-label={of === "listWidth" ? "Width of the list" : "Width of the inspector"}
      aria-valuemin={least}
      aria-valuemax={most}
      aria-valuenow={settings.value[of]}
      tabIndex={0}
      onPointerDown={onDown}
      onKeyDown={onKeyDown}
      onDblClick={() => set(of === "listWidth" ? 348 : 380)}
    />
  );
}

const HINTS: [string[], string][] = [
  [["next-row", "previous-row"], "row"],
  [["next-turn", "previous-turn"], "turn"],
  [["next-error"], "error"],
  [["diff"], "diff"],
  [["fork"], "fork"],
  [["search"], "search"],
  [["shortcuts"], "all keys"],
];

/** What stands at the foot: keys, or what was just done; and whether the head is followed. */
function SessionFoot({ session }: { session: OpenSession }) {
  const { isArchive, about, without = [] } = theSource();
  const hints = HINTS.filter(([ids]) => !isArchive || !ids.includes("fork")).map(([ids, what]): [string, string] => [ids.map(keyFor).join(" "), what]);
  const isRead = session.indexing.value === 1;
  return (
    <Foot hints={hints}>
      {isArchive && (
        <>
          <button type="button" class="plain about-file" onClick={() => (dialog.value = { name: "about-file" })} title={without.join("\n")}>
            {about}, without {count(without.length, "thing")}
          </button>
          {" · "}
        </>
      )}
      {isPlaying.value ? `playing ${speed.value}×` : session.isFollowing.value ? (isArchive ? "at the end" : "following") : "following: off"}
      {!isRead && ` · reading, ${percent(session.indexing.value)}`}
      {!isArchive && isRead && !session.isLive.value && session.head.value && <span class="is-config"> · not connected</span>}
      {session.unseen.value > 0 && ` · ${whole(session.unseen.value)} new`}
    </Foot>
  );
}

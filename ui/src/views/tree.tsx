// The sessions that belong together: what was forked from what, and what started what. What they share is drawn once.

import { signal } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { tell } from "../api/answers";
import { NOT_HERE, theSource } from "../api/source";
import type { Family, FamilyMember } from "../api/types";
import { ago, count, dollars, moment, short, shortId, whole } from "../format";
import { Sign, Status } from "../parts/signs";
import { useScroll, useSize } from "../parts/sizes";
import { Line, spelled } from "../parts/text";
import { go, type Selection, select, selection } from "../selection";
import { useFamily } from "../session/family";
import type { OpenSession } from "../session/open";
import { type BranchRow, type FoldRow, isFold, layTree, originsOf, seqAt, stemsOf, type TreeRow } from "./tree_layout";
import "./tree.css";

const ROW_PX = 28;
const OVER = 6;
const HEAD_PX = 24;
/** A branch is at least so long, whatever it holds. */
const LEAST_PX = 12;
const BAD: ReadonlySet<string> = new Set(["failed", "stuck", "refused"]);

/** Where it was scrolled to: another session of the family shows it there. */
let lastTop = 0;
const opened = signal<ReadonlySet<string>>(new Set());

export function Tree({ session }: { session: OpenSession }) {
  const { family, error } = useFamily(session);
  if (error && family === null) return <p class="empty is-error">{error}</p>;
  if (family === null) return <p class="empty is-late">Reading the tree…</p>;
  return <Branches session={session} family={family} />;
}

function titleOf(member: FamilyMember): string {
  return member.info.title || member.info.first_words || member.info.id;
}

/** Selects a branch where it begins; the first one, and what was started by another, at its head. */
function choose(member: FamilyMember): void {
  const now = selection.peek();
  if (now === null) return;
  const { id, parent, fork_seq, head } = member.info;
  if (!theSource().holds(id)) {
    tell(NOT_HERE);
    return;
  }
  go({ ...now, session: id, seq: parent === null ? null : Math.min(fork_seq + 1, head), part: null });
}

function pinBranch(member: FamilyMember): void {
  const { id, head } = member.info;
  const isPinned = selection.peek()?.pin?.session === id;
  const here = selection.peek()?.session ?? "";
  if (!isPinned && id !== here && !theSource().compares(id, here)) {
    tell(theSource().holds(id) ? "The file has no comparison of these two." : NOT_HERE);
    return;
  }
  select({ pin: isPinned ? null : { session: id, seq: head } }, "step");
}

function Branches({ session, family }: { session: OpenSession; family: Family }) {
  const box = useRef<HTMLDivElement>(null);
  const { width, height } = useSize(box);
  const top = useScroll(box);
  const now = selection.value;
  const pin = now?.pin ?? null;
  const wanted = useMemo(() => new Set([session.id, ...(pin ? [pin.session] : [])]), [session, pin?.session]);
  const rows = useMemo(() => layTree(family.members, wanted, opened.value), [family, wanted, opened.value]);
  const selected = rows.findIndex((row) => row.key === session.id);
  const [cursor, setCursor] = useState<string | null>(null);
  const found = cursor === null ? -1 : rows.findIndex((row) => row.key === cursor);
  const place = found < 0 ? selected : found;

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || !height) return;
    element.scrollTop = lastTop;
  }, [height > 0]);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || !height || place < 0) return;
    const y = place * ROW_PX;
    if (y < element.scrollTop) element.scrollTop = y;
    else if (y + ROW_PX + HEAD_PX > element.scrollTop + height) element.scrollTop = y + ROW_PX + HEAD_PX - height;
  }, [place, height > 0, rows]);
  const first = Math.max(Math.floor((top - HEAD_PX) / ROW_PX) - OVER, 0);
  const end = Math.min(Math.ceil((top + height) / ROW_PX) + OVER, rows.length);
  const graph = Math.round(Math.min(Math.max(width * 0.27, 110), 420));

  const unfold = (row: FoldRow) => {
    opened.value = new Set([...opened.peek(), row.key]);
    setCursor(row.members[0]!.info.id);
  };
  const does = (row: TreeRow, isPin: boolean) => {
    if (isFold(row)) unfold(row);
    else if (isPin) pinBranch(row.member);
    else choose(row.member);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -rows.length, End: rows.length }[event.key];
    const row = rows[place];
    if (by !== undefined) setCursor(rows[Math.min(Math.max(place + by, 0), rows.length - 1)]?.key ?? null);
    else if ((event.key === "Enter" || event.key === " ") && row) does(row, event.shiftKey);
    else return;
    event.preventDefault();
  };
  const forks = family.members.filter((one) => !one.is_child).length;
  const canPin = forks > 1 && family.members.some((one) => !one.is_child && one.info.id !== session.id && theSource().compares(one.info.id, session.id));
  return (
    <div class="view">
      <div class="reader-head">
        <b>Tree</b>
        <span class="cut">
          {forks > 1 ? count(forks - 1, "fork") : "no forks"}
          {family.members.length > forks && `, ${count(family.members.length - forks, "agent")} started`}
          {family.used.cost_microusd !== null && `, ${dollars(family.used.cost_microusd)} in all`}
        </span>
        <span class="at-end tree-hints">
          {opened.value.size > 0 && (
            <button type="button" class="plain switch" onClick={() => (opened.value = new Set())}>
              fold again
            </button>
          )}
          {canPin && (
            <span class="cut" title="Diff compares with what is pinned">
              shift-click pins for Diff
            </span>
          )}
        </span>
      </div>
      <div
        class={`tree scrolls${width < 820 ? " is-narrow" : ""}`}
        ref={box}
        tabIndex={0}
        role="listbox"
        aria-label="Sessions that belong together"
        aria-activedescendant={place >= 0 ? `branch-${place}` : undefined}
        style={{ "--tree-graph": `${graph}px` }}
        onKeyDown={onKeyDown}
        onScroll={(event) => (lastTop = event.currentTarget.scrollTop)}
      >
        <div class="tree-heads" aria-hidden="true">
          <span>{family.members.length > forks ? "seq" : `seq 1 to ${whole(family.members.reduce((most, one) => Math.max(most, one.info.head), 1))}`}</span>
          <span>branch</span>
          <span>outcome</span>
          <span class="number">cost</span>
          <span class="number">events</span>
          <span class="number">updated</span>
        </div>
        <div class="tree-all" style={{ height: `${rows.length * ROW_PX}px` }}>
          <Graph session={session} rows={rows} first={first} end={end} width={graph - 24} now={now} />
          {Array.from({ length: Math.max(end - first, 0) }, (_, number) => {
            const at = first + number;
            const row = rows[at]!;
            return (
              <Row
                key={row.key}
                row={row}
                place={at}
                isSelected={at === selected}
                isCursor={at === place}
                isPinned={pin !== null && row.key === pin.session}
                onPick={(event) => {
                  setCursor(row.key);
                  does(row, event.shiftKey);
                }}
              />
            );
          })}
        </div>
      </div>
      {family.members.length === 1 && <p class="empty">Nothing was forked from it{theSource().isArchive ? "." : " yet: f forks at what is selected."}</p>}
    </div>
  );
}

function Row({ row, place, isSelected, isCursor, isPinned, onPick }: { row: TreeRow; place: number; isSelected: boolean; isCursor: boolean; isPinned: boolean; onPick: (event: MouseEvent) => void }) {
  const name = `tree-row${isSelected ? " is-selected" : ""}${isCursor ? " is-cursor" : ""}${isFold(row) ? " is-fold" : ""}`;
  const common = { id: `branch-${place}`, class: name, role: "option" as const, "aria-selected": isSelected, style: { top: `${place * ROW_PX}px` } };
  const onMouseDown = (event: MouseEvent) => {
    if (event.shiftKey) event.preventDefault(); // no text is marked
  };
  if (isFold(row)) {
    const oldest = row.members.reduce((one, two) => (one.info.created_at_us < two.info.created_at_us ? one : two));
    return (
      <div {...common} onClick={onPick} title={`since ${moment(oldest.info.created_at_us)}`}>
        <span />
        <span class="words">
          <Sign of="shut" />
          <span class="cut">{row.isChild ? count(row.away, "agent") : `${whole(row.away)} older ${row.away === 1 ? "fork" : "forks"} without a bookmark`}</span>
        </span>
      </div>
    );
  }
  const { member } = row;
  const { info } = member;
  const own = info.head - info.fork_seq;
  const isHere = theSource().holds(info.id);
  const hasOwnTitle = info.parent === null || info.title !== "";
  return (
    <div {...common} class={isHere ? name : `${name} is-away`} onClick={onPick} onMouseDown={onMouseDown} title={`${spelled(titleOf(member))}\n${info.id}${isHere ? "" : "\nnot in this file"}`}>
      <span />
      <span class="words">
        {isPinned && (
          <span class="is-accent" title="Pinned: Diff compares with it">
            <Sign of="pin" words="pinned" />
          </span>
        )}
        <span class="cut">
          {row.isChild && (
            <span class="is-tool">
              <Sign of="child" words="agent" />{" "}
            </span>
          )}
          {hasOwnTitle ? <Line text={titleOf(member)} /> : <span class="dim">fork of {<Line text={titleOf(member)} />}</span>}
        </span>
        <span class="at">{info.parent === null ? shortId(info.id) : `at ${whole(info.fork_seq)}`}</span>
        {!isHere && <span class="at">not in this file</span>}
        {member.labels.length > 0 && (
          <span class="label cut" title={member.labels.map(([seq, text]) => `${whole(seq)} ${spelled(text)}`).join("\n")}>
            <Sign of="label" words="bookmark" /> <Line text={member.labels[0]![1]} />
            {member.labels.length > 1 && ` +${member.labels.length - 1}`}
          </span>
        )}
      </span>
      <Status of={member.status} reason={member.reason} />
      <span class="number" title={member.used.cost_microusd === null ? "price not known" : "of its own part"}>
        {member.used.cost_microusd === null ? "" : dollars(member.used.cost_microusd)}
      </span>
      <span class="number" title={`${count(own, "event")} of its own`}>
        {short(own)}
      </span>
      <span class="number" title={moment(info.updated_at_us)}>
        {ago(info.updated_at_us, Date.now())}
      </span>
    </div>
  );
}

/** The lines: a session from where it began to its head, and where it came from. */
function Graph({ session, rows, first, end, width, now }: { session: OpenSession; rows: readonly TreeRow[]; first: number; end: number; width: number; now: Selection | null }) {
  const begun = useMemo(() => begunAt(session), [session, session.version.value]);
  const origins = useMemo(() => originsOf(rows, (row, above) => startOf(isFold(row) ? row.members[0]! : row.member, above, begun)), [rows, begun]);
  const highest = useMemo(() => rows.reduce((most, row, place) => Math.max(most, isFold(row) ? 0 : origins[place]! + row.member.info.head), 1), [rows, origins]);
  /** Where a seq of a row lies. */
  const x = (place: number, seq: number) => ((origins[place]! + seq) / highest) * width;
  const begins = (place: number): number => {
    const row = rows[place]!;
    return x(place, row.above < 0 || row.isChild ? 0 : (isFold(row) ? row.members[0]! : row.member).info.fork_seq);
  };
  const ends = (place: number): number => {
    const row = rows[place]!;
    const begin = begins(place);
    if (isFold(row)) return begin + 26;
    const { info } = row.member;
    return Math.max(x(place, info.head), begin + LEAST_PX);
  };
  const stems = useMemo(() => stemsOf(rows, begins), [rows, width, highest, origins]);
  const path = useMemo(() => pathOf(rows, session.id), [rows, session]);
  const y = (place: number) => (place - first + 0.5) * ROW_PX;
  const isInside = (place: number) => place >= first && place < end;
  const seen = Array.from({ length: Math.max(end - first, 0) }, (_, number) => first + number);
  const spot = now === null ? null : spotOf(rows, now.session, now.seq ?? Number.MAX_SAFE_INTEGER);
  const pin = now?.pin ? spotOf(rows, now.pin.session, now.pin.seq) : null;
  return (
    <svg class="tree-graph" width={width + 24} height={Math.max(end - first, 0) * ROW_PX} style={{ top: `${first * ROW_PX}px` }} aria-hidden="true">
      {stems.map((stem) => {
        const [low, high] = stem.from < stem.to ? [stem.from, stem.to] : [stem.to, stem.from];
        if (high < first || low >= end) return null;
        const from = Math.min(Math.max(stem.from, first - 1), end);
        const to = stem.to < first - 1 || stem.to > end ? null : stem.to;
        const turn = to === null ? y(stem.to < first ? first - 1 : end) : y(to) + (stem.isChild ? -6 : 6);
        return <path key={`${stem.from} ${stem.x} ${stem.isChild}`} class={`stem${stem.isChild ? " of-child" : ""}`} d={`M${stem.x} ${y(from)}V${turn}`} />;
      })}
      {seen.map((place) => {
        const row = rows[place]!;
        const begin = Math.round(begins(place));
        const to = Math.round(ends(place));
        const at = y(place);
        const isPath = path.has(place);
        const turn = row.above < 0 ? `M${begin} ${at}` : `M${begin} ${at + (row.isChild ? -6 : 6)}Q${begin} ${at} ${begin + 6} ${at}`;
        const tone = `${row.isChild ? " of-child" : ""}${isPath ? " is-path" : ""}`;
        const hasFailed = !isFold(row) && BAD.has(row.member.status);
        return (
          <g key={row.key}>
            <path class="halo" d={`M${begin + 8} ${at}H${to - 4}`} />
            {isPath && row.above >= 0 && <path class="stem is-path" d={`M${begin} ${y(Math.min(Math.max(row.above, first - 1), end))}V${at + (row.isChild ? -6 : 6)}`} />}
            <path class={`lane${tone}`} d={`${turn}H${to}`} stroke-dasharray={isFold(row) ? "2 3" : undefined} />
            {!isFold(row) && (hasFailed ? <path class="end has-failed" d={`M${to - 1} ${at - 3.5}l7 7m0 -7l-7 7`} /> : <circle class={`end${tone}`} cx={to} cy={at} r="3" />)}
            {!isFold(row) &&
              row.member.labels.slice(0, 50).map(([seq]) => {
                const lies = spotOf(rows, row.key, seq); // a fork may name what it shares: there it is drawn once
                return lies !== null && isInside(lies.place) && <path key={seq} class="mark" d={`M${Math.round(x(lies.place, seq))} ${y(lies.place) - 8}h5v5l-2.5 -2l-2.5 2z`} />;
              })}
          </g>
        );
      })}
      {pin !== null && isInside(pin.place) && <rect class="pinned" x={Math.min(x(pin.place, pin.seq), ends(pin.place)) - 4} y={y(pin.place) - 4} width="8" height="8" />}
      {spot !== null && isInside(spot.place) && <circle class="here" cx={Math.min(x(spot.place, spot.seq), ends(spot.place))} cy={y(spot.place)} r="4.5" />}
    </svg>
  );
}

/** The seq at which a session was started: by the rows of the open one, else as far as the times tell. */
function startOf(member: FamilyMember, above: BranchRow, begun: ReadonlyMap<string, number>): number {
  return begun.get(member.info.id) ?? seqAt(above.member, member.info.created_at_us);
}

/** Where the open session started others: its rows name them. */
function begunAt({ rows }: OpenSession): Map<string, number> {
  const kind = rows.kinds.indexOf("child");
  const found = new Map<string, number>();
  if (kind >= 0) for (let row = 0; row < rows.length; row++) if (rows.kind[row] === kind) found.set(rows.whoOf(row), rows.seq[row]!);
  return found;
}

/** The rows of the open session and of all that it began in. */
function pathOf(rows: readonly TreeRow[], session: string): Set<number> {
  const path = new Set<number>();
  for (let at = rows.findIndex((row) => row.key === session); at >= 0; at = rows[at]!.above) path.add(at);
  return path;
}

/** The row in whose own part a seq of a session lies. */
function spotOf(rows: readonly TreeRow[], session: string, seq: number): { place: number; seq: number } | null {
  let place = rows.findIndex((row) => row.key === session);
  while (place >= 0) {
    const row = rows[place]!;
    if (isFold(row) || row.isChild || row.above < 0 || seq > row.member.info.fork_seq) break;
    place = row.above;
  }
  const row = rows[place];
  return row && !isFold(row) ? { place, seq: Math.min(seq, row.member.info.head) } : null;
}

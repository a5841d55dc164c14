// A long list of things of any height: those in sight are elements, and what stands in sight stays where it is.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { useScroll, useSize } from "./sizes";
import "./windowed.css";

const OVER_PX = 300;
const EDGE_PX = 400;

type Key = string | number;

function heightOf(element: Element): number {
  return (element as HTMLElement).offsetHeight;
}

/** Where each of so many things begins, and where the last one ends. */
export function offsetsOf(keys: readonly Key[], heights: ReadonlyMap<Key, number>, estimate: number): Float64Array {
  const found = new Float64Array(keys.length + 1);
  for (let at = 0; at < keys.length; at++) found[at + 1] = found[at]! + (heights.get(keys[at]!) ?? estimate);
  return found;
}

/** The thing in which a height lies: the last one that begins at or above it. */
export function placeAt(offsets: Float64Array, y: number): number {
  let low = 0;
  let high = Math.max(offsets.length - 2, 0);
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (offsets[middle]! <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * Draws those of many things that are in sight.
 *
 * `wanted`: the key of one that is to be brought into sight, each time `wantedFor` changes. `follows`: the end stays in
 * sight as the list grows, unless the reader has scrolled away from it. `onStart`, `onEnd`: the reader comes near an end. `above`: what scrolls along above them.
 */
export function Windowed({ keys, draw, estimate, label, wanted = null, wantedFor = "", follows = false, onStart, onEnd, above, below, class: name = "" }: {
  keys: readonly Key[];
  draw: (place: number) => ComponentChildren;
  estimate: number;
  label: string;
  wanted?: Key | null;
  wantedFor?: string;
  follows?: boolean;
  onStart?: (() => void) | undefined;
  onEnd?: (() => void) | undefined;
  above?: ComponentChildren;
  below?: ComponentChildren;
  class?: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<Key, number>());
  const anchor = useRef<{ key: Key; by: number } | null>(null);
  const shownFor = useRef<string | null>(null);
  const isAtEnd = useRef(true);
  const followed = useRef(false);
  const [, again] = useState(0);
  const { height } = useSize(box);
  const top = useScroll(box);
  const offsets = offsetsOf(keys, heights.current, estimate);
  const all = offsets[keys.length]!;
  const base = inner.current?.offsetTop ?? 0;
  const first = keys.length ? placeAt(offsets, Math.max(top - base - OVER_PX, 0)) : 0;
  const end = keys.length ? Math.min(placeAt(offsets, top - base + (height || 800) + OVER_PX) + 1, keys.length) : 0;

  const grown = useRef<ResizeObserver | null>(null);
  useEffect(() => {
    grown.current = new ResizeObserver((seen) => {
      const isOther = seen.some(({ target }) => heightOf(target) !== 0 && heights.current.get(keyOf.current(target)) !== heightOf(target));
      if (isOther) again((times) => times + 1);
    });
    return () => grown.current?.disconnect();
  }, []);
  const keyOf = useRef((_: Element): Key => "");
  keyOf.current = (element) => keys[Number((element as HTMLElement).dataset["place"])] ?? "";

  const scrollTo = (to: number) => {
    const element = box.current!;
    if (Math.abs(element.scrollTop - to) >= 1) element.scrollTop = to;
  };
  useLayoutEffect(() => {
    const element = box.current;
    const list = inner.current;
    if (element === null || list === null || !height) return;
    let changed = false;
    for (const one of list.children) {
      grown.current?.observe(one);
      const is = heightOf(one);
      if (!is || heights.current.get(keyOf.current(one)) === is) continue;
      heights.current.set(keyOf.current(one), is);
      changed = true;
    }
    const now = offsetsOf(keys, heights.current, estimate);
    const place = wanted === null ? -1 : keys.indexOf(wanted);
    const at = list.offsetTop;
    if (follows && !followed.current) isAtEnd.current = true;
    followed.current = follows;
    if (follows && isAtEnd.current) scrollTo(element.scrollHeight);
    else if (!follows && place >= 0 && shownFor.current !== wantedFor) {
      const y = at + now[place]!;
      const isSeen = y >= element.scrollTop && at + now[place + 1]! <= element.scrollTop + height;
      if (!isSeen) scrollTo(Math.max(y - height / 3, 0));
      if (place >= first && place < end) shownFor.current = wantedFor; // until then its height is a guess
    } else if (anchor.current !== null) {
      const held = keys.indexOf(anchor.current.key);
      if (held >= 0) scrollTo(at + now[held]! + anchor.current.by);
    }
    hold(now);
    if (changed) again((times) => times + 1);
  });
  /** Remembers what is at the top, so that it stays there when something above it comes or grows. */
  const hold = (now: Float64Array) => {
    const element = box.current;
    if (element === null) return; // it is shown no more
    const y = element.scrollTop - (inner.current?.offsetTop ?? 0);
    const place = placeAt(now, Math.max(y, 0));
    anchor.current = keys.length && y > 0 ? { key: keys[place]!, by: y - now[place]! } : null;
  };
  const onScroll = () => {
    const element = box.current;
    if (element === null) return;
    hold(offsetsOf(keys, heights.current, estimate));
    isAtEnd.current = element.scrollTop + element.clientHeight > element.scrollHeight - 40;
    if (element.scrollTop < EDGE_PX) onStart?.();
    if (element.scrollTop + element.clientHeight > element.scrollHeight - EDGE_PX) onEnd?.();
  };
  return (
    <div class={`windowed scrolls ${name}`} ref={box} tabIndex={0} role="region" aria-label={label} onScroll={onScroll}>
      {above}
      <div class="windowed-all" style={{ height: `${all}px` }} ref={inner}>
        {Array.from({ length: end - first }, (_, number) => {
          const place = first + number;
          return (
            <div key={keys[place]} class="windowed-one" data-place={place} style={{ transform: `translateY(${offsets[place]}px)` }}>
              {draw(place)}
            </div>
          );
        })}
      </div>
      {below}
    </div>
  );
}

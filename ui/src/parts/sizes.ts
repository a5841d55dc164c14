// Sizes of elements, and which part of them is in sight.

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export interface Size {
  width: number;
  height: number;
}

/** The size of an element, as it changes. */
export function useSize(ref: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const read = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    read();
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return size;
}

/** How far an element is scrolled, once a frame. */
export function useScroll(ref: RefObject<HTMLElement | null>): number {
  const [top, setTop] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    let frame = 0;
    const read = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => setTop(element.scrollTop));
    };
    element.addEventListener("scroll", read, { passive: true });
    return () => {
      cancelAnimationFrame(frame);
      element.removeEventListener("scroll", read);
    };
  }, []);
  return top;
}

/** A value that changes often, not more often than so many milliseconds; the last one comes through. */
export function useSeldom<T>(value: T, ms: number): T {
  const [calm, setCalm] = useState(value);
  const last = useRef(value);
  last.current = value;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    if (Object.is(value, calm)) return;
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      setCalm(() => last.current);
    }, ms);
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return calm;
}

/** Calls something once a frame at the most, with what it was called with last. */
export function oncePerFrame<T>(does: (value: T) => void): (value: T) => void {
  let frame = 0;
  let last: T;
  return (value) => {
    last = value;
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      does(last);
    });
  };
}

const NEAR_PX = 900;

/**
 * Whether an element is in sight of what scrolls it, or nearly so; and how high it was when it was last. What is far is
 * drawn as an empty element of that height: a long list has few elements, and nothing moves.
 */
export function useNear(ref: RefObject<HTMLElement | null>): { isNear: boolean; height: number } {
  const [near, setNear] = useState({ isNear: true, height: 0 });
  useEffect(() => {
    const element = ref.current;
    const scroller = element?.closest(".scrolls") ?? null;
    if (element === null || scroller === null) return;
    const look = ([entry]: IntersectionObserverEntry[]) => {
      if (entry === undefined) return;
      const height = entry.boundingClientRect.height;
      setNear((now) => (now.isNear === entry.isIntersecting ? now : { isNear: entry.isIntersecting, height: entry.isIntersecting ? now.height : height }));
    };
    const observer = new IntersectionObserver((entries) => look(entries.slice(-1)), { root: scroller, rootMargin: `${NEAR_PX}px 0px` });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return near;
}

/** Whether the reader's system is dark now; what is drawn on a canvas asks for it. */
export function useTheme(): boolean {
  const [isDark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const read = () => setDark(query.matches);
    query.addEventListener("change", read);
    return () => query.removeEventListener("change", read);
  }, []);
  return isDark;
}

/** Prepares a canvas for its size in pixels of the screen. Returns what draws on it, and the colours of the theme. */
export function canvasOf(canvas: HTMLCanvasElement): { draw: CanvasRenderingContext2D; width: number; height: number; colour: (name: string) => string } | null {
  const draw = canvas.getContext("2d");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (draw === null || width === 0) return null;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  draw.clearRect(0, 0, width, height);
  return { draw, width, height, colour: (name) => colourOf(canvas, name) };
}

/** A colour of the theme as the canvas takes it: `light-dark()` is worked out by an element that has it. */
function colourOf(canvas: HTMLCanvasElement, name: string): string {
  canvas.style.color = `var(--${name})`;
  return getComputedStyle(canvas).color;
}

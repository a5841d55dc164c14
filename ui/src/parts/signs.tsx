// Signs, drawn: half of those in fonts are missing on a plain machine.

import type { JSX } from "preact";

export type Sign =
  | "error" | "running" | "waiting" | "done" | "fork" | "compaction" | "edit" | "prompt" | "thinking" | "answer" | "tool"
  | "result" | "config" | "image" | "label" | "child" | "retry" | "end" | "note" | "stuck" | "search" | "pin" | "more" | "open"
  | "shut" | "left" | "right" | "queued" | "empty" | "erase" | "copy" | "home" | "down"; // prettier-ignore

const PATHS: Record<Sign, JSX.Element> = {
  error: <path d="M2.5 2.5l7 7M9.5 2.5l-7 7" />,
  running: (
    <>
      <circle cx="6" cy="6" r="4.4" />
      <path d="M6 1.6a4.4 4.4 0 0 1 0 8.8z" fill="currentColor" stroke="none" />
    </>
  ),
  waiting: <path d="M4 2v8M8 2v8" stroke-width="1.6" />,
  done: <path d="M2 6.5l2.8 2.8L10 3.2" />,
  fork: <path d="M3 1.5v4A2.5 2.5 0 0 0 5.5 8H9M3 5.5v5M7.2 6l2 2-2 2" />,
  compaction: <path d="M2 1.5h8M2 10.5h8M6 3v2.2M6 9V6.8M4.6 4l1.4 1.4L7.4 4M4.6 8L6 6.6 7.4 8" />,
  edit: <path d="M2 10l.6-2.4L8.4 1.8l1.8 1.8-5.8 5.8zM7.2 3l1.8 1.8" />,
  prompt: <path d="M4 2.5L8 6l-4 3.5" stroke-width="1.5" />,
  thinking: (
    <g fill="currentColor" stroke="none">
      <circle cx="6" cy="3.2" r="1.1" />
      <circle cx="3" cy="8.4" r="1.1" />
      <circle cx="9" cy="8.4" r="1.1" />
    </g>
  ),
  answer: <circle cx="6" cy="6" r="1.5" fill="currentColor" stroke="none" />,
  tool: <path d="M1.5 6h8M6.8 3.2L9.6 6 6.8 8.8" />,
  result: <path d="M10.5 6h-8M5.2 3.2L2.4 6l2.8 2.8" />,
  config: <path d="M1.5 3.5h9M1.5 8.5h9M4 2v3M8 7v3" />,
  image: <path d="M1.5 2.5h9v7h-9zM2 8.5l2.6-2.6 2 2L8 6.6l2.2 2" />,
  label: <path d="M3 1.5h6v9L6 8.2 3 10.5z" />,
  child: <path d="M1.5 2.5h4v3h-4zM6.5 6.5h4v3h-4zM3.5 5.5V8h3" />,
  retry: <path d="M9.6 4.2A4 4 0 1 0 10 6M10 1.8v2.6H7.4" />,
  end: <path d="M2.5 6h7M2.5 2v8" />,
  note: <path d="M3 3.5h6M3 6h6M3 8.5h3.5" />,
  stuck: <path d="M6 1.6l4.8 8.6H1.2zM6 5v2.4M6 8.7v.2" />,
  search: <path d="M7.6 7.6L10.5 10.5M8.6 5a3.6 3.6 0 1 1-7.2 0 3.6 3.6 0 0 1 7.2 0z" />,
  pin: <path d="M6 7.5V11M3.5 7.5h5L7.6 5V2h.9M3.5 2h5M4.4 2v3l-.9 2.5" />,
  more: (
    <g fill="currentColor" stroke="none">
      <circle cx="2.5" cy="6" r="1" />
      <circle cx="6" cy="6" r="1" />
      <circle cx="9.5" cy="6" r="1" />
    </g>
  ),
  open: <path d="M2.5 4.5L6 8l3.5-3.5" />,
  shut: <path d="M4.5 2.5L8 6l-3.5 3.5" />,
  left: <path d="M7.5 2.5L4 6l3.5 3.5" />,
  right: <path d="M4.5 2.5L8 6l-3.5 3.5" />,
  queued: (
    <>
      <circle cx="6" cy="6" r="4.4" />
      <path d="M6 3.2V6l2 1.4" />
    </>
  ),
  empty: <circle cx="6" cy="6" r="3.6" stroke-dasharray="1.6 1.4" />,
  erase: <path d="M4.5 9.5L1.8 6.8 6.8 1.8l3.4 3.4-4.3 4.3zM3 10.5h7.5" />,
  copy: <path d="M4 4h6v6H4zM2 8V2h6" />,
  home: <path d="M2 3h8M2 6h8M2 9h8" />,
  down: <path d="M6 2v8M2.8 6.8L6 10l3.2-3.2" />,
};

/** Draws a sign. `words` say it to who cannot see it; without them it stands beside its word. */
export function Sign({ of, words, class: name }: { of: Sign; words?: string; class?: string }) {
  return (
    <svg
      class={name ? `sign ${name}` : "sign"}
      viewBox="0 0 12 12"
      fill="none"
      stroke="currentColor"
      stroke-width="1.3"
      stroke-linecap="round"
      stroke-linejoin="round"
      role={words ? "img" : undefined}
      aria-label={words}
      aria-hidden={words ? undefined : true}
    >
      {PATHS[of]}
    </svg>
  );
}

const STATUSES: Record<string, [Sign, string]> = {
  empty: ["empty", "dim"],
  idle: ["done", "is-good"],
  running: ["running", "is-accent"],
  interrupted: ["stuck", "is-config"],
  queued: ["queued", "dim"],
  due: ["queued", "is-wait"],
  waiting: ["waiting", "is-wait"],
  stuck: ["stuck", "is-error"],
  failed: ["error", "is-error"],
  aborted: ["end", "is-config"],
  limit: ["end", "is-config"],
  refused: ["error", "is-config"],
  cancelled: ["end", "is-config"],
};

/** How a session stands: a sign and its word. */
export function Status({ of, reason }: { of: string; reason?: string }) {
  const [sign, tone] = STATUSES[of] ?? ["note", "dim"];
  return (
    <span class={tone} title={reason || undefined}>
      <Sign of={sign} /> {of}
    </span>
  );
}

// Which key does what: a chord at a time, letters only where nothing is typed.

import { signal } from "@preact/signals";

import { COMMANDS, type Command, goToNumber } from "./commands";
import { dialog } from "./dialogs/dialogs";
import { typeAhead } from "./dialogs/typed_ahead";
import { settings } from "./settings";

const PREFIX_MS = 1500;

/** What was typed of a chord that goes on: "g", or "g120". */
export const pending = signal("");
let pendingTimer: ReturnType<typeof setTimeout> | undefined;

function wait(keys: string): void {
  pending.value = keys;
  clearTimeout(pendingTimer);
  if (keys) pendingTimer = setTimeout(finish, PREFIX_MS);
}

function finish(): void {
  const typed = pending.peek();
  wait("");
  if (/^g\d+$/.test(typed)) goToNumber(Number(typed.slice(1)));
}

/** Writes a key as the table of keys has it: "ctrl+k", "J", "escape", "down". */
export function keyOf(event: KeyboardEvent): string {
  const names: Record<string, string> = { " ": "space", ArrowDown: "down", ArrowUp: "up", ArrowLeft: "left", ArrowRight: "right" };
  const name = names[event.key] ?? (event.key.length === 1 ? event.key : event.key.toLowerCase());
  const control = event.ctrlKey || event.metaKey;
  return control ? `ctrl+${event.shiftKey ? "shift+" : ""}${name.toLowerCase()}` : event.altKey ? `alt+${name.toLowerCase()}` : name;
}

/** Whether what has the focus takes letters itself. */
function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** Finds the command of a key; `g` begins a chord. */
export function commandOf(key: string): Command | "wait" | null {
  const typed = pending.peek() + key;
  if (/^g\d*$/.test(typed)) return "wait";
  return COMMANDS.find((one) => one.keys.includes(typed) && (one.when?.() ?? true)) ?? null;
}

/** Does what a key says. */
export function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const key = keyOf(event);
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (key === "enter" && /^g\d+$/.test(pending.peek())) {
    event.preventDefault();
    finish();
    return;
  }
  if (dialog.peek() !== null && key !== "escape") {
    if ((isPlain || key === "ctrl+enter") && document.querySelector("dialog[open]") === null) {
      event.preventDefault();
      typeAhead(isPlain ? event.key : key, dialog.peek());
    }
    return;
  }
  if (isPlain && isTyping(event.target) && key !== "escape") return;
  if (isPlain && key.length === 1 && !settings.peek().hasLetterKeys) return;
  const target = event.target instanceof HTMLElement ? event.target : null;
  if ((key === "enter" || key === "space") && target?.closest("button, a, summary, [role=button], [role=tab]")) return;
  if ((key === "left" || key === "right" || key === "up" || key === "down") && target?.closest("[role=slider], [role=separator], [role=tablist]")) return;
  const found = commandOf(key);
  if (found === "wait") {
    event.preventDefault();
    wait(pending.peek() + key);
    return;
  }
  wait("");
  if (found !== null) {
    event.preventDefault();
    found.run();
  }
}

/** Listens to keys. */
export function listenToKeys(): void {
  addEventListener("keydown", onKey);
}

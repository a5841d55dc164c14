// What every dialog is: the browser's own, which keeps the focus within and gives it back.

import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

import { Sign } from "../parts/signs";
import { closeDialog, dialog } from "./dialogs";
import "./dialogs.css";
import { giveTyped } from "./typed_ahead";

/** A dialog. `width` in pixels; without a title it says by `label` what it is. `atTop`: it stands high, as a search does. */
export function Frame({ title, label, width = 560, atTop = false, children }: { title?: ComponentChildren; label?: string; width?: number; atTop?: boolean; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const element = ref.current!;
    const before = document.activeElement;
    element.showModal();
    if (document.activeElement?.closest(".dialog-head")) element.focus(); // nothing in it asks for the focus: then it is the whole that has it
    giveTyped(dialog.peek(), document.activeElement);
    return () => {
      element.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  const onPointerDown = (event: PointerEvent) => {
    if (event.target !== ref.current) return;
    const { left, right, top, bottom } = ref.current!.getBoundingClientRect();
    if (event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom) closeDialog();
  };
  return (
    <dialog
      ref={ref}
      class={`dialog${atTop ? " is-at-top" : ""}`}
      style={{ "--width": `${width}px` }}
      tabIndex={-1}
      aria-label={title === undefined ? label : undefined}
      aria-labelledby={title === undefined ? undefined : id}
      onPointerDown={onPointerDown}
      onCancel={(event) => {
        event.preventDefault();
        closeDialog();
      }}
      onClose={() => {
        if (ref.current !== null) closeDialog(); // the browser may close it without asking
      }}
    >
      {title !== undefined && (
        <header class="dialog-head">
          <h1 id={id}>{title}</h1>
          <button type="button" class="plain" onClick={closeDialog} aria-label="Close" title="Close (esc)">
            <Sign of="error" />
          </button>
        </header>
      )}
      {children}
    </dialog>
  );
}

/** What stands at the end of a dialog: what goes wrong, and what can be done. */
export function Actions({ error = "", children }: { error?: string; children: ComponentChildren }) {
  return (
    <footer class="dialog-foot">
      {error && (
        <p class="is-error" role="alert">
          {error}
        </p>
      )}
      <div class="dialog-buttons">{children}</div>
    </footer>
  );
}

/** A command to copy: what the page cannot do is done in a terminal. */
export function CommandLine({ children }: { children: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(children);
    } catch {
      // it can be marked and copied by hand
    }
  };
  return (
    <span class="command-line">
      <code>{children}</code>
      <button type="button" class="plain" onClick={() => void copy()} title="Copy" aria-label="Copy the command">
        <Sign of="copy" />
      </button>
    </span>
  );
}

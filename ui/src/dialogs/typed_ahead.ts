// What is typed while a dialog is still on its way: its field gets it, as if it had been there.

const ENDS = ["Enter", "ctrl+enter"];
let typed: string[] = [];
let typedFor: unknown = null;

/** Keeps a key for a dialog that was asked for and is not drawn yet: a letter, Backspace, or Enter with or without Ctrl. */
export function typeAhead(key: string, asked: unknown): void {
  if (typedFor !== asked) typed = [];
  typedFor = asked;
  if (key === "Backspace") typed.pop();
  else if (key.length === 1 || ENDS.includes(key)) typed.push(key);
}

/** Gives what was typed for a dialog to what has the focus in it, if that takes letters. */
export function giveTyped(asked: unknown, field: Element | null): void {
  const keys = typedFor === asked ? typed : [];
  typed = [];
  const end = keys.findIndex((key) => ENDS.includes(key));
  const text = (end < 0 ? keys : keys.slice(0, end)).join("");
  if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement)) return;
  if (text) {
    field.setRangeText(text, field.selectionStart ?? 0, field.selectionEnd ?? 0, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
  if (end >= 0) setTimeout(() => enter(field, keys[end] !== "Enter")); // once what came of the letters is drawn
}

function enter(field: HTMLInputElement | HTMLTextAreaElement, ctrlKey: boolean): void {
  const isLeft = field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey, bubbles: true, cancelable: true }));
  if (isLeft && field instanceof HTMLInputElement) field.form?.requestSubmit();
}

// What is typed while a dialog is still on its way: its field gets it, as if it had been there.

let typed: string[] = [];
let typedFor: unknown = null;

/** Keeps a key for a dialog that was asked for and is not drawn yet: a letter, Enter or Backspace. */
export function typeAhead(key: string, asked: unknown): void {
  if (typedFor !== asked) typed = [];
  typedFor = asked;
  if (key === "Backspace") typed.pop();
  else if (key === "Enter" || key.length === 1) typed.push(key);
}

/** Gives what was typed for a dialog to what has the focus in it, if that takes letters. */
export function giveTyped(asked: unknown, field: Element | null): void {
  const keys = typedFor === asked ? typed : [];
  typed = [];
  const end = keys.indexOf("Enter");
  const text = (end < 0 ? keys : keys.slice(0, end)).join("");
  if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement)) return;
  if (text) {
    field.setRangeText(text, field.selectionStart ?? 0, field.selectionEnd ?? 0, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
  if (end >= 0) setTimeout(() => enter(field)); // once what came of the letters is drawn
}

function enter(field: HTMLInputElement | HTMLTextAreaElement): void {
  const isLeft = field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  if (isLeft && field instanceof HTMLInputElement) field.form?.requestSubmit();
}

// Sets a bookmark at a seq, or the title of the session.

import { useRef, useState } from "preact/hooks";

import { tell, wordsOf } from "../api/answers";
import { post } from "../api/source";
import { whole } from "../format";
import type { OpenSession } from "../session/open";
import { closeDialog } from "./dialogs";
import { Actions, Frame } from "./frame";

/** A bookmark, or a title. */
export function BookmarkDialog({ session, seq }: { session: OpenSession; seq: number }) {
  const head = session.head.value;
  const there = head?.labels.find(([at]) => at === seq)?.[1] ?? "";
  const [ofSession, setOfSession] = useState(false);
  const [text, setText] = useState(there);
  const [error, setError] = useState("");
  const isBusy = useRef(false);
  const before = ofSession ? (head?.info.title ?? "") : there;
  const choose = (title: boolean) => {
    setOfSession(title);
    setText(title ? (head?.info.title ?? "") : there);
  };
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy.current) return;
    isBusy.current = true;
    try {
      await post("POST /api/sessions/{session}/labels", { session: session.id }, { text: text.trim(), seq: ofSession ? null : seq });
      closeDialog();
      tell(ofSession ? "The session has its title." : text.trim() ? `Bookmark at ${whole(seq)}: ${text.trim()}` : `The bookmark at ${whole(seq)} is gone.`);
      await session.refresh();
    } catch (problem) {
      setError(wordsOf(problem));
    }
    isBusy.current = false;
  };
  return (
    <Frame title={ofSession ? "Title of the session" : `Bookmark at ${whole(seq)}`} width={480}>
      <form onSubmit={(event) => void onSubmit(event)}>
        <div class="dialog-body">
          <input class="field" type="text" autoFocus aria-label={ofSession ? "Title" : "Bookmark"} placeholder={ofSession ? "A title" : "good, before the mail, …"} maxLength={1000} value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <div class="choices" role="radiogroup" aria-label="What is named">
            <label class="check">
              <input type="radio" name="of" checked={!ofSession} onChange={() => choose(false)} /> this seq
            </label>
            <label class="check">
              <input type="radio" name="of" checked={ofSession} onChange={() => choose(true)} /> the session
            </label>
          </div>
        </div>
        <Actions error={error}>
          <button type="submit" class="button is-main" disabled={text.trim() === before && before !== "" ? false : !text.trim() && !before}>
            {!text.trim() && before ? "Remove" : "Set"}
          </button>
          <button type="button" class="button" onClick={closeDialog}>
            Cancel
          </button>
        </Actions>
      </form>
    </Frame>
  );
}

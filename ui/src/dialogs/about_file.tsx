// What the page in a file is, and what it is without.

import { theSource } from "../api/source";
import { closeDialog } from "./dialogs";
import { Actions, Frame } from "./frame";

export function AboutFile() {
  const { about, omitted = [], without = [] } = theSource();
  return (
    <Frame title="This file">
      <div class="dialog-body">
        <p>It is {about}: it asks nobody for anything, and nothing in it can be changed. What a log knows beyond it, <code>refold ui</code> shows where the log is.</p>
        {omitted.length > 0 && (
          <>
            <h2>Left out, since somebody asked for that</h2>
            <ul class="plain-list">
              {omitted.map((one) => (
                <li key={one}>{one}</li>
              ))}
            </ul>
          </>
        )}
        <h2>It is without</h2>
        <ul class="plain-list">
          {without.map((one) => (
            <li key={one}>{one}</li>
          ))}
        </ul>
      </div>
      <Actions>
        <button type="button" class="button is-main" autoFocus onClick={closeDialog}>
          Close
        </button>
      </Actions>
    </Frame>
  );
}

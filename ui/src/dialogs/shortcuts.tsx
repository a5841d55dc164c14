// The table of keys, made from the commands themselves.

import { type Command, COMMANDS, isOfThisPage } from "../commands";
import { remember, settings } from "../settings";
import { Frame } from "./frame";
import { keyWords } from "./keys_words";

const GROUPS: readonly [string, (one: Command) => boolean][] = [
  ["Move in a session", (one) => one.group === "move" && !isOfTable(one)],
  ["View", (one) => one.group === "view" && !isOfTable(one)],
  ["Do", (one) => one.group === "do" && !isOfTable(one)],
  ["In the table of sessions", (one) => isOfTable(one)],
  ["Everywhere", (one) => one.group === "page"],
];

function isOfTable(one: Command): boolean {
  return one.id.startsWith("sessions-");
}

/** The keys. */
export function Shortcuts() {
  const hasLetters = settings.value.hasLetterKeys;
  const there = COMMANDS.filter((one) => one.keys.length > 0 && isOfThisPage(one));
  const groups = GROUPS.filter(([, is]) => there.some(is));
  return (
    <Frame title="Keys" width={980}>
      <div class="dialog-body scrolls shortcuts">
        {groups.map(([name, is]) => (
          <section key={name}>
            <h2>{name}</h2>
            <dl>
              {there.filter(is).map((one) => (
                <div key={one.id} class={!hasLetters && one.keys.every((key) => /^.{1,2}$/.test(key)) ? "faint" : undefined}>
                  <dt>
                    {one.keys.map((key) => (
                      <kbd key={key}>{keyWords(key)}</kbd>
                    ))}
                  </dt>
                  <dd>{one.title}</dd>
                </div>
              ))}
              {name === "Move in a session" && (
                <div class={hasLetters ? undefined : "faint"}>
                  <dt>
                    <kbd>g 120</kbd>
                  </dt>
                  <dd>Go to seq 120, then enter</dd>
                </div>
              )}
            </dl>
          </section>
        ))}
      </div>
      <footer class="dialog-foot">
        <label class="check">
          <input type="checkbox" checked={hasLetters} onChange={(event) => remember({ hasLetterKeys: event.currentTarget.checked })} />
          <span>
            Letters by themselves are keys. <span class="dim">Without it all of this is in the palette, ctrl K, and keys with ctrl, arrows, enter and esc go on working.</span>
          </span>
        </label>
      </footer>
    </Frame>
  );
}

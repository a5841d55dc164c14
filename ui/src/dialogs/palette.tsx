// Everything that can be done, and the sessions that were updated last, by a few letters.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { useAnswer } from "../api/answers";
import { ask, theSource } from "../api/source";
import { type Command, COMMANDS, goToNumber } from "../commands";
import { ago, whole } from "../format";
import { Status } from "../parts/signs";
import { Line } from "../parts/text";
import { go, selection, sessionPlace } from "../selection";
import { titleOf } from "../sessions/title";
import { choose } from "./fuzzy";
import { closeDialog } from "./dialogs";
import { Frame } from "./frame";
import { keyWords } from "./keys_words";

const SESSIONS = 50;
const SHOWN = 60;

interface Item {
  id: string;
  words: string;
  group: string;
  run: () => void;
  keys?: string;
  status?: string;
  updatedUs?: number;
}

const GROUPS: Record<Command["group"], string> = { move: "Move", view: "View", do: "Do", page: "Page" };

/** The palette. */
export function Palette() {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const items = useItems(typed);
  const selected = Math.min(at, items.length - 1);
  useLayoutEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [selected, typed]);
  const run = (item: Item | undefined) => {
    if (item === undefined) return;
    closeDialog();
    queueMicrotask(item.run); // when the dialog has given the focus back
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (by) {
      event.preventDefault();
      setAt((selected + by + items.length) % Math.max(items.length, 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(items[selected]);
    }
  };
  return (
    <Frame label="All commands" width={620} atTop>
      <input
        class="search-field"
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={items.length ? `palette-${selected}` : undefined}
        aria-label="Command or session"
        placeholder={theSource().isArchive ? "What to do" : "What to do, or which session to open"}
        spellcheck={false}
        autocomplete="off"
        autoFocus
        value={typed}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <div id="palette-list" class="dialog-list scrolls" role="listbox" aria-label="What fits" ref={list}>
        {items.map((item, number) => (
          <div
            key={item.id}
            id={`palette-${number}`}
            class={`list-line${number === selected ? " is-selected" : ""}`}
            role="option"
            aria-selected={number === selected}
            onPointerMove={() => setAt(number)}
            onClick={() => run(item)}
          >
            <span class="group faint">{typed.trim() || number === 0 || items[number - 1]!.group !== item.group ? item.group : ""}</span>
            <span class="cut">
              <Line text={item.words} />
            </span>
            <span class="end dim">
              {item.status && <Status of={item.status} />}
              {item.updatedUs !== undefined && <span class="faint">{ago(item.updatedUs, Date.now())}</span>}
              {item.keys && <kbd>{item.keys}</kbd>}
            </span>
          </div>
        ))}
        {!items.length && <p class="empty">Nothing is called so.</p>}
      </div>
    </Frame>
  );
}

/** What can be done now, and where one can go, as far as it fits what was typed. */
function useItems(typed: string): Item[] {
  const { answer } = useAnswer(theSource().isArchive ? null : ask("GET /api/sessions", {}, { limit: SESSIONS }), { keep: false });
  const [commands, setCommands] = useState<readonly Command[]>([]);
  useEffect(() => setCommands(COMMANDS.filter((one) => one.id !== "palette" && (one.when?.() ?? true))), []);
  const doing = commands.map((one) => ({
    id: one.id,
    words: one.title,
    group: GROUPS[one.group],
    run: one.run,
    ...(one.keys[0] ? { keys: keyWords(one.keys[0]) } : {}),
  }));
  const going = (answer?.sessions ?? []).map((row) => ({
    id: `session ${row.info.id}`,
    words: titleOf(row) || row.info.id,
    group: "Sessions",
    run: () => go(sessionPlace(row.info.id)),
    status: row.status,
    updatedUs: row.info.updated_at_us,
  }));
  const commanded = choose<Item>(typed, doing, (item) => item.words);
  const opened = choose<Item>(typed, going, (item) => item.words);
  const inOrder = opened.best > commanded.best ? [...opened.found, ...commanded.found] : [...commanded.found, ...opened.found];
  const found = typed.trim() ? inOrder.slice(0, SHOWN) : inOrder;
  const seq = /^#?(\d{1,10})$/.exec(typed.trim())?.[1];
  if (seq !== undefined && selection.peek() !== null) {
    found.unshift({ id: "seq", words: `Go to seq ${whole(Number(seq))}`, group: "Move", run: () => goToNumber(Number(seq)), keys: `g ${seq}` });
  }
  return found;
}

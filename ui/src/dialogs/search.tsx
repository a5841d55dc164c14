// Search in what was said: in the open session, or in all of them.

import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { wordsOf } from "../api/answers";
import { ask, get, theSource } from "../api/source";
import type { Hit, HitCount, Hits } from "../api/types";
import { ago, moment, shortId, whole } from "../format";
import { Line, plain } from "../parts/text";
import { go, sessionPlace } from "../selection";
import { goToSeq, open } from "../session/open";
import { closeDialog, dialog } from "./dialogs";
import { Frame } from "./frame";
import { startStepping } from "./search_steps";

const TYPED_MS = 150;
const PAGE = 60;
const ROLES: Record<string, string> = { tool_result: "result" };

/** What was looked for last: it stands there again when the search is opened again. */
const typedLast = signal("");

interface Found {
  of: string;
  hits: readonly Hit[];
  counts: ReadonlyMap<string, HitCount>;
  next: string;
}

/** The search. */
export function SearchDialog({ everywhere }: { everywhere: boolean }) {
  const session = everywhere ? null : (open.value?.id ?? null);
  const [typed, setTyped] = useState(typedLast.peek());
  const [at, setAt] = useState(0);
  const { found, error, isBusy, more } = useHits(typed.trim(), session);
  const field = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const hits = found?.hits ?? [];
  const selected = Math.min(at, hits.length - 1);
  useLayoutEffect(() => field.current?.select(), []); // at once: who types quickly would overwrite the first letter
  useLayoutEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [selected, found]);
  const run = (hit: Hit | undefined) => {
    if (hit === undefined) return;
    const where = session ?? hit.session;
    closeDialog();
    if (open.peek()?.id === where) goToSeq(hit.seq);
    else go(sessionPlace(where, hit.seq));
    startStepping(where, typed.trim(), hit.seq);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key] ?? 0;
    if (by) {
      event.preventDefault();
      const to = Math.min(Math.max(selected + by, 0), hits.length - 1);
      setAt(to);
      if (to > hits.length - 10) more();
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(hits[selected]);
    }
  };
  const onScroll = (event: Event) => {
    const box = event.currentTarget as HTMLElement;
    if (box.scrollTop + box.clientHeight > box.scrollHeight - 400) more();
  };
  return (
    <Frame label="Search" width={760} atTop>
      <div class="search-line">
        <input
          ref={field}
          class="search-field"
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls="search-list"
          aria-activedescendant={selected >= 0 ? `hit-${selected}` : undefined}
          aria-label={everywhere ? "Search in all sessions" : "Search in this session"}
          placeholder={everywhere ? "Search in all sessions" : "Search in this session"}
          spellcheck={false}
          autocomplete="off"
          autoFocus
          value={typed}
          onInput={(event) => {
            typedLast.value = event.currentTarget.value;
            setTyped(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
        {open.value !== null && theSource().isOfMany && (
          <div class="tabs is-choice" role="radiogroup" aria-label="Where">
            {[false, true].map((all) => (
              <button key={String(all)} type="button" role="radio" aria-checked={all === everywhere} onClick={() => (dialog.value = { name: "search", everywhere: all })}>
                {all ? "all sessions" : "here"}
              </button>
            ))}
          </div>
        )}
      </div>
      <div id="search-list" class={`dialog-list scrolls${isBusy && found ? " is-old" : ""}`} role={hits.length ? "listbox" : undefined} aria-label="What was found" ref={list} onScroll={onScroll}>
        {error && <p class="empty is-error">{error}</p>}
        {hits.map((hit, number) => (
          <HitLine
            key={`${hit.session} ${hit.seq} ${number}`}
            hit={hit}
            number={number}
            isSelected={number === selected}
            count={session === null && hits[number - 1]?.session !== hit.session ? (found?.counts.get(hit.session) ?? null) : null}
            isFirst={session === null && hits[number - 1]?.session !== hit.session}
            onPick={() => run(hit)}
            onPoint={() => setAt(number)}
          />
        ))}
        {found !== null && !hits.length && !error && <p class="empty">Nothing of this was said{session === null ? " in any session" : " here"}.</p>}
        {!typed.trim() && <p class="empty">Words of messages, thinking, calls, results and summaries, in any case, as they stand there.</p>}
      </div>
      <footer class="dialog-hints">
        <Counted found={found} session={session} />
        <span class="at-end">
          <kbd>enter</kbd> goes there; then <kbd>enter</kbd> next, <kbd>N</kbd> previous
        </span>
      </footer>
    </Frame>
  );
}

function Counted({ found, session }: { found: Found | null; session: string | null }) {
  if (found === null || !found.hits.length) return <span />;
  const here = session === null ? undefined : found.counts.get(session);
  const many = here?.hits ?? found.hits.length;
  const hasMore = here === undefined ? found.next !== "" : here.more;
  return (
    <span role="status">
      {whole(many)}
      {hasMore && "+"} found
      {session === null && ` in ${whole(found.counts.size)}${found.next ? " or more" : ""} ${found.counts.size === 1 && !found.next ? "session" : "sessions"}`}
    </span>
  );
}

/** Looks for a text, page by page. */
function useHits(text: string, session: string | null) {
  const [found, setFound] = useState<Found | null>(null);
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const of = `${session ?? ""} ${text}`;
  const growing = useRef("");
  useEffect(() => {
    if (!text) {
      setFound(null);
      setError("");
      return;
    }
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      setBusy(true);
      try {
        const page = await get<Hits>(ask("GET /api/search", {}, { q: text, session, limit: PAGE }), stop.signal);
        setFound({ of, hits: page.hits, counts: counted(page), next: page.next });
        setError("");
      } catch (problem) {
        if (stop.signal.aborted) return;
        setFound(null);
        setError(wordsOf(problem));
      }
      setBusy(false);
    }, TYPED_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [of]);
  const more = async () => {
    if (found === null || !found.next || found.of !== of || growing.current === found.next) return;
    growing.current = found.next;
    try {
      const page = await get<Hits>(ask("GET /api/search", {}, { q: text, session, limit: PAGE, after: found.next }));
      setFound((now) => (now?.of === of ? { of, hits: [...now.hits, ...page.hits], counts: new Map([...now.counts, ...counted(page)]), next: page.next } : now));
    } catch (problem) {
      setError(wordsOf(problem));
    }
  };
  return { found: text ? found : null, error, isBusy, more: () => void more() };
}

function counted(page: Hits): Map<string, HitCount> {
  return new Map(page.counts.map((one) => [one.session, one]));
}

function HitLine({ hit, number, isSelected, isFirst, count, onPick, onPoint }: { hit: Hit; number: number; isSelected: boolean; isFirst: boolean; count: HitCount | null; onPick: () => void; onPoint: () => void }) {
  return (
    <>
      {isFirst && (
        <div class="hit-session" role="presentation">
          <b class="cut">{hit.title ? <Line text={hit.title} /> : shortId(hit.session)}</b>
          {count && (
            <span class="faint">
              {whole(count.hits)}
              {count.more && "+"}
            </span>
          )}
        </div>
      )}
      <div id={`hit-${number}`} class={`hit${isSelected ? " is-selected" : ""}`} role="option" aria-selected={isSelected} onPointerMove={onPoint} onClick={onPick}>
        <span class="seq faint">{whole(hit.seq)}</span>
        <span class={`role is-${hit.role === "user" ? "user" : hit.role === "tool_result" ? "result" : "plain"}`}>{ROLES[hit.role] ?? hit.role}</span>
        <span class="excerpt">
          <Marked hit={hit} />
        </span>
        <span class="faint end" title={moment(hit.at_us)}>
          {ago(hit.at_us, Date.now())}
        </span>
      </div>
    </>
  );
}

/** An excerpt with what was looked for in it marked. Marks count characters, not the halves of pairs that JavaScript counts. */
function Marked({ hit }: { hit: Hit }) {
  const characters = [...hit.excerpt];
  const part = (from: number, to: number) => plain(characters.slice(from, to).join("").replace(/[\n\r\t]+/g, " "));
  let end = 0;
  return (
    <>
      {hit.marks.map(([from, to]) => {
        const before = part(end, from);
        end = to;
        return (
          <>
            {before}
            <mark>{part(from, to)}</mark>
          </>
        );
      })}
      {part(end, characters.length)}
    </>
  );
}

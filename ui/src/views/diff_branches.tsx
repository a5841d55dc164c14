// Two branches beside each other: the configuration first, what both came to, then what was said, pair by pair.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { getPatiently, useAnswer, wordsOf } from "../api/answers";
import { ask } from "../api/source";
import type { ComparedPair, ComparedSaid, ComparisonHead, ComparisonPage, Side } from "../api/types";
import { count, dollars, duration, short, shortId, whole } from "../format";
import { SeqLink } from "../parts/links";
import { Status } from "../parts/signs";
import { plain, spelled, Text } from "../parts/text";
import { Windowed } from "../parts/windowed";
import type { OpenSession } from "../session/open";
import { Pieces } from "./diff";
import { joined } from "./diff_pairs";

const PAGE = 100;

interface Listed {
  pairs: readonly ComparedPair[];
  page: ComparisonPage;
}

/** Reads the pairs of two sessions, page by page. */
function usePairs(left: string, right: string, again: number) {
  const [listed, setListed] = useState<{ of: string; is: Listed } | null>(null);
  const [error, setError] = useState("");
  const busy = useRef(false);
  const of = `${left} ${right}`;
  const read = (after: [number, number], stop?: AbortSignal) =>
    getPatiently(ask("GET /api/diff/pairs", {}, { left, right, after_left: after[0], after_right: after[1], limit: PAGE }), stop);
  useEffect(() => {
    const stop = new AbortController();
    read([0, 0], stop.signal).then(
      (page) => {
        if (stop.signal.aborted) return;
        setError("");
        setListed({ of, is: { pairs: page.pairs, page } });
      },
      (problem: unknown) => {
        if (!stop.signal.aborted) setError(wordsOf(problem));
      },
    );
    return () => stop.abort();
  }, [of, again]);
  const grow = async () => {
    if (listed?.of !== of || busy.current || listed.is.page.next === null) return;
    busy.current = true;
    try {
      const page = await read(listed.is.page.next);
      setListed((now) => (now?.of === of && now.is.page === listed.is.page ? { of, is: { pairs: joined(now.is.pairs, page.pairs), page } } : now));
    } catch (problem) {
      setError(wordsOf(problem));
    } finally {
      busy.current = false;
    }
  };
  return { listed: listed?.of === of ? listed.is : null, error, grow };
}

export function BranchDiff({ session, other, switches }: { session: OpenSession; other: string; switches: ComponentChildren }) {
  // a run under way is not compared with every token: once more, when it has ended
  const upto = session.head.value?.info.open ? 0 : session.last.value;
  const { answer: head, error } = useAnswer(ask("GET /api/diff", {}, { left: other, right: session.id }), { keep: false, again: upto });
  const { listed, error: pairError, grow } = usePairs(other, session.id, upto);
  const pairs = listed?.pairs ?? [];
  const keys = useMemo(() => pairs.map((one, number) => `${number} ${one.left?.seq ?? ""} ${one.right?.seq ?? ""}`), [pairs]);
  const problem = error || pairError;
  const behind = listed?.page.left_out ?? [0, 0];
  return (
    <div class="view">
      <div class="reader-head">
        <b>Diff</b>
        <span class="cut">
          {problem ? "" : head === null ? "Comparing…" : <>{nameOf(head.left)} against this branch: {head.shared_seq ? <>the same up to {whole(head.shared_seq)}</> : "nothing in common"}</>}
        </span>
        <span class="at-end">{switches}</span>
      </div>
      {problem ? (
        <p class="empty is-error">{problem}</p>
      ) : head === null || listed === null ? (
        <p class="empty is-late">Comparing…</p>
      ) : (
        <Windowed
          keys={keys}
          draw={(place) => <Pair head={head} pair={pairs[place]!} />}
          estimate={120}
          label="What was said in either"
          onEnd={() => void grow()}
          above={<Above head={head} />}
          below={
            <p class="same-run">
              {listed.page.next !== null ? `${count(behind[0], "message")} there and ${whole(behind[1])} here come behind.` : pairs.length ? "The end of both." : "Neither says anything of its own."}
            </p>
          }
        />
      )}
    </div>
  );
}

function nameOf(side: Side): string {
  return spelled(side.title) || shortId(side.session);
}

function Above({ head }: { head: ComparisonHead }) {
  return (
    <div class="sides-head">
      <Totals head={head} />
      {head.config.map((one) => (
        <>
          <h2>{one.field.replaceAll("_", " ")}</h2>
          <Pieces pieces={one.pieces} isMono={one.field !== "system_prompt"} />
        </>
      ))}
      {!head.config.length && <p class="dim">They are configured alike.</p>}
    </div>
  );
}

function sent(side: Side): number {
  const used = side.usage;
  return (used?.input_tokens ?? 0) + (used?.cache_read_tokens ?? 0) + (used?.cache_write_tokens ?? 0);
}

/** A difference with its sign, in its own unit. */
function more(from: number | null | undefined, to: number | null | undefined, words: (number: number) => string): string {
  if (from == null || to == null || from === to) return "";
  return `${to > from ? "+" : "−"}${words(Math.abs(to - from))}`;
}

/** What both came to behind what they share, beside each other. */
function Totals({ head }: { head: ComparisonHead }) {
  const { left, right } = head;
  const cost = (side: Side) => (side.usage?.cost_microusd == null ? "price not known" : `${side.unpriced ? "≥ " : ""}${dollars(side.usage.cost_microusd)}`);
  const time = (us: number | null) => (us === null ? "" : duration(us));
  const rows: [string, ComponentChildren, ComponentChildren, string][] = [
    ["outcome", <Status of={left.status} />, <Status of={right.status} />, ""],
    ["messages", whole(head.own_messages[0]), whole(head.own_messages[1]), more(head.own_messages[0], head.own_messages[1], whole)],
    ["model calls", whole(left.model_calls ?? 0), whole(right.model_calls ?? 0), more(left.model_calls, right.model_calls, whole)],
    ["tool calls", whole(left.tool_calls ?? 0), whole(right.tool_calls ?? 0), more(left.tool_calls, right.tool_calls, whole)],
    ["tokens in", short(sent(left)), short(sent(right)), more(sent(left), sent(right), short)],
    ["tokens out", short(left.usage?.output_tokens ?? 0), short(right.usage?.output_tokens ?? 0), more(left.usage?.output_tokens ?? 0, right.usage?.output_tokens ?? 0, short)],
    ["cost", cost(left), cost(right), more(left.usage?.cost_microusd, right.usage?.cost_microusd, dollars)],
    ["model time", time(left.model_us), time(right.model_us), more(left.model_us, right.model_us, duration)],
    ["tool time", time(left.tool_us), time(right.tool_us), more(left.tool_us, right.tool_us, duration)],
  ];
  return (
    <table class="totals">
      <thead>
        <tr>
          <th scope="row">behind {whole(head.shared_seq)}</th>
          <td>
            <SeqLink session={left.session} seq={left.head}>
              {nameOf(left)}
            </SeqLink>
          </td>
          <td>
            <SeqLink session={right.session} seq={right.head}>
              {nameOf(right)}
            </SeqLink>{" "}
            <span class="faint">(this)</span>
          </td>
          <td class="number-diff" />
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, one, two, difference]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{one}</td>
            <td>{two}</td>
            <td class="number-diff">{difference}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const ROLES: Record<string, string> = { user: "you", assistant: "model", tool_result: "result" };

function Pair({ head, pair }: { head: ComparisonHead; pair: ComparedPair }) {
  const [hasLines, setLines] = useState(false);
  if (pair.kind === "same") {
    return (
      <div class="same-pairs">
        <span>
          {count(pair.count, "message")} alike, from {pair.left && <SeqLink session={head.left.session} seq={pair.left.seq} />}
        </span>
        <span>from {pair.right && <SeqLink session={head.right.session} seq={pair.right.seq} />}</span>
      </div>
    );
  }
  const callsDiffer = pair.kind === "changed" && pair.lines.length > 0;
  return (
    <div class="pair">
      <PairSide session={head.left.session} said={pair.left} pair={pair} side="left" />
      <PairSide session={head.right.session} said={pair.right} pair={pair} side="right" />
      {callsDiffer && (
        <div class="pair-lines">
          <button type="button" class="link" aria-expanded={hasLines} onClick={() => setLines(!hasLines)}>
            {hasLines ? "less" : "line by line"}
          </button>
          {hasLines && (
            <div class="well mono diff-lines">
              {pair.lines.map((line, number) => (
                <div key={number} class={line.startsWith("+") ? "ins" : line.startsWith("-") ? "del" : line.startsWith("@@") ? "faint" : ""}>
                  {plain(line || " ")}
                </div>
              ))}
            </div>
          )}
        </div>
      )}
    </div>
  );
}

function PairSide({ session, said, pair, side }: { session: string; said: ComparedSaid | null; pair: ComparedPair; side: "left" | "right" }) {
  if (said === null) return <div class="is-missing">nothing here</div>;
  const isMono = said.role === "tool_result";
  const isOnly = pair.kind !== "changed";
  return (
    <div class={isOnly ? "is-only" : ""}>
      <div class="pair-who">
        <span class={said.is_error ? "is-error" : ""}>
          {ROLES[said.role] ?? said.role}
          {said.tool && ` of ${said.tool}`}
          {said.is_error && ", failed"}
        </span>
        <SeqLink session={session} seq={said.seq} />
        <span class={isOnly ? (side === "left" ? "is-error" : "is-good") : "is-config"}>{isOnly ? (side === "left" ? "− only there" : "+ only here") : "~ changed"}</span>
      </div>
      {said.note && <div class="dim">{plain(said.note)}</div>}
      {pair.kind === "changed" && pair.pieces.length > 0 ? (
        <Pieces pieces={pair.pieces} isMono={isMono} side={side} />
      ) : (
        <Text text={said.text.text} prose={!isMono} first={600} characters={said.text.characters} />
      )}
      {said.calls.map(([name, args], number) => (
        <div key={number} class="mono said-words">
          <span class="is-tool">{name}</span> {plain(args.text)}
          {args.characters > args.text.length && <span class="faint"> {whole(args.characters - args.text.length)} more characters</span>}
        </div>
      ))}
    </div>
  );
}

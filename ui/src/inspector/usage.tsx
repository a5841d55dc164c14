// What was used: by this call, this turn, so far, and by the whole family.

import type { Jump, Used } from "../api/types";
import { dollars, percent, short, whole } from "../format";
import { useFamily } from "../session/family";
import type { OpenSession } from "../session/open";
import { modelName } from "../session/head";

/** Tokens in and out, and what they cost, in words. */
export function UsedWords({ used }: { used: Pick<Used, "input_tokens" | "output_tokens" | "cost_microusd"> & Partial<Used> }) {
  const cached = used.cache_read_tokens ?? 0;
  const sent = used.input_tokens + cached + (used.cache_write_tokens ?? 0);
  if (!sent && !used.output_tokens && used.cost_microusd === null) return <span class="faint">nothing that is known</span>;
  const exact = `${whole(used.input_tokens)} in, ${whole(cached)} from the cache, ${whole(used.cache_write_tokens ?? 0)} into the cache, ${whole(used.output_tokens)} out`;
  return (
    <span title={exact}>
      {short(sent)} in{cached > 0 && <span class="faint"> ({percent(cached / sent)} cached)</span>}, {short(used.output_tokens)} out
      {used.cost_microusd !== null && `, ${used.unpriced ? "≥ " : ""}${dollars(used.cost_microusd)}`}
      {used.cost_microusd === null && <span class="faint">, price not known</span>}
    </span>
  );
}

export function UsageTab({ session, jump }: { session: OpenSession; jump: Jump }) {
  const head = session.head.value;
  const { family } = useFamily(session);
  return (
    <>
      <h2>Up to here</h2>
      <div class="pairs">
        <span>this call</span>
        <UsedWords used={jump.call_usage} />
        <span>this turn</span>
        <UsedWords used={jump.turn_usage} />
        <span>so far</span>
        <UsedWords used={jump.usage} />
        {head && (
          <>
            <span>this session</span>
            <UsedWords used={head.used} />
          </>
        )}
        {head !== null && head.inherited.input_tokens + head.inherited.output_tokens > 0 && (
          <>
            <span>of it inherited</span>
            <UsedWords used={head.inherited} />
          </>
        )}
        {family && family.members.length > 1 && (
          <>
            <span>its tree</span>
            <span>
              <UsedWords used={family.used} /> <span class="faint">in {family.members.length} sessions, nothing counted twice</span>
            </span>
          </>
        )}
      </div>
      {head !== null && head.models.length > 0 && (
        <>
          <h2>By model</h2>
          <div class="pairs">
            {head.models.map((one) => (
              <>
                <span title={one.model}>{modelName(one.model) || "not known"}</span>
                <span>
                  {whole(one.calls)} × <UsedWords used={one.used} />
                </span>
              </>
            ))}
          </div>
        </>
      )}
      {jump.request.tokens > 0 && (
        <>
          <h2>The request</h2>
          <div class="pairs">
            <span>messages</span>
            <span>{whole(jump.request.messages)}</span>
            <span>tokens</span>
            <span title={whole(jump.request.tokens)}>
              {jump.request.estimated ? "about " : ""}
              {short(jump.request.tokens)}
            </span>
          </div>
        </>
      )}
    </>
  );
}

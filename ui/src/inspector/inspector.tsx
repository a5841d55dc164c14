// The pane beside the reader: what is at the seq that is selected.

import { useRef } from "preact/hooks";

import { useAnswer } from "../api/answers";
import { ask } from "../api/source";
import type { Jump } from "../api/types";
import { whole } from "../format";
import type { OpenSession } from "../session/open";
import { inspectorTab } from "../ui_state";
import { EventTab } from "./event";
import { LinksTab } from "./links";
import { StateTab } from "./state";
import { UsageTab } from "./usage";
import { WhyTab } from "./why";

const TABS = { event: "Event", state: "State", why: "Why", usage: "Usage", links: "Links" } as const;
type Tab = keyof typeof TABS;
const NAMES = Object.keys(TABS) as Tab[];

/** The jump to what is selected. */
export function useJump(session: OpenSession) {
  const seq = session.calm.value;
  return useAnswer(seq ? ask("GET /api/sessions/{session}/at/{seq}", { session: session.id, seq }) : null);
}

export function Inspector({ session }: { session: OpenSession }) {
  const tab = inspectorTab.value;
  const { answer, error, isOld } = useJump(session);
  const tabs = useRef<HTMLDivElement>(null);
  const onKey = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    event.preventDefault();
    const next = (NAMES.indexOf(tab) + by + NAMES.length) % NAMES.length;
    inspectorTab.value = NAMES[next]!;
    (tabs.current?.children[next] as HTMLElement | undefined)?.focus();
  };
  return (
    <aside class="pane is-inspector" aria-label="Inspector">
      <div class="inspector-head">
        <b>#{whole(session.seq.value)}</b>
        <div class="inspector-tabs" role="tablist" aria-label="What is at this seq" ref={tabs} onKeyDown={onKey}>
          {NAMES.map((one) => (
            <button key={one} type="button" role="tab" aria-selected={one === tab} tabIndex={one === tab ? 0 : -1} onClick={() => (inspectorTab.value = one)}>
              {TABS[one]}
            </button>
          ))}
        </div>
      </div>
      <div class={`inspector scrolls${isOld ? " is-old" : ""}`} role="tabpanel" aria-label={TABS[tab]} tabIndex={0}>
        {error ? <p class="empty is-error">{error}</p> : answer ? <Shown session={session} jump={answer} tab={tab} /> : null}
      </div>
    </aside>
  );
}

function Shown({ session, jump, tab }: { session: OpenSession; jump: Jump; tab: Tab }) {
  session.version.value; // what tabs say of a row: rows may come later than the jump, and change
  if (tab === "event") return <EventTab session={session} jump={jump} />;
  if (tab === "state") return <StateTab session={session} jump={jump} />;
  if (tab === "why") return <WhyTab session={session} jump={jump} />;
  if (tab === "usage") return <UsageTab session={session} jump={jump} />;
  return <LinksTab session={session} jump={jump} />;
}

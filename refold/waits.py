"""What a session waits for, in the words of whoever is to decide: also what its children wait for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from eventsource.codec import from_json
from eventsource.errors import UnknownSessionError
from eventsource.events import Place, WaitEnd
from eventsource.log.load import load
from eventsource.log.protocol import EventLog
from eventsource.machine.approvals import read_decision
from eventsource.machine.state import CHILD, State, Wait
from eventsource.messages import AssistantMessage, ToolCall
from projections.context import ContextView, entry_of

from .child_sessions import child_id
from .context_fold import CONTEXT


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An open wait, and what it is about.

    session, key: which one to decide. reason: approval, in_doubt, repeat, inbox, sleep, retry, child, or empty for a
    token. deadline_us: when it ends by itself, or of a child is looked at in any case. tool, arguments: the call it
    holds, with what. tags: the token's. step: the step that is tried again then. child: the session whose end is waited
    for, which waits for nothing itself; child_status: how that stands, empty where it is yet to be made; queue: whose
    workers take it, empty for the default one.
    """

    session: str
    key: str
    reason: str = ""
    deadline_us: int | None = None
    call: Place | None = None
    tool: str = ""
    arguments: Mapping[str, object] = {}
    tags: tuple[str, ...] = ()
    step: str = ""
    child: str = ""
    child_status: str = ""
    queue: str = ""

    @property
    def token(self) -> str:
        """The name that decides it from anywhere: `refold complete TOKEN VALUE`."""
        return f"{self.session}:{self.key}"

    @property
    def words(self) -> str:
        """What is waited for, in words."""
        at = f" until {_time(self.deadline_us)}" if self.deadline_us is not None else ""
        match self.reason:
            case "approval":
                return f"asks whether to call {self.tool} {msgspec.json.encode(self.arguments).decode()[:200]}{at}"
            case "in_doubt":
                return f"waits for a decision on {self.tool}, which was called and may have run (rerun, fail){at}"
            case "repeat":
                return f"waits for a decision on {self.tool}, which its parent called too (rerun, adopt, fail){at}"
            case "inbox":
                return f"waits for a message{at}"
            case "sleep":
                return f"sleeps{at}"
            case "retry":
                return f"is tried again at {_time(self.deadline_us or 0)}"
            case "child" if self.child_status:
                name, queue = self.key.removeprefix(f"{CHILD}:"), f" in queue {self.queue}" if self.queue else ""
                return f"waits for its child {name} ({self.child}, {self.child_status}{queue})"
            case "child":
                return f"waits for its child {self.key.removeprefix(f'{CHILD}:')} ({self.child}, yet to be made)"
            case _:
                return f"waits for {self.key}{at}"


def ended_words(end: WaitEnd) -> str:
    """Say how a wait ended: what was decided, and by whom."""
    by = f" by {end.decided_by}" if end.decided_by else ""
    if end.outcome != "completed":
        return f"{end.outcome.replace('_', ' ')}{by}"
    value = from_json(end.value)
    if isinstance(value, dict) and isinstance(value.get("approve"), bool):
        decision = read_decision(end)
        with_what = f", with {decision.arguments}" if decision.arguments is not None else ""
        why = f": {decision.reason}" if decision.reason else ""
        return f"{'approved' if decision.approve else 'denied'}{by}{with_what}{why}"
    return f"decided{by}: {value if isinstance(value, str) else msgspec.json.encode(value).decode()}"


async def waiting(log: EventLog, session: str, state: State, view: ContextView) -> tuple[Waiting, ...]:
    """List what a session waits for; in place of a child, what that waits for, if it waits itself."""
    found: list[Waiting] = []
    for wait in state.waits:
        if wait.reason == CHILD:
            found += await _of_child(log, session, wait)
        else:
            token = state.token(wait.key)
            found.append(describe_wait(session, wait, view, token.tags if token is not None else ()))
    if state.retry_at_us is not None:
        found.append(Waiting(session=session, key="retry", reason="retry", deadline_us=state.retry_at_us))
    return tuple(found)


async def load_waiting(log: EventLog, session: str) -> tuple[Waiting, ...]:
    """Read what a session waits for."""
    _, state, view = await load(log, session, context=CONTEXT)
    return await waiting(log, session, state, view)


async def _of_child(log: EventLog, session: str, wait: Wait) -> tuple[Waiting, ...]:
    child = child_id(session, wait.key.removeprefix(f"{CHILD}:"))
    for_child = Waiting(session=session, key=wait.key, reason=CHILD, deadline_us=wait.deadline_us, child=child)
    try:
        below = await load_waiting(log, child)
        info = await log.info(child)
    except UnknownSessionError:  # it was to be started when its parent's process ended
        return (for_child,)
    return below or (replace(for_child, child_status=info.status, queue=info.queue),)


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def describe_wait(session: str, wait: Wait, view: ContextView, tags: tuple[str, ...]) -> Waiting:
    """Return what an open wait is about; `tags` are those of its token."""
    call = next(_call_at(view, wait.call), None) if wait.call is not None else None
    text = wait.arguments if wait.arguments is not None else call.arguments if call is not None else ""
    return Waiting(
        session=session,
        key=wait.key,
        reason=wait.reason,
        deadline_us=wait.deadline_us,
        call=wait.call,
        tool=call.name if call is not None else "",
        arguments=_read(text),
        tags=tags,
        step=wait.step,
    )


def _call_at(view: ContextView, place: Place) -> Iterator[ToolCall]:
    entry = entry_of(view, place.message_seq)
    if entry is not None and isinstance(entry.message, AssistantMessage):
        block = entry.message.content[place.content_index]
        if isinstance(block, ToolCall):
            yield block


def _read(text: str) -> Mapping[str, object]:
    try:
        value = from_json(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

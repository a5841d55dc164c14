"""Every tool call of a session: its place, its arguments, who agreed to it, how often it was tried, what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from eventsource.codec import from_json
from eventsource.envelope import Recorded
from eventsource.events import (
    ChildEnd,
    ChildStart,
    EventBase,
    MessageAdopt,
    MessageEnd,
    Place,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.approvals import AGAIN, REASON, read_decision
from eventsource.machine.refusals import refusal_result
from eventsource.messages import AssistantMessage, ToolCall, ToolResultMessage

from .context import Entry
from .projection import AppendOnlyList, Projection

CallStatus: TypeAlias = Literal["open", "running", "done", "failed", "refused", "dropped"]


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided on a call: approved, denied, rerun, adopt, fail or withdrawn; by whom, if that is known.

    `arguments`: what it is made with in place of the model's.
    """

    what: str
    by: str = ""
    reason: str = ""
    arguments: str | None = None

    @property
    def words(self) -> str:
        """All of it in words: `denied by ada: too much`."""
        by = f" by {self.by}" if self.by else ""
        return f"{self.what}{by}" + (f": {self.reason}" if self.reason else "")


class CallChild(msgspec.Struct, frozen=True, kw_only=True):
    """The session in which an agent works on a call; how it ended, once it did, and with how many tokens."""

    session: str
    status: Literal["open", "done", "failed"] = "open"
    tokens: int = 0


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call.

    `status`: open (not begun, or adopted without a result), running, done, failed, refused (see `refused`), or dropped
    (its message failed, it will never run). `arguments`: as the tool got them; `asked`: as the model wrote them, if
    that is something else. `decided`: the last decision on it. `children`: sessions that work on it. Times are UTC
    microseconds.
    """

    place: Place
    id: str
    name: str
    arguments: str
    status: CallStatus = "open"
    attempts: int = 0
    refused: str = ""
    result: ToolResult | None = None
    is_error: bool = False
    adopted: bool = False
    asked: str | None = None
    decided: Decided | None = None
    children: tuple[CallChild, ...] = ()
    started_at_us: int | None = None
    ended_at_us: int | None = None

    @property
    def duration_us(self) -> int | None:
        """Time from the last start to the end; None when it did not run here, or runs still."""
        if self.started_at_us is None or self.ended_at_us is None:
            return None
        return self.ended_at_us - self.started_at_us


def tool_calls(trail: AppendOnlyList[Recorded]) -> tuple[CallView, ...]:
    """List the calls in the order in which they were made."""
    calls: dict[tuple[int, int], CallView] = {}
    held: dict[str, tuple[WaitStart, tuple[int, int]]] = {}
    working: dict[str, tuple[int, int]] = {}
    for recorded in trail:
        event = recorded.event
        if isinstance(event, WaitStart | WaitEnd):
            _decide(calls, held, event)
        elif isinstance(event, ChildStart | ChildEnd):
            _work(calls, working, event)
        elif isinstance(event, ToolExecutionStart | ToolExecutionEnd):
            key = (event.message_seq, event.content_index)
            if key in calls:
                calls[key] = _moved(calls[key], event, recorded.at_us)
        elif isinstance(event, MessageAdopt) and isinstance(event.message, ToolResultMessage):
            if event.call is not None and (key := (event.call.message_seq, event.call.content_index)) in calls:
                calls[key] = _answered(calls[key], event.message)
        elif isinstance(event, MessageAdopt | MessageEnd) and isinstance(event.message, AssistantMessage):
            dropped = event.message.stop_reason in ("error", "aborted")
            dropped |= isinstance(event, MessageEnd) and event.interrupted is not None
            for index, block in enumerate(event.message.content):
                if isinstance(block, ToolCall):
                    calls[recorded.seq, index] = CallView(
                        place=Place(message_seq=recorded.seq, content_index=index),
                        id=block.id,
                        name=block.name,
                        arguments=block.arguments,
                        status="dropped" if dropped else "open",
                        adopted=isinstance(event, MessageAdopt),
                    )
    return tuple(calls.values())


def _decide(
    calls: dict[tuple[int, int], CallView],
    held: dict[str, tuple[WaitStart, tuple[int, int]]],
    event: WaitStart | WaitEnd,
) -> None:
    """Record which call a wait holds, or what was decided on it."""
    if isinstance(event, WaitStart):
        if event.call is not None and event.reason in (REASON, "in_doubt", "repeat"):
            held[event.key] = (event, (event.call.message_seq, event.call.content_index))
        return
    wait, key = held.pop(event.key, (None, (0, 0)))
    if wait is not None and key in calls:
        calls[key] = replace(calls[key], decided=_decided(wait, event))


def _decided(wait: WaitStart, end: WaitEnd) -> Decided:
    by = "" if end.decided_by == "machine" else end.decided_by
    if end.outcome == "cancelled":
        return Decided(what="withdrawn", by=by)
    decision = read_decision(end)
    if wait.reason == REASON:
        what, given = "approved" if decision.approve else "denied", decision.arguments
        return Decided(what=what, by=by, reason=decision.reason, arguments=given)
    value = from_json(end.value)
    return Decided(what=value if isinstance(value, str) else AGAIN if decision.approve else "fail", by=by)


def _work(
    calls: dict[tuple[int, int], CallView], working: dict[str, tuple[int, int]], event: ChildStart | ChildEnd
) -> None:
    """Record the session that works on a call, or how that ended."""
    if isinstance(event, ChildStart):
        if event.call is not None and (key := (event.call.message_seq, event.call.content_index)) in calls:
            working[event.key] = key
            calls[key] = replace(calls[key], children=(*calls[key].children, CallChild(session=event.child)))
        return
    place = working.pop(event.key, None)
    if place is not None:
        call = calls[place]
        status: Literal["done", "failed"] = "failed" if event.is_error else "done"
        ended = replace(call.children[-1], status=status, tokens=event.tokens)
        calls[place] = replace(call, children=(*call.children[:-1], ended))


def _moved(call: CallView, event: ToolExecutionStart | ToolExecutionEnd, at_us: int) -> CallView:
    if isinstance(event, ToolExecutionEnd):
        refused = call.refused and call.refused != "adopted"
        status: CallStatus = "refused" if refused else "failed" if event.is_error else "done"
        result = event.result if event.result is not None else call.result
        adopted = event.decided == "adopted"
        return replace(call, status=status, result=result, is_error=event.is_error, ended_at_us=at_us, adopted=adopted)
    if event.refused is not None:
        return replace(call, status="refused", refused=event.refused, result=refusal_result(event))
    arguments = call.arguments if event.arguments is None else event.arguments
    asked = call.asked if arguments == call.arguments or call.asked is not None else call.arguments
    return replace(
        call, status="running", attempts=event.attempt, arguments=arguments, asked=asked, started_at_us=at_us
    )


def trail_of(
    trail: AppendOnlyList[Recorded], entries: AppendOnlyList[Entry], first_seq: int, last_seq: int
) -> AppendOnlyList[Recorded]:
    """Cut out what tells of the calls of the messages between two names: what comes behind can tell nothing of them.

    It ends before the second answer behind them begins. `entries`: the history that the trail is of.
    """
    at = entries.find(last_seq + 1, _entry_seq)
    answers = 0
    while at < len(entries) and answers < 2:
        answers += isinstance(entries[at].message, AssistantMessage)
        at += 1
    last = len(trail) if at == len(entries) else trail.find(entries[at].seq, _seq)
    part = trail.between(trail.find(first_seq, _seq), last)
    return AppendOnlyList(part, len(part))


def _entry_seq(entry: Entry) -> int:
    return entry.seq


def _seq(recorded: Recorded) -> int:
    return recorded.seq


def calls_by_message(calls: Iterable[CallView]) -> dict[int, list[CallView]]:
    """Group calls by the answer that asked for them."""
    found: dict[int, list[CallView]] = {}
    for call in calls:
        found.setdefault(call.place.message_seq, []).append(call)
    return found


def _answered(call: CallView, result: ToolResultMessage) -> CallView:
    came = ToolResult(content=result.content, details=result.details)
    return replace(call, status="failed" if result.is_error else "done", result=came, is_error=result.is_error)


_TELLING: tuple[type[EventBase], ...] = (
    ToolExecutionStart,
    ToolExecutionEnd,
    WaitStart,
    WaitEnd,
    ChildStart,
    ChildEnd,
)


def _step(trail: AppendOnlyList[Recorded], recorded: Recorded) -> AppendOnlyList[Recorded]:
    event = recorded.event
    if isinstance(event, _TELLING):
        return trail.append(recorded)
    if isinstance(event, MessageAdopt | MessageEnd) and isinstance(event.message, AssistantMessage | ToolResultMessage):
        return trail.append(recorded)
    return trail


CALLS = Projection(name="calls", version=2, initial=AppendOnlyList[Recorded](), step=_step)

"""The index of a recorded history: what was asked of models and tools, what came of it, and what came from outside."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    Compaction,
    ConfigChange,
    ContextEdit,
    Erase,
    Event,
    Fork,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    Resume,
    Retry,
    StreamUpdate,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    WaitEnd,
)
from eventsource.machine.roles import is_input
from eventsource.messages import AssistantMessage, ToolCall
from eventsource.request import PartHashes, Request, request_sha256
from projections.context import CONTEXT, ContextView, request as request_of

from .diff_text import canonical

_NOT_AGAIN = ChildEnd | ConfigChange | Erase | Fork | Label | StreamUpdate | TokenCreate
"""Inputs that are not given again: today's code writes them itself, or they have no effect on a run."""


class RecordedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A model call: the seq and digest of its request, what was streamed, and how it ended (None: it never did)."""

    seq: int
    sha256: str
    items: tuple[Recorded, ...] = ()
    end: Recorded | None = None


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that ran, or whose result a fork took from its parent, and how it ended (None: it never did).

    `seq`: of its first start. `arguments`: what it ran with, as JSON text written in one way.
    """

    seq: int
    name: str
    arguments: str
    updates: tuple[Recorded, ...] = ()
    end: Recorded | None = None


class RecordingIndex:
    """The index of one history, from its first event on. Pure: it is read once, in order."""

    def __init__(self, history: Iterable[Recorded]) -> None:
        self.history = tuple(history)
        self.starts = [one.seq for one in self.history if isinstance(one.event, AgentStart)]
        self.names = [one.seq for one in self.history if is_name(one.event)]
        self.inputs = tuple(_inputs(self.history))
        self.answers = tuple(self._with_digests(_answers(self.history)))
        self.calls = tuple(_calls(self.history))
        self._intents = [one.seq for one in self.history if _is_intent(one.event)]

    def next_intent(self, after: int) -> int:
        """Seq of the first effect that began, or run that began or ended, after a seq; beyond the end if none did."""
        place = bisect_right(self._intents, after)
        return self._intents[place] if place < len(self._intents) else self.last + 1

    def request(self, seq: int) -> Request:
        """Build the request of the `model_request` at a seq."""
        view: ContextView = CONTEXT.initial
        for one in self.history:
            if one.seq == seq:
                return request_of(view, one.event.selection if isinstance(one.event, ModelRequest) else None)
            view = CONTEXT.step(view, one)
        return request_of(view)

    @property
    def unfinished(self) -> bool:
        """True when the last run has no end."""
        marks = [one.event for one in self.history if isinstance(one.event, AgentStart | AgentEnd)]
        return bool(marks) and isinstance(marks[-1], AgentStart)

    @property
    def last(self) -> int:
        """Seq of the last event, 0 when there is none."""
        return self.history[-1].seq if self.history else 0

    def renamed(self, event: Event, names: Sequence[int], head: int) -> Event | None:
        """Translate an input's names of messages to those of another session, by their order; None: it has no such."""

        def name(seq: int) -> int:
            place = bisect_left(self.names, seq)
            return names[place] if place < len(names) else head + 1

        match event:
            case ContextEdit(message_seq=seq):
                return replace(event, message_seq=name(seq)) if name(seq) <= head else None
            case Compaction(first_kept_seq=seq) if seq:
                return replace(event, first_kept_seq=name(seq))
            case WaitEnd(key=key):
                reason, _, place = key.partition(":")
                seq_text, _, rest = place.partition(":")
                return replace(event, key=f"{reason}:{name(int(seq_text))}:{rest}") if seq_text.isdecimal() else event
            case MessageAdopt(call=Place(message_seq=seq) as call):
                return replace(event, call=replace(call, message_seq=name(seq)))
            case _:
                return event

    def _with_digests(self, answers: Iterable[RecordedAnswer]) -> Iterable[RecordedAnswer]:
        """After an erasure the recorded digests are of what is gone; compute those of what is left."""
        if not any(isinstance(one.event, Erase) for one in self.history):
            return answers
        hashes, view, digests = PartHashes(), CONTEXT.initial, dict[int, str]()
        for one in self.history:
            if isinstance(one.event, ModelRequest):
                digests[one.seq] = request_sha256(request_of(view, one.event.selection), hashes)
            view = CONTEXT.step(view, one)
        return [replace(answer, sha256=digests[answer.seq]) for answer in answers]


def is_name(event: Event) -> bool:
    """Return whether a message (or summary) is named by this event; interrupted ones are not counted."""
    return isinstance(event, MessageAdopt | Compaction) or (isinstance(event, MessageEnd) and event.interrupted is None)


def _is_intent(event: Event) -> bool:
    return isinstance(event, ModelRequest | AgentStart | AgentEnd) or (
        isinstance(event, ToolExecutionStart) and event.refused in (None, "adopted")
    )


def _inputs(history: Sequence[Recorded]) -> Iterable[Recorded]:
    """Find what came from outside; what a fork dropped before it was delivered never came."""
    found: dict[int, Recorded] = {}
    queued: list[int] = []
    running = False
    for one in history:
        event = one.event
        running = isinstance(event, AgentStart) or (running and not isinstance(event, AgentEnd))
        match event:
            case QueuePush():
                queued.append(one.seq)
            case MessageStart(role="input", push_seq=seq) if seq in queued:
                queued.remove(seq)
            case Fork(keeps=keeps):
                for seq in set(queued).difference(keeps):
                    found.pop(seq, None)
                queued = [seq for seq in queued if seq in keeps]
            case _:
                pass
        if _comes_from_outside(event, running=running):
            found[one.seq] = one
    return found.values()


def _comes_from_outside(event: Event, *, running: bool) -> bool:
    match event:
        case AbortRequest(cause=cause):
            return running and cause not in ("hook", "output")  # a hook is asked again, and an answer checked again
        case QueuePush(queue=queue):
            return queue != "output"
        case Resume(why=why):
            return why == "continue" and not running  # a hook that wants one more turn is asked again
        case _:
            return is_input(event) and not isinstance(event, _NOT_AGAIN)


def _answers(history: Sequence[Recorded]) -> Iterable[RecordedAnswer]:
    """Pair each request with its answer; one that a process did not live to see is left out, but for the last."""
    asked: Recorded | None = None
    items: list[Recorded] = []
    for one in history:
        event = one.event
        if isinstance(event, ModelRequest):
            asked, items = one, []
        elif asked is not None and isinstance(event, MessageUpdate | MessageStart):
            items.append(one)
        elif asked is not None and isinstance(event, Retry | MessageEnd):
            if not isinstance(event, MessageEnd) or event.interrupted is None:
                yield _answer(asked, items, one)
            asked, items = None, []
    if asked is not None:
        yield _answer(asked, items, None)


def _answer(asked: Recorded, items: list[Recorded], end: Recorded | None) -> RecordedAnswer:
    sha256 = asked.event.request_sha256 if isinstance(asked.event, ModelRequest) else ""
    return RecordedAnswer(seq=asked.seq, sha256=sha256, items=tuple(items), end=end)


def _calls(history: Sequence[Recorded]) -> Iterable[RecordedCall]:
    """Collect the calls that ran, in the order of their first starts."""
    found: dict[tuple[int, int], RecordedCall] = {}
    messages: dict[int, AssistantMessage] = {}
    for one in history:
        match one.event:
            case MessageEnd(message=AssistantMessage() as message):
                messages = {one.seq: message}
            case ToolExecutionStart() as start if start.refused in (None, "adopted"):
                place = (start.message_seq, start.content_index)
                known = found.get(place)
                text = start.arguments if start.arguments is not None else _written(messages, *place)
                found[place] = RecordedCall(
                    seq=known.seq if known is not None else one.seq, name=start.name, arguments=canonical(text)
                )
            case ToolExecutionUpdate(message_seq=message_seq, content_index=index) if (message_seq, index) in found:
                known = found[message_seq, index]
                found[message_seq, index] = replace(known, updates=(*known.updates, one))
            case ToolExecutionEnd(message_seq=message_seq, content_index=index) if (message_seq, index) in found:
                found[message_seq, index] = replace(found[message_seq, index], end=one)
            case _:
                pass
    return found.values()


def _written(messages: dict[int, AssistantMessage], message_seq: int, content_index: int) -> str:
    """Find what the model wrote as arguments of a call."""
    message = messages.get(message_seq)
    block = message.content[content_index] if message is not None else None
    return block.arguments if isinstance(block, ToolCall) else ""

"""Replaying a history: inputs and outcomes come from the record, every decision must come out as it stands there."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable

import msgspec

from eventsource.assemble import Assembler, content_differs
from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError
from eventsource.events import (
    AgentStart,
    Erase,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    StreamUpdate,
    ToolExecutionStart,
    ToolExecutionUpdate,
)
from eventsource.log.erased import tombstone
from eventsource.machine.closing_message import closing_message
from eventsource.machine.evolve import evolve
from eventsource.machine.roles import Role, role_of
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import CallModel, CallRun, CloseMessage, Record, RunTools, first_step, refused_end
from eventsource.messages import AssistantContent, AssistantMessage
from eventsource.request import PartHashes, request_sha256
from eventsource.values import MARKER
from projections.context import CONTEXT, ContextView, Requests, step as context_step

from .provenance import Provenance

_ENCODER = msgspec.json.Encoder()
_MARK = MARKER.encode()


class Diverged(msgspec.Struct, frozen=True, kw_only=True):
    """The first place where a replay came out differently: what was expected there, what stands there."""

    seq: int
    field: str
    expected: str
    found: str
    state: State


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay read: events given (inputs, outcomes), decisions predicted, and the first difference if any.

    `unchecked`: requests whose digest cannot be computed any more, because content in them was erased, and messages
    that cannot be compared with their updates, because those were dropped or erased.
    """

    given: int
    predicted: int
    unchecked: int = 0
    difference: Diverged | None = None


def replay(history: Iterable[Recorded], *, erased: Container[int] | None = None) -> ReplayReport:
    """Replay a session's events from its first one on: no model, no tool, no network, no clock.

    Pure: reads the history in order. A difference is a value, never an exception.

    Args:
        erased: seqs of events whose content was erased; by default, those that the history's own `erase` events name.
            A fork's history does not hold an `erase` that its parent recorded later.
    """
    if erased is None:
        history = tuple(history)
        erased = {one.event.target_seq for one in history if isinstance(one.event, Erase)}
    run = Replay(erased)
    for recorded in history:
        if not run.feed(recorded):
            break
    return run.report()


class Replay:
    """A replay under way."""

    def __init__(self, erased: Container[int] = frozenset()) -> None:
        """Begin before the first event.

        Args:
            erased: seqs of events whose content was erased; what holds it cannot be compared.
        """
        self.state = State()
        self._erased, self._provenance, self._run_seq = erased, Provenance(), 0
        self._view: ContextView = CONTEXT.initial
        self._requests, self._hashes = Requests(), PartHashes()
        self._expected: deque[Event | CallRun] = deque()
        self._updates: list[MessageUpdate] = []
        self._streamed: tuple[int, tuple[AssistantContent, ...]] = (0, ())
        self._seq = 0
        self._gap = False
        self._given = self._predicted = self._unchecked = 0
        self._difference: Diverged | None = None

    def report(self) -> ReplayReport:
        """Return how far the replay came, and the first difference, if there is one."""
        given = self._given + len(self._updates)
        return ReplayReport(
            given=given, predicted=self._predicted, unchecked=self._unchecked, difference=self._difference
        )

    def feed(self, recorded: Recorded) -> bool:
        """Fold one event. Returns: False once something differs."""
        event = recorded.event
        if recorded.seq > self._seq + 1:
            self._gap = True
        self._seq = recorded.seq
        if type(event) is MessageUpdate:
            if not self._evolve(recorded):
                return False
            self._updates.append(event)
            return True
        if isinstance(event, ToolExecutionUpdate | StreamUpdate):
            self._given += self._evolve(recorded)
            return self._difference is None
        if self._is_given(event):
            self._given += 1
            self._expected.clear()
        elif self._predict(recorded):
            self._predicted += 1
        if type(event) is MessageEnd and self._difference is None:
            self._check_message(recorded.seq, event)
        if self._difference is None and self._evolve(recorded):
            self._follow(recorded)
        return self._difference is None

    def _evolve(self, recorded: Recorded) -> bool:
        try:
            self.state = evolve(self.state, recorded)
        except IllegalEventError as error:
            allowed = f"an event that phase {error.phase} allows"
            self._differ(recorded.seq, "event", allowed, f"{error.event}: {error.reason}")
        return self._difference is None

    def _follow(self, recorded: Recorded) -> None:
        """Keep what requests and messages are compared with."""
        event = recorded.event
        self._view = context_step(self._view, recorded)
        self._provenance.feed(recorded)
        if type(event) is AgentStart:
            self._run_seq = recorded.seq
        if type(event) is MessageStart and event.role == "assistant" and not self._updates:
            self._gap = False
        elif type(event) is MessageEnd and self._updates:
            self._given += len(self._updates)
            self._updates, self._streamed = [], (0, ())

    def _is_given(self, event: Event) -> bool:
        """Decide whether an event is taken from the record: an input, or the outcome of an effect."""
        role = role_of(self.state, event)
        if role is Role.CLOSING:
            return not self._is_closing(event)
        dropped = self._gap and isinstance(event, MessageEnd) and event.message is not None
        return role is not Role.DECISION or dropped

    def _is_closing(self, event: Event) -> bool:
        """Decide whether the machine would close the open message so, and not the model ended it."""
        step = first_step(self.state)
        if self._gap or not isinstance(step, CloseMessage) or not isinstance(event, MessageEnd):
            return False
        return event.message == self._closing(step, event)

    def _closing(self, step: CloseMessage, event: MessageEnd) -> AssistantMessage:
        """Build the message that closes the open one; what it had used by then, the provider said."""
        usage = event.message.usage if event.message is not None else None
        return closing_message(self._content(), step.how, self.state.aborted, usage)

    def _content(self) -> tuple[AssistantContent, ...]:
        """Assemble what was streamed of the open message."""
        if self._streamed[0] != len(self._updates):
            assembler = Assembler()
            assembler.extend(self._updates)
            self._streamed = len(self._updates), assembler.content()
        return self._streamed[1]

    def _predict(self, recorded: Recorded) -> bool:
        """Compare a decision with what the machine says here."""
        if not self._expected:
            self._ask(recorded)
        if not self._expected:
            if self._difference is None:
                self._differ(recorded.seq, "event", type(first_step(self.state)).__name__, _show(recorded.event))
            return False
        expected, event = self._take_expected(recorded.event), recorded.event
        if isinstance(expected, CallRun):
            return self._start(recorded, expected)
        if isinstance(expected, ModelRequest) and isinstance(event, ModelRequest):
            return self._request(recorded.seq, expected, event)
        if expected == event or self._same_but_erased(recorded.seq, expected, event):
            return True
        self._differ(recorded.seq, *_first_difference(expected, event))
        return False

    def _take_expected(self, event: Event) -> Event | CallRun:
        """Take what is expected next; the calls of a parallel batch may be started in any order."""
        if isinstance(event, ToolExecutionStart):
            place = Place(message_seq=event.message_seq, content_index=event.content_index)
            for expected in self._expected:
                if isinstance(expected, CallRun) and expected.place == place:
                    self._expected.remove(expected)
                    return expected
        return self._expected.popleft()

    def _ask(self, recorded: Recorded) -> None:
        match first_step(self.state):
            case Record(events=events):
                self._expected.extend(events)
            case CallModel(attempt=attempt):
                self._expected.append(ModelRequest(attempt=attempt, request_sha256=""))
            case RunTools(calls=calls):
                self._expected.extend(calls)
            case CloseMessage() as step:
                if self.state.phase is not Phase.STREAMING:
                    self._expected.append(MessageStart(role="assistant", streamed=False))
                elif isinstance(recorded.event, MessageEnd):
                    partial = self.state.config.policies.partial if step.how == "interrupted" else None
                    message = self._closing(step, recorded.event)
                    self._expected.append(MessageEnd(message=message, interrupted=partial))
            case _:
                return

    def _start(self, recorded: Recorded, expected: CallRun) -> bool:
        event = recorded.event
        if not isinstance(event, ToolExecutionStart):
            self._differ(recorded.seq, "event", f"the start of {expected.name} at {expected.place}", _show(event))
            return False
        if event.refused is not None:
            self._expected.appendleft(refused_end(expected.place))
        place = (event.message_seq, event.content_index, event.name, event.attempt)
        wanted = (expected.place.message_seq, expected.place.content_index, expected.name, expected.attempt)
        if place != wanted:
            self._differ(recorded.seq, "call", str(wanted), str(place))
            return False
        decided = event.refused if event.refused not in ("invalid", "blocked") or expected.refused else None
        if decided != expected.refused:
            self._differ(recorded.seq, "refused", str(expected.refused), str(event.refused))
            return False
        return expected.refused != "blocked" or self._is_reason(recorded.seq, expected.reason, event)

    def _is_reason(self, seq: int, expected: str, event: ToolExecutionStart) -> bool:
        """Compare the words of a refusal with those that the machine says."""
        wanted = msgspec.structs.replace(event, reason=expected)
        if event == wanted or self._same_but_erased(seq, wanted, event):
            return True
        self._differ(seq, "reason", expected, event.reason)
        return False

    def _request(self, seq: int, expected: ModelRequest, event: ModelRequest) -> bool:
        if event.attempt != expected.attempt:
            self._differ(seq, "attempt", str(expected.attempt), str(event.attempt))
            return False
        sent = self._requests.build(self._view, event.selection)
        digest = request_sha256(sent, self._hashes, self._requests.source)
        if digest == event.request_sha256:
            return True
        if self._provenance.has_erased(self._erased, self._view, seq, event.selection):
            self._unchecked += 1
            return True
        self._differ(seq, "request_sha256", digest, event.request_sha256)
        return False

    def _check_message(self, seq: int, event: MessageEnd) -> None:
        """Compare a finished message with its updates."""
        if event.message is None:
            return
        if self._gap:
            self._unchecked += 1
            return
        streamed = self._content()
        problem = content_differs(streamed, event.message.content[: len(streamed)])
        if problem:
            self._differ(seq, "message", "what its updates say", problem)

    def _same_but_erased(self, seq: int, expected: Event, found: Event) -> bool:
        """Return whether two events differ only in content that was erased in this run from what they repeat."""
        return (
            _MARK in _ENCODER.encode((expected, found))
            and tombstone(expected) == tombstone(found)
            and any(one in self._erased for one in range(self._run_seq, seq + 1))
        )

    def _differ(self, seq: int, field: str, expected: str, found: str) -> None:
        self._difference = Diverged(seq=seq, field=field, expected=expected, found=found, state=self.state)


def _first_difference(expected: Event, found: Event) -> tuple[str, str, str]:
    if type(expected) is not type(found):
        return "event", _show(expected), _show(found)
    for name in expected.__struct_fields__:
        one, two = getattr(expected, name), getattr(found, name)
        if one != two:
            return name, repr(one), repr(two)
    return "event", _show(expected), _show(found)


def _show(event: Event) -> str:
    return str(event.__struct_config__.tag)

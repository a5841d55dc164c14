"""The start of a call: nobody can write one that the machine would not say."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st
from msgspec import UnsetType
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    ConfigChange,
    Event,
    Fork,
    MessageEnd,
    MessageStart,
    Place,
    Policies,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    WaitEnd,
    WaitStart,
)
from eventsource.log.erased import tombstone
from eventsource.machine.approvals import REASON, verdict
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.guards import find_call, legal
from eventsource.machine.refusals import refusal_result
from eventsource.machine.state import Kind, State
from eventsource.machine.steps import Record, RunTools, next_step, refused_end
from eventsource.messages import AssistantMessage
from replay.replay import replay
from tests.candidates import ASKED, DONE, TOOLS, calling, candidates
from tests.interpreter import played, resumed
from tests.stories import STEER, STREAMING, recorded, state_of
from tests.strategies import choices, histories

UNASKED = "the call needs an approval, and nobody approved it"
OTHERS = "the call was approved with other arguments"
PARALLEL = ConfigChange(tools=ASKED)
SEQUENTIAL = ConfigChange(tools=ASKED, policies=Policies(tools="sequential"))
CHANGES = (
    PARALLEL,
    SEQUENTIAL,
    ConfigChange(tools=ASKED, policies=Policies(tools="sequential", in_doubt="ask", length_calls="run")),
)


def called(message: AssistantMessage, *more: Event, change: ConfigChange = PARALLEL) -> list[Event]:
    """Open a batch, whose first call stands at 9:1."""
    return [STREAMING[0], change, *STREAMING[1:], MessageEnd(message=message), *more]


def start(
    index: int, name: str, *, arguments: str | None = None, attempt: int = 1, no_approval_needed: bool = False
) -> ToolExecutionStart:
    return ToolExecutionStart(
        message_seq=9,
        content_index=index,
        name=name,
        arguments=arguments,
        attempt=attempt,
        no_approval_needed=no_approval_needed,
    )


def end(index: int) -> ToolExecutionEnd:
    return ToolExecutionEnd(message_seq=9, content_index=index, result=DONE)


def asked(index: int = 1, *, arguments: str | None = None, deadline_us: int | None = None, key: str = "q") -> WaitStart:
    place = Place(message_seq=9, content_index=index)
    return WaitStart(key=key, reason=REASON, call=place, arguments=arguments, deadline_us=deadline_us)


def decided(
    approve: bool, reason: str = "", *, arguments: Mapping[str, object] | None = None, key: str = "q"
) -> WaitEnd:
    return WaitEnd(key=key, outcome="completed", value=verdict(approve=approve, reason=reason, arguments=arguments))


YES, NO = decided(True), decided(False, "too much")
EDITED = decided(True, arguments={"n": 1})
SEND, READ, PUT, PUTS = calling("send"), calling("read"), calling("put"), calling("put", "put")
FIRST_DONE = (
    start(1, "put"),
    end(1),
    MessageStart(role="tool_result", call=Place(message_seq=9, content_index=1)),
    MessageEnd(),
)


class Refused(NamedTuple):
    history: list[Event]
    bad: Event
    reason: str


REFUSED: dict[str, Refused] = {
    "a call that nobody was asked about": Refused(called(SEND), start(1, "send"), UNASKED),
    "a call that always needs an approval, said to need none": Refused(
        called(SEND), start(1, "send", no_approval_needed=True), "whose approval is by arguments"
    ),
    "a call of a tool without approvals, said to need none": Refused(
        called(PUT), start(1, "put", no_approval_needed=True), "whose approval is by arguments"
    ),
    "a call by arguments that does not say that it needed none": Refused(called(READ), start(1, "read"), UNASKED),
    "a call that was denied": Refused(called(SEND, asked(), NO), start(1, "send"), "the call was denied"),
    "a call that was denied, with other arguments": Refused(
        called(SEND, asked(), NO), start(1, "send", arguments='{"n":1}'), "the call was denied"
    ),
    "a call that was denied, said to need no approval": Refused(
        called(READ, asked(), NO), start(1, "read", no_approval_needed=True), "the call was denied"
    ),
    "a call of a tool without approvals that was denied all the same": Refused(
        called(PUT, asked(), NO), start(1, "put"), "the call was denied"
    ),
    "a call that was denied and then approved": Refused(
        called(SEND, asked(), NO, asked(key="r"), decided(True, key="r")), start(1, "send"), "the call was denied"
    ),
    "a call that was denied before a fork": Refused(
        called(SEND, asked(), NO, Fork()), start(1, "send"), "the call was denied"
    ),
    "a call that was approved before a fork": Refused(called(SEND, asked(), YES, Fork()), start(1, "send"), UNASKED),
    "a call whose question was withdrawn": Refused(
        called(SEND, asked(), WaitEnd(key="q", outcome="cancelled")), start(1, "send"), "the call was denied"
    ),
    "a call with other arguments than were approved": Refused(
        called(SEND, asked(), YES), start(1, "send", arguments='{"n":1}'), OTHERS
    ),
    "a call with the model's arguments where a person gave others": Refused(
        called(SEND, asked(), EDITED), start(1, "send"), OTHERS
    ),
    "a call that is approved for something else": Refused(
        called(SEND, replace(asked(), reason="in_doubt"), YES), start(1, "send"), UNASKED
    ),
    "a call after an abort": Refused(
        called(PUT, AbortRequest()), start(1, "put"), "the run was aborted, no tool may run"
    ),
    "a call of a message that was cut": Refused(
        called(calling("put", reason="length")), start(1, "put"), "its message was cut"
    ),
    "a call before its turn": Refused(
        called(PUTS, change=SEQUENTIAL), start(2, "put"), "the calls before it come first"
    ),
    "a call that a queued message comes before": Refused(
        called(PUTS, *FIRST_DONE, STEER, change=SEQUENTIAL), start(2, "put"), "a message is queued"
    ),
    "a call with effects that has begun": Refused(
        called(SEND, asked(), YES, start(1, "send")), start(1, "send", attempt=2), "it is not safe to run it again"
    ),
    "a call that was denied when it had begun": Refused(
        called(SEND, asked(), YES, start(1, "send"), asked(key="r"), decided(False, key="r")),
        start(1, "send", attempt=2),
        "the call was denied",
    ),
    "a call that is not run, said to need no approval": Refused(
        called(READ), replace(start(1, "read", no_approval_needed=True), refused="invalid"), "only a running call"
    ),
    "a silence that decides without a deadline": Refused(
        called(SEND, asked()), WaitEnd(key="q", outcome="timed_out"), "the question has no deadline"
    ),
    "a silence that decides something else than was said": Refused(
        called(SEND, TokenCreate(key="q", deadline_us=9, default=verdict(approve=False)), asked()),
        WaitEnd(key="q", outcome="timed_out", value=verdict(approve=True)),
        "the question's default counts",
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_a_start_that_breaks_the_rules_of_its_call_is_illegal_and_says_which(refused: Refused) -> None:
    assert refused.reason in (legal(state_of(refused.history), refused.bad) or "")


ALLOWED: dict[str, tuple[list[Event], ToolExecutionStart]] = {
    "approved as the model wrote it": (called(SEND, asked(), YES), start(1, "send")),
    "approved as a hook wrote it": (
        called(SEND, asked(arguments='{"n":2}'), YES),
        start(1, "send", arguments='{"n":2}'),
    ),
    "approved with a person's arguments": (called(SEND, asked(), EDITED), start(1, "send", arguments='{"n":1}')),
    "approved by silence": (
        called(
            SEND,
            TokenCreate(key="q", deadline_us=9, default=verdict(approve=True)),
            asked(),
            WaitEnd(key="q", outcome="timed_out", value=verdict(approve=True)),
        ),
        start(1, "send"),
    ),
    "approved before it was known what for": (
        called(SEND, TokenCreate(key="q"), YES, asked()),
        start(1, "send"),
    ),
    "approved twice, for the first arguments": (
        called(SEND, asked(), YES, asked(arguments='{"n":2}', key="r"), decided(True, key="r")),
        start(1, "send"),
    ),
    "by arguments that need no approval": (called(READ), start(1, "read", no_approval_needed=True)),
    "by arguments, approved": (called(READ, asked(), YES), start(1, "read")),
    "in doubt, approved before, and safe to run again": (
        called(READ, asked(), YES, start(1, "read")),
        start(1, "read", attempt=2),
    ),
    "with effects in doubt, agreed to again": (
        called(
            SEND, asked(), YES, start(1, "send"), replace(asked(key="d"), reason="in_doubt"), decided(True, key="d")
        ),
        start(1, "send", attempt=2),
    ),
    "refused, of a denied call": (called(SEND, asked(), NO), replace(start(1, "send"), refused="invalid")),
    "safe to run again, without a rule": (called(PUT, start(1, "put")), start(1, "put", attempt=2)),
    "approved with arguments of which a key was taken out": (
        called(SEND, asked(arguments='{"to":"[redacted]"}'), YES),
        start(1, "send", arguments='{"to":"a key"}'),
    ),
    "of a parallel batch, though a message is queued": (called(PUTS, *FIRST_DONE, STEER), start(2, "put")),
    "adopted, and nobody was asked": (called(SEND), replace(start(1, "send"), refused="adopted")),
}


@pytest.mark.parametrize(("history", "good"), ALLOWED.values(), ids=ALLOWED)
def test_a_start_that_keeps_the_rules_of_its_call_is_legal(history: list[Event], good: ToolExecutionStart) -> None:
    assert legal(state_of(history), good) is None


@pytest.mark.parametrize("change", [PARALLEL, SEQUENTIAL], ids=["parallel", "sequential"])
def test_the_machine_itself_says_that_a_call_was_denied_and_in_which_words(change: ConfigChange) -> None:
    step = next_step(state_of(called(SEND, asked(), NO, change=change)))
    refused = replace(start(1, "send"), refused="blocked", reason="This call was denied: too much")
    place = Place(message_seq=9, content_index=1)
    assert isinstance(step, Record)
    assert step.events[:2] == (refused, refused_end(place))
    assert "too much" in str(refusal_result(refused).content)


def test_a_call_that_was_denied_when_it_had_begun_is_refused_as_its_next_attempt() -> None:
    step = next_step(state_of(called(READ, start(1, "read", no_approval_needed=True), asked(), NO)))
    assert isinstance(step, Record)
    reason = "This call was denied: too much"
    assert step.events[0] == replace(start(1, "read", attempt=2), refused="blocked", reason=reason)


def test_a_denied_call_is_refused_beside_those_that_run() -> None:
    step = next_step(state_of(called(calling("send", "put"), asked(), NO)))
    assert isinstance(step, RunTools)
    assert [(run.name, run.refused, run.reason) for run in step.calls] == [
        ("send", "blocked", "This call was denied: too much"),
        ("put", None, ""),
    ]


def test_what_a_release_without_approvals_in_its_log_did_stays_legal_for_ever() -> None:
    old = ConfigChange(tools=TOOLS)
    history = called(SEND, asked(), NO, change=old)
    assert legal(state_of(history), start(1, "send")) is None
    assert isinstance(next_step(state_of(history)), RunTools)
    assert legal(state_of(called(READ, change=old)), start(1, "read")) is None
    assert legal(state_of([*history, AbortRequest()]), start(1, "send")) is None
    silence = WaitEnd(key="q", outcome="timed_out", value=verdict(approve=True))
    assert legal(state_of(called(SEND, asked(), change=old)), silence) is None


def test_the_default_at_a_deadline_binds_only_the_question_whether_a_call_may_run() -> None:
    silence = WaitEnd(key="q", outcome="timed_out", value=verdict(approve=True))
    assert legal(state_of(called(SEND, asked())), silence) == "the question has no deadline"
    assert legal(state_of(called(SEND, replace(asked(), reason="sleep"))), silence) is None
    assert legal(state_of([WaitStart(key="q", reason=REASON)]), silence) is None


def test_an_open_batch_keeps_the_rules_it_began_with() -> None:
    never = ConfigChange(tools=tuple(replace(tool, approval="never") for tool in ASKED))
    assert legal(state_of(called(SEND, never)), start(1, "send")) == UNASKED
    gone = called(SEND, asked(), NO, ConfigChange(tools=()))
    assert legal(state_of(gone), start(1, "send")) == "the call was denied"


@pytest.mark.parametrize("erased", range(10, 13))
def test_a_call_that_was_approved_stays_legal_when_its_arguments_are_erased(erased: int) -> None:
    for question, decision, arguments in (
        (asked(), EDITED, '{"n":1}'),
        (asked(arguments='{"n":2}'), YES, '{"n":2}'),
        (asked(arguments='{"n":2}'), decided(True, "fine", arguments={"n": 3}), '{"n":3}'),
    ):
        history = called(SEND, question, decision, start(1, "send", arguments=arguments))
        fold(recorded([tombstone(event) if seq == erased else event for seq, event in enumerate(history, 1)]))


def in_force(history: Sequence[Recorded]) -> list[State]:
    """List the states of a history in which calls with rules are open."""
    found, state = [], State()
    for one in history:
        state = evolve(state, one)
        if state.batch is not None and any(call.approval is not None and not call.ended for call in state.batch.calls):
            found.append(state)
    return found


def alone(state: State, index: int) -> State:
    """Let the calls that are under way beside one have ended, so that only this one is to be decided."""
    assert state.batch is not None
    calls = tuple(
        replace(call, ended=call.ended or (call.started and not call.waiting and call.content_index != index))
        for call in state.batch.calls
    )
    return replace(state, batch=replace(state.batch, calls=calls))


def judge_starts(state: State) -> int:
    """Hold that of all starts those are legal that the machine says, but for what only hooks and people know."""
    assert state.batch is not None
    passed = 0
    for one in candidates(state, 99, Kind.TOOL_START):
        assert isinstance(one, ToolExecutionStart)
        call = next(call for call in state.batch.calls if call.content_index == one.content_index)
        if call.approval is None or not one.runs or call.ended or call.waiting:
            continue
        step = next_step(alone(state, one.content_index))
        runs = step.calls if isinstance(step, RunTools) else ()
        said = any((run.place.content_index, run.refused) == (one.content_index, None) for run in runs)
        problem = legal(state, one)
        if problem is None:
            assert said, (one, step)
            passed += 1
        elif said:
            assert problem in (UNASKED, OTHERS) or "by arguments" in problem, (one, problem)
    return passed


@given(histories())
def test_every_start_that_passes_is_one_that_the_machine_says(history: tuple[Recorded, ...]) -> None:
    for state in in_force(history):
        judge_starts(state)


@given(choices(120), st.sampled_from(CHANGES))
def test_every_start_that_passes_in_a_run_with_approvals_is_one_that_the_machine_says(
    numbers: list[int], change: ConfigChange
) -> None:
    for state in in_force(played(numbers, change)):
        judge_starts(state)


@given(choices(120), st.sampled_from(CHANGES), st.data())
def test_a_run_with_approvals_replays_and_goes_on_from_every_seq(
    numbers: list[int], change: ConfigChange, data: st.DataObject
) -> None:
    history = played(numbers, change)
    assert replay(history).difference is None
    cut = data.draw(st.integers(0, len(history)))
    assert replay(resumed(history[:cut])).difference is None
    forked = [*history[:cut], Recorded(cut + 1, 0, Fork())]
    assert replay(resumed(forked)).difference is None


@given(choices(120), st.sampled_from(CHANGES))
def test_no_call_with_a_rule_runs_that_was_denied_or_that_nobody_agreed_to(
    numbers: list[int], change: ConfigChange
) -> None:
    judge_runs(played(numbers, change))


@pytest.mark.slow
def test_random_runs_hold_calls_that_were_approved_denied_and_needed_no_approval() -> None:
    dice, found, passed = random.Random(7), set[str](), 0
    for _ in range(60):
        history = played([dice.randrange(2**24) for _ in range(150)], CHANGES[dice.randrange(3)])
        found |= judge_runs(history)
        passed += sum(judge_starts(state) for state in in_force(history))
    assert found == {"approved", "denied", "by arguments", "never"}
    assert passed > 100


def judge_runs(history: Sequence[Recorded]) -> set[str]:
    """Hold, by questions and answers alone, that what ran was agreed to. Returns: what was seen."""
    agreed, denied, questions = set[Place | None](), set[Place | None](), dict[str, WaitStart]()
    state, seen = State(), set[str]()
    for one in history:
        match one.event:
            case Fork():
                agreed.clear()
                questions.clear()
            case WaitStart(key=key, reason="approval"):
                questions[key] = one.event
            case WaitEnd(key=key, value=value, outcome=outcome) if key in questions:
                said = b"" if isinstance(value, UnsetType) else bytes(value)
                yes = outcome != "cancelled" and (b'"approve":true' in said or said == b'"rerun"')
                (agreed if yes else denied).add(questions.pop(key).call)
            case ToolExecutionStart() as begun:
                call = find_call(state, begun.message_seq, begun.content_index)
                place = Place(message_seq=begun.message_seq, content_index=begun.content_index)
                if call is not None and call.approval is not None and begun.runs:
                    assert place not in denied
                    needs = call.approval == "always" or (call.approval != "never" and not begun.no_approval_needed)
                    assert not needs or place in agreed
                    seen.add("approved" if place in agreed else call.approval.replace("_", " "))
                elif place in denied and begun.refused == "blocked":
                    seen.add("denied")
            case _:
                pass
        state = evolve(state, one)
    return seen

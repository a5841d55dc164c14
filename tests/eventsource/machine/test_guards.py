"""Logs this program cannot have written: each is refused, and says why in words of its own."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest

from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    ChildStart,
    Event,
    LoopContext,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueueClear,
    Resume,
    Retry,
    StepEnd,
    StepStart,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.evolve import evolve
from eventsource.machine.guards import find_call, legal
from eventsource.machine.state import Phase, State
from eventsource.messages import AssistantMessage, ToolCall, UserMessage
from tests.candidates import ORIGIN, calling
from tests.stories import (
    ASSISTANT,
    CALLED,
    END,
    FAILED,
    FIRST,
    INPUT,
    OPENED,
    PUSH,
    REFUSED,
    REQUESTED,
    RESULT,
    SECOND,
    SETTLE,
    SETTLED,
    START,
    STREAMING,
    TEXT,
    UPDATE,
    WAIT,
    state_of,
)

DELTA = MessageUpdate(kind="text_delta", content_index=0, delta="x")
TASK = TaskStart(task="report")


class Corruption(NamedTuple):
    history: list[Event]
    bad: Event
    reason: str


CORRUPTIONS: dict[str, Corruption] = {
    "a run that nobody asked for": Corruption([], AgentStart(), "nothing is queued and no continuation was asked for"),
    "a run of a message that was taken back": Corruption(
        [PUSH, QueueClear(queue="prompt")], AgentStart(), "nothing is"
    ),
    "a turn outside of a run": Corruption([PUSH], TurnStart(), "does not allow turn_start"),
    "a run within a run": Corruption(OPENED, AgentStart(), "does not allow agent_start"),
    "an input that was never pushed": Corruption(
        OPENED[:3], MessageStart(role="input", push_seq=9), "no message pushed at seq 9 is queued"
    ),
    "an input delivered twice": Corruption(OPENED, INPUT, "no message pushed at seq 1 is queued"),
    "an input that was cleared": Corruption([*OPENED[:3], QueueClear(queue="prompt")], INPUT, "pushed at seq 1"),
    "an input that carries a message": Corruption(
        OPENED[:4], MessageEnd(message=AssistantMessage()), "stands elsewhere in the log"
    ),
    "an answer to no question": Corruption(OPENED, ASSISTANT, "no model was asked and the run was not aborted"),
    "a stream after an abort without a question": Corruption(
        [*OPENED, AbortRequest()], ASSISTANT, "that no model was asked for cannot stream"
    ),
    "a question after an abort": Corruption(
        [*OPENED, AbortRequest()], ModelRequest(attempt=1, request_sha256=""), "aborted, no model may be asked"
    ),
    "a first attempt that says it is the second": Corruption(
        OPENED, ModelRequest(attempt=2, request_sha256=""), "would be attempt 1, not 2"
    ),
    "a second attempt that says it is the first": Corruption(
        REQUESTED, ModelRequest(attempt=1, request_sha256=""), "would be attempt 2, not 1"
    ),
    "an update before the message began": Corruption(REQUESTED, DELTA, "does not allow message_update"),
    "a delta of a block that was never opened": Corruption(STREAMING, DELTA, "block 0 was never opened"),
    "a delta of a block before the first": Corruption(
        TEXT, MessageUpdate(kind="text_delta", content_index=-1, delta="x"), "block -1 was never opened"
    ),
    "a block that leaves a gap": Corruption(
        TEXT, MessageUpdate(kind="text_start", content_index=2), "block 2 cannot open, 1 blocks are there"
    ),
    "a block opened twice": Corruption(
        TEXT, MessageUpdate(kind="text_start", content_index=0), "block 0 cannot open, 1 blocks are there"
    ),
    "a delta of another type": Corruption(
        TEXT, MessageUpdate(kind="thinking_delta", content_index=0, delta="x"), "block 0 is a text block"
    ),
    "an end of another type": Corruption(
        TEXT, MessageUpdate(kind="tool_call_end", content_index=0), "block 0 is a text block"
    ),
    "a delta of a block that has ended": Corruption(
        [*TEXT, MessageUpdate(kind="text_end", content_index=0)], DELTA, "block 0 has ended"
    ),
    "a delta of a block that came whole": Corruption(
        [*STREAMING, MessageUpdate(kind="provider_block", content_index=0)], DELTA, "block 0 has ended"
    ),
    "an answer that ends without a message": Corruption(TEXT, MessageEnd(), "must be given whole"),
    "an answer that ends twice": Corruption(SETTLED, MessageEnd(), "does not allow message_end"),
    "a call that nobody made": Corruption(
        CALLED, msgspec.structs.replace(START, content_index=3), "no call at 8:3 is in the batch"
    ),
    "a call of another message": Corruption(
        CALLED, msgspec.structs.replace(START, message_seq=7), "no call at 7:1 is in the batch"
    ),
    "a call of text": Corruption(CALLED, msgspec.structs.replace(START, content_index=0), "no call at 8:0"),
    "a call of another tool": Corruption(
        CALLED, msgspec.structs.replace(START, name="send"), "the call is of tool read, not send"
    ),
    "a call that starts with its second attempt": Corruption(
        CALLED, msgspec.structs.replace(START, attempt=2), "would be attempt 1, not 2"
    ),
    "a call started twice": Corruption([*CALLED, START], START, "would be attempt 2, not 1"),
    "a call started after its end": Corruption(
        [*CALLED, START, END], msgspec.structs.replace(START, attempt=2), "the call has ended"
    ),
    "a refused call that starts after all": Corruption(
        [*CALLED, REFUSED], msgspec.structs.replace(START, attempt=2), "the call was refused"
    ),
    "a refused call that reports": Corruption([*CALLED, REFUSED], UPDATE, "a refused call reports nothing"),
    "a refused call with a result": Corruption([*CALLED, REFUSED], END, "a refused call stores no result"),
    "a call that ran without a result": Corruption([*CALLED, START], SETTLE, "the result is missing"),
    "an end without a start": Corruption(CALLED, END, "the call was not started"),
    "a report without a start": Corruption(CALLED, UPDATE, "the call was not started"),
    "a report after the end": Corruption([*CALLED, START, END], UPDATE, "the call has ended"),
    "an end of a call that nobody made": Corruption(
        CALLED, msgspec.structs.replace(END, content_index=9), "no call at 8:9"
    ),
    "a result of a call that has not ended": Corruption([*CALLED, START], RESULT, "its call has not ended"),
    "a result of no call": Corruption(CALLED, MessageStart(role="tool_result"), "its call is not in the batch"),
    "a result told twice": Corruption(
        [*CALLED, START, END, RESULT, MessageEnd()], RESULT, "its call already has a result message"
    ),
    "a result that carries a message": Corruption(
        [*CALLED, START, END, RESULT], MessageEnd(message=AssistantMessage()), "stands elsewhere in the log"
    ),
    "a turn that ends with a call unanswered": Corruption([*CALLED, START, END], TurnEnd(), "does not allow turn_end"),
    "a question while calls are open": Corruption(
        CALLED, ModelRequest(attempt=2, request_sha256=""), "does not allow model_request"
    ),
    "a run that ends within a turn": Corruption(SETTLED, AgentEnd(), "does not allow agent_end"),
    "another try of what went well": Corruption(SETTLED, Retry(cause="again"), "does not allow retry"),
    "a next turn after a failure": Corruption([*FAILED, TurnEnd()], TurnStart(), "does not allow turn_start"),
    "a message adopted during a run": Corruption(
        OPENED, MessageAdopt(message=UserMessage(content=""), origin=ORIGIN), "does not allow message_adopt"
    ),
    "a token made twice": Corruption([TokenCreate(key="t")], TokenCreate(key="t"), "token t exists"),
    "a wait begun twice": Corruption([WaitStart(key="w")], WaitStart(key="w"), "wait w is open"),
    "a wait of a call where none is open": Corruption([], WAIT, "no batch of calls is open"),
    "a wait of nobody within a batch": Corruption(CALLED, WaitStart(key="w"), "belongs to a call"),
    "a wait of a call that has ended": Corruption([*CALLED, START, END], WAIT, "its call is not open"),
    "a call that starts while it waits": Corruption([*CALLED, WAIT], START, "the call waits for w"),
    "an end of no wait": Corruption([], WaitEnd(key="w", outcome="completed"), "no wait or token w is open"),
    "an end of another wait": Corruption(
        [WaitStart(key="v")], WaitEnd(key="w", outcome="completed"), "no wait or token w is open"
    ),
    "an end of another token": Corruption(
        [TokenCreate(key="v")], WaitEnd(key="w", outcome="completed"), "no wait or token w is open"
    ),
    "a wait that ends twice": Corruption(
        [WaitStart(key="w"), WaitEnd(key="w", outcome="timed_out")],
        WaitEnd(key="w", outcome="completed"),
        "no wait or token w is open",
    ),
    "a token completed twice": Corruption(
        [TokenCreate(key="t"), WaitEnd(key="t", outcome="completed")],
        WaitEnd(key="t", outcome="completed"),
        "no wait or token t is open",
    ),
    "a wait that outlives its call": Corruption(
        [*CALLED, START, WAIT, END], WaitEnd(key="w", outcome="completed"), "no wait or token w is open"
    ),
    "a child started twice": Corruption(
        [ChildStart(key="k", child="c")], ChildStart(key="k", child="d"), "child k is running"
    ),
    "an end of no child": Corruption([], ChildEnd(key="k"), "no child k is running"),
    "a task within a task": Corruption([TASK], TASK, "task report is open"),
    "an end of no task": Corruption([], TaskEnd(), "no task is open"),
    "a step of no task": Corruption([], StepStart(key="s"), "no task is open"),
    "a step that ends before it began": Corruption([TASK], StepEnd(key="s"), "no step s is open"),
    "a loop's context of no task": Corruption(
        [], LoopContext(iteration=1, patch=msgspec.Raw(b"[]")), "no task is open"
    ),
    "a task during a run": Corruption(OPENED, TASK, "does not allow task_start"),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_a_corrupt_log_is_refused_with_its_own_reason(corruption: Corruption) -> None:
    state = state_of(corruption.history)
    seq = len(corruption.history) + 1
    with pytest.raises(IllegalEventError) as caught:
        evolve(state, Recorded(seq, 0, corruption.bad))
    assert corruption.reason in caught.value.reason
    assert str(caught.value).startswith(f"seq {seq}: {corruption.bad.__struct_config__.tag}")
    assert f"cannot follow in phase {state.phase.value}: {caught.value.reason}" in str(caught.value)


def test_the_corruptions_use_every_sentence_there_is() -> None:
    found = {legal(state_of(history), bad) for history, bad, _ in CORRUPTIONS.values()}
    assert None not in found
    assert len(found) >= 50


def test_a_call_is_found_by_its_message_and_its_place_there() -> None:
    state = state_of(CALLED)
    assert state.batch is not None
    assert (find_call(state, 8, 1), find_call(state, 8, 2)) == state.batch.calls
    assert [find_call(state, 7, 1), find_call(state, 8, 0), find_call(State(), 8, 1)] == [None] * 3


def test_an_answer_may_start_twice_before_it_streams() -> None:
    assert state_of(STREAMING, ASSISTANT).phase is Phase.STREAMING


def test_an_aborted_run_may_end_in_a_message_that_no_model_was_asked_for() -> None:
    whole = MessageStart(role="assistant", streamed=False)
    assert state_of(OPENED, AbortRequest(), whole).phase is Phase.STREAMING


def test_a_late_decision_about_a_call_that_has_ended_does_not_reach_the_next_batch() -> None:
    other = AssistantMessage(content=(ToolCall(id="c", name="read"), ToolCall(id="c", name="read")))
    token = TokenCreate(key="w")
    first: list[Event] = [
        token,
        START,
        WAIT,
        END,
        ToolExecutionStart(message_seq=8, content_index=2, name="send", refused="blocked"),
    ]
    second = ToolExecutionEnd(message_seq=8, content_index=2, is_error=True, decided="machine")
    results: list[Event] = [MessageStart(role="tool_result", call=place) for place in (FIRST, SECOND)]
    again: list[Event] = [
        TurnEnd(),
        TurnStart(),
        ModelRequest(attempt=1, request_sha256=""),
        ASSISTANT,
        MessageEnd(message=other),
    ]
    turn: list[Event] = [*first, second, results[0], MessageEnd(), results[1], MessageEnd(), *again]
    before = state_of(CALLED, *turn)
    assert before.waits == ()
    after = state_of(CALLED, *turn, WaitEnd(key="w", outcome="completed"))
    assert after.batch == before.batch is not None


def test_the_answer_to_one_wait_leaves_another_open() -> None:
    state = state_of(CALLED, WAIT, WaitStart(key="v", call=FIRST), WaitEnd(key="w", outcome="completed"))
    assert state.batch is not None
    assert [call.waiting for call in state.batch.calls] == ["v", ""]
    assert [wait.key for wait in state.waits] == ["v"]
    done = WaitEnd(key="v", outcome="completed")
    other = state_of(CALLED, WAIT, WaitStart(key="v", call=SECOND), done)
    assert other.batch is not None
    assert [(call.waiting, call.answer) for call in other.batch.calls] == [("w", None), ("", done)]


def test_a_wait_for_a_token_that_was_completed_is_over_at_once() -> None:
    done = WaitEnd(key="w", outcome="completed")
    state = state_of(CALLED, TokenCreate(key="w"), done, WAIT)
    assert state.batch is not None
    assert (state.waits, state.batch.calls[0].waiting, state.batch.calls[0].answer) == ((), "", done)


def test_an_update_that_names_no_open_block_is_refused_whoever_asks() -> None:
    wrong = MessageUpdate(kind="text_delta", content_index=5, delta="x")
    assert "block" in (legal(state_of(TEXT), wrong) or "")


def test_a_wait_within_a_batch_belongs_to_a_call_that_is_open() -> None:
    unknown = WaitStart(key="w", call=Place(message_seq=8, content_index=7))
    assert legal(state_of(CALLED), unknown) == "its call is not open"
    assert legal(state_of([*CALLED, START, END]), WAIT) == "its call is not open"
    assert legal(state_of(CALLED), WAIT) is None


def test_in_a_run_of_a_cancelled_task_a_call_may_wait_and_the_task_itself_may_not() -> None:
    history: list[Event] = [
        TaskStart(task="trip", rules=1),
        PUSH,
        Resume(why="continue"),
        AgentStart(),
        TurnStart(),
        MessageStart(role="input", push_seq=2),
        MessageEnd(),
        REQUESTED[-1],
        ASSISTANT,
        MessageEnd(message=calling("read", "send")),
        AbortRequest(cause="cancel"),
    ]
    state = state_of(history)
    assert state.closing
    assert legal(state, WaitStart(key="w", call=Place(message_seq=10, content_index=1))) is None
    assert legal(state, WaitStart(key="w")) is not None

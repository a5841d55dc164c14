"""The machine's rules for an answer that does not fit what was asked for: it is asked for again, within limits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from eventsource.errors import IllegalEventError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ConfigChange,
    Event,
    Fork,
    MessageEnd,
    MessageStart,
    ModelRequest,
    Policies,
    QueueName,
    QueuePush,
    Resume,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
)
from eventsource.machine.steps import CallModel, Record, Stop, next_step, reject_answer, turn_messages
from eventsource.messages import AssistantMessage, UserMessage
from tests.stories import (
    ASSISTANT,
    CALLED,
    END,
    FIRST,
    OPENED,
    PUSH,
    SECOND,
    SETTLED,
    START,
    STEER,
    STREAMING,
    TEXT,
    state_of,
)

AGAIN = QueuePush(queue="output", message=UserMessage(content="Again."))
FOLLOW = QueuePush(queue="follow_up", message=UserMessage(content="And tomorrow?"))
ANSWER = MessageEnd(message=AssistantMessage())
ASKED_AGAIN: list[Event] = [*SETTLED, AGAIN]  # the push has seq 9


def delivered(push_seq: int) -> list[Event]:
    return [MessageStart(role="input", push_seq=push_seq), MessageEnd()]


def limited(policies: Policies) -> list[Event]:
    """A run whose answer has just ended, with policies; the answer ends at seq 9."""
    return [SETTLED[0], ConfigChange(policies=policies), *SETTLED[1:]]


def refusal(history: list[Event], event: Event) -> str:
    with pytest.raises(IllegalEventError) as caught:
        state_of(history, event)
    return caught.value.reason


@pytest.mark.parametrize(
    "history",
    [
        [],
        [PUSH],
        OPENED,
        STREAMING,
        TEXT,
        CALLED,
        ASKED_AGAIN,
        [*SETTLED, TurnEnd()],
        [*SETTLED, TurnEnd(), AgentEnd()],
    ],
    ids=["empty", "queued", "open", "asked", "streaming", "with calls", "asked again", "turn ended", "run ended"],
)
def test_only_an_answer_that_has_just_ended_is_asked_for_again_and_once(history: list[Event]) -> None:
    assert refusal(history, AGAIN) == "no answer has just ended that could be asked for again"
    queues: tuple[QueueName, ...] = ("prompt", "steering", "follow_up", "inbox")
    for queue in queues:
        assert state_of(history, replace(AGAIN, queue=queue)).queued(queue)


def test_an_answer_whose_calls_have_results_is_not_the_last_one() -> None:
    second = ToolExecutionStart(message_seq=8, content_index=2, name="send")
    ends = [END, replace(END, content_index=2)]
    results: list[Event] = [MessageStart(role="tool_result", call=place) for place in (FIRST, SECOND)]
    history = [*CALLED, START, second, *ends, results[0], MessageEnd(), results[1], MessageEnd()]
    assert refusal(history, AGAIN) == "no answer has just ended that could be asked for again"


def test_what_is_asked_again_makes_the_next_turn_before_steering_and_nobody_is_polled() -> None:
    asks = Record((TurnEnd(), TurnStart(), *delivered(9)))
    assert next_step(state_of(ASKED_AGAIN)) == asks
    assert next_step(state_of([*ASKED_AGAIN, STEER, FOLLOW])) == asks
    begun = [*ASKED_AGAIN, STEER, FOLLOW, *asks.events]
    assert next_step(state_of(begun)) == CallModel(1), "one message at a time, and follow-ups come at the end"
    every = ConfigChange(policies=Policies(steering_queue="all", follow_up_queue="all"))
    assert next_step(state_of([*begun, every])) == Record(tuple(delivered(10)))
    assert next_step(state_of([*begun, every, *delivered(10)])) == CallModel(1)
    at_once = [*limited(Policies(follow_up_queue="all")), AGAIN, FOLLOW, TurnEnd(), TurnStart(), *delivered(10)]
    assert next_step(state_of(at_once)) == CallModel(1), "follow-ups do not come between a question and its answer"


def test_a_limit_of_turns_comes_before_another_question() -> None:
    ended = [*limited(Policies(turn_limit=1)), AGAIN, TurnEnd()]
    end = AgentEnd(reason="limit", error="the turn limit of 1 was reached")
    assert next_step(state_of(ended)) == Record((end,))
    assert next_step(state_of([*ended, end])) == Stop("limit"), "what was to be asked is forgotten"


def test_an_abort_forgets_what_was_to_be_asked_and_nothing_else() -> None:
    aborted = [*ASKED_AGAIN, FOLLOW, AbortRequest()]
    ending = (TurnEnd(), AgentEnd(reason="aborted"))
    assert next_step(state_of(aborted)) == Record(ending)
    assert [push.queue for push in state_of([*aborted, *ending]).queue] == ["follow_up"]


def test_a_fork_keeps_what_is_asked_again_by_the_turn_that_has_begun_or_will() -> None:
    for events in ((), (TurnEnd(),), (TurnEnd(), TurnStart()), (TurnEnd(), TurnStart(), delivered(9)[0])):
        state = state_of([*ASKED_AGAIN, FOLLOW, *events])
        kept = turn_messages(state)
        assert kept == ((9,) if state.delivering is None else ()), events
        assert [push.seq for push in state_of([*ASKED_AGAIN, FOLLOW, *events, Fork(keeps=kept)]).queue] == [*kept]


def test_how_often_an_answer_is_asked_for_again_is_counted_and_said() -> None:
    history = limited(Policies(output_retries=2))
    problem = "title: Field required"
    said = ["", ", though it was asked for 1 more time", ", though it was asked for 2 more times"]
    for asked in range(3):
        state = state_of(history)
        assert state.run is not None
        assert state.run.rejected == asked
        steered = state_of([*history, STEER]).run
        assert steered is not None
        assert steered.rejected == asked, "nothing else counts"
        none_left = state_of([*history, ConfigChange(policies=Policies(output_retries=asked))])
        error = f"the answer does not fit the output type{said[asked]}: {problem}"
        assert reject_answer(none_left, problem) == AbortRequest(reason="error", cause="output", error=error)
        rejected = reject_answer(state, problem)
        if asked == 2:
            assert refusal(history, AGAIN) == "an answer is asked for again at most 2 times"
            assert isinstance(rejected, AbortRequest)
            break
        words = (
            "Your answer does not fit what was asked for: title: Field required\nAnswer again, with the whole answer"
        )
        assert isinstance(rejected, QueuePush)
        assert rejected == QueuePush(queue="output", message=UserMessage(content=f"{words} and no more."))
        push_seq = len(history) + 1
        request = ModelRequest(attempt=1, request_sha256="")
        history = [*history, rejected, TurnEnd(), TurnStart(), *delivered(push_seq), request, ASSISTANT, ANSWER]


def test_the_count_begins_anew_with_each_run() -> None:
    none = Policies(output_retries=1)
    first = [*limited(none), AGAIN, AbortRequest(), TurnEnd(), AgentEnd(reason="aborted"), PUSH]
    push_seq = len(first)
    asked: list[Event] = [
        AgentStart(),
        TurnStart(),
        *delivered(push_seq),
        ModelRequest(attempt=1, request_sha256=""),
        ASSISTANT,
        ANSWER,
    ]
    assert state_of([*first, *asked, AGAIN]).queued("output")


def test_one_more_turn_that_was_asked_for_does_not_hide_what_is_asked_again() -> None:
    assert next_step(state_of([*ASKED_AGAIN, Resume(why="turn")])) == Record((TurnEnd(), TurnStart(), *delivered(9)))

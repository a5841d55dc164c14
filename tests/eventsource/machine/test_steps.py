"""What the machine says next: given events, then a step; and what holds after any events at all."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    ChildStart,
    ConfigChange,
    Event,
    Fork,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    ModelRequest,
    Origin,
    Place,
    Policies,
    QueueClear,
    QueuePush,
    Resume,
    Retry,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.refusals import ABORTED, LOST_CHILD, UNKNOWN_OUTCOME
from eventsource.machine.state import INBOX, Phase, State, Wait
from eventsource.machine.steps import (
    CallModel,
    CallRun,
    CloseMessage,
    Record,
    RunTools,
    Step,
    Stop,
    Suspend,
    can_continue,
    next_step,
    turn_messages,
)
from eventsource.messages import AssistantMessage, StopReason, Usage, UserMessage
from tests.candidates import CONFIGS, DONE, calling
from tests.interpreter import judge_request, played, resumed
from tests.stories import (
    ASSISTANT,
    CALLED,
    END,
    FAILED,
    INPUT,
    INPUT_END,
    OPENED,
    PUSH,
    REFUSED,
    REQUESTED,
    RESULT,
    SECOND,
    SETTLE,
    SETTLED,
    START,
    STEER,
    STREAMING,
    TEXT,
    WAIT,
    state_of,
)
from tests.strategies import choices, histories

USED_UP = MessageEnd(message=AssistantMessage(usage=Usage(output_tokens=9)))
LISTEN = WaitStart(key="inbox", reason=INBOX)
FOLLOW = QueuePush(queue="follow_up", message=UserMessage(content="And tomorrow?"))
SEQUENTIAL = Policies(tools="sequential")


def with_config(history: list[Event], policies: Policies, *more: Event) -> list[Event]:
    """Put policies and tools behind the prompt (so that it keeps its seq), and shift the calls' places for it."""
    change = msgspec.structs.replace(CONFIGS[0], policies=policies)
    return [history[0], change, *(shifted(event) for event in (*history[1:], *more))]


def shifted(event: Event) -> Event:
    """Move an event's call place by the one event that was put before it."""
    if isinstance(event, ToolExecutionStart | ToolExecutionEnd):
        return msgspec.structs.replace(event, message_seq=event.message_seq + 1)
    if isinstance(event, MessageStart | WaitStart) and event.call is not None:
        place = msgspec.structs.replace(event.call, message_seq=event.call.message_seq + 1)
        return msgspec.structs.replace(event, call=place)
    return event


def called(policies: Policies, *more: Event) -> list[Event]:
    """A batch of read (9:1, pure) and send (9:2, once)."""
    return with_config(CALLED, policies, *more)


READ, SEND = Place(message_seq=9, content_index=1), Place(message_seq=9, content_index=2)
START_SEND = ToolExecutionStart(message_seq=8, content_index=2, name="send")
END_SEND = ToolExecutionEnd(message_seq=8, content_index=2, result=DONE)
RESULT_SEND = MessageStart(role="tool_result", call=SECOND)
ABORT = AbortRequest()
ANSWERED: list[Event] = [START, END, RESULT, MessageEnd()]
BOTH: list[Event] = [START, START_SEND, END, END_SEND, RESULT, MessageEnd(), RESULT_SEND, MessageEnd()]
LEFT_OVER = ToolResult(terminate=True)
IN_DOUBT = "in_doubt:9:2:1"
RESULTS = (
    MessageStart(role="tool_result", call=READ),
    MessageEnd(),
    MessageStart(role="tool_result", call=SEND),
    MessageEnd(),
)


ADOPTED = MessageAdopt(message=UserMessage(content="And Rome?"), origin=Origin(source="test"))


def answer(stop_reason: StopReason) -> MessageAdopt:
    return MessageAdopt(message=AssistantMessage(stop_reason=stop_reason), origin=Origin(source="test"))


ANSWER = answer("stop")


class Case(NamedTuple):
    given: list[Event]
    then: Step


def settle(place: Place, result: ToolResult | None = None) -> ToolExecutionEnd:
    return ToolExecutionEnd(
        message_seq=place.message_seq,
        content_index=place.content_index,
        result=result,
        is_error=True,
        decided="machine",
    )


CASES: dict[str, Case] = {
    "nothing is to be done in an empty session": Case([], Stop()),
    "a prompt begins a run": Case([PUSH], Record((AgentStart(), TurnStart(), INPUT, INPUT_END))),
    "the last step of what began a run polls steering": Case(OPENED, CallModel(1, polls=("steering",))),
    "what is queued is delivered before anybody is asked": Case(
        [*OPENED, STEER], Record((MessageStart(role="input", push_seq=6), MessageEnd()))
    ),
    "one at a time, the second steering waits for the next turn": Case(
        [*OPENED, STEER, STEER, MessageStart(role="input", push_seq=6), MessageEnd()], CallModel(1)
    ),
    "which delivers one again": Case(
        [
            *OPENED,
            STEER,
            MessageStart(role="input", push_seq=6),
            MessageEnd(),
            ModelRequest(attempt=1, request_sha256=""),
            ASSISTANT,
            MessageEnd(message=AssistantMessage(stop_reason="pause")),
            TurnEnd(),
            STEER,
        ],
        Record((TurnStart(), MessageStart(role="input", push_seq=13), MessageEnd())),
    ),
    "all at once, it does not": Case(
        [
            PUSH,
            ConfigChange(policies=Policies(steering_queue="all")),
            *OPENED[1:],
            STEER,
            STEER,
            MessageStart(role="input", push_seq=7),
            MessageEnd(),
        ],
        Record((MessageStart(role="input", push_seq=8), MessageEnd())),
    ),
    "after an abort all of it is delivered, and no model asked": Case(
        called(Policies(), *BOTH, STEER, STEER, ABORT, TurnEnd(), TurnStart()),
        Record(
            (
                MessageStart(role="input", push_seq=18),
                MessageEnd(),
                MessageStart(role="input", push_seq=19),
                MessageEnd(),
            )
        ),
    ),
    "follow-ups are delivered one at a time": Case(
        [*SETTLED, FOLLOW, FOLLOW, TurnEnd()],
        Record((TurnStart(), MessageStart(role="input", push_seq=9), MessageEnd())),
    ),
    "or all at once": Case(
        with_config(SETTLED, Policies(follow_up_queue="all"), FOLLOW, FOLLOW, TurnEnd()),
        Record(
            (
                TurnStart(),
                MessageStart(role="input", push_seq=10),
                MessageEnd(),
                MessageStart(role="input", push_seq=11),
                MessageEnd(),
            )
        ),
    ),
    "but none where the run is aborted": Case(
        called(Policies(), *BOTH, FOLLOW, ABORT, TurnEnd(), TurnStart()), CloseMessage("aborted")
    ),
    "a prompt that comes when the model was asked is for the next run": Case(
        [*REQUESTED, PUSH, Retry(cause="busy")], CallModel(2)
    ),
    "nor where a run that was to answer it is aborted": Case(
        [FOLLOW, AgentStart(reason="follow_up"), TurnStart(), ABORT], CloseMessage("aborted")
    ),
    "what was steered before a turn begins is not asked for": Case(
        [*SETTLED, STEER, TurnEnd()], Record((TurnStart(), MessageStart(role="input", push_seq=9), MessageEnd()))
    ),
    "nor behind results": Case(
        called(Policies(), *BOTH, STEER, TurnEnd()),
        Record((TurnStart(), MessageStart(role="input", push_seq=18), MessageEnd())),
    ),
    "nor behind a sequential batch": Case(
        called(SEQUENTIAL, *ANSWERED, START_SEND, END_SEND, *BOTH[6:], STEER),
        Record((TurnEnd(), TurnStart(), MessageStart(role="input", push_seq=18), MessageEnd()), ("stop",)),
    ),
    "a limit ends a run at once, whatever its results want": Case(
        called(Policies(), *BOTH, AbortRequest(reason="limit", cause="budget", error="over"), TurnEnd()),
        Record((AgentEnd(reason="limit", error="over"),)),
    ),
    "a limit of turns counts turns for steering": Case(
        with_config(SETTLED, Policies(turn_limit=1), STEER, TurnEnd()),
        Record((AgentEnd(reason="limit", error="the turn limit of 1 was reached"),)),
    ),
    "and for follow-ups": Case(
        with_config(SETTLED, Policies(turn_limit=1), FOLLOW, TurnEnd()),
        Record((AgentEnd(reason="limit", error="the turn limit of 1 was reached"),)),
    ),
    "a follow-up waits for the end": Case([*OPENED, FOLLOW], CallModel(1, polls=("steering",))),
    "a continuation begins without input": Case(
        [Resume(why="continue")], Record((AgentStart(reason="continue"), TurnStart()))
    ),
    "what was steered into an idle session begins a run": Case(
        [STEER], Record((AgentStart(reason="follow_up"), TurnStart(), INPUT, INPUT_END))
    ),
    "and a follow-up of an idle session is what its run begins with": Case(
        [FOLLOW], Record((AgentStart(reason="follow_up"), TurnStart(), INPUT, INPUT_END))
    ),
    "a follow-up waits behind steering for a turn of its own": Case(
        with_config(
            SETTLED,
            Policies(follow_up_queue="all"),
            FOLLOW,
            STEER,
            TurnEnd(),
            TurnStart(),
            MessageStart(role="input", push_seq=11),
            MessageEnd(),
        ),
        CallModel(1),
    ),
    "and behind results": Case(called(Policies(), FOLLOW, *BOTH, TurnEnd(), TurnStart()), CallModel(1)),
    "a queue that was cleared begins nothing": Case([PUSH, QueueClear(queue="prompt")], Stop()),
    "while a task is open, a push begins nothing": Case([PUSH, TaskStart(task="report")], Stop()),
    "until its code asks": Case(
        [PUSH, TaskStart(task="report"), Resume(why="continue")], Record((AgentStart(), TurnStart(), INPUT, INPUT_END))
    ),
    "an idle session with an open wait suspends": Case(
        [WaitStart(key="w", deadline_us=7)], Suspend((Wait("w", 7, None),))
    ),
    "a wait of a token has the token's deadline": Case(
        [TokenCreate(key="w", deadline_us=5), WaitStart(key="w")], Suspend((Wait("w", 5, None),))
    ),
    "after a request without an answer comes a new attempt": Case(REQUESTED, CallModel(2)),
    "a retry says when": Case([*REQUESTED, Retry(cause="busy", not_before_us=9)], CallModel(2, 9)),
    "which is over once it was waited for": Case(
        [
            *REQUESTED,
            Retry(cause="busy", not_before_us=9),
            ModelRequest(attempt=2, request_sha256=""),
            ASSISTANT,
            MessageEnd(message=AssistantMessage(), interrupted="dropped"),
        ],
        CallModel(3),
    ),
    "after an abort, the answer that is due is closed": Case([*REQUESTED, ABORT], CloseMessage("aborted")),
    "also where no model was asked yet": Case([*OPENED, ABORT], CloseMessage("aborted")),
    "an open answer is closed as interrupted": Case(TEXT, CloseMessage("interrupted")),
    "or as aborted": Case([*TEXT, ABORT], CloseMessage("aborted")),
    "an interrupted answer is asked for again": Case(
        [*TEXT, MessageEnd(message=AssistantMessage(), interrupted="dropped")], CallModel(2)
    ),
    "a final answer ends the turn, if nobody wants to stop before": Case(SETTLED, Record((TurnEnd(),), ("stop",))),
    "after an abort nobody is asked": Case([*SETTLED, ABORT], Record((TurnEnd(), AgentEnd(reason="aborted")))),
    "before a run ends, steering and follow-ups are asked for": Case(
        [*SETTLED, TurnEnd()], Record((AgentEnd(),), ("steering", "follow_up"))
    ),
    "one more turn is asked for once": Case([*SETTLED, Resume(why="turn")], Record((TurnEnd(),))),
    "and comes when nothing else is left": Case(
        [*SETTLED, Resume(why="turn"), TurnEnd()], Record((TurnStart(),), ("steering", "follow_up"))
    ),
    "where steering waits for batches, it is asked for once more": Case(
        with_config(SETTLED, Policies(steering="after_batch"), Resume(why="turn"), TurnEnd()),
        Record((TurnStart(),), ("steering", "follow_up", "steering")),
    ),
    "one more turn is one": Case(
        [
            *SETTLED,
            Resume(why="turn"),
            TurnEnd(),
            TurnStart(),
            ModelRequest(attempt=1, request_sha256=""),
            ASSISTANT,
            MessageEnd(message=AssistantMessage()),
        ],
        Record((TurnEnd(),), ("stop",)),
    ),
    "a continuation that is asked for during a run changes nothing": Case(
        [*OPENED, Resume(why="continue")], CallModel(1, polls=("steering",))
    ),
    "nor when the run is over": Case(
        [*OPENED, Resume(why="continue"), *SETTLED[5:], TurnEnd(), AgentEnd()], Stop("stop")
    ),
    "who comes back to an idle session asks for no run": Case([Resume(why="crash")], Stop()),
    "nor takes back what was asked for": Case(
        [Resume(why="continue"), Resume(why="crash")], Record((AgentStart(reason="continue"), TurnStart()))
    ),
    "one more turn of no run begins none": Case([Resume(why="turn")], Stop()),
    "an abort comes before one more turn": Case(
        [*SETTLED, Resume(why="turn"), ABORT], Record((TurnEnd(), AgentEnd(reason="aborted")))
    ),
    "a limit of turns counts one more turn too": Case(
        with_config(SETTLED, Policies(turn_limit=1), Resume(why="turn"), TurnEnd()),
        Record((AgentEnd(reason="limit", error="the turn limit of 1 was reached"),)),
    ),
    "a follow-up makes another turn": Case(
        [*SETTLED, TurnEnd(), FOLLOW],
        Record((TurnStart(), MessageStart(role="input", push_seq=10), MessageEnd())),
    ),
    "a paused answer goes on": Case(
        [*STREAMING, MessageEnd(message=AssistantMessage(stop_reason="pause")), TurnEnd()],
        Record((TurnStart(),), ("steering",)),
    ),
    "a failed answer ends the run": Case(FAILED, Record((TurnEnd(), AgentEnd(reason="error")))),
    "unless it may be tried again": Case(with_config(FAILED, Policies(retries=1)), Record((Retry(cause="error"),))),
    "so often and no more": Case(
        with_config(
            FAILED,
            Policies(retries=1),
            Retry(cause="error"),
            ModelRequest(attempt=2, request_sha256=""),
            ASSISTANT,
            MessageEnd(message=AssistantMessage(stop_reason="error", error="again")),
        ),
        Record((TurnEnd(), AgentEnd(reason="error", error="again"))),
    ),
    "in each turn anew": Case(
        with_config(
            FAILED,
            Policies(retries=1),
            Retry(cause="error"),
            ModelRequest(attempt=2, request_sha256=""),
            ASSISTANT,
            MessageEnd(message=AssistantMessage(stop_reason="pause")),
            TurnEnd(),
            TurnStart(),
            ModelRequest(attempt=1, request_sha256=""),
            ASSISTANT,
            MessageEnd(message=AssistantMessage(stop_reason="error")),
        ),
        Record((Retry(cause="error"),)),
    ),
    "an aborted answer is never tried again": Case(
        with_config(
            STREAMING, Policies(retries=9), MessageEnd(message=AssistantMessage(stop_reason="aborted", error="cut"))
        ),
        Record((TurnEnd(), AgentEnd(reason="aborted", error="cut"))),
    ),
    "nor one that an error of a hook cut": Case(
        with_config(
            STREAMING,
            Policies(retries=9),
            AbortRequest(reason="error", cause="hook", error="no"),
            MessageEnd(message=AssistantMessage(stop_reason="aborted", error="cut")),
        ),
        Record((TurnEnd(), AgentEnd(reason="error", error="cut"))),
    ),
    "calls run at once": Case(
        called(Policies()), RunTools((CallRun(READ, "read", 1), CallRun(SEND, "send", 1)), parallel=True)
    ),
    "or one by one, by policy": Case(called(SEQUENTIAL), RunTools((CallRun(READ, "read", 1),), parallel=False)),
    "a tool that the configuration lacks is refused": Case(
        [*STREAMING, MessageEnd(message=calling("nowhere"))],
        Record(
            (
                ToolExecutionStart(message_seq=8, content_index=1, name="nowhere", refused="unknown"),
                SETTLE,
                RESULT,
                MessageEnd(),
            )
        ),
    ),
    "unless the policy lets a foreign loop run what nobody declared": Case(
        with_config(STREAMING, Policies(unknown_tools="run"), MessageEnd(message=calling("nowhere"))),
        RunTools((CallRun(READ, "nowhere", 1),), parallel=True),
    ),
    "the calls of a message that was cut are refused": Case(
        with_config(STREAMING, Policies(), MessageEnd(message=calling("read", reason="length"))),
        Record(
            (
                ToolExecutionStart(message_seq=9, content_index=1, name="read", refused="length"),
                settle(READ),
                MessageStart(role="tool_result", call=READ),
                MessageEnd(),
            )
        ),
    ),
    "unless the policy runs them": Case(
        with_config(STREAMING, Policies(length_calls="run"), MessageEnd(message=calling("read", reason="length"))),
        RunTools((CallRun(READ, "read", 1),), parallel=True),
    ),
    "a parallel batch delivers no result before its last call has ended": Case(
        called(Policies(), START, START_SEND, END, END_SEND),
        Record(
            (
                MessageStart(role="tool_result", call=READ),
                MessageEnd(),
                MessageStart(role="tool_result", call=SEND),
                MessageEnd(),
            )
        ),
    ),
    "between the calls of a sequential batch, steering is asked for": Case(
        called(SEQUENTIAL, *ANSWERED), RunTools((CallRun(SEND, "send", 1),), parallel=False, polls=("steering",))
    ),
    "and skips what is left": Case(
        called(SEQUENTIAL, *ANSWERED, STEER),
        Record(
            (
                ToolExecutionStart(message_seq=9, content_index=2, name="send", refused="skipped"),
                settle(SEND),
                MessageStart(role="tool_result", call=SEND),
                MessageEnd(),
            )
        ),
    ),
    "but never the first call": Case(called(SEQUENTIAL, STEER), RunTools((CallRun(READ, "read", 1),), parallel=False)),
    "and nothing when steering waits for the batch": Case(
        called(Policies(tools="sequential", steering="after_batch"), *ANSWERED, STEER),
        RunTools((CallRun(SEND, "send", 1),), parallel=False),
    ),
    "where steering waits for the batch, it is not asked for within": Case(
        called(Policies(tools="sequential", steering="after_batch"), *ANSWERED),
        RunTools((CallRun(SEND, "send", 1),), parallel=False),
    ),
    "nor between the calls of a parallel batch": Case(
        [*STREAMING, MessageEnd(message=calling("read", "nowhere")), REFUSED, SETTLE, RESULT, MessageEnd()],
        Record(
            (
                ToolExecutionStart(message_seq=8, content_index=2, name="nowhere", refused="unknown"),
                msgspec.structs.replace(SETTLE, content_index=2),
                RESULT_SEND,
                MessageEnd(),
            )
        ),
    ),
    "nor behind it": Case(called(Policies(), *BOTH), Record((TurnEnd(),), ("stop",))),
    "nor behind a sequential one, where it waits for batches": Case(
        called(Policies(tools="sequential", steering="after_batch"), *ANSWERED, START_SEND, END_SEND, *BOTH[6:]),
        Record((TurnEnd(),), ("stop",)),
    ),
    "after the last result of a sequential batch steering is asked for, then whether to stop": Case(
        called(SEQUENTIAL, START, END, RESULT, MessageEnd(), START_SEND, END_SEND, RESULT_SEND, MessageEnd()),
        Record((TurnEnd(),), ("steering", "stop")),
    ),
    "results want another turn": Case(called(Policies(), *BOTH, TurnEnd()), Record((TurnStart(),), ("steering",))),
    "and steering is asked for twice when it waits for batches": Case(
        called(Policies(steering="after_batch"), *BOTH, TurnEnd()), Record((TurnStart(),), ("steering", "steering"))
    ),
    "unless every result says to end": Case(
        called(
            Policies(),
            START,
            START_SEND,
            msgspec.structs.replace(END, result=LEFT_OVER),
            msgspec.structs.replace(END_SEND, result=LEFT_OVER),
            *BOTH[4:],
            TurnEnd(),
        ),
        Record((AgentEnd(),), ("steering", "follow_up")),
    ),
    "a limit of turns ends what would go on": Case(
        called(Policies(turn_limit=1), *BOTH, TurnEnd()),
        Record((AgentEnd(reason="limit", error="the turn limit of 1 was reached"),)),
    ),
    "a limit of tokens too": Case(
        called(Policies(token_limit=9), *BOTH, TurnEnd()),
        Record((AgentEnd(reason="limit", error="the token limit of 9 was reached"),)),
    ),
    "also the smallest one": Case(
        called(Policies(token_limit=1), *BOTH, TurnEnd()),
        Record((AgentEnd(reason="limit", error="the token limit of 1 was reached"),)),
    ),
    "but a run that is done at its limit ended well": Case(
        with_config(SETTLED[:-1], Policies(turn_limit=1, token_limit=9), USED_UP, TurnEnd()),
        Record((AgentEnd(),), ("steering", "follow_up")),
    ),
    "also within a task that has used all it may": Case(
        [
            PUSH,
            TaskStart(task="t", retries=0, token_limit=9),
            Resume(why="continue"),
            *SETTLED[1:-1],
            USED_UP,
            TurnEnd(),
        ],
        Record((AgentEnd(),), ("steering", "follow_up")),
    ),
    "a pure call without an end runs again": Case(
        called(SEQUENTIAL, START), RunTools((CallRun(READ, "read", 2),), parallel=False)
    ),
    "a once call without an end is settled as unknown": Case(
        called(Policies(), START, START_SEND), Record((settle(SEND, UNKNOWN_OUTCOME),))
    ),
    "or a person is asked": Case(
        called(Policies(in_doubt="ask"), START, START_SEND),
        Record((WaitStart(key=IN_DOUBT, reason="in_doubt", call=SEND),)),
    ),
    "but not where the run is aborted": Case(
        called(Policies(in_doubt="ask"), START, START_SEND, END, ABORT),
        Record((settle(SEND, ABORTED), *RESULTS, TurnEnd(), TurnStart())),
    ),
    "nor twice": Case(
        [
            *called(Policies(in_doubt="ask"), START, START_SEND, END),
            WaitStart(key=IN_DOUBT, reason="in_doubt", call=SEND),
            WaitEnd(key=IN_DOUBT, outcome="timed_out"),
        ],
        Record((settle(SEND, UNKNOWN_OUTCOME), *RESULTS)),
    ),
    "nor about a call whose child runs on elsewhere": Case(
        [*called(Policies(in_doubt="ask"), START, START_SEND, END), ChildStart(key="k", child="c", call=SEND), Fork()],
        Record((settle(SEND, LOST_CHILD), *RESULTS)),
    ),
    "nor about one whose result was to be adopted, which ends as unknown": Case(
        called(Policies(in_doubt="ask"), START, msgspec.structs.replace(START_SEND, refused="adopted"), END),
        Record((settle(SEND, UNKNOWN_OUTCOME), *RESULTS)),
    ),
    "who may say to run it again": Case(
        [
            *called(SEQUENTIAL, *ANSWERED, START_SEND),
            WaitStart(key="d", call=SEND),
            WaitEnd(key="d", outcome="completed", value=msgspec.Raw(b'"rerun"')),
        ],
        RunTools(
            (
                CallRun(
                    SEND,
                    "send",
                    2,
                    answer=WaitEnd(key="d", outcome="completed", value=msgspec.Raw(b'"rerun"')),
                ),
            ),
            parallel=False,
        ),
    ),
    "and says it for this session, not for its forks": Case(
        [
            *called(SEQUENTIAL, *ANSWERED, START_SEND),
            WaitStart(key="d", call=SEND),
            WaitEnd(key="d", outcome="completed", value=msgspec.Raw(b'"rerun"')),
            Fork(),
        ],
        Record((settle(SEND, UNKNOWN_OUTCOME), MessageStart(role="tool_result", call=SEND), MessageEnd())),
    ),
    "or not": Case(
        [
            *called(SEQUENTIAL, *ANSWERED, START_SEND),
            WaitStart(key="d", call=SEND),
            WaitEnd(key="d", outcome="timed_out"),
        ],
        Record((settle(SEND, UNKNOWN_OUTCOME), MessageStart(role="tool_result", call=SEND), MessageEnd())),
    ),
    "after an abort, a call without an end gets an error": Case(
        called(SEQUENTIAL, START, ABORT),
        Record(
            (
                settle(READ, ABORTED),
                MessageStart(role="tool_result", call=READ),
                MessageEnd(),
                ToolExecutionStart(message_seq=9, content_index=2, name="send", refused="aborted"),
                settle(SEND),
                MessageStart(role="tool_result", call=SEND),
                MessageEnd(),
                TurnEnd(),
                TurnStart(),
            )
        ),
    ),
    "and so does a call that was refused before": Case(
        [*STREAMING, MessageEnd(message=calling("read")), REFUSED],
        Record((SETTLE, RESULT, MessageEnd())),
    ),
    "after an abort, an open wait is cancelled": Case(
        [*STREAMING, MessageEnd(message=calling("nowhere")), WAIT, ABORT],
        Record(
            (
                WaitEnd(key="w", outcome="cancelled", decided_by="machine"),
                ToolExecutionStart(message_seq=8, content_index=1, name="nowhere", refused="aborted"),
                SETTLE,
                RESULT,
                MessageEnd(),
                TurnEnd(),
                TurnStart(),
            )
        ),
    ),
    "a call that waits holds a sequential batch up": Case(called(SEQUENTIAL, WAIT), Suspend((Wait("w", None, READ),))),
    "but not the other calls of a parallel one": Case(
        called(Policies(), WAIT), RunTools((CallRun(SEND, "send", 1),), parallel=True)
    ),
    "which suspends when they are done": Case(
        called(Policies(), WAIT, START_SEND, END_SEND), Suspend((Wait("w", None, READ),))
    ),
    "a fork drops what was queued": Case([PUSH, Fork()], Stop()),
    "and what its calls wait for": Case(
        called(Policies(), WAIT, Fork()),
        RunTools((CallRun(READ, "read", 1), CallRun(SEND, "send", 1)), parallel=True),
    ),
    "but what it keeps": Case([PUSH, AgentStart(), Fork(keeps=(1,))], Record((TurnStart(), INPUT, INPUT_END))),
    "and open waits": Case([WaitStart(key="w"), Fork()], Stop()),
    "a session that ended in an error stays where it is": Case(
        [*FAILED, TurnEnd(), AgentEnd(reason="error")], Stop("error")
    ),
    "until somebody asks for more": Case(
        [*FAILED, TurnEnd(), AgentEnd(reason="error"), Resume(why="continue")],
        Record((AgentStart(reason="continue"), TurnStart())),
    ),
    "a run that was asked to stop ends well": Case(
        [*SETTLED, AbortRequest(reason="stop", cause="hook")], Record((TurnEnd(), AgentEnd(reason="stop")))
    ),
    "what a callback raised ends the run in its words": Case(
        [*SETTLED, AbortRequest(reason="error", cause="callback", error="no")],
        Record((TurnEnd(), AgentEnd(reason="error", error="no"))),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_given_events_then_step(case: Case) -> None:
    assert next_step(state_of(case.given)) == case.then


@pytest.mark.parametrize(
    ("history", "continues"),
    [
        ([], False),
        ([ADOPTED], True),
        ([ADOPTED, ANSWER], False),
        ([ADOPTED, answer("error")], True),
        ([ADOPTED, answer("aborted")], True),
        ([ADOPTED, answer("length")], False),
        ([ADOPTED, TaskStart(task="report")], False),
        ([ADOPTED, WaitStart(key="w")], False),
        ([ADOPTED, STEER], False),
        ([ADOPTED, QueuePush(queue="inbox", message=UserMessage(content="hi"))], True),
        ([*FAILED, TurnEnd(), AgentEnd(reason="error")], True),
        ([*called(Policies(), *BOTH), TurnEnd(), AgentEnd(reason="limit")], True),
        (OPENED, False),
    ],
)
def test_an_idle_session_goes_on_by_itself_where_its_last_message_wants_an_answer(
    history: list[Event], continues: bool
) -> None:
    assert can_continue(state_of(history)) is continues


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        ([], ()),
        ([PUSH], ()),
        ([PUSH, Resume(why="continue")], (1,)),
        ([PUSH, TaskStart(task="t"), LISTEN, Resume(why="continue")], (1,)),
        ([PUSH, FOLLOW, AgentStart()], (1,)),
        (OPENED[:3], (1,)),
        ([PUSH, *OPENED[:3]], (1, 2)),
        (OPENED[:4], ()),
        (OPENED, ()),
        ([*OPENED, STEER], (6,)),
        ([*OPENED, FOLLOW], ()),
        ([*REQUESTED, STEER], ()),
        ([*REQUESTED, STEER, Retry(cause="busy")], ()),
        ([*SETTLED, STEER], ()),
        ([*SETTLED, STEER, TurnEnd()], ()),
        ([*SETTLED, STEER, TurnEnd(), TurnStart()], (9,)),
    ],
)
def test_a_turn_that_has_begun_or_was_asked_for_names_the_messages_that_it_delivers(
    history: list[Event], kept: tuple[int, ...]
) -> None:
    assert turn_messages(state_of(history)) == kept


def test_a_child_that_runs_on_in_the_parent_of_a_fork_is_lost() -> None:
    history = called(SEQUENTIAL, START)
    step = next_step(state_of([*history, ChildStart(key="k", child="c", call=READ), Fork()]))
    assert isinstance(step, Record)
    assert step.events[0] == settle(READ, LOST_CHILD)
    again = ToolExecutionStart(message_seq=9, content_index=1, name="read", attempt=2)
    started = [*history, ChildStart(key="k", child="c", call=READ), Fork(), again]
    for more in ([], [Fork()]):
        assert next_step(state_of([*started, *more])) == RunTools((CallRun(READ, "read", 3),), parallel=False)


def test_a_child_that_has_ended_is_not_lost_by_a_fork() -> None:
    history = [*called(SEQUENTIAL, START), ChildStart(key="k", child="c", call=READ), ChildEnd(key="k")]
    assert state_of(history).children == ()
    assert next_step(state_of([*history, Fork()])) == RunTools((CallRun(READ, "read", 2),), parallel=False)


def test_the_policies_of_a_batch_are_those_it_began_under() -> None:
    change = ConfigChange(policies=Policies(tools="sequential"), tools=())
    assert next_step(state_of(called(Policies()), change)) == next_step(state_of(called(Policies())))


def hold_prefixes(state: State, seq: int) -> None:
    step = next_step(state)
    assert next_step(state) == step
    if not isinstance(step, Record):
        return
    for place, event in enumerate(step.events):
        state = evolve(state, Recorded(seq + place, 0, event))
        following = next_step(state)
        rest = step.events[place + 1 :]
        if rest:
            assert following == Record(rest)
        else:
            assert not isinstance(following, Record) or following.polls or state.phase is Phase.IDLE


@given(histories())
def test_after_each_event_of_a_record_the_machine_says_the_rest(history: tuple[Recorded, ...]) -> None:
    state = State()
    hold_prefixes(state, 1)
    for seq, recorded in enumerate(history, 1):
        state = evolve(state, recorded)
        hold_prefixes(state, seq + 1)


@given(histories())
def test_a_model_is_called_only_with_every_result_there_and_never_after_an_abort(
    history: tuple[Recorded, ...],
) -> None:
    state = State()
    for place, recorded in enumerate(history, 1):
        state = evolve(state, recorded)
        if isinstance(next_step(state), CallModel):
            judge_request(history[:place])


@given(histories(), st.integers(0, 60), choices(10))
def test_every_prefix_of_a_legal_history_goes_on_to_a_legal_end(
    history: tuple[Recorded, ...], cut: int, numbers: list[int]
) -> None:
    for prefix in (history[:cut], history):
        state = fold(resumed(prefix, numbers))
        assert (state.phase, state.queue, state.task) == (Phase.IDLE, state.queued("inbox"), "")
        assert isinstance(next_step(state), Stop)


def test_a_run_may_begin_between_two_attempts_and_the_next_attempt_waits_for_its_end() -> None:
    retry = Suspend((Wait("retry", 5, None, "retry"),))
    pending: list[Event] = [CONFIGS[0], TaskStart(task="t"), TaskEnd(error="no", retry_at_us=5)]
    assert next_step(state_of(pending)) == retry
    asked: list[Event] = [*pending, PUSH, Resume(why="continue")]
    step = next_step(state_of(asked))
    assert isinstance(step, Record)
    assert isinstance(step.events[0], AgentStart)
    open_batch: list[Event] = [
        *asked,
        *step.events,
        ModelRequest(attempt=1, request_sha256=""),
        MessageStart(role="assistant", streamed=False),
        MessageEnd(message=calling("read")),
    ]
    place = Place(message_seq=len(open_batch), content_index=1)
    waiting = [*open_batch, WaitStart(key="ask", reason="approval", call=place)]
    suspended = next_step(state_of(waiting))
    assert isinstance(suspended, Suspend)
    assert [wait.key for wait in suspended.waits] == ["ask"]
    ended = resumed([Recorded(seq, 0, event) for seq, event in enumerate(waiting, 1)])
    run_end = next(place for place, one in enumerate(ended, 1) if isinstance(one.event, AgentEnd))
    assert next_step(fold(ended[:run_end])) == retry
    assert [one.event.attempt for one in ended[run_end:] if isinstance(one.event, TaskStart)] == [2]


@given(choices(120), st.data())
def test_a_run_cut_anywhere_goes_on_to_a_legal_end(numbers: list[int], data: st.DataObject) -> None:
    history = played(numbers)
    cut = data.draw(st.integers(0, len(history)))
    state = fold(resumed(history[:cut]))
    assert (state.phase, state.queue) == (Phase.IDLE, state.queued("inbox"))


@given(choices(120))
def test_every_message_that_was_pushed_is_delivered_once_or_was_taken_back(numbers: list[int]) -> None:
    waiting: dict[int, str] = {}
    for recorded in played(numbers):
        match recorded.event:
            case QueuePush(queue=queue):
                waiting[recorded.seq] = queue
            case QueueClear(queue=queue):
                waiting = {seq: name for seq, name in waiting.items() if name != queue}
            case Fork(keeps=keeps):
                waiting = {seq: name for seq, name in waiting.items() if seq in keeps}
            case WaitEnd(push_seq=seq) if seq:
                assert waiting.pop(seq) == "inbox"
            case Resume(push_seq=seq) if seq:
                waiting[seq] = "prompt"
            case MessageStart(role="input", push_seq=seq):
                assert waiting.pop(seq) != "inbox"
            case _:
                pass
    assert set(waiting.values()) <= {"inbox"}, "what was sent to a task waits for it"

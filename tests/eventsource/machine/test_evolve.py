"""The fold: what holds for every legal history."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st
from msgspec import Raw
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ConfigChange,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    QueuePush,
    Resume,
    StreamUpdate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    TurnEnd,
    TurnStart,
    UpdateKind,
)
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.guards import kind_of, legal
from eventsource.machine.outcome import Ending
from eventsource.machine.state import INPUTS, ROWS, Kind, OpenRun, Phase, State
from eventsource.values import ToolMode
from tests.candidates import DONE, TOOLS, calling, candidates
from tests.stories import (
    CALLED,
    END,
    FAILED,
    OPENED,
    PUSH,
    REFUSED,
    RESULT,
    SECOND,
    SETTLED,
    START,
    STEER,
    STREAMING,
    WAIT,
    state_of,
)
from tests.strategies import events, histories, walk

CUTS = st.integers(0, 60)
SECOND_START = ToolExecutionStart(message_seq=8, content_index=2, name="send")
SECOND_END = ToolExecutionEnd(message_seq=8, content_index=2, result=DONE)


@given(histories(), CUTS)
def test_folding_in_two_parts_is_folding_once(history: tuple[Recorded, ...], cut: int) -> None:
    assert fold(history[cut:], fold(history[:cut])) == fold(history)


@given(histories())
def test_a_state_never_changes_once_it_was_given_out(history: tuple[Recorded, ...]) -> None:
    states = [State()]
    for recorded in history:
        states.append(evolve(states[-1], recorded))
    again = State()
    for state, recorded in zip(states[1:], history, strict=True):
        again = evolve(again, recorded)
        assert state == again


@given(histories(), st.lists(events(), max_size=5))
def test_evolve_accepts_exactly_what_is_legal(history: tuple[Recorded, ...], others: list[Event]) -> None:
    state, seq = fold(history), len(history) + 1
    for event in [*others, *(e for kind in Kind for e in candidates(state, seq, kind))]:
        problem, kind = legal(state, event), kind_of(state, event)
        if problem is None:
            following = evolve(state, Recorded(seq, 0, event))
            assert following.phase is (state.phase if kind in INPUTS else ROWS[state.phase][kind])
            continue
        with pytest.raises(IllegalEventError) as caught:
            evolve(state, Recorded(seq, 0, event))
        error = caught.value
        assert (error.seq, error.phase, error.event, error.reason) == (seq, state.phase.value, kind.value, problem)


@example(walk([26, 0, 250, 2, 2, 1024696, 10, 642, 74, 12872, 250]))  # one behind the word that nobody could go on
@given(histories())
def test_updates_of_tools_and_streams_never_change_the_state(history: tuple[Recorded, ...]) -> None:
    state = State()
    for recorded in history:
        following = evolve(state, recorded)
        if isinstance(recorded.event, ToolExecutionUpdate | StreamUpdate):
            assert following is state
        state = following


def without_superseded(history: tuple[Recorded, ...]) -> list[Recorded]:
    """Leave out the updates of every message that ends within the history."""
    kept: list[Recorded] = []
    for recorded in history:
        event = recorded.event
        if isinstance(event, MessageEnd) and event.message is not None:
            kept = [one for one in kept if not isinstance(one.event, MessageUpdate)]
        kept.append(recorded)
    return kept


@given(histories(), CUTS)
def test_after_a_message_ended_its_updates_do_not_matter(history: tuple[Recorded, ...], cut: int) -> None:
    for seq in {cut, len(history)}:
        assert fold(without_superseded(history[:seq])) == fold(history[:seq])


@given(histories())
def test_what_comes_from_outside_is_legal_in_every_phase(history: tuple[Recorded, ...]) -> None:
    free = INPUTS - {Kind.TOKEN_CREATE, Kind.WAIT_END, Kind.CHILD_END}  # these name something of the state
    state = State()
    for seq, recorded in enumerate(history, 1):
        for kind in free:
            for event in candidates(state, seq, kind):
                if not (isinstance(event, QueuePush) and event.queue == "output"):  # this one is about a run's answer
                    assert evolve(state, Recorded(seq, 0, event)).phase is state.phase
        state = evolve(state, recorded)


def test_an_abort_where_nothing_runs_is_forgotten() -> None:
    state = fold([Recorded(1, 0, AbortRequest()), Recorded(2, 0, Resume(why="continue")), Recorded(3, 0, AgentStart())])
    assert state.run is not None
    assert state.aborted is None


def test_the_first_abort_counts() -> None:
    first, second = AbortRequest(reason="limit"), AbortRequest(reason="error")
    started: list[Event] = [Resume(why="continue"), AgentStart(), first, second, TurnStart()]
    state = fold(Recorded(seq, 0, event) for seq, event in enumerate(started, 1))
    assert (state.aborted, state.ending.abort) == (first, first)
    assert state.phase is Phase.OPEN


def test_how_a_run_ended_is_forgotten_where_the_next_one_begins() -> None:
    ended = state_of([*FAILED, TurnEnd(), AgentEnd(reason="error", error="busy")])
    assert (ended.ended, ended.ending.error) == ("error", "busy")
    again = evolve(evolve(ended, Recorded(11, 0, Resume(why="continue"))), Recorded(12, 0, AgentStart()))
    assert (again.ended, again.ending) == (None, Ending())


def test_absent_fields_of_a_change_stay_as_they_were() -> None:
    change = ConfigChange(system_prompt="Be brief.")
    cleared = fold([Recorded(1, 0, change), Recorded(2, 0, ConfigChange()), Recorded(3, 0, ConfigChange(tools=()))])
    assert cleared.config.system_prompt == "Be brief."
    options = Raw(b'{"temperature":0}')
    assert state_of([ConfigChange(options=options), change]).config.options == options
    assert fold([Recorded(1, 0, change), Recorded(2, 0, ConfigChange(system_prompt=""))]).config.system_prompt == ""


def test_a_state_says_who_spoke_last_and_forgets_what_has_ended() -> None:
    delivered = state_of([*CALLED, START, SECOND_START, END, SECOND_END, RESULT, MessageEnd()])
    for state, role in ((state_of(OPENED), "user"), (state_of(SETTLED), "assistant"), (delivered, "tool_result")):
        assert (state.last_role, state.stream, state.delivering, state.result_of) == (role, None, None, -1)
    assert delivered.batch is not None
    assert [call.delivered for call in delivered.batch.calls] == [True, False]
    assert state_of([*CALLED, START, SECOND_START, END, SECOND_END, RESULT]).result_of == 1
    assert (state_of(FAILED).ending.stop, state_of(STREAMING).ending.stop) == ("error", "stop")
    over = state_of([*SETTLED, TurnEnd(), AgentEnd()])
    assert (over.run, over.batch, over.ended) == (None, None, "stop")


def test_what_was_steered_in_a_turn_is_counted_and_prompts_are_not() -> None:
    steered: list[Event] = [*OPENED, STEER, STEER]
    for push_seq in (6, 7):
        steered += [MessageStart(role="input", push_seq=push_seq), MessageEnd()]
    assert [_run_in(history).delivered for history in (OPENED, steered)] == [0, 2]


def test_of_several_queued_messages_the_one_that_is_delivered_leaves_its_queue() -> None:
    history: list[Event] = [STEER, PUSH, AgentStart(), TurnStart(), MessageStart(role="input", push_seq=2)]
    state = state_of(history)
    assert state.delivering is not None
    assert (state.delivering.seq, [push.seq for push in state.queue]) == (2, [1])


def test_a_call_keeps_the_seq_of_its_first_start_and_the_number_of_its_last() -> None:
    first = state_of([*CALLED, START]).batch
    again = state_of([*CALLED, START, replace(START, attempt=2)]).batch
    assert first is not None
    assert again is not None
    found = [(call.started, call.start_seq, call.attempt) for call in (first.calls[0], again.calls[0], again.calls[1])]
    assert found == [(True, 9, 1), (True, 9, 2), (False, 0, 0)]
    refused = state_of([*CALLED, REFUSED]).batch
    assert refused is not None
    assert [call.refused for call in refused.calls] == ["skipped", None]


def test_a_call_that_has_ended_waits_for_nothing_and_its_batch_ends_with_the_turn() -> None:
    ended = state_of([*CALLED, START, WAIT, END])
    assert ended.batch is not None
    assert (ended.waits, [call.waiting for call in ended.batch.calls]) == ((), ["", ""])
    history: list[Event] = [*CALLED, START, SECOND_START, END, SECOND_END, RESULT, MessageEnd()]
    settled = [*history, replace(RESULT, call=SECOND), MessageEnd()]
    assert (state_of(settled).batch is None, state_of([*settled, TurnEnd()]).batch) == (False, None)


def test_a_block_that_ends_leaves_the_others_open() -> None:
    kinds: tuple[UpdateKind, ...] = ("text_start", "thinking_start", "tool_call_start", "provider_block")
    blocks = [MessageUpdate(kind=kind, content_index=place) for place, kind in enumerate(kinds)]
    ended = MessageUpdate(kind="thinking_end", content_index=1)
    state = state_of([*STREAMING, *blocks, ended])
    assert state.stream is not None
    assert (state.stream.start_seq, state.stream.blocks) == (7, ("text", "", "tool_call", ""))


def test_one_sequential_tool_makes_its_batch_sequential() -> None:
    modes: tuple[ToolMode, ...] = ("parallel", "sequential")
    for mode in modes:
        change = ConfigChange(tools=(TOOLS[0], replace(TOOLS[1], mode=mode)))
        batch = state_of([PUSH, change, *STREAMING[1:], MessageEnd(message=calling("read", "send"))]).batch
        assert batch is not None
        assert batch.sequential is (mode == "sequential")


def test_an_answer_that_says_nothing_of_its_tokens_used_none() -> None:
    assert _run_in(SETTLED).tokens == 0


def _run_in(history: list[Event]) -> OpenRun:
    run = state_of(history).run
    assert run is not None
    return run

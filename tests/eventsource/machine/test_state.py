"""The table: which kinds a phase allows."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import Policies, QueueName, QueuePush, TaskStart, ToolSpec
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.guards import kind_of
from eventsource.machine.state import CHILD, INBOX, INPUTS, RETRY, ROWS, Batch, CallState, Config, Kind, Phase, State
from eventsource.messages import UserMessage
from tests.candidates import TOOLS
from tests.strategies import histories, walk


def test_the_table_has_a_row_for_every_phase() -> None:
    assert set(ROWS) == set(Phase)


def test_every_kind_is_an_input_or_stands_in_the_table_but_for_a_stray_end() -> None:
    in_rows = {kind for row in ROWS.values() for kind in row}
    assert in_rows | INPUTS | {Kind.END_STRAY} == set(Kind)
    assert in_rows & INPUTS == set()


def test_every_phase_can_be_reached_from_idle_and_leads_back_to_it() -> None:
    def reached(start: Phase) -> set[Phase]:
        found, new = {start}, {start}
        while new:
            new = {phase for one in new for phase in ROWS[one].values()} - found
            found |= new
        return found

    assert reached(Phase.IDLE) == set(Phase)
    assert all(Phase.IDLE in reached(phase) for phase in Phase)


@pytest.mark.slow
def test_the_walked_histories_take_every_row_of_the_table() -> None:
    chance, taken = random.Random(1), set()
    for _ in range(150):
        state = State()
        for recorded in walk([chance.randrange(2**24) for _ in range(80)]):
            taken.add((state.phase, kind_of(state, recorded.event)))
            state = evolve(state, recorded)
    assert {(phase, kind) for phase, row in ROWS.items() for kind in row} - taken == set()
    assert {kind for _, kind in taken} >= INPUTS


@given(histories())
def test_what_a_state_holds_agrees_with_its_phase(history: tuple[Recorded, ...]) -> None:
    state = State()
    for recorded in history:
        state = evolve(state, recorded)
        assert (state.run is None) is (state.phase is Phase.IDLE)
        assert (state.stream is not None) is (state.phase is Phase.STREAMING)
        assert (state.delivering is not None) is (state.phase is Phase.INPUT)
        assert (state.result_of >= 0) is (state.phase is Phase.RESULT)
        if state.phase in (Phase.TOOLS, Phase.RESULT):
            assert state.batch is not None
        held = {call.waiting for call in state.batch.calls if call.waiting} if state.batch is not None else set()
        assert held <= {wait.key for wait in state.waits}
        assert len({wait.key for wait in state.waits}) == len(state.waits)


def test_queues_keep_their_own_order() -> None:
    queues: list[QueueName] = ["steering", "prompt", "steering", "follow_up"]
    pushes = [QueuePush(queue=queue, message=UserMessage(content="Do I need a coat?")) for queue in queues]
    state = fold(Recorded(seq, 0, push) for seq, push in enumerate(pushes, 1))
    assert [push.seq for push in state.queued("steering")] == [1, 3]
    assert [push.seq for push in state.queued("prompt")] == [2]
    assert [push.role for push in state.queue] == ["user"] * 4


def test_a_tool_is_found_by_name() -> None:
    config = Config(tools=TOOLS)
    assert config.tool("send") == TOOLS[1]
    assert config.tool("nowhere") is None
    twice = Config(tools=(ToolSpec(name="a", schema=TOOLS[0].schema, version="1"), *TOOLS))
    assert twice.tool("a") == twice.tools[0]


def test_a_call_is_named_by_its_message_and_its_place_there() -> None:
    batch = Batch(message_seq=7, calls=(), sequential=False, policies=Policies())
    place = batch.place(CallState(content_index=2, name="read", effect="pure"))
    assert (place.message_seq, place.content_index) == (7, 2)


def test_nothing_was_asked_to_end_where_nothing_runs() -> None:
    assert State().aborted is None


def test_the_reasons_of_waits_are_the_words_that_logs_hold() -> None:
    assert (INBOX, CHILD, RETRY) == ("inbox", "child", "retry")


@pytest.mark.parametrize(
    ("rules", "used", "words"),
    [
        (1, 9, ""),
        (1, 10, "the token budget of task t is used up: 10 of 10 tokens"),
        (
            1,
            1_250,
            "the token budget of task t is used up: 1,250 of 10 tokens, 1,240 over it: calls under way are not stopped",
        ),
        (0, 1_250, "the token budget of task t is used up: 1,250 of 10 tokens"),
    ],
)
def test_a_used_up_budget_says_by_how_much_it_was_passed_in_a_task_that_began_with_that_rule(
    rules: int, used: int, words: str
) -> None:
    begun = fold([Recorded(1, 0, TaskStart(task="t", retries=0, token_limit=10, rules=rules))])
    assert msgspec.structs.replace(begun, spent_tokens=used).used_up == words

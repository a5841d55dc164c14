"""Replaying: what the machine wrote comes out equal, and what it did not write is found where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given, strategies as st
from msgspec.structs import replace

from eventsource.codec import decode, encode
from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    Erase,
    Event,
    Label,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    TurnEnd,
    TurnStart,
)
from eventsource.log.erased import tombstone
from eventsource.machine.evolve import fold
from eventsource.machine.guards import kind_of
from eventsource.machine.refusals import ABORTED
from eventsource.machine.state import INPUTS, Phase, State
from eventsource.machine.steps import Record, next_step
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from replay.replay import Diverged, replay
from tests.candidates import CONFIGS, DONE, calling
from tests.interpreter import Interpreter, played, resumed
from tests.stories import END, PUSH, START
from tests.strategies import choices

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/run.jsonl"))


def difference(history: Sequence[Recorded]) -> Diverged:
    """Replay a history that must not come out equal."""
    found = replay(history).difference
    assert found is not None
    return found


def renumbered(events: Sequence[Event]) -> list[Recorded]:
    return [Recorded(seq, 0, event) for seq, event in enumerate(events, 1)]


@given(choices(200))
def test_what_the_machine_wrote_replays_without_a_difference(numbers: list[int]) -> None:
    history = played(numbers)
    report = replay(history)
    assert report.difference is None
    assert report.unchecked == 0
    assert report.given + report.predicted == len(history)


@given(choices(120), st.data())
def test_what_another_process_went_on_with_replays_too(numbers: list[int], data: st.DataObject) -> None:
    history = played(numbers)
    cut = data.draw(st.integers(0, len(history)))
    assert replay(resumed(history[:cut], data.draw(choices(40)))).difference is None


@given(choices(120))
def test_every_prefix_replays(numbers: list[int]) -> None:
    history = played(numbers)
    assert [cut for cut in range(len(history)) if replay(history[:cut]).difference is not None] == []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_what_a_release_recorded_replays_for_ever(path: Path) -> None:
    lines = [msgspec.json.decode(line, type=tuple[int, int, msgspec.Raw]) for line in path.read_bytes().splitlines()]
    history = [Recorded(seq, at_us, decode(bytes(event), seq=seq)) for seq, at_us, event in lines]
    assert len(history) > 400
    assert replay(history).difference is None
    assert fold(history).phase is Phase.IDLE


def is_decision(event: Event) -> bool:
    """Say whether only the machine writes such an event."""
    match event:
        case AgentStart() | TurnStart() | TurnEnd() | AgentEnd() | ModelRequest() | ToolExecutionStart():
            return True
        case MessageStart():
            return event.role != "assistant"
        case MessageEnd():
            return event.message is None
        case ToolExecutionEnd():
            return event.result is None
        case _:
            return False


def changed(event: Event) -> Event:
    """Make another event of a decision."""
    match event:
        case AgentStart():
            return replace(event, reason="follow_up" if event.reason == "prompt" else "prompt")
        case AgentEnd():
            return replace(event, error=f"{event.error}!")
        case ModelRequest():
            return replace(event, request_sha256="f" * 64)
        case MessageStart(role="input"):
            return replace(event, push_seq=event.push_seq + 1_000)
        case MessageStart():
            return replace(event, call=None)
        case MessageEnd():
            return replace(event, interrupted="kept")
        case ToolExecutionStart():
            return replace(event, attempt=event.attempt + 1)
        case ToolExecutionEnd():
            return replace(event, is_error=False)
        case TurnStart():
            return TurnEnd()
        case _:
            return TurnStart()


def a_decision(numbers: list[int], data: st.DataObject) -> tuple[list[Recorded], int]:
    """Play a history, and choose the place of a decision in it, not the last event."""
    history = played(numbers)
    places = [place for place, recorded in enumerate(history[:-1]) if is_decision(recorded.event)]
    assume(places)
    return history, data.draw(st.sampled_from(places))


@given(choices(120), st.data())
def test_a_changed_decision_is_found_at_its_seq(numbers: list[int], data: st.DataObject) -> None:
    history, place = a_decision(numbers, data)
    history[place] = replace(history[place], event=changed(history[place].event))
    assert difference(history).seq == place + 1


@given(choices(120), st.data())
def test_a_doubled_decision_is_found_where_it_comes_again(numbers: list[int], data: st.DataObject) -> None:
    history, place = a_decision(numbers, data)
    events = [recorded.event for recorded in history]
    events.insert(place + 1, events[place])
    assert difference(renumbered(events)).seq == place + 2


@given(choices(120), st.data())
def test_two_decisions_that_changed_places_are_found_at_the_first(numbers: list[int], data: st.DataObject) -> None:
    history, place = a_decision(numbers, data)
    one, two = history[place], history[place + 1]
    assume(is_decision(two.event) and not isinstance(two.event, ToolExecutionStart))  # calls may start in any order
    history[place], history[place + 1] = replace(one, event=two.event), replace(two, event=one.event)
    assert difference(history).seq == place + 1


@given(choices(120), st.data())
def test_a_decision_that_is_missing_is_found_at_what_follows_it(numbers: list[int], data: st.DataObject) -> None:
    history, place = a_decision(numbers, data)
    assume(getattr(history[place].event, "attempt", 1) == 1)  # without its second attempt, the first one went well
    rest = history[place + 1 :]
    following = next((r.seq for r in rest if kind_of(State(), r.event) not in INPUTS), None)
    assume(following is not None)
    found = difference([*history[:place], *rest])
    if isinstance(history[place].event, ToolExecutionStart | ToolExecutionEnd):  # another call may come first
        assert found.seq > place + 1
    else:
        assert found.seq == following


def test_a_message_that_its_updates_do_not_make_is_found() -> None:
    run = Interpreter()
    run.add(*CONFIGS[:1], PUSH)
    history = run.run()
    place = next(n for n, r in enumerate(history) if isinstance(r.event, MessageStart) and r.event.role == "assistant")
    updates: list[Event] = [
        MessageUpdate(kind="text_start", content_index=0),
        MessageUpdate(kind="text_delta", content_index=0, delta="No."),
        MessageUpdate(kind="text_end", content_index=0),
    ]
    start = MessageStart(role="assistant")
    events = [r.event for r in history[:place]] + [start, *updates] + [r.event for r in history[place + 1 :]]
    found = difference(renumbered(events))
    assert (found.seq, found.field, found.expected) == (place + 5, "message", "what its updates say")
    assert found.found == "content[0]: the streamed TextContent is not the stored TextContent"
    assert found.state.phase is Phase.STREAMING


def tool_history(*more: Event) -> list[Recorded]:
    """A run with two calls, read and send, up to their starts and on."""
    run = Interpreter()
    run.add(PUSH, CONFIGS[0])
    while run.state.phase is not Phase.OPEN or run.state.queue:
        run.add(*next_events(run))
    run.add(ModelRequest(attempt=1, request_sha256=run.digest()), MessageStart(role="assistant"))
    run.add(MessageEnd(message=calling("read", "send")))
    seq = len(run.history)
    run.add(*(replace(event, message_seq=seq) for event in (START, replace(START, content_index=2, name="send"))))
    run.add(*(replace(e, message_seq=seq) if isinstance(e, ToolExecutionEnd) else e for e in more))
    return run.history


def next_events(run: Interpreter) -> tuple[Event, ...]:
    step = next_step(run.state)
    assert isinstance(step, Record)
    return step.events


def test_calls_that_an_abort_ended_may_end_in_any_order() -> None:
    given_up = replace(END, result=ABORTED, is_error=True, decided="machine")
    history = tool_history(AbortRequest(), replace(given_up, content_index=2), END)
    assert replay(history).difference is None


def test_a_report_of_a_call_that_never_started_is_found() -> None:
    update = ToolExecutionUpdate(message_seq=1, content_index=9, partial=DONE)
    history = tool_history()
    found = difference([*history, Recorded(len(history) + 1, 0, update)])
    assert (found.seq, found.field) == (len(history) + 1, "event")
    assert "no call at 1:9" in found.found


@given(choices(120))
def test_a_history_whose_updates_were_dropped_still_replays(numbers: list[int]) -> None:
    history = played(numbers)
    kept = [recorded for recorded in history if not isinstance(recorded.event, MessageUpdate)]
    report = replay(kept)
    assert report.difference is None
    assert (report.unchecked > 0) is (len(kept) < len(history))


@given(choices(120), st.data())
def test_a_history_with_erased_content_still_replays(numbers: list[int], data: st.DataObject) -> None:
    history = played(numbers)
    facts = [(n, r.event) for n, r in enumerate(history) if not isinstance(r.event, MessageUpdate)]
    texts = [n for n, event in facts if tombstone(event) != event]
    place = data.draw(st.sampled_from(texts))
    erased = [replace(r, event=tombstone(r.event)) if n == place else r for n, r in enumerate(history)]
    last = Recorded(len(history) + 1, 0, Erase(target_seq=place + 1))
    assert replay([*without_updates_of(erased, place), last]).difference is None


def without_updates_of(history: list[Recorded], place: int) -> list[Recorded]:
    """Leave out the updates of the message that ends at a place, as erasing it does."""
    event = history[place].event
    if not isinstance(event, MessageEnd):
        return history
    begun = max(n for n, r in enumerate(history[:place]) if isinstance(r.event, MessageStart))
    return [r for n, r in enumerate(history) if not (begun < n < place and isinstance(r.event, MessageUpdate))]


def test_requests_that_hold_erased_content_are_reported_as_unchecked() -> None:
    run = Interpreter()
    run.add(CONFIGS[0], PUSH)
    history = run.run()
    history[1] = replace(history[1], event=tombstone(PUSH))
    told = [*history, Recorded(len(history) + 1, 0, Erase(target_seq=2))]
    assert (replay(told).difference, replay(told).unchecked) == (None, 1)
    assert (replay(history, erased={2}).difference, replay(history, erased={2}).unchecked) == (None, 1)


@pytest.mark.parametrize("also", [[], [Erase(target_seq=1)]], ids=["nothing erased", "something else erased"])
def test_who_writes_the_word_erased_does_not_switch_the_check_off(also: list[Event]) -> None:
    run = Interpreter()
    run.add(Label(text="a title"), CONFIGS[0], replace(PUSH, message=UserMessage(content="What is [erased]?")))
    history = [*run.run(), *[Recorded(100, 0, event) for event in also]]
    assert (replay(history).difference, replay(history).unchecked) == (None, 0)
    history[2] = replace(history[2], event=replace(PUSH, message=UserMessage(content="Who is [erased]?")))
    assert difference(history).field == "request_sha256"


@pytest.mark.parametrize("erased", [False, True])
def test_a_decision_that_repeats_what_was_erased_is_excused_in_its_run_only(erased: bool) -> None:
    run = Interpreter()
    run.add(CONFIGS[0], PUSH, AgentStart(), AbortRequest(error="[erased]"))
    history = run.run()
    place = next(n for n, one in enumerate(history) if isinstance(one.event, AgentEnd))
    history[place] = replace(history[place], event=AgentEnd(reason="aborted", error="something else"))
    found = replay(history, erased={4} if erased else {2}).difference
    assert (found is None) == erased


def test_content_that_was_changed_is_no_erased_content() -> None:
    run = Interpreter()
    run.add(CONFIGS[0], PUSH)
    history = run.run()
    history[1] = replace(history[1], event=replace(PUSH, message=replace(PUSH.message, content="Do I need a boat?")))
    found = difference(history)
    assert found.field == "request_sha256"
    assert isinstance(history[found.seq - 1].event, ModelRequest)


WRONG: dict[str, tuple[Callable[[list[Event]], list[Event]], str]] = {
    "an event that no phase allows": (lambda events: [TurnEnd(), *events], "event"),
    "a run that nobody asked for": (lambda events: [*events, AgentStart()], "event"),
    "an answer that was never asked for": (lambda events: [*events[:-3], *events[-2:]], "event"),
    "a request with another attempt": (
        lambda events: [replace(e, attempt=7) if isinstance(e, ModelRequest) else e for e in events],
        "attempt",
    ),
}


@pytest.mark.parametrize(("spoil", "field"), WRONG.values(), ids=WRONG)
def test_a_difference_is_a_value_and_no_exception(spoil: Callable[[list[Event]], list[Event]], field: str) -> None:
    run = Interpreter()
    run.add(CONFIGS[0], PUSH)
    found = difference(renumbered(spoil([recorded.event for recorded in run.run()])))
    assert found.field == field
    assert found.expected != found.found


def test_nothing_replays_to_nothing() -> None:
    report = replay([])
    assert (report.given, report.predicted, report.unchecked, report.difference) == (0, 0, 0, None)


def test_encoding_changes_nothing_that_replay_sees() -> None:
    history = played([7, 3, 11, 5, 2, 9, 4, 4, 13, 8] * 9)
    again = [replace(recorded, event=decode(encode(recorded.event))) for recorded in history]
    assert replay(again) == replay(history)


def test_a_message_may_hold_more_than_its_updates_said() -> None:
    message = AssistantMessage(content=(TextContent(text="Yes.", raw=msgspec.Raw(b"{}")),), response_id="r")
    run = Interpreter()
    run.add(CONFIGS[0], PUSH)
    events = [recorded.event for recorded in run.run()]
    place = next(n for n, event in enumerate(events) if isinstance(event, MessageEnd) and event.message is not None)
    events[place] = MessageEnd(message=message)
    assert replay(renumbered(events)).difference is None

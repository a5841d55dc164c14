"""Windows of a request's parts, at any seq of a session."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, strategies as st
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import Compaction, ContextEdit, Event, MessageAdopt, Origin, Place
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, ToolResultMessage, UserMessage
from projections import CONTEXT, ContextView, parts, project
from projections.compaction import message_tokens
from projections.pairing import ContextMessage, PairedParts, Pairing, paired
from projections.windows import PartWindows
from refold.testing import histories

ORIGIN = Origin(source="test")


def views(history: Sequence[Recorded]) -> list[ContextView]:
    """Fold a history, and give the view after each event on the lists of the last."""
    found, view = [CONTEXT.initial], CONTEXT.initial
    for recorded in history:
        view = CONTEXT.step(view, recorded)
        found.append(view)
    return [
        replace(one, entries=view.entries.first(len(one.entries)), edits=view.edits.first(len(one.edits)))
        for one in found
    ]


def adopted(*messages: tuple[Message, Place | None]) -> list[Event]:
    return [MessageAdopt(message=message, origin=ORIGIN, call=call) for message, call in messages]


def asks(*ids: str) -> AssistantMessage:
    return AssistantMessage(content=tuple(ToolCall(id=one, name="look") for one in ids))


def answers(call_id: str) -> ToolResultMessage:
    return ToolResultMessage(tool_call_id=call_id, tool_name="look", content=(TextContent(text=call_id),))


MESSAGES = st.lists(
    st.one_of(
        st.just(UserMessage(content="go")),
        st.lists(st.sampled_from("abc"), max_size=3).map(lambda ids: asks(*ids)),
        st.sampled_from("abcd").map(answers),
    ),
    max_size=30,
)
CHANGES = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["hide", "compact", "replace"])), max_size=5)


def eventful(messages: Sequence[Message], changes: Sequence[tuple[int, str]]) -> tuple[Recorded, ...]:
    """Messages, and behind some of them a compaction or an edit of what came before."""
    events: list[Event] = []
    at = dict(changes)
    for message in messages:
        events.append(MessageAdopt(message=message, origin=ORIGIN))
        what, name = at.get(len(events)), max(len(events) // 2, 1)
        if what == "compact":
            events.append(Compaction(summary="so far", first_kept_seq=name))
        elif what is not None:
            instead = UserMessage(content="other") if what == "replace" else None
            events.append(ContextEdit(message_seq=name, replacement=instead, says_hidden=True))
    return tuple(Recorded(seq, seq, event) for seq, event in enumerate(events, 1))


def check(history: Sequence[Recorded], order: Sequence[int]) -> None:
    """Look at views in any order, and compare every window of a few with the parts as they are listed."""
    windows, seen = PartWindows(most=2), views(history)
    looked: list[tuple[tuple[ContextMessage, ...], PairedParts]] = []
    for pick in order:
        view = seen[pick % len(seen)]
        whole, found = parts(view), windows.at(view)
        assert len(found) == len(whole)
        assert tuple(found.between(0, len(whole))) == whole
        assert windows.tokens(view) == sum(message_tokens(part.message) for part in whole if part.seq)
        for start in range(len(whole) + 1):
            assert tuple(found.between(start, start + 3)) == whole[start : start + 3]
        for other, before in looked:
            shared = found.shared(before)
            assert shared == before.shared(found)
            assert whole[:shared] == other[:shared]
        looked.append((whole, found))


ORDERS = st.lists(st.integers(0, 200), min_size=1, max_size=20)


@given(histories(), ORDERS)
def test_any_window_at_any_seq_is_cut_from_the_parts_there(history: tuple[Recorded, ...], order: list[int]) -> None:
    check(history, order)


@given(MESSAGES, CHANGES, ORDERS)
def test_calls_without_results_and_changes_of_what_stood_are_cut_alike(
    messages: list[Message], changes: list[tuple[int, str]], order: list[int]
) -> None:
    check(eventful(messages, changes), order)


def test_of_what_only_grew_all_is_shared_but_what_an_answer_has_replaced() -> None:
    calls = tuple(ToolCall(id=f"c{n}", name="look", arguments="{}") for n in range(2))
    answers = [ToolResultMessage(tool_call_id=one.id, tool_name="look", content=()) for one in calls]
    said: list[Message] = [
        UserMessage(content="go"),
        AssistantMessage(content=calls),
        *answers,
        UserMessage(content="on"),
    ]
    windows = PartWindows()
    found = [windows.at(view) for view in views(eventful(said, []))]
    assert [(len(one), one.shared(other)) for one, other in pairwise(found)] == [(0, 0), (1, 1), (4, 2), (4, 3), (4, 4)]


@given(st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=60), st.integers(0, 700))
def test_calls_without_results_are_found_among_many(late: list[tuple[int, bool]], length: int) -> None:
    """Each of many calls is answered at once, but for some: those much later, or never."""
    waiting = dict(late)
    said: list[Message] = []
    for n in range(300):
        said.append(AssistantMessage(content=(ToolCall(id=f"c{n}", name="look", arguments="{}"),)))
        if n not in waiting:
            said.append(ToolResultMessage(tool_call_id=f"c{n}", tool_name="look", content=()))
    later = [n for n, is_answered in waiting.items() if is_answered and n < 300]
    said += [ToolResultMessage(tool_call_id=f"c{n}", tool_name="look", content=()) for n in later]
    pairing, kept = Pairing(), [ContextMessage(seq, one) for seq, one in enumerate(said, 1)]
    for one in kept:
        pairing.add(one)
    then = pairing.parts_after(min(length, len(pairing)))
    assert tuple(then.between(0, len(then))) == paired(kept[:length])


@given(MESSAGES)
def test_a_pairing_knows_how_it_stood_after_each_message(messages: list[Message]) -> None:
    seen = parts(project(CONTEXT, eventful(messages, [])))
    taken, pairing = [], Pairing()
    for one in seen:
        pairing.add(one)
        taken.append(one)
        now = pairing.parts_after(len(pairing))
        assert tuple(now.between(0, len(now))) == pairing.parts() == paired(taken)


def test_another_history_under_the_same_name_is_paired_anew() -> None:
    one = views(eventful([UserMessage(content="go")], []))[-1]
    other = views(eventful([UserMessage(content="stop"), asks("a")], []))[-1]
    windows = PartWindows()
    assert len(windows.at(one)) == 1
    assert tuple(windows.at(other).between(0, 9)) == parts(other)
    assert tuple(windows.at(one).between(0, 9)) == parts(one)

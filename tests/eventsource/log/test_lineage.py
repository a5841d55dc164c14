"""Which sessions a history is made of, held against the plainest way to say it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import Event, Fork, Label, MessageEnd, MessageStart, Place
from eventsource.log.lineage import MAX_SEQ, Segment, closed_messages, fork_points, segments
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage
from replay.lineage import lineage, shared_seq

SEQS = st.integers(0, 12)


@st.composite
def families(draw: st.DrawFn) -> dict[int, tuple[int | None, int]]:
    """Make sessions 0, 1, ...: each a root or a fork of an earlier one, at any seq, also below its parent's own."""
    parents: dict[int, tuple[int | None, int]] = {0: (None, 0)}
    for session in range(1, draw(st.integers(1, 6))):
        parent = draw(st.one_of(st.none(), st.integers(0, session - 1)))
        parents[session] = (parent, 0 if parent is None else draw(SEQS))
    return parents


def owner(parents: dict[int, tuple[int | None, int]], session: int, seq: int) -> int:
    """Say which session recorded a seq of another's history."""
    parent, fork_seq = parents[session]
    return session if parent is None or seq > fork_seq else owner(parents, parent, seq)


def chain(parents: dict[int, tuple[int | None, int]], session: int | None) -> list[tuple[int, int]]:
    found = []
    while session is not None:
        found.append((session, parents[session][1]))
        session = parents[session][0]
    return found


@given(families(), st.data())
def test_a_history_is_cut_into_the_seqs_of_each_session(
    parents: dict[int, tuple[int | None, int]], data: st.DataObject
) -> None:
    session = data.draw(st.sampled_from(sorted(parents)))
    after, upto = data.draw(SEQS), data.draw(SEQS)
    found = segments(chain(parents, session), after=after, upto=upto)
    told = [(seq, part.session) for part in found for seq in range(part.first, part.last + 1)]
    assert told == [(seq, owner(parents, session, seq)) for seq in range(after + 1, upto + 1)]
    assert all(part.first <= part.last for part in found)


def test_a_whole_history_reaches_to_the_last_seq_there_can_be() -> None:
    assert MAX_SEQ == 4_294_967_295
    assert segments([("b", 3), ("a", 0)]) == [Segment("a", 1, 3), Segment("b", 4, MAX_SEQ)]


@given(families(), st.data())
def test_the_fork_points_of_a_session_are_the_last_seqs_that_others_take_from_it(
    parents: dict[int, tuple[int | None, int]], data: st.DataObject
) -> None:
    session = data.draw(st.sampled_from(sorted(parents)))
    points = set()
    for other in parents:
        way = chain(parents, other)
        ancestors = [name for name, _ in way]
        if other != session and session in ancestors:
            points.add(min(fork_seq for _, fork_seq in way[: ancestors.index(session)]))
    assert fork_points(parents, session) == points


def test_a_session_whose_parent_is_not_listed_leaves_nothing_behind() -> None:
    assert fork_points({"b": ("gone", 3), "c": ("b", 2)}, "a") == set()
    assert fork_points({"b": ("gone", 3), "c": ("b", 2)}, "b") == {2}


START, END = MessageStart(role="assistant"), MessageEnd(message=AssistantMessage())
INPUT = MessageStart(role="input", push_seq=1)
RESULT = MessageStart(role="tool_result", call=Place(message_seq=1, content_index=0))


@pytest.mark.parametrize(
    ("facts", "closed"),
    [
        ([START, END], [(1, 2)]),
        ([START, START, END], [(1, 3)]),
        ([START, Label(text="x", target_seq=1), END], [(1, 3)]),
        ([INPUT, MessageEnd(), START, END], [(3, 4)]),
        ([RESULT, MessageEnd()], []),
        ([Fork(), END], [(1, 2)]),
        ([Fork(), INPUT, MessageEnd()], []),
        ([START, END, MessageEnd()], [(1, 2)]),
        ([START], []),
        ([END], []),
        ([START, END, START, END], [(1, 2), (3, 4)]),
    ],
)
def test_closed_messages_are_the_assistants_that_began_and_ended(
    facts: list[Event], closed: list[tuple[int, int]]
) -> None:
    assert closed_messages([Recorded(seq, 0, fact) for seq, fact in enumerate(facts, start=1)]) == closed


async def test_two_histories_share_what_their_nearest_common_ancestor_gave_both(log: EventLog) -> None:
    root = (await log.create()).id
    await log.append(root, [(0, Label(text="x", target_seq=1))] * 6)
    left = (await log.fork(root, 4, at_us=0)).id
    right = (await log.fork(root, 2, at_us=0)).id
    deep = (await log.fork(left, 3, at_us=0)).id
    stranger = (await log.create()).id
    assert await lineage(log, deep) == ((deep, 4), (left, 3), (root, 3))
    assert await lineage(log, root) == ((root, 6),)
    pairs = [(left, right), (deep, right), (deep, left), (left, root), (root, root), (root, stranger)]
    assert [await shared_seq(log, one, other) for one, other in pairs] == [2, 2, 3, 4, 6, 0]
    assert await shared_seq(log, right, deep) == 2

"""The index of sessions: any seq costs a few facts, and is what the fold from the first event says."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError, UnknownSessionError
from eventsource.events import MessageAdopt
from eventsource.machine.evolve import fold
from eventsource.messages import UserMessage
from projections.projection import project
from refold.testing import histories
from refold.views.columns import Columns, fed
from refold.views.index import SEEN, NotIndexedError, SessionIndex

from .sessions import ORIGIN, CountingLog, adopted, eventful, store

SEQS = st.lists(st.integers(0, 100), min_size=1, max_size=12)


def facts(history: Sequence[Recorded]) -> list[Recorded]:
    return [one for one in history if one.event.__struct_config__.tag not in _UPDATES]


_UPDATES = ("message_update", "tool_execution_update", "stream_update")


def columns_of(columns: Columns) -> dict[str, object]:
    plain = {name: value for name, value in vars(columns).items() if name not in ("spans", "calls", "marks")}
    return {**plain, "spans": list(columns.spans), **vars(columns.calls), **vars(columns.marks)}


@given(histories(), SEQS, st.integers(1, 5))
async def test_whatever_it_answers_at_any_seq_is_the_fold_from_the_first_event(
    history: tuple[Recorded, ...], seqs: list[int], apart: int
) -> None:
    log = CountingLog()
    await store(log, history)
    index = SessionIndex(log, apart=apart)
    for pick in seqs:
        seq = pick % (len(history) + 1)
        at = await index.at("s", seq)
        assert at.state == fold(history[:seq])
        assert at.seen == project(SEEN, facts(history[:seq]))
        assert columns_of(at.whole.columns) == columns_of(fed(facts(history)))


@given(histories(), SEQS)
async def test_a_session_that_grows_is_indexed_as_one_that_was_there(
    history: tuple[Recorded, ...], cuts: list[int]
) -> None:
    log = CountingLog()
    await log.create("s")
    index, done = SessionIndex(log, apart=3), 0
    for cut in sorted(pick % (len(history) + 1) for pick in cuts):
        for recorded in history[done:cut]:
            await log.append("s", [(recorded.at_us, recorded.event)])
        done = max(done, cut)
        info, whole = await index.whole("s")
        assert (info.head, whole.reached) == (done, done)
        assert columns_of(whole.columns) == columns_of(fed(facts(history[:done])))
        assert (await index.at("s")).state == fold(history[:done])


async def test_a_jump_reads_a_few_facts_wherever_it_goes() -> None:
    log = CountingLog()
    await adopted(log, 500)
    index = SessionIndex(log, apart=50)
    await index.whole("long", patience_s=None)
    for seq in (1, 49, 51, 777, 1_999, 2_000):
        before = log.read_events
        await index.at("long", seq)
        assert log.read_events - before < 50
    before = log.read_events
    await index.whole("long")
    assert log.read_events == before


async def test_every_fact_is_read_once_for_the_index_however_many_ask() -> None:
    log = CountingLog()
    await adopted(log, 100)
    index = SessionIndex(log)
    await asyncio.gather(*(index.whole("long", patience_s=None) for _ in range(5)))
    assert log.read_events == 400
    await log.append("long", [(0, MessageAdopt(message=UserMessage(content="more"), origin=ORIGIN))])
    _, whole = await index.whole("long")
    assert (log.read_events, whole.reached) == (401, 401)


async def test_what_is_not_indexed_yet_says_how_far_it_is_and_others_have_their_turn() -> None:
    log, ticks = CountingLog(), iter(range(10**9))
    await adopted(log, 25)
    index = SessionIndex(log, clock=lambda: float(next(ticks)))  # each look at the clock ends a slice
    with pytest.raises(NotIndexedError) as refused:
        await index.at("long", 100, patience_s=0)
    assert refused.value.indexed_to < 100
    turns = 0
    while True:
        turns += 1
        try:
            at = await index.at("long", 100, patience_s=0)
        except NotIndexedError:
            await asyncio.sleep(0)
        else:
            break
    assert turns > 10
    assert at.seq == 100
    await index.close()


async def test_an_answer_that_can_be_given_is_given_while_the_rest_is_indexed() -> None:
    log, ticks = CountingLog(), iter(range(10**9))
    await adopted(log, 25)
    index = SessionIndex(log, clock=lambda: float(next(ticks)))
    with pytest.raises(NotIndexedError):
        await index.at("long", 100, patience_s=0)
    while index.indexed_to(await log.info("long")) < 20:
        await asyncio.sleep(0)
    assert (await index.at("long", 20, patience_s=0)).seq == 20
    assert index.indexed_to(await log.info("long")) < 100
    await index.close()


async def test_what_was_erased_is_in_no_index_any_more() -> None:
    log = CountingLog()
    await adopted(log, 3)
    index = SessionIndex(log)
    before = await index.at("long", 12)
    await log.erase("long", 1, at_us=1)
    after = await index.at("long", 12)
    assert b"question 0" in msgspec.json.encode(before.view.entries[0].message)
    assert b"question 0" not in msgspec.json.encode(after.view.entries[0].message)
    assert after.whole is not before.whole


async def test_a_session_made_again_under_its_name_is_another_one() -> None:
    log = CountingLog()
    await adopted(log, 3)
    index = SessionIndex(log)
    await index.whole("long")
    await log.delete("long")
    with pytest.raises(UnknownSessionError):
        await index.whole("long")
    await adopted(log, 2)
    _, whole = await index.whole("long")
    assert (whole.reached, len(whole.columns)) == (8, 8)


async def test_the_sessions_that_were_used_least_make_room() -> None:
    log = CountingLog()
    for number in range(4):
        await adopted(log, 20, f"s{number}")
    index = SessionIndex(log, limit_bytes=200_000)
    for number in range(4):
        await index.whole(f"s{number}")
    assert index.folds.size_bytes <= 200_000
    assert [index.folds.has(f"s{number}") for number in range(4)] == [False, False, True, True]
    before = log.read_events
    await index.whole("s0")
    assert log.read_events == before + 80


async def test_a_seq_that_is_not_there_is_refused() -> None:
    log = CountingLog()
    await adopted(log, 1)
    with pytest.raises(UnknownSeqError):
        await SessionIndex(log).at("long", 5)


async def test_python_collects_again_once_everything_is_indexed() -> None:
    log, held = CountingLog(), list[bool]()
    await adopted(log, 10)
    await adopted(log, 10, "other")

    def clock() -> float:
        held.append(gc.isenabled())
        return 0.0

    index = SessionIndex(log, clock=clock)
    assert gc.isenabled()
    await asyncio.gather(index.whole("long"), index.whole("other"))
    assert not any(held)
    assert gc.isenabled()


async def test_an_eventful_session_is_indexed_as_it_was_recorded() -> None:
    log = CountingLog()
    session = await eventful(log)
    history = await session.events()
    index = SessionIndex(log, apart=4)
    for seq in range(len(history) + 1):
        at = await index.at(session.id, seq)
        assert at.state == fold(history[:seq])
        assert at.seen == project(SEEN, facts(history[:seq]))

"""A session at one seq, as it is jumped to."""

from __future__ import annotations

import msgspec
from hypothesis import given, strategies as st

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.events import MessageUpdate, ModelRequest
from eventsource.machine.evolve import fold
from eventsource.models.scripted import call, stop
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.script import Answer
from projections import USAGE, project
from refold import Agent, Log, tool
from refold.testing import histories
from refold.views.index import SessionIndex
from refold.views.jump import Jump, jump_to, open_message_seq
from replay.why_text import standing_text

from .sessions import ASKS, CountingLog, adopted, agent, eventful, store


async def jump(index: SessionIndex, session: str, seq: int) -> Jump:
    """Jump as a route does: the event, and the updates of the message that is open there."""
    at = await index.at(session, seq)
    start = open_message_seq(at)
    updates = await index.log.read(session, after=start, upto=seq, limit=10_000) if start else ()
    [event] = updates[-1:] if start and updates else await index.log.read(session, after=seq - 1, upto=seq, limit=1)
    return jump_to(at, event, updates)


@given(histories(), st.lists(st.integers(0, 200), min_size=1, max_size=5))
async def test_a_jump_says_what_the_fold_from_the_first_event_says(
    history: tuple[Recorded, ...], picks: list[int]
) -> None:
    log = CountingLog()
    await store(log, history)
    index = SessionIndex(log, apart=4)
    for pick in picks if history else ():
        seq = pick % len(history) + 1
        found, state = await jump(index, "s", seq), fold(history[:seq])
        assert (found.seq, found.head, found.at_us) == (seq, len(history), history[seq - 1].at_us)
        assert (found.phase, found.standing) == (state.phase.value, standing_text(state))
        assert [push.seq for push in found.queue] == [push.seq for push in state.queue]
        assert [wait.key for wait in found.waits] == [wait.key for wait in state.waits]
        batch = state.batch
        assert [call.place for call in found.calls] == (
            [batch.place(call) for call in batch.calls] if batch is not None else []
        )
        used = project(USAGE, history[:seq])
        assert found.usage.input_tokens == used.total.input_tokens
        assert found.usage.unpriced == (used.own + used.inherited).unpriced
        assert bytes(found.event.value) == encode(history[seq - 1].event) or found.event.is_cut
        assert found.row_seq <= max(seq, found.row_seq)


async def test_inside_a_message_the_text_stops_at_that_token() -> None:
    log = CountingLog()
    session = await Log(log, clock=lambda: 7).session("main")
    await agent(["It ", "rains ", "again."]).run("Well?", session=session)
    history, index, said = await session.events(), SessionIndex(log), ""
    for recorded in history:
        if isinstance(recorded.event, MessageUpdate):
            said += recorded.event.delta
            [block] = (await jump(index, session.id, recorded.seq)).streaming
            assert (block.kind, block.text, block.characters) == ("text", said, len(said))
    assert said == "It rains again."
    assert (await jump(index, session.id, len(history))).streaming == ()


async def test_a_jump_is_small_and_reads_little_wherever_it_goes() -> None:
    log = CountingLog()
    await adopted(log, 500)
    index = SessionIndex(log, apart=50)
    await index.whole("long", patience_s=None)
    for seq in (1, 50, 1_001, 1_777, 2_000):
        before = log.read_events
        found = await jump(index, "long", seq)
        assert log.read_events - before <= 51
        assert len(msgspec.json.encode(found)) < 8_000


async def test_a_long_event_is_cut_and_says_so() -> None:
    log = CountingLog()
    session = await Log(log, clock=lambda: 7).session("main")
    await agent("Fine.").run("word " * 100_000, session=session)
    push = next(one.seq for one in await session.events() if one.event.type == "queue_push")
    found = await jump(SessionIndex(log), session.id, push)
    assert found.event.is_cut
    assert found.event.size_bytes > 500_000
    assert len(found.event.value) <= 16_000
    assert b"more characters" in bytes(found.event.value)


async def test_neighbours_lead_through_an_eventful_session() -> None:
    log = CountingLog()
    session = await eventful(log)
    index = SessionIndex(log)
    at = await index.at(session.id, 14)
    [event] = await log.read(session.id, after=13, upto=14)
    found = jump_to(at, event, forks=(10, 60))
    assert (found.row, found.row_seq) == (3, 13)
    assert (found.previous.prompt, found.next.prompt) == (5, 30)
    assert (found.previous.tool, found.next.tool) == (13, 38)
    assert (found.previous.error, found.next.error) == (0, 78)
    assert (found.previous.compaction, found.next.compaction) == (0, 52)
    assert (found.previous.fork, found.next.fork) == (10, 60)
    assert (found.previous.row, found.next.row) == (7, 19)


async def test_a_wait_is_described_for_whoever_decides_it() -> None:
    @tool(approval="always")
    def pay(amount: int) -> str:
        """Pay."""
        return "paid"

    log = CountingLog()
    session = await Log(log, clock=lambda: 7).session("main")
    asks: Answer = [call("pay", {"amount": 7}), stop("tool_use")]
    await Agent(ScriptedModel([asks]), tools=[pay]).run("Pay.", session=session)
    found = await jump(SessionIndex(log), session.id, (await session.info()).head)
    [wait] = found.waits
    assert (wait.reason, wait.tool, wait.arguments) == ("approval", "pay", {"amount": 7})
    [held] = found.calls
    assert (held.name, held.status, held.waits_for) == ("pay", "waiting", wait.key)


async def test_usage_is_of_the_call_the_turn_and_all_so_far() -> None:
    log = CountingLog()
    session = await Log(log, clock=lambda: 7).session("main")
    await agent(ASKS, "Rain.").run("Well?", session=session)
    requests = [one.seq for one in await session.events() if isinstance(one.event, ModelRequest)]
    index = SessionIndex(log)
    whole = project(USAGE, await session.events()).total
    last = await jump(index, session.id, (await session.info()).head)
    assert last.usage.input_tokens == whole.input_tokens
    calls = [(await jump(index, session.id, seq)).call_usage for seq in requests]
    turns = [(await jump(index, session.id, seq)).turn_usage for seq in requests]
    assert sum(one.input_tokens for one in calls) == whole.input_tokens
    assert calls == turns

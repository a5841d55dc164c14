"""What led to an event, and what came of it."""

from __future__ import annotations

from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import MessageEnd, ModelRequest, QueuePush, ToolExecutionEnd, ToolExecutionStart
from refold.testing import histories
from refold.views.index import SessionIndex
from refold.views.links import caused_by, leads_to

from .sessions import CountingLog, eventful, store


@given(histories())
async def test_links_lead_to_events_on_their_side(history: tuple[Recorded, ...]) -> None:
    log = CountingLog()
    await store(log, history)
    index = SessionIndex(log)
    for recorded in history:
        at = await index.at("s", recorded.seq)
        assert 0 <= caused_by(at, recorded) < max(recorded.seq, 1) or recorded.event.type in ("label", "erase")
        assert all(recorded.seq < seq <= len(history) for seq in leads_to(at, recorded))


async def test_a_prompt_leads_to_a_request_a_call_and_its_result() -> None:
    log = CountingLog()
    session = await eventful(log)
    history, index = await session.events(), SessionIndex(log)
    by_seq = {one.seq: one for one in history}

    async def links(seq: int) -> tuple[int, tuple[int, ...]]:
        at = await index.at(session.id, seq)
        return caused_by(at, by_seq[seq]), leads_to(at, by_seq[seq])

    kinds = {seq: one.event for seq, one in by_seq.items()}
    assert isinstance(kinds[2], QueuePush)
    assert await links(2) == (0, (5,))
    assert await links(5) == (2, ())
    assert isinstance(kinds[6], MessageEnd)
    assert await links(6) == (2, (7,))
    assert isinstance(kinds[7], ModelRequest)
    assert await links(7) == (0, (12,))
    assert await links(10) == (7, ())
    assert await links(12) == (7, (13,))
    assert isinstance(kinds[13], ToolExecutionStart)
    assert await links(13) == (12, (16,))
    assert isinstance(kinds[14], ToolExecutionEnd)
    assert await links(14) == (13, (16,))
    assert await links(16) == (14, (19,))
    assert await links(52) == (6, (60,))  # an edit
    assert await links(68) == (0, (69,))  # a child
    assert await links(69) == (68, ())

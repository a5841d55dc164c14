"""A session in the hand of whoever steers it, looks at it or drives it."""

from __future__ import annotations

import asyncio

import pytest

from eventsource.errors import ConflictError, IllegalEventError, UnknownSeqError, WaitOverError
from eventsource.events import (
    AbortRequest,
    AgentStart,
    Event,
    Fork,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageUpdate,
    QueueClear,
    QueuePush,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.state import Phase
from eventsource.machine.steps import CallModel, Record, Stop, Suspend
from eventsource.messages import UserMessage
from eventsource.session import SessionHandle
from tests.candidates import ORIGIN
from tests.running import Bench, Store, scripted
from tests.stories import CALLED, OPENED, PUSH, REQUESTED, SETTLED, TEXT


@pytest.fixture
async def session() -> SessionHandle:
    store = Store()
    await store.create("oslo")
    return SessionHandle(store, "oslo", clock=lambda: 7)


async def events(session: SessionHandle) -> list[Event]:
    return [recorded.event for recorded in await session.events()]


async def test_what_is_said_is_queued_and_the_machine_knows_what_to_do(session: SessionHandle) -> None:
    assert await session.next_step() == Stop()
    assert await session.push("prompt", "Do I need a coat?") == 1
    assert await session.steer("Quickly.") == 2
    assert await session.follow_up(UserMessage(content="And tomorrow?")) == 3
    assert [e.queue for e in await events(session) if isinstance(e, QueuePush)] == ["prompt", "steering", "follow_up"]
    step = await session.next_step()
    assert isinstance(step, Record)
    assert await session.append(step.events) == 3 + len(step.events)
    assert isinstance(await session.next_step(), CallModel)


async def test_several_messages_are_queued_in_one_append(session: SessionHandle) -> None:
    assert isinstance(session.log, Store)
    assert await session.push("prompt", "One.", "Two.") == 2
    assert [len(appended) for appended, _ in session.log.appended] == [2]


async def test_a_repeated_key_says_nothing_twice(session: SessionHandle) -> None:
    assert await session.steer("Quickly.", key="k") == await session.steer("Quickly.", key="k") == 1
    assert await events(session) == [QueuePush(queue="steering", message=UserMessage(content="Quickly."), key="k")]


async def test_what_waits_can_be_taken_back(session: SessionHandle) -> None:
    await session.push("prompt", "Do I need a coat?")
    await session.clear("prompt")
    assert (await events(session))[-1] == QueueClear(queue="prompt")
    assert await session.next_step() == Stop()


async def test_an_illegal_event_stores_nothing_of_its_append(session: SessionHandle) -> None:
    await session.push("prompt", "Do I need a coat?")
    with pytest.raises(IllegalEventError, match="session oslo, seq 3: turn_end cannot follow in phase STARTED"):
        await session.append([AgentStart(), TurnEnd()])
    assert len(await events(session)) == 1
    assert await session.append([AgentStart(), TurnStart()]) == 3


async def test_somebody_elses_append_is_a_conflict_and_then_known(session: SessionHandle) -> None:
    await session.push("prompt", "Do I need a coat?")
    assert isinstance(session.log, Store)
    left: list[Event] = [QueueClear(queue="prompt")]
    session.log.meddle = lambda appending: [left.pop()] if left else ()
    with pytest.raises(ConflictError, match="expected head 1, found 2"):
        await session.append([AgentStart()])
    with pytest.raises(IllegalEventError, match="nothing is queued"):
        await session.append([AgentStart()])
    assert (await session.state()).queue == ()


async def test_two_hands_see_each_others_events(session: SessionHandle) -> None:
    other = SessionHandle(session.log, "oslo", clock=lambda: 8)
    await session.append(OPENED)
    assert (await other.state()).phase is Phase.OPEN
    await other.append([REQUESTED[-1]])
    assert (await session.state()).phase is Phase.REQUESTED


async def test_many_tasks_may_use_one_hand(session: SessionHandle) -> None:
    await asyncio.gather(*(session.append([Label(text=str(n))]) for n in range(10)))
    assert sorted(e.text for e in await events(session) if isinstance(e, Label)) == [str(n) for n in range(10)]


async def test_the_state_at_any_seq_is_the_fold_up_to_there(session: SessionHandle) -> None:
    await session.append(TEXT)
    phases = [(await session.state(at=seq)).phase for seq in range(len(TEXT) + 1)]
    assert phases[:3] == [Phase.IDLE, Phase.IDLE, Phase.STARTED]
    assert phases[-1] is Phase.STREAMING
    assert (await session.state(at=len(TEXT))) == await session.state()
    with pytest.raises(UnknownSeqError, match="99"):
        await session.state(at=99)


async def test_an_abort_is_an_input_like_any_other(session: SessionHandle) -> None:
    await session.append(OPENED)
    await session.abort("limit", error="too dear")
    aborted = (await session.state()).aborted
    assert aborted == AbortRequest(reason="limit", error="too dear")


async def test_titles_and_bookmarks_are_labels(session: SessionHandle) -> None:
    await session.push("prompt", "Do I need a coat?")
    await session.label("The coat")
    await session.label("here", 1)
    assert (await session.info()).title == "The coat"
    assert (await events(session))[-1] == Label(text="here", target_seq=1)
    for seq in (0, 9):
        with pytest.raises(UnknownSeqError):
            await session.label("nowhere", seq)


async def test_the_first_decision_about_a_wait_counts(session: SessionHandle) -> None:
    await session.append([WaitStart(key="approval")])
    assert isinstance(await session.next_step(), Suspend)
    await session.decide("approval", {"yes": True}, decided_by="Ada")
    ended = (await events(session))[-1]
    assert isinstance(ended, WaitEnd)
    assert (ended.outcome, bytes(ended.value or b""), ended.decided_by) == ("completed", b'{"yes":true}', "Ada")
    with pytest.raises(WaitOverError, match="no wait or token approval is open"):
        await session.decide("approval", False)


async def test_a_fork_shares_its_past_and_goes_its_own_way(session: SessionHandle) -> None:
    await session.append(CALLED)
    fork = await session.fork(at=5, title="Another try", session="bergen")
    assert await events(fork) == [*CALLED[:5], Fork()]
    assert (await fork.state()).phase is Phase.OPEN
    await fork.append([REQUESTED[-1]])
    assert await events(session) == CALLED
    assert (await (await session.fork()).info()).fork_seq == len(CALLED)
    with pytest.raises(UnknownSeqError):
        await session.fork(at=99)


async def test_a_fork_before_a_message_is_one_in_which_it_was_not_said(session: SessionHandle) -> None:
    adopted = MessageAdopt(message=UserMessage(content="Before."), origin=ORIGIN)
    await session.append([adopted, PUSH, AgentStart(), TurnStart()])
    step = await session.next_step()
    assert isinstance(step, Record)
    await session.append(step.events)
    await session.append(REQUESTED[-1:] + SETTLED[6:])
    ends = [recorded.seq for recorded in await session.events() if isinstance(recorded.event, MessageEnd)]
    places = [(await (await session.fork(before=seq)).info()).fork_seq for seq in (1, *ends)]
    # before what was adopted; before the run of the first prompt; before the answer's start
    assert places == [0, 2, ends[1] - 2]
    with pytest.raises(UnknownSeqError, match="no message ends at this seq"):
        await session.fork(before=3)


async def test_reading_goes_page_by_page(session: SessionHandle) -> None:
    await session.append(TEXT)
    first = await session.events(limit=3)
    assert [recorded.seq for recorded in first] == [1, 2, 3]
    assert [recorded.seq for recorded in await session.events(after=3, upto=5)] == [4, 5]
    assert not [r for r in await session.events(updates=False) if isinstance(r.event, MessageUpdate)]


async def test_a_follower_sees_what_a_run_records() -> None:
    bench = Bench(scripted("Rain."))
    await bench.run("Do I need a coat?")
    seen = []
    async for recorded in bench.session.follow():
        seen.append(recorded)
        if recorded.seq == (await bench.session.info()).head:
            break
    assert seen == await bench.history()


async def test_a_driven_session_verifies(session: SessionHandle) -> None:
    await session.append(TEXT)
    report = await session.verify()
    assert (report.ok, report.facts + report.updates) == (True, len(TEXT))
    assert repr(session) == "SessionHandle('oslo')"

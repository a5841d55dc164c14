"""The runner's hand on a session: what it appends, and what it does when others came first or the store failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from eventsource.background import finish
from eventsource.envelope import Recorded
from eventsource.errors import ConflictError, FencedError, IllegalEventError, OutcomeUnknownError, StoreError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    Event,
    Label,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueueClear,
    QueuePush,
    StepEnd,
    StepStart,
    TaskStart,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
)
from eventsource.machine.state import Phase
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from eventsource.runner.writer import Writer
from projections.context import ContextView
from refold.context_fold import CONTEXT
from tests.candidates import DONE, calling
from tests.running import Store, every_other, in_no_time, let_pass, once
from tests.stories import ASSISTANT, CALLED, END, INPUT, INPUT_END, OPENED, PUSH, REQUESTED, RESULT, START

HERE = Label(text="here", target_seq=1)
BEGIN: tuple[Event, ...] = (AgentStart(), TurnStart(), INPUT, INPUT_END)
ASK = ModelRequest(attempt=1, request_sha256="0" * 64)
WORD = MessageUpdate(kind="text_start", content_index=0)


class Opened:
    """A session that holds some events, a writer on it, and what the writer showed."""

    def __init__(self) -> None:
        self.store, self.shown = Store(), list[Recorded]()

    async def writer(self, *events: Event, patience_s: float = 30) -> Writer[ContextView]:
        await self.store.create("oslo")
        if events:
            await self.store.append("oslo", [(0, event) for event in events])
        return await self.another(patience_s)

    async def another(self, patience_s: float = 30) -> Writer[ContextView]:
        writer = Writer(
            self.store,
            "oslo",
            context=CONTEXT,
            clock=lambda: 7,
            on_commit=self.shown.extend,
            patience_s=patience_s,
        )
        await writer.load()
        return writer

    async def events(self) -> list[Event]:
        return [recorded.event for recorded in await self.store.read("oslo")]


@pytest.fixture
def opened() -> Opened:
    return Opened()


async def test_what_was_taken_is_folded_at_once_and_appended_together(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    writer.decide(*BEGIN)
    assert (writer.state.phase, writer.next_seq, writer.head, writer.now_us()) == (Phase.OPEN, 6, 1, 7)
    assert await opened.events() == [PUSH]
    assert await writer.flush()
    assert await opened.events() == [PUSH, *BEGIN]
    assert writer.head == 5
    assert opened.shown == [Recorded(seq, 7, event) for seq, event in enumerate(BEGIN, 2)]


async def test_an_illegal_event_is_refused_before_anything_is_appended(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    with pytest.raises(IllegalEventError, match="session oslo, seq 2: turn_end cannot follow in phase IDLE"):
        writer.decide(TurnEnd())
    assert await writer.flush()
    assert await opened.events() == [PUSH]


async def test_a_session_of_its_own_is_read_anew_only_behind_what_was_erased_of_it(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    opened.store.rows_read = 0
    await writer.reload_removed()
    assert opened.store.rows_read == 0
    await opened.store.erase("oslo", 1, at_us=1)
    writer.decide(*BEGIN)
    assert not await writer.flush()
    await writer.reload_removed()
    await writer.reload_removed()
    assert opened.store.rows_read == 1


async def test_decisions_are_forgotten_when_somebody_came_first(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    await opened.store.append("oslo", [(0, QueueClear(queue="prompt"))])
    writer.decide(*BEGIN)
    assert not await writer.flush()
    assert (writer.state.phase, writer.state.queue, writer.head) == (Phase.IDLE, (), 2)
    assert await opened.events() == [PUSH, QueueClear(queue="prompt")]
    assert [recorded.seq for recorded in opened.shown] == [2]


async def test_decisions_are_forgotten_also_if_they_would_still_be_right(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    await opened.store.append("oslo", [(0, HERE)])
    writer.decide(*BEGIN)
    assert not await writer.flush()
    assert (writer.state.phase, writer.next_seq) == (Phase.IDLE, 3)
    assert await opened.events() == [PUSH, HERE]


async def test_a_decision_stays_with_the_outcome_that_came_of_it(opened: Opened) -> None:
    writer = await opened.writer(*CALLED)
    writer.decide(START)
    writer.outcome(END)
    writer.decide(RESULT)
    await opened.store.append("oslo", [(0, HERE)])
    assert not await writer.flush()
    assert await opened.events() == [*CALLED, HERE, START, END]


async def test_an_outcome_that_is_legal_no_more_is_told_and_not_dropped_in_silence(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    writer.outcome(ASSISTANT)
    await opened.store.append("oslo", [(0, ASSISTANT), (0, MessageEnd(message=AssistantMessage()))])
    with pytest.raises(IllegalEventError, match="session oslo"):
        await writer.flush()


async def test_what_a_cancelled_task_had_begun_and_ended_at_once_is_dropped(opened: Opened) -> None:
    writer = await opened.writer(TaskStart(task="trip", rules=1))
    writer.outcome(StepStart(key="now"), StepEnd(key="now"))
    await opened.store.append("oslo", [(0, AbortRequest(cause="cancel"))])
    assert not await writer.flush()
    assert [type(event) for event in await opened.events()] == [TaskStart, AbortRequest]


async def test_a_flush_waits_for_the_one_that_is_under_way(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    released, append = asyncio.Event(), opened.store.append

    async def slow(*args: Any, **named: Any) -> int:
        await released.wait()
        return await append(*args, **named)

    opened.store.append = slow  # type: ignore[method-assign]  # a store that takes its time
    writer.decide(*BEGIN)
    first = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    second = asyncio.create_task(writer.flush())
    await asyncio.sleep(0.01)
    assert not second.done()
    released.set()
    assert await first
    assert await second
    assert await opened.events() == [PUSH, *BEGIN]


async def test_a_flush_of_nothing_waits_for_a_look_for_news_and_says_that_there_were_some(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    looking, released, read = asyncio.Event(), asyncio.Event(), opened.store.read

    async def slow(*args: Any, **named: Any) -> Sequence[Recorded]:
        looking.set()
        await released.wait()
        return await read(*args, **named)

    opened.store.read = slow  # type: ignore[assignment, method-assign]  # a store that takes its time
    await opened.store.append("oslo", [(0, HERE)])
    look = asyncio.create_task(writer.catch_up(lambda: True))
    await looking.wait()
    flushing = asyncio.create_task(writer.flush())
    await asyncio.sleep(0.01)
    assert not flushing.done()
    released.set()
    await look
    assert not await flushing, "the machine must be asked again"


async def test_a_decision_that_is_legal_no_more_is_forgotten_and_the_outcome_behind_it_stays(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    writer.decide(*BEGIN)
    writer.outcome(HERE)
    await opened.store.append("oslo", [(0, QueueClear(queue="prompt"))])
    assert not await writer.flush()
    assert await opened.events() == [PUSH, QueueClear(queue="prompt"), HERE]


async def test_outcomes_are_appended_again_behind_what_came_first(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    writer.outcome(ASSISTANT, MessageEnd(message=calling("read")))
    await opened.store.append("oslo", [(0, HERE)])
    assert not await writer.flush()
    assert await opened.events() == [*REQUESTED, HERE, ASSISTANT, MessageEnd(message=calling("read"))]
    batch = writer.state.batch
    assert batch is not None
    assert batch.message_seq == 9  # one later than it was when the message was taken
    assert [recorded.seq for recorded in opened.shown] == [7, 8, 9]


async def test_of_outcomes_and_later_decisions_only_the_outcomes_stay(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    writer.outcome(ASSISTANT, MessageEnd(message=AssistantMessage()))
    writer.decide(TurnEnd(), AgentEnd())
    await opened.store.append("oslo", [(0, QueuePush(queue="steering", message=UserMessage(content="Wait.")))])
    assert not await writer.flush()
    assert writer.state.phase is Phase.SETTLED
    assert type((await opened.events())[-1]) is MessageEnd


async def test_an_append_survives_many_others_in_a_row(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    opened.store.meddle = every_other(HERE, HERE)
    for event in (ASSISTANT, WORD, MessageEnd(message=AssistantMessage())):
        writer.outcome(event)
        assert not await writer.flush()
    assert [recorded.seq for recorded in opened.shown] == list(range(7, 16))


async def test_an_outcome_is_stored_though_somebody_is_faster_at_each_try(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    opened.store.meddle = lambda events: [HERE]
    for event in (ASSISTANT, WORD, MessageEnd(message=calling("read"))):
        writer.outcome(event)
        assert not await writer.flush()
    said = [ASSISTANT, WORD, MessageEnd(message=calling("read"))]
    assert [event for event in (await opened.events())[6:] if event != HERE] == said
    assert [recorded.seq for recorded in opened.shown] == list(range(7, len(await opened.events()) + 1))
    assert len(opened.store.appended) <= 1 + 3 * 4, "a try for the first refusal, then one that is not refused"
    assert writer.state == (await opened.another()).state, "each event is folded with the seq that it was given"


async def test_a_decision_that_stays_right_is_stored_though_somebody_is_faster_at_each_try(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    opened.store.meddle = lambda events: [HERE]
    assert not await writer.intend(*BEGIN)
    assert await writer.intend(*BEGIN)
    assert [event for event in await opened.events() if event != HERE] == [PUSH, *BEGIN]
    assert writer.state.phase is Phase.OPEN
    assert writer.head == len(await opened.events())


async def test_a_decision_that_input_changes_is_never_stored(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    opened.store.meddle = once(AgentStart, HERE)
    assert not await writer.intend(*BEGIN)
    opened.store.meddle = once(AgentStart, QueueClear(queue="prompt"))
    assert not await writer.intend(*BEGIN)
    assert await opened.events() == [PUSH, HERE, QueueClear(queue="prompt")]


async def test_an_append_that_was_refused_many_times_is_tried_on(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    refusals, failures = iter([True] * 1_000), iter(["before"] * 2)
    opened.store.refuses = lambda events: next(refusals, False)
    opened.store.fails = lambda events: next(failures, "")
    writer.outcome(ASSISTANT)
    assert not await writer.flush()
    assert await opened.events() == [*REQUESTED, ASSISTANT]


@in_no_time
async def test_an_append_that_is_refused_for_too_long_says_so_and_what_was_taken_is_kept(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED, patience_s=0.02)
    tries: list[int] = []

    def refuses(events: Sequence[tuple[int, Event]]) -> bool:
        tries[-1] += 1
        let_pass(0.004)
        return True

    opened.store.refuses = refuses
    writer.outcome(ASSISTANT)
    for _ in range(2):
        tries.append(0)
        with pytest.raises(ConflictError, match="session oslo: expected head 6, found 6"):
            await writer.flush()
    assert tries == [6, 6], "each flush has the whole patience"
    opened.store.refuses = lambda events: False
    assert await writer.flush()
    assert (await opened.events())[-1] == ASSISTANT


async def test_a_flush_ends_though_more_comes_while_it_goes_on(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)

    def more(events: Sequence[tuple[int, Event]]) -> Sequence[Event]:
        writer.outcome(MessageUpdate(kind="text_delta", content_index=0, delta="x"))
        return ()

    writer.outcome(ASSISTANT, WORD)
    opened.store.meddle = more
    for _ in range(50):
        assert await writer.flush()
    assert len(opened.store.appended) == 1 + 50
    assert len(await opened.events()) == len(REQUESTED) + 2 + 49


async def test_what_is_decided_while_a_flush_goes_on_is_not_forgotten(opened: Opened) -> None:
    writer = await opened.writer(PUSH)

    def more(events: Sequence[tuple[int, Event]]) -> Sequence[Event]:
        if writer.next_seq == 6:
            writer.decide(ASK)
        return ()

    opened.store.meddle = more
    writer.decide(*BEGIN)
    assert await writer.flush()
    assert writer.state.phase is Phase.REQUESTED
    assert await writer.flush()
    assert await opened.events() == [PUSH, *BEGIN, ASK]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("others", [(), (HERE,)], ids=["alone", "with others"])
async def test_a_commit_that_failed_is_looked_up_and_nothing_is_lost_or_doubled(
    opened: Opened, when: str, others: Sequence[Event]
) -> None:
    writer = await opened.writer(*REQUESTED)
    left = [when, when]
    opened.store.fails = lambda events: left.pop() if left else ""
    meddled = list(others)
    opened.store.meddle = lambda events: [meddled.pop()] if meddled else ()
    writer.outcome(ASSISTANT, MessageEnd(message=AssistantMessage()))
    await writer.flush()
    assert await opened.events() == [*REQUESTED, *others, ASSISTANT, MessageEnd(message=AssistantMessage())]
    assert [recorded.seq for recorded in opened.shown] == list(range(7, 9 + len(others)))


async def test_a_batch_whose_commit_seemed_to_fail_is_found_with_what_others_appended_behind_it(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    left = ["after"]
    opened.store.fails = lambda events: left.pop() if left else ""
    opened.store.afterwards = lambda events: [HERE]
    writer.outcome(ASSISTANT, MessageEnd(message=AssistantMessage()))
    assert await writer.flush()
    assert await opened.events() == [*REQUESTED, ASSISTANT, MessageEnd(message=AssistantMessage()), HERE]
    assert writer.head == 8
    await writer.catch_up(lambda: True)
    assert [recorded.seq for recorded in opened.shown] == [7, 8, 9]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failed_commit_behind_what_others_appended_is_found_or_made_again(opened: Opened, when: str) -> None:
    writer = await opened.writer(*REQUESTED)
    left, others = [when, ""], [HERE, Label(text="more"), Label(text="yet more")]
    opened.store.fails = lambda events: left.pop() if left else ""
    opened.store.meddle = lambda events: [others.pop()] if len(left) < 2 and others else ()
    await opened.store.append("oslo", [(0, HERE)])
    left[:] = [when, ""]
    writer.outcome(ASSISTANT, MessageEnd(message=AssistantMessage()))
    await writer.flush()
    events = [event for event in await opened.events() if not isinstance(event, Label)]
    assert events == [*REQUESTED, ASSISTANT, MessageEnd(message=AssistantMessage())]
    assert left == []
    assert [recorded.seq for recorded in opened.shown] == list(range(7, 7 + len(opened.shown)))
    assert len(opened.shown) == len(await opened.events()) - len(REQUESTED)


async def test_a_decision_whose_commit_failed_is_asked_for_again_or_found(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    left = ["after", "before"]
    opened.store.fails = lambda events: left.pop() if left else ""
    writer.decide(*BEGIN)
    assert not await writer.flush()
    assert await opened.events() == [PUSH]
    writer.decide(*BEGIN)
    assert await writer.flush()
    assert await opened.events() == [PUSH, *BEGIN]


@in_no_time
async def test_a_store_that_keeps_failing_says_that_the_outcome_is_unknown(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED, patience_s=0.02)
    tries: list[int] = []

    def fails(events: Sequence[tuple[int, Event]]) -> str:
        tries.append(1)
        return "before"

    opened.store.fails = fails
    writer.outcome(ASSISTANT)
    with pytest.raises(OutcomeUnknownError, match="the disk went away"):
        await writer.flush()
    assert 1 < len(tries) < 10, "a disk that fails is given time between two tries"
    opened.store.fails = lambda events: ""
    assert await writer.flush()
    assert await opened.events() == [*REQUESTED, ASSISTANT]


async def test_only_updates_and_the_start_before_them_may_vanish(opened: Opened) -> None:
    writer = await opened.writer(*OPENED)
    for events in ([ASK], [ASSISTANT, WORD], [WORD_END], [MessageEnd(message=AssistantMessage())]):
        writer.outcome(*events)
        await writer.flush()
    assert [durable for _, durable in opened.store.appended[1:]] == [True, False, False, True]


async def test_the_start_of_an_input_may_not_vanish(opened: Opened) -> None:
    writer = await opened.writer(*OPENED[:3])
    writer.decide(INPUT)
    await writer.flush()
    assert [durable for _, durable in opened.store.appended[1:]] == [True]


WORD_END = MessageUpdate(kind="text_end", content_index=0)


async def test_looking_for_news_folds_them_behind_outcomes_that_wait(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    writer.outcome(ASSISTANT)
    await opened.store.append("oslo", [(0, HERE)])
    await writer.catch_up(lambda: True)
    assert (writer.head, writer.next_seq, writer.state.phase) == (7, 9, Phase.STREAMING)
    assert writer.state.stream is not None
    assert writer.state.stream.start_seq == 8


@pytest.mark.parametrize("still", [True, False])
async def test_looking_for_news_disturbs_no_decision(opened: Opened, still: bool) -> None:
    writer = await opened.writer(PUSH)
    if still:
        writer.decide(*BEGIN)
    await opened.store.append("oslo", [(0, HERE)])
    await writer.catch_up(lambda: still)
    assert writer.head == 1


async def test_news_are_what_others_append_and_not_what_the_writer_does(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    news = asyncio.ensure_future(writer.wait_for_news())
    await asyncio.sleep(0.01)
    writer.outcome(*BEGIN)
    await writer.flush()
    await asyncio.sleep(0.01)
    assert not news.done()
    await opened.store.append("oslo", [(0, HERE)])
    await asyncio.wait_for(news, 30)
    await asyncio.wait_for(writer.wait_for_news(), 30)  # until they are folded
    await writer.catch_up(lambda: True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.wait_for_news(), 0.01)


async def test_a_writer_that_appends_again_and_again_waits_for_news_in_between(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await opened.writer(PUSH)
    waits = 0
    wait = opened.store.wait

    async def counted(session: str, after: int, timeout_s: float | None = None) -> bool:
        nonlocal waits
        waits += 1
        return await wait(session, after, timeout_s)

    monkeypatch.setattr(opened.store, "wait", counted)
    news = asyncio.ensure_future(writer.wait_for_news())
    await asyncio.sleep(0.01)
    for _ in range(10):
        writer.outcome(Label(text="x"))
        await writer.flush()
        await asyncio.sleep(0)
    assert waits == 1
    assert not news.done()
    await opened.store.append("oslo", [(0, HERE)])
    await asyncio.wait_for(news, 30)
    assert waits == 2


async def test_an_abort_is_found_in_what_is_not_folded_yet_and_not_before(opened: Opened) -> None:
    writer = await opened.writer(*OPENED, AbortRequest())
    await opened.store.append("oslo", [(0, HERE)])
    assert not await writer.finds_abort()
    await opened.store.append("oslo", [(0, AbortRequest())])
    assert await writer.finds_abort()


async def test_decisions_can_be_forgotten(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    writer.outcome(ASSISTANT, MessageEnd(message=calling("read")))
    writer.decide(START)
    writer.forget_decisions()
    await writer.flush()
    assert len(await opened.events()) == 8
    assert not [e for e in await opened.events() if isinstance(e, ToolExecutionStart)]


async def test_what_an_operator_hears_of_a_call_names_its_tool(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await opened.writer(*CALLED, START)
    writer.outcome(ToolExecutionEnd(message_seq=8, content_index=1, result=DONE, is_error=True))
    with caplog.at_level("WARNING"):
        await writer.flush()
    [said] = [record for record in caplog.records if record.name == "eventsource.run"]
    assert said.getMessage() == "session oslo, seq 10: tool read failed: done"


@in_no_time
async def test_while_an_append_is_refused_others_go_on(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED, patience_s=5)
    others = asyncio.Event()

    def refuses(events: Sequence[tuple[int, Event]]) -> bool:
        asyncio.get_running_loop().call_soon(others.set)
        return not others.is_set()

    opened.store.refuses = refuses
    writer.outcome(ASSISTANT)
    assert not await writer.flush()
    assert await opened.events() == [*REQUESTED, ASSISTANT]


async def test_a_superseded_writer_is_fenced_out_and_logs_where(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await opened.writer(PUSH)
    writer.lease = await opened.store.claim("oslo")
    await opened.store.release(writer.lease)
    await opened.store.claim("oslo")
    writer.decide(*BEGIN)
    with caplog.at_level("WARNING"), pytest.raises(FencedError):
        await writer.flush()
    assert await opened.events() == [PUSH]
    [told] = [record for record in caplog.records if "the lease was lost" in record.getMessage()]
    assert (told.__dict__["session"], told.__dict__["seq"]) == ("oslo", 1)


async def test_what_is_streamed_of_an_open_message_is_read_back(opened: Opened) -> None:
    writer = await opened.writer(*REQUESTED)
    assert await writer.open_updates() == ()
    writer.outcome(ASSISTANT, WORD)
    for _ in range(2):
        assert [recorded.event for recorded in await writer.open_updates()] == [ASSISTANT, WORD]
        await opened.store.append("oslo", [(0, HERE)])  # what the writer has not folded does not belong to it


async def test_a_key_of_the_environment_is_never_written(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "writers-own-key-0123456789abcdef"
    monkeypatch.setenv("WRITERS_API_KEY", key)
    writer = await opened.writer()
    writer.outcome(Label(text=f"it is {key}"))
    await writer.flush()
    assert key not in str(await opened.events())


async def test_a_call_is_known_by_the_session_that_recorded_its_start(opened: Opened) -> None:
    first, second = Place(message_seq=8, content_index=1), Place(message_seq=8, content_index=2)
    writer = await opened.writer(*CALLED, START)
    assert await writer.recorder_of(first) == "oslo"
    await opened.store.fork("oslo", 9, at_us=0, session="bergen")
    fork = Writer(opened.store, "bergen", context=CONTEXT, clock=lambda: 7, on_commit=opened.shown.extend)
    await fork.load()
    assert await fork.recorder_of(first) == "oslo"
    fork.decide(ToolExecutionStart(message_seq=8, content_index=2, name="send"))
    await fork.flush()
    assert await fork.recorder_of(second) == "bergen"


async def test_a_cancelled_flush_has_done_all(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    writer.decide(*BEGIN)
    flushing = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert await opened.events() == [PUSH, *BEGIN]
    assert (writer.head, len(opened.shown)) == (5, 4)
    assert await writer.flush()


async def test_a_flush_that_is_cancelled_five_times_has_done_all(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    writer.decide(*BEGIN)
    flushing = asyncio.create_task(writer.flush())
    for _ in range(5):
        await asyncio.sleep(0)
        flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert await opened.events() == [PUSH, *BEGIN]
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_behind_a_cancellation_is_not_left_unread() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise StoreError("here", "full", "make room")

    waiting = asyncio.create_task(finish(fail()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_texts_are_repaired_as_they_enter(opened: Opened) -> None:
    writer = await opened.writer()
    writer.outcome(Label(text="\ud83e\udde5 \ud800"))
    await writer.flush()
    assert await opened.events() == [Label(text="🧥 \ufffd")]


async def test_another_writer_loads_what_the_first_one_wrote(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    writer.decide(*BEGIN, ASK)
    writer.outcome(MessageStart(role="assistant"), WORD)
    await writer.flush()
    other = await opened.another()
    assert (other.state, other.head) == (writer.state, writer.head)
    assert other.view == writer.view


async def test_an_update_is_checked_and_repaired_once_and_given_back_as_it_is_kept(opened: Opened) -> None:
    writer = await opened.writer(PUSH)
    writer.decide(*BEGIN, ASK)
    writer.outcome(MessageStart(role="assistant"))
    with pytest.raises(IllegalEventError, match=f"session {writer.session}"):
        writer.outcome(MessageUpdate(content_index=3, kind="text_delta", delta="too early"))
    (kept,) = writer.outcome(MessageUpdate(content_index=0, kind="text_start", id="\ud800"))
    assert kept == MessageUpdate(content_index=0, kind="text_start", id="\ufffd")
    await writer.flush()
    assert (await opened.events())[-1] == kept


async def test_the_context_is_given_every_fact_once_and_no_update(opened: Opened) -> None:
    given = list[Event]()

    def step(view: ContextView, recorded: Recorded) -> ContextView:
        given.append(recorded.event)
        return CONTEXT.step(view, recorded)

    await opened.writer(*REQUESTED, ASSISTANT, WORD)
    taking = replace(CONTEXT, step=step)
    writer = Writer(opened.store, "oslo", context=taking, clock=lambda: 7, on_commit=opened.shown.extend)
    await writer.load()
    assert given == [*REQUESTED, ASSISTANT]
    said = MessageUpdate(kind="text_delta", content_index=0, delta="rain")
    writer.outcome(said, end := MessageEnd(message=AssistantMessage(content=(TextContent(text="rain"),))))
    assert given == [*REQUESTED, ASSISTANT, end]
    assert await writer.flush()
    assert [one.event for one in opened.shown] == [said, end]

"""What an opened log keeps folded of its sessions: it saves reading, and changes no answer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from benchmarks.exchange import history
from eventsource.envelope import Recorded
from eventsource.errors import HasForksError, RefoldError, SessionExistsError, UnknownSeqError
from eventsource.events import UPDATE_TYPES, AgentEnd, Event, MessageAdopt, ModelRequest, Origin
from eventsource.log.load import load
from eventsource.log.memory import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.log.warm import APART, WarmFold, WarmFolds
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.state import State
from eventsource.messages import AssistantMessage, ToolResultMessage, UserMessage
from eventsource.models.scripted import call, scripted
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.script import Answer
from eventsource.request import Request, request_sha256
from projections.context import CONTEXT as PROJECTION, Entry
from projections.lifecycle import LifecycleEvent, lifecycle
from projections.pairing import ContextMessage
from projections.projection import project
from refold import Agent, Log, open_log, tool
from refold.context_fold import CONTEXT
from refold.session import Session
from refold.testing.history_strategies import histories


@tool(effect="pure")
def weather(city: str) -> str:
    """Weather."""
    return "12 C, rain"


def answer(request: Request) -> Answer:
    """Ask for the weather, then say it."""
    done = isinstance(request.messages[-1], ToolResultMessage)
    return ["It ", "rains."] if done else [call("weather", {"city": "Oslo"})]


async def ask(session: Session, said: str = "Oslo?") -> ScriptedModel:
    """Have one exchange with a call of a tool."""
    model = scripted(answer)
    run = await Agent(model, tools=[weather]).run(said, session=session)
    assert run.status == "done", run.error
    return model


class Counting(MemoryLog):
    """A log that counts the events which are read of it."""

    read_events = 0

    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        page = await super().read(session, after=after, upto=upto, limit=limit, updates=updates)
        self.read_events += len(page)
        return page


@pytest.fixture
async def counting() -> AsyncIterator[tuple[Counting, Log]]:
    names = count(1)
    store = Counting(clock=lambda: 7, new_id=lambda: f"s{next(names)}")
    async with Log(store, clock=lambda: 7) as log:
        yield store, log


async def read_by(counting: Counting, *asked: object) -> int:
    before = counting.read_events
    for one in asked:
        await one  # type: ignore[misc]  # coroutines
    return counting.read_events - before


async def grown(log: Log, exchanges: int) -> Session:
    session = await log.session(f"of {exchanges}")
    for _ in range(exchanges):
        await ask(session)
    return session


@pytest.mark.slow
async def test_one_more_exchange_reads_as_many_events_in_a_long_session_as_in_a_short_one(
    counting: tuple[Counting, Log],
) -> None:
    store, log = counting
    short, long = await grown(log, 10), await grown(log, 100)
    assert await read_by(store, ask(long)) == await read_by(store, ask(short)) < 10


@pytest.mark.slow
async def test_looking_at_a_session_that_was_run_reads_nothing_of_it(counting: tuple[Counting, Log]) -> None:
    store, log = counting
    session = await grown(log, 20)
    looked = (session.messages(), session.state(), session.request(), session.history(), session.next_step())
    assert await read_by(store, *looked) == 0
    await session.labels()
    assert await read_by(store, session.labels()) == 0


@pytest.mark.slow
async def test_a_stream_reads_only_what_its_open_run_has_on_record(counting: tuple[Counting, Log]) -> None:
    store, log = counting
    session = await grown(log, 20)
    before = store.read_events
    shown = [
        one async for one in Agent(scripted("Yes."), tools=[weather]).stream("Still?", session=session).lifecycle()
    ]
    assert store.read_events == before
    ended = next(one for one in shown if isinstance(one.event, AgentEnd))
    assert [message.role for message in ended.messages] == ["user", "assistant"]


def adopted(count: int) -> list[tuple[int, Event]]:
    said = (MessageAdopt(message=UserMessage(content=f"{n}"), origin=Origin(source="test")) for n in range(count))
    return [(0, event) for event in said]


async def test_a_look_back_reads_little_in_a_session_of_any_length(counting: tuple[Counting, Log]) -> None:
    store, log = counting
    session = await log.session("oslo")
    await store.append(session.id, adopted(10 * APART))
    await session.messages()
    for at in (APART - 1, 3 * APART + 7, 10 * APART - 1):
        assert await read_by(store, session.state(at)) <= APART
        assert await read_by(store, session.request(at=at)) <= APART


async def test_a_fork_is_first_read_from_what_is_kept_of_its_parent(counting: tuple[Counting, Log]) -> None:
    store, log = counting
    session = await log.session("oslo")
    await store.append(session.id, adopted(10 * APART))
    whole = await session.messages()
    for at in (10 * APART, 4 * APART + 9):
        fork = await session.fork(at=at)
        assert await read_by(store, fork.messages()) <= APART + 1
        assert await fork.messages() == whole[:at]


async def test_asked_again_why_reads_little_of_a_session_of_any_length(counting: tuple[Counting, Log]) -> None:
    store, log = counting
    session = await log.session("oslo")
    await store.append(session.id, adopted(10 * APART))
    await ask(session)
    seq = next(one.seq for one in reversed(await session.events(limit=99_999)) if isinstance(one.event, ModelRequest))
    first = await session.why(seq)
    assert await read_by(store, session.why(seq)) <= APART
    assert await session.why(seq) == first


@given(history=histories(), places=st.lists(st.integers(0, 200), min_size=1, max_size=8), apart=st.integers(1, 9))
def test_a_look_back_finds_what_a_fold_from_the_beginning_finds(
    history: tuple[Recorded, ...], places: list[int], apart: int
) -> None:
    asyncio.run(look_back(history, [place % (len(history) + 1) for place in places], apart))


async def look_back(history: tuple[Recorded, ...], places: list[int], apart: int) -> None:
    store = MemoryLog(clock=now, new_id=iter("abcdefghij").__next__)
    store.folds = WarmFolds(apart=apart)
    row = await store.create()
    if history:
        await store.append(row.id, [(one.at_us, one.event) for one in history])
    for at in places:
        facts = [one for one in history[:at] if not isinstance(one.event, UPDATE_TYPES)]
        _, state, view = await load(store, row.id, context=CONTEXT, upto=at)
        assert state == fold(history[:at])
        assert view == project(PROJECTION, facts)
        with suppress(UnknownSeqError):  # inside of a message whose updates are gone
            fork = await store.fork(row.id, at, at_us=7)
            theirs = (await load(store, fork.id, context=CONTEXT))[1:]
            store.folds.forget(fork.id)
            store.folds.forget(row.id)
            assert theirs == (await load(store, fork.id, context=CONTEXT))[1:]


async def test_what_another_process_appended_is_folded_on(tmp_path: Path) -> None:
    async with open_log(tmp_path / "x.db") as ours, open_log(tmp_path / "x.db") as theirs:
        session = await ours.session("oslo")
        await ask(session)
        other = await theirs.session("oslo")
        assert await other.messages() == await session.messages()
        await ask(other, "And tomorrow?")
        assert await session.state() == await other.state()
        assert await session.messages() == await other.messages()
        row = await session.info()
        assert ours.store.folds.find(row, evolve, State(), row.head).seq == row.head


def texts(request: Request) -> str:
    return "".join(str(message) for message in request.messages)


@pytest.mark.parametrize("forked", [False, True])
async def test_what_another_process_erased_is_in_no_later_request_of_a_run_under_way(
    tmp_path: Path, forked: bool
) -> None:
    async with open_log(tmp_path / "x.db") as ours, open_log(tmp_path / "x.db") as theirs:
        parent = await ours.session("oslo")
        await ask(parent, "My PIN is 1234.")
        named = next(one for one in await parent.history() if isinstance(one.message, UserMessage))
        session = await parent.fork() if forked else parent
        erasing: list[object] = []

        @tool(effect="pure")
        async def forget() -> str:
            """Forget."""
            erasing.append(await theirs.store.erase(parent.id, named.source_seq, at_us=9))
            return "forgotten"

        model = scripted([call("forget", {})], ["Done."])
        run = await Agent(model, tools=[forget]).run("Forget it.", session=session)
        assert run.status == "done", run.error
        assert erasing
        first, second = (texts(one.request) for one in model.asked)
        assert ("1234" in first, "1234" in second) == (True, False)
        assert "1234" not in texts(await session.request())
        assert (await session.replay()).difference is None


async def test_a_session_made_again_under_the_id_of_a_deleted_one_is_not_taken_for_it(log: EventLog) -> None:
    opened = Log(log, clock=lambda: 7)
    parent = await log.create("parent", created_at_us=7)
    await ask(Session((await opened.session("parent")).core), "My PIN is 1234.")
    head = (await log.info(parent.id)).head
    named = next(
        one for one in await (await opened.session("parent")).history() if isinstance(one.message, UserMessage)
    )

    async def fork() -> Session:
        await log.fork("parent", head, at_us=7, session="fork", created_at_us=7)
        return await opened.session("fork")

    first = await fork()
    assert "1234" in texts(await first.request())
    row = await first.info()
    await log.delete("fork")
    await log.erase("parent", named.source_seq, at_us=7)
    again = await (await fork()).info()
    assert (again.head, again.digest, again.removals, again.created_at_us) == (
        row.head,
        row.digest,
        row.removals,
        row.created_at_us,
    )
    assert "1234" not in texts(await first.request())


async def test_of_what_does_not_fit_the_least_recently_used_session_goes_first(log: EventLog) -> None:
    rows = [await log.create(name) for name in "abc"]
    folds = WarmFolds(limit_bytes=25_000)

    def there() -> str:
        return "".join(row.id for row in rows if folds.find(row, evolve, State(), 1).seq)

    for row in rows[:2]:
        folds.keep(row, evolve, WarmFold(1, State(), 8_000))
    folds.keep(rows[0], evolve, WarmFold(1, State(), 8_000))
    folds.keep(rows[2], evolve, WarmFold(1, State(), 8_000))
    assert there() == "ac"
    assert folds.size_bytes <= folds.limit_bytes
    folds.keep(rows[1], evolve, WarmFold(1, State(), 80_000))
    assert there() == "b"


@pytest.mark.slow
async def test_folds_that_are_given_up_are_folded_again(log: EventLog) -> None:
    log.folds = WarmFolds(limit_bytes=0)
    opened = Log(log, clock=lambda: 7)
    sessions = [await opened.session(name) for name in "ab"]
    for session in sessions * 3:
        await ask(session)
    for session in sessions:
        kept = await session.messages()
        log.folds = WarmFolds()
        assert kept == await session.messages()


async def test_the_stream_of_a_run_that_goes_on_shows_what_it_would_have_shown(log: EventLog) -> None:
    session = await Log(log, clock=lambda: 7).session("oslo")
    await ask(session)

    @tool(effect="pure", approval="always")
    def rain() -> str:
        """Rain."""
        return "yes"

    agent = Agent(scripted([call("rain", {})], ["It rains."]), tools=[rain])
    run = await agent.run("Does it rain?", session=session)
    head = run.head
    await session.decide(run.waits[0], approve=True)
    shown = [one async for one in agent.stream(None, session=session).lifecycle()]
    whole = lifecycle(await session.events(limit=100_000))
    assert facts(shown) == facts([one for one in whole if one.seq > head])
    assert [message.role for message in shown[-1].messages] == ["user", "assistant", "tool_result", "assistant"]


def facts(shown: Sequence[LifecycleEvent]) -> list[LifecycleEvent]:
    return [one for one in shown if one.event.type != "message_update"]


Choice = tuple[str, int, int, int]
CHOICES = st.lists(
    st.tuples(
        st.sampled_from(("run", "run", "steer", "label", "erase", "drop", "fork", "delete", "look", "look")),
        st.integers(0, 1),
        st.integers(0, 7),
        st.integers(0, 200),
    ),
    max_size=10,
)


@pytest.mark.slow
@settings(max_examples=15)
@given(choices=CHOICES)
def test_whatever_two_opened_logs_do_each_answers_as_a_freshly_opened_one(
    tmp_path_factory: pytest.TempPathFactory, choices: list[Choice]
) -> None:
    asyncio.run(compare(tmp_path_factory.mktemp("warm") / "x.db", choices))


async def compare(path: Path, choices: list[Choice]) -> None:
    """Let two logs act on one file by turns, and a third one look after each act."""
    names = ["a"]
    async with open_log(path, clock=now) as one, open_log(path, clock=now) as other, open_log(path, clock=now) as fresh:
        await one.store.create("a")
        for kind, who, which, number in choices:
            name = names[which % len(names)]
            await act((one, other)[who], name, kind, number, names)
            for opened in (one, other) if kind != "look" else ():
                if name in names:
                    await same(opened, fresh, name)
        for name in names:
            for opened in (one, other):
                await same(opened, fresh, name)


def now() -> int:
    """A clock that stands still, so that what is made again has the same times."""
    return 7


async def act(log: Log, name: str, kind: str, number: int, names: list[str]) -> None:
    """Do one thing with a session; what cannot be done there is left."""
    session = await log.session(name)
    info = await session.info()
    with suppress(UnknownSeqError, HasForksError, SessionExistsError):
        match kind:
            case "run":
                model = await ask(session, f"Oslo {number}?")
                seqs = [one.seq for one in await session.events(limit=100_000) if isinstance(one.event, ModelRequest)]
                assert await session.request(at=seqs[-1]) == model.asked[-1].request
            case "steer":
                await session.follow_up(f"and {number}?")
            case "label" if info.head:
                await session.label(f"l{number}", 1 + number % info.head)
            case "erase" if info.head:
                await log.store.erase(name, 1 + number % info.head, at_us=7)
            case "drop":
                await log.store.drop_updates(name)
            case "fork":
                again = [name for name in "bcd" if name not in names]
                at = info.head if number % 3 else number % (info.head + 1)
                if again:
                    await log.store.fork(name, at, at_us=7, session=again[0], created_at_us=7)
                    names.append(again[0])
            case "delete":
                await log.store.delete(name)
                if name == "a":
                    await log.store.create("a", created_at_us=7)
                else:
                    names.remove(name)
            case _:
                await session.messages()


async def same(opened: Log, fresh: Log, name: str) -> None:
    """Compare what an opened log says of a session with what one says that has read nothing yet."""
    fresh.store.folds = WarmFolds()
    ours, theirs = await opened.session(name), await fresh.session(name)
    for say in (Session.state, Session.messages, Session.history, Session.labels, Session.request):
        assert await said(say(ours)) == await said(say(theirs))
    request = await ours.request()
    assert request_sha256(request) == request_sha256(await theirs.request())


async def said(answer: object) -> object:
    try:
        return await answer  # type: ignore[misc]  # a coroutine
    except RefoldError as error:
        return repr(error)


def test_the_garbage_collector_tracks_no_event_and_nothing_that_is_kept_of_one() -> None:
    found = [one.event for one in history(1, deltas=2)]
    gc.collect()
    tracked = {type(one) for one in gc.get_objects()}
    kinds = {type(event) for event in found} | {UserMessage, AssistantMessage, ToolResultMessage, Entry, ContextMessage}
    assert not tracked & kinds


@given(histories())
def test_the_last_answer_is_found_without_the_others(history: tuple[Recorded, ...]) -> None:
    view = CONTEXT.initial
    for recorded in history:
        view = CONTEXT.step(view, recorded) if not isinstance(recorded.event, UPDATE_TYPES) else view
        answers = [message for message in CONTEXT.messages(view) if isinstance(message, AssistantMessage)]
        assert CONTEXT.answer(view) is (answers[-1] if answers else None)

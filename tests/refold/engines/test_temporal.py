"""Temporal drives sessions: what it is told, what it keeps, and what happens when a worker or the server fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventsource.events import StepEnd, StepStart
from refold import Log, open_log
from refold.engines.protocol import EngineError, RunTick
from refold.engines.worker import EngineWorker
from refold.tasks import TaskContext, TaskRun, task
from refold.tasks.ticker import Tick
from tests.faults import conversations
from tests.faults.test_worker_kill import ROOT, began, everybody_ended, facts, judge, people, workers
from tests.postgres import empty_log
from tests.relay import Relay
from tests.temporal import TemporalServer, free_port, temporal_server

pytest.importorskip("temporalio", reason="needs the extra temporal")
from temporalio import workflow
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from refold.engines.temporal import TemporalEngine, connect, read_address, workflow_id
from refold.engines.temporal_workflow import DRIVE, Drive

pytestmark = pytest.mark.slow
RECORDED = sorted((ROOT / "tests" / "golden").glob("*/temporal.json"))
FULL = os.environ.get("REFOLD_FAULTS") == "full"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    with temporal_server(tmp_path_factory.mktemp("temporal")) as started:
        yield started


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(tmp_path / "log.db") as opened:
        yield opened


@workflow.defn(name=DRIVE, sandboxed=False)
class Other:
    """A workflow that is not the one that was recorded."""

    @workflow.run
    async def run(self, session: str, heartbeat_ms: int) -> None:
        await workflow.sleep(1)

    @workflow.signal
    def poke(self) -> None:
        pass


async def engine_of(server: TemporalServer, options: str = "") -> TemporalEngine:
    await server.ready()
    return await connect(f"{server.url}?{options}" if options else server.url)


@asynccontextmanager
async def at_work(worker: EngineWorker) -> AsyncIterator[None]:
    async with asyncio.timeout(120):
        working = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await working


async def ended(run: TaskRun) -> TaskRun:
    async with asyncio.timeout(60):
        while (run := await run.refresh()).status not in ("done", "error"):
            await asyncio.sleep(0.02)
    return run


async def history_of(engine: TemporalEngine, session: str) -> WorkflowHistory:
    return await engine.client.get_workflow_handle(workflow_id(session)).fetch_history()


@task(id="draw", payload=str, queue="gpu")
async def draw(ctx: TaskContext, what: str) -> str:
    return f"a picture of {what}"


@task(id="ask", payload=str)
async def ask(ctx: TaskContext, what: str) -> list[object]:
    token = await ctx.create_token(key="answer", timeout="1h", type=str)
    await ctx.sleep("20ms")
    picture = await ctx.trigger_and_wait(draw, what)
    return [(await ctx.wait(token)).value, picture]


async def test_a_run_with_waits_and_children_goes_to_its_end_and_temporal_hears_no_word_of_it(
    server: TemporalServer, log: Log
) -> None:
    engine = await engine_of(server)
    async with at_work(EngineWorker(log, [ask, draw], engine, queues=["default", "gpu"])):
        run = await ask.trigger(log, "SECRET payload")
        while not run.waits:
            await asyncio.sleep(0.02)
            run = await run.refresh()
        await run.session.decide("answer", "SECRET answer")
        run = await ended(run)
    assert run.result == ["SECRET answer", "a picture of SECRET payload"]
    for session in (run.id, *run.children.values()):
        history = await history_of(engine, session)
        assert session in history.to_json()
        assert "SECRET" not in history.to_json()
        assert "U0VDUkVU" not in history.to_json()  # in base64, as payloads are
        await Replayer(workflows=[Drive]).replay_workflow(history)


def recorded(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json("recorded", path.read_text())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
async def test_a_recorded_history_is_replayed(path: Path) -> None:
    """`python -m tests.refold.engines.record` writes it; those of releases stay."""
    history = recorded(path)
    assert len(history.events) > 20
    await Replayer(workflows=[Drive]).replay_workflow(history)


async def test_other_commands_than_those_recorded_are_noticed() -> None:
    """Else the test above could not fail."""
    history = recorded(RECORDED[-1])
    with pytest.raises(workflow.NondeterminismError):
        await Replayer(workflows=[Other]).replay_workflow(history)


async def test_a_history_stays_small_however_often_a_session_is_ticked(server: TemporalServer) -> None:
    engine, count, stopping = await engine_of(server), 0, asyncio.Event()
    most = 10_000 if FULL else 180
    seen = dict[str, int]()

    async def tick(session: str) -> Tick:
        nonlocal count
        count += 1
        if count % 25 == 0:
            description = await engine.client.get_workflow_handle(workflow_id(session)).describe()
            seen[description.run_id] = max(seen.get(description.run_id, 0), description.history_length)
        return Tick(0, ended=count >= most)

    async with asyncio.timeout(3_000):
        serving = asyncio.create_task(engine.serve(tick, queues=["ticks"], concurrency=1, grace_s=1, stopping=stopping))
        await engine.poke("often", "ticks")
        while count < most:
            await asyncio.sleep(0.05)
        stopping.set()
        await serving
    assert len(seen) > 1
    assert max(seen.values()) < 1_100


async def test_temporal_begins_no_more_ticks_in_a_second_than_asked(server: TemporalServer) -> None:
    """By its own clock: a worker may be late, and then makes several at once."""
    engine, ticked, stopping = await engine_of(server, "rate=5"), list[str](), asyncio.Event()
    names = [f"rated-{number}" for number in range(20)]

    async def tick(session: str) -> Tick:
        ticked.append(session)
        return Tick(ended=True)

    async with asyncio.timeout(60):
        serving = asyncio.create_task(
            engine.serve(tick, queues=["rated"], concurrency=20, grace_s=1, stopping=stopping)
        )
        for name in names:
            await engine.poke(name, "rated")
        for name in names:
            await engine.client.get_workflow_handle(workflow_id(name)).result()
        stopping.set()
        await serving
    assert sorted(ticked) == sorted(names)
    begun = [
        event.event_time.ToDatetime()
        for name in names
        for event in (await history_of(engine, name)).events
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert len(begun) == 20
    assert (max(begun) - min(begun)).total_seconds() > 2


# --------------------------------------------------------------------------- what fails


QUEUES = "queue=default&queue=squares&heartbeat=5s"  # longer than a busy machine lets a worker stand still


async def took_over(log: Log, run: TaskRun) -> None:
    """Hold that a step ran twice, since its first worker was gone, and that one end of it is on record."""
    run = await ended(run)
    assert run.result == "done"
    events = [event async for event in facts(run.session)]
    assert len([event for event in events if isinstance(event, StepStart)]) == 2
    assert len([event for event in events if isinstance(event, StepEnd)]) == 1
    assert (await log.verify()).ok


@pytest.mark.faults
async def test_what_a_killed_worker_had_is_taken_over(server: TemporalServer, log: Log, tmp_path: Path) -> None:
    await server.ready()
    run = await conversations.held.trigger(log, None)
    with workers(tmp_path / "log.db", tmp_path, lease="10m") as crew:
        first = crew.start("--engine", f"{server.url}?{QUEUES}")
        await began(tmp_path, 1, timeout_s=60)
        crew.start("--engine", f"{server.url}?{QUEUES}")
        first.kill()
        await began(tmp_path, 2, timeout_s=90)
        (tmp_path / "go").touch()
        await took_over(log, run)


@pytest.mark.faults
@pytest.mark.parametrize("how", ["frozen", "cut off"])
async def test_what_a_worker_had_that_is_away_is_taken_over_and_back_it_works_on(
    server: TemporalServer, tmp_path: Path, postgres: str, how: str
) -> None:
    await server.ready()
    with empty_log(postgres) as place, workers(place, tmp_path) as crew:
        async with open_log(place) as log, Relay(place) as to_log, Relay(server.url) as to_engine:
            run = await conversations.held.trigger(log, None)
            first = crew.start("--engine", f"{to_engine.url}?{QUEUES}", place=to_log.url)
            await began(tmp_path, 1, timeout_s=60)
            other = crew.start("--engine", f"{server.url}?{QUEUES}")
            if how == "frozen":
                first.send_signal(signal.SIGSTOP)
            else:
                to_log.cut()
                to_engine.cut()
            await began(tmp_path, 2, timeout_s=90)
            (tmp_path / "go").touch()
            await took_over(log, run)
            head = (await run.session.info()).head
            first.send_signal(signal.SIGCONT)
            to_log.mend()
            to_engine.mend()
            other.send_signal(signal.SIGTERM)
            assert other.wait(60) == 0
            assert (await ended(await conversations.held.trigger(log, None))).result == "done"  # by the first
            assert first.poll() is None
            assert len((tmp_path / "began").read_text().split()) == 3
            assert b"lost" in crew.told(1), "it comes to its end and is refused, or is told before"
            assert (await run.session.info()).head == head


@pytest.mark.faults
async def test_with_a_worker_that_is_away_goes_what_it_had_just_asked_for(server: TemporalServer) -> None:
    """Besides its ticks one more of a queue, and one step: with more open questions, more sessions would wait."""
    near = await engine_of(server, "heartbeat=5s")
    there, here, back = asyncio.Queue[str](), list[str](), asyncio.Event()
    known, new = [f"known-{number}" for number in range(6)], [f"new-{number}" for number in range(3)]

    async def tick_away(session: str) -> Tick:
        await there.put(session)
        await back.wait()
        return Tick(0)

    async def tick_here(session: str) -> Tick:
        here.append(session)
        return Tick(ended=True)

    async with asyncio.timeout(100), Relay(server.url) as wire, served(await connect(wire.url), tick_away, "lost"):
        for session in known:
            await near.poke(session, "lost")
        assert sorted([await there.get() for _ in known]) == known
        wire.cut()
        async with served(near, tick_here, "lost"):
            for session in new:
                await near.poke(session, "lost")
            for session in [*known, *new]:
                await near.client.get_workflow_handle(workflow_id(session)).result()
        wire.mend()
        back.set()
    assert sorted(here) == [*known, *new]
    histories = {session: (await history_of(near, session)).events for session in [*known, *new]}
    attempts = [event.activity_task_started_event_attributes.attempt for one in histories.values() for event in one]
    assert sum(attempts) == 2 * len(known) + len(new) + 1
    missed = [missed_step(events) for events in histories.values()]
    assert len([begun for begun, _ in missed if begun]) <= 2
    assert max(after_s for begun, after_s in missed if not begun) < 9  # by Temporal's own custom it is 10


def missed_step(events: Sequence[HistoryEvent]) -> tuple[bool, float]:
    """Return whether a step of a workflow was given to a worker that is away, and after how long it was missed."""
    for event in events:
        if event.HasField("workflow_task_timed_out_event_attributes"):
            missed = event.workflow_task_timed_out_event_attributes
            asked = events[missed.scheduled_event_id - 1]
            after = event.event_time.ToDatetime() - asked.event_time.ToDatetime()
            return bool(missed.started_event_id), after.total_seconds()
    return False, 0.0


@asynccontextmanager
async def served(engine: TemporalEngine, tick: RunTick, queue: str) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(engine.serve(tick, queues=[queue], concurrency=20, grace_s=1, stopping=stopping))
        yield
        stopping.set()


@pytest.mark.faults
async def test_a_server_that_is_killed_and_restarted_goes_on(log: Log, tmp_path: Path) -> None:
    with temporal_server(tmp_path) as own, workers(tmp_path / "log.db", tmp_path) as crew:
        await own.ready()
        for number in (1, 2):
            crew.start("--engine", f"{own.url}?{QUEUES}")
            while b"Working on" not in crew.told(number):  # a server that was never there is not waited for
                await asyncio.sleep(0.02)
        started = [await conversations.KINDS[number % 4].trigger(log, None) for number in range(8)]
        sent = {run.id: 0 for run in started if run.task == "chat"}
        restarts = 0
        async with asyncio.timeout(180):
            while not await everybody_ended(log):
                await people(log, sent)
                await asyncio.sleep(0.3)
                if restarts < 2:
                    own.kill()
                    await asyncio.sleep(0.5)
                    own.start()
                    restarts += 1
        await judge(log, tmp_path)
        for process in crew.running:
            assert process.poll() is None, "a worker ended with the server"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


# --------------------------------------------------------------------------- addresses


def test_an_address_says_server_namespace_queues_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEMPORAL_API_KEY", raising=False)
    plain = read_address("temporal://localhost")
    assert (plain.target, plain.namespace, plain.queues, plain.tls) == ("localhost:7233", "default", (), False)
    place = read_address("temporal://h:1/ns?queue=gpu&queue=default&rate=2.5&heartbeat=4s&tls=true")
    assert (place.target, place.namespace, place.queues) == ("h:1", "ns", ("gpu", "default"))
    assert (place.rate, place.heartbeat_ms, place.tls) == (2.5, 4_000, True)
    monkeypatch.setenv("TEMPORAL_API_KEY", "k")
    assert read_address("temporal://localhost").tls
    assert not read_address("temporal://localhost?tls=false").tls


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("dbos://h", "not of that form"),
        ("temporal://", "not of that form"),
        ("temporal://user:word@h", "not of that form"),
        ("temporal://h/a/b", "not of that form"),
        ("temporal://h:none", "Port"),
        ("temporal://h?speed=3", "no option 'speed'"),
        ("temporal://h?rate=0", "a number above 0"),
        ("temporal://h?rate=many", "many"),
        ("temporal://h?heartbeat=10ms", "a second or more"),
        ("temporal://h?heartbeat=soon", "soon"),
        ("temporal://h?tls=yes", "true or false"),
        ("temporal://h?queue", "query"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str, told: str) -> None:
    with pytest.raises(EngineError) as caught:
        read_address(url)
    assert told in str(caught.value)
    assert "word" not in str(caught.value)


async def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match=r"temporal://127.0.0.1:[0-9]+/default: it cannot be used"):
        await connect(f"temporal://127.0.0.1:{free_port()}")


async def test_with_tls_nothing_goes_in_the_clear() -> None:
    first = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not first.done():
            first.set_result(await reader.read(1))
        writer.close()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(EngineError):
        await connect(f"temporal://127.0.0.1:{port}?tls=true")
    assert await first == b"\x16"  # the first byte of a greeting of TLS
    listener.close()


async def test_no_tick_is_made_once_it_is_to_stop(server: TemporalServer, log: Log) -> None:
    engine, run = await engine_of(server), await draw.trigger(log, "Oslo")
    worker = EngineWorker(log, [draw], engine, queues=["gpu"])
    worker.stop()
    await worker.run()
    assert (await run.refresh()).status == "due"

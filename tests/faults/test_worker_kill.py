"""Workers killed at any moment, or stopped beyond their lease: everything reaches its end, nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from eventsource.errors import StoreError, WaitOverError
from eventsource.events import MessageStart, StepEnd, StepStart, WaitEnd
from refold import Log, Session, open_log
from refold.tasks import TaskRun, runs
from tests.faults import conversations
from tests.postgres import empty_log

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("REFOLD_FAULTS") == "full"
KILLS, CONVERSATIONS = (300, 50) if FULL else (8, 12)
pytestmark = [pytest.mark.faults, pytest.mark.slow]


class Workers:
    """Processes that work on one log."""

    def __init__(self, place: str, folder: Path, *, lease: str) -> None:
        self._place, self._folder, self._lease, self._count = place, folder, lease, 0
        self.running: list[subprocess.Popen[bytes]] = []

    def start(
        self, *options: str, place: str = "", before: Sequence[str] = (), **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start one more. `before`: the words of a command that runs it; `variables`: of its environment."""
        words = ["worker", "tests.faults.conversations", "--lease", self._lease, "--db", place or self._place, *options]
        self._count += 1
        with (self._folder / f"worker-{self._count}.txt").open("wb") as told:
            process = subprocess.Popen(
                [*before, sys.executable, "-c", "from refold.cli import main; main()", *words],
                cwd=ROOT,
                env={**os.environ, "CONVERSATIONS": str(self._folder), **variables},
                stdout=subprocess.DEVNULL,
                stderr=told,
            )
        self.running.append(process)
        return process

    def told(self, number: int) -> bytes:
        """Read what a process said on stderr."""
        return (self._folder / f"worker-{number}.txt").read_bytes()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.running.remove(process)


@contextmanager
def workers(place: str | Path, folder: Path, *, lease: str = "2s") -> Iterator[Workers]:
    found = Workers(str(place), folder, lease=lease)
    try:
        yield found
    finally:
        for process in found.running:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_killed_workers_lose_nothing_and_do_nothing_twice(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        await kill_workers(str(tmp_path / "log.db"), tmp_path)
    else:
        with empty_log(request.getfixturevalue("postgres")) as place:
            await kill_workers(place, tmp_path)


async def kill_workers(place: str, folder: Path) -> None:
    kills, chance = 0, random.Random(7)
    async with open_log(place) as log:
        with workers(place, folder) as crew:
            for _ in range(3):
                crew.start()
            while kills < KILLS:
                started = [await conversations.KINDS[n % 4].trigger(log, None) for n in range(CONVERSATIONS)]
                sent = {run.id: 0 for run in started if run.task == "chat"}
                async with asyncio.timeout(240):
                    while not await everybody_ended(log):
                        await people(log, sent)
                        await asyncio.sleep(chance.uniform(0.05, 0.4))
                        if kills < KILLS:
                            kills += 1
                            crew.kill(chance.choice(crew.running))
                            crew.start()
        assert kills == KILLS
        await judge(log, folder)


async def everybody_ended(log: Log) -> bool:
    return not any(info.task and info.open for info in await log.list(unfinished=True, limit=10_000))


async def people(log: Log, sent: dict[str, int]) -> None:
    """Answer what is asked, and say the next thing in each chat; each twice, as people do who get no answer."""
    for info in await log.list(status="waiting", limit=10_000):
        session = await log.find(info.id)
        for wait in (await session.state()).waits:
            with suppress(WaitOverError):
                if wait.reason == "approval":
                    await session.decide(wait.key, approve=True)
                elif wait.key == "answer":
                    await session.decide(wait.key, "yes")
    for name, number in sent.items():
        if number < len(conversations.MESSAGES):
            for _ in range(2):
                await (await log.find(name)).send(conversations.MESSAGES[number], key=f"message {number}")
            sent[name] += 1


async def judge(log: Log, folder: Path) -> None:
    """Hold that every run came to what it should, and that nothing was done or recorded twice."""
    found = await runs(log, limit=1_000_000)
    for run in found:
        if run.task in conversations.EXPECTED:
            assert (run.status, run.result) == ("done", conversations.EXPECTED[run.task]), (run, run.error)
        await judge_record(run)
    paid = (folder / "paid").read_text().split()
    assert max(Counter(paid).values()) == 1, "a tool that runs once ran twice"
    assert (await log.verify()).ok


async def judge_record(run: TaskRun) -> None:
    ends: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    taken: Counter[int] = Counter()
    async for event in facts(run.session):
        match event:
            case StepEnd(error=""):
                ends[event.key] += 1
            case StepEnd():
                failures[event.key] += 1
            case WaitEnd(push_seq=seq) if seq:
                taken[seq] += 1
            case MessageStart(role="input", push_seq=seq):
                taken[-seq] += 1
            case _:
                pass
    assert set(ends.values()) <= {1}, (run, ends)
    assert set(failures.values()) <= {2}, (run, failures)
    assert set(taken.values()) <= {1}, (run, taken)
    report = await run.session.replay()
    assert report.difference is None, (run, report.difference)


async def facts(session: Session):  # type: ignore[no-untyped-def]  # a generator of events
    from eventsource.log.load import read_all

    async for recorded in read_all(session.core.log, session.id, updates=False):
        yield recorded.event


async def test_a_worker_stopped_beyond_its_lease_is_fenced_when_it_wakes(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_log(path) as log:
        with workers(path, tmp_path, lease="600ms") as crew:
            run = await conversations.held.trigger(log, None)
            first = crew.start()
            await began(tmp_path, 1)
            await pause(log, first)
            crew.start()
            await began(tmp_path, 2)
            (tmp_path / "go").touch()
            async with asyncio.timeout(60):
                while (run := await run.refresh()).status in ("running", "due"):
                    await asyncio.sleep(0.02)
            assert run.result == "done"
            head = (await run.session.info()).head
            first.send_signal(signal.SIGCONT)
            async with asyncio.timeout(60):
                while b"lost" not in crew.told(1):
                    await asyncio.sleep(0.02)
            assert (await run.session.info()).head == head
            events = [event async for event in facts(run.session)]
            assert len([event for event in events if isinstance(event, StepStart)]) == 2
            assert len([event for event in events if isinstance(event, StepEnd)]) == 1
            assert (await log.verify()).ok


async def began(folder: Path, count: int, *, timeout_s: float = 60) -> None:
    """Wait until so many processes are at the step."""
    async with asyncio.timeout(timeout_s):
        while not (folder / "began").exists() or len((folder / "began").read_text().split()) < count:
            await asyncio.sleep(0.01)


async def pause(log: Log, process: subprocess.Popen[bytes]) -> None:
    """Stop a process, but not while it keeps the file from everybody."""
    async with asyncio.timeout(120):
        while True:
            process.send_signal(signal.SIGSTOP)
            try:
                await log.session("is the file free?")
            except StoreError:
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(random.uniform(0.01, 0.1))
            else:
                return

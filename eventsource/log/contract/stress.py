"""What a store that several processes use at once must do: subclass `StressContract`, say where a log may be made."""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import AbstractContextManager
from itertools import accumulate
from typing import Any

from ...events import Custom, QueuePush, TaskStart
from ...messages import UserMessage
from .. import open_store
from ..protocol import EventLog
from .histories import exchange, read_all, timed

_PROCESSES = 4
_SESSION = "shared"


class StressContract(ABC):
    """Processes that append to, fork, erase, drop, delete and claim the same sessions; each promise is one test.

    Whatever they did, the log verifies, no seq is missing or there twice, and the rows are what the events come to.
    """

    @abstractmethod
    def place(self) -> AbstractContextManager[str]:
        """Give a path or URL at which `open_store` finds an empty log, or makes one."""

    async def test_every_append_of_every_process_is_there_once(self) -> None:
        """Flushes of updates and facts, mixed, as fast as they go."""
        with self.place() as place:
            await _begin(place)
            told = await _work(place, "append", 300)
            async with open_store(place) as log:
                facts = await _facts(log)
                assert Counter(facts) == Counter(name for one in told for name in one["stored"])
                await _is_sound(log)

    async def test_of_those_who_expect_the_same_head_one_appends(self) -> None:
        """The others are told; who is told that it is stored, finds it."""
        with self.place() as place:
            await _begin(place)
            told = await _work(place, "expect", 150)
            async with open_store(place) as log:
                assert Counter(await _facts(log)) == Counter(name for one in told for name in one["stored"])
                assert sum(one["refused"] for one in told) > 0
                await _is_sound(log)

    async def test_a_key_is_answered_once(self) -> None:
        """Whoever uses it gets the answer of the first."""
        with self.place() as place:
            await _begin(place)
            told = await _work(place, "key", 100)
            async with open_store(place) as log:
                assert all(one["heads"] == told[0]["heads"] for one in told)
                assert len(await _facts(log)) == len(set(await _facts(log))) == 100
                await _is_sound(log)

    async def test_forks_begin_in_a_session_while_it_is_dropped_erased_and_deleted(self) -> None:
        """A fork has what it inherits, or is refused; a session with forks is not deleted."""
        with self.place() as place:
            await _begin(place, exchanges=20)
            told = await _work(place, "fork", 60)
            async with open_store(place) as log:
                assert sum(one["forked"] for one in told) > 0
                assert sum(one["removed"] for one in told) > 0
                await _is_sound(log)

    async def test_only_the_newest_epoch_appends(self) -> None:
        """Leases that expire at once go from process to process; who was superseded is refused."""
        with self.place() as place:
            await _begin(place)
            told = await _work(place, "lease", 60)
            async with open_store(place) as log:
                assert Counter(await _facts(log)) == Counter(name for one in told for name in one["stored"])
                epochs = [epoch for one in told for epoch in one["epochs"]]
                assert len(set(epochs)) == len(epochs)
                await _is_sound(log)

    async def test_each_due_session_is_taken_by_one_process(self) -> None:
        """Though all ask at the same time."""
        with self.place() as place:
            async with open_store(place) as log:
                names = [(await log.create()).id for _ in range(120)]
                for session in names:
                    await log.append(session, [(1, TaskStart(task="t"))])
            told = await _work(place, "take", 4)
            taken = [name for one in told for name in one["taken"]]
            assert sorted(taken) == sorted(names)
            async with open_store(place) as log:
                await _is_sound(log)

    async def test_a_limit_of_a_queue_holds_for_all_processes_together(self) -> None:
        """At no moment more sessions of it are held than that, and all of them are run."""
        with self.place() as place:
            await _begin(place)
            async with open_store(place) as log:
                names = [(await log.create()).id for _ in range(60)]
                for session in names:
                    await log.append(session, [(1, TaskStart(task="t", queue="gpu"))])
            told = await _work(place, "limit", 2)
            assert sorted(name for one in told for name in one["taken"]) == sorted(names)
            async with open_store(place) as log:
                facts = [fact for fact in await _facts(log) if fact in ("begins", "ends")]
                assert len(facts) == 120
                running = accumulate(1 if fact == "begins" else -1 for fact in facts)
                assert max(running) <= 2
                await _is_sound(log)


async def _begin(place: str, *, exchanges: int = 0) -> None:
    async with open_store(place) as log:
        await log.create(_SESSION)
        for _ in range(exchanges):
            await log.append(_SESSION, timed(exchange()))


async def _work(place: str, what: str, count: int) -> list[dict[str, Any]]:
    """Let processes do the same to a log at the same time. Returns: what each says that it did."""
    code = f"from {__package__}.stress_process import main; main()"
    begun = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, place, what, str(number), str(count),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        for number in range(_PROCESSES)
    ]  # fmt: skip
    for one in begun:
        assert one.stdout is not None
        assert await one.stdout.readline() == b"ready\n", (await one.communicate())[1].decode()
    ended = await asyncio.gather(*(one.communicate(b"go\n") for one in begun))
    for one, (_, problem) in zip(begun, ended, strict=True):
        assert one.returncode == 0, problem.decode()
    return [json.loads(said) for said, _ in ended]


async def _facts(log: EventLog) -> list[str]:
    """List the names of what the processes appended as facts to the shared session."""
    return [
        one.event.kind
        for one in await read_all(log, _SESSION, limit=1_000, updates=False)
        if isinstance(one.event, Custom)
    ]


async def _is_sound(log: EventLog) -> None:
    report = await log.verify()
    assert report.ok, report.findings
    assert await log.rebuild() == 0
    for info in await log.sessions(limit=10_000):
        seqs = {one.seq for one in await read_all(log, info.id, limit=1_000)}
        gone = {seq for first, last in await log.dropped(info.id) for seq in range(first, last + 1)}
        assert seqs | gone == set(range(1, info.head + 1))
        assert not seqs & gone
        await log.append(info.id, [(1, QueuePush(queue="inbox", message=UserMessage(content="more")))])

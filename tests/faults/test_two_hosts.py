"""Two machines and one log: one whose clock is wrong, and one whose network is cut for longer than its lease."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from eventsource.events import Event, StepEnd, StepStart, TaskEnd
from refold import Log, Session, open_log
from refold.tasks import TaskRun, Worker
from tests.faults import conversations
from tests.faults.test_worker_kill import began, facts, workers
from tests.postgres import empty_log
from tests.relay import Relay
from tests.temporal import temporal_server

pytestmark = [pytest.mark.faults, pytest.mark.slow]
AHEAD_S = 7_200
HERE, THERE = "10.73.0.1", "10.73.0.2"  # nobody else sees them: both ends are in namespaces of their own
CLONE_NEWNET = 0x40000000  # <sched.h>; `os.setns` comes with Python 3.12


@pytest.fixture(scope="session")
def clock_ahead(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Compile what stands between a program and its clock, or skip."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    built = str(tmp_path_factory.mktemp("clock") / "clock.so")
    source = str(Path(__file__).with_name("clock.c"))
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


async def done(run: TaskRun, *, within_s: float = 60) -> TaskRun:
    async with asyncio.timeout(within_s):
        while (run := await run.refresh()).status not in ("done", "error"):
            await asyncio.sleep(0.05)
    return run


async def test_a_machine_two_hours_ahead_takes_nothing_and_no_time_comes_early_or_late(
    postgres: str, tmp_path: Path, clock_ahead: str
) -> None:
    with empty_log(postgres) as place, workers(place, tmp_path) as crew:
        async with open_log(place) as log:
            asked = await conversations.wait.trigger(log, None)
            await Worker(log, [conversations.wait]).drain()  # it waits for an answer, an hour at most
            held = await conversations.leaf.trigger(log, 3)
            lease = await log.store.claim(held.id, ttl_us=1_800_000_000)  # over by the clock that is ahead
            crew.start(LD_PRELOAD=clock_ahead, CLOCK_AHEAD_S=str(AHEAD_S))
            began_s = time.time()
            rested = await done(await conversations.naps.trigger(log, None), within_s=120)
            assert rested.result == "rested"
            assert time.time() - began_s >= 2
            await asked.session.send("Are you there?")  # for which it is run on the machine that is ahead
            async with asyncio.timeout(60):
                while (await asked.session.info()).epoch < 2 or (await asked.session.info()).owner:
                    await asyncio.sleep(0.05)
            assert [wait.key for wait in (await asked.refresh()).waits] == ["answer"]
            await asked.session.decide("answer", "yes")
            assert (await done(asked)).result == ["yes", "failed twice"]
            await log.store.renew(lease)  # nobody has taken it
            for run in (rested, asked):
                for recorded in await log.store.read(run.id):
                    assert abs(recorded.at_us / 1_000_000 - time.time()) < AHEAD_S / 2
            assert (await log.verify()).ok


class Host:
    """A machine beside this one, and a cable between the two that can be pulled.

    Both ends are network namespaces of their own. This process listens at its end (`listen`) without living there, so
    nothing changes in the machine's own network, whose every change ends the connections of a browser that other tests
    look with.
    """

    def __init__(self) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("needs root, and the program ip, for a network namespace")
        name = secrets.token_hex(3)
        self._near, self._far = f"refold-{name}-near", f"refold-{name}-far"
        steps = (
            f"netns add {self._near}",
            f"netns add {self._far}",
            f"-n {self._near} link add cable type veth peer name cable netns {self._far}",
            f"-n {self._near} addr add {HERE}/30 dev cable",
            f"-n {self._far} addr add {THERE}/30 dev cable",
            f"-n {self._near} link set cable up",
            f"-n {self._far} link set cable up",
            f"-n {self._far} link set lo up",
        )
        for step in steps:
            told = subprocess.run(["ip", *step.split()], capture_output=True, text=True)
            if told.returncode:
                self.remove()
                pytest.skip(f"no network namespace can be made here: ip {step}: {told.stderr.strip()}")

    @property
    def within(self) -> tuple[str, ...]:
        """The words of a command that runs another on that machine."""
        return ("ip", "netns", "exec", self._far)

    def listen(self) -> socket.socket:
        """Listen at this end of the cable, on a free port."""
        with ThreadPoolExecutor(1) as thread:  # of its own: a thread stays in the namespace that it has entered
            return thread.submit(self._listen_there).result()

    def _listen_there(self) -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self._near}") as space:
            if libc.setns(space.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"the namespace {self._near} cannot be entered")
        return socket.create_server((HERE, 0))

    def cable(self, state: str) -> None:
        """Pull the cable, or put it back: `down` or `up`."""
        subprocess.run(["ip", "-n", self._near, "link", "set", "cable", state], check=True)

    def remove(self) -> None:
        """Remove the machine, and its cable with it."""
        for space in (self._near, self._far):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)


@contextmanager
def another_host() -> Iterator[Host]:
    host = Host()
    try:
        yield host
    finally:
        host.remove()


@asynccontextmanager
async def watched(session: Session) -> AsyncIterator[list[Event]]:
    """Watch a session by a connection of its own."""
    seen: list[Event] = []

    async def follow() -> None:
        async for event in session.follow():
            seen.append(event.event)  # noqa: PERF401 - it never ends by itself

    watching = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("engine", ["log", "temporal"])
async def test_what_a_machine_had_whose_network_is_cut_goes_on_at_another(
    postgres: str, tmp_path: Path, engine: str
) -> None:
    async with AsyncExitStack() as stack:
        place = stack.enter_context(empty_log(postgres))
        host, crew = stack.enter_context(another_host()), stack.enter_context(workers(place, tmp_path))
        log, watcher = (
            await stack.enter_async_context(open_log(place)),
            await stack.enter_async_context(open_log(place)),
        )
        to_log = await stack.enter_async_context(Relay(place, at=host.listen()))
        far, near = list[str](), list[str]()
        if engine == "temporal":
            server = stack.enter_context(temporal_server(tmp_path))
            await server.ready()
            to_engine = await stack.enter_async_context(Relay(server.url, at=host.listen()))
            far, near = (["--engine", f"{url}?heartbeat=1s"] for url in (to_engine.url, server.url))
        run = await conversations.held.trigger(log, None)
        seen = await stack.enter_async_context(watched(await watcher.find(run.id)))
        first = crew.start(*far, place=to_log.url, before=host.within)
        await began(tmp_path, 1, timeout_s=60)
        host.cable("down")
        crew.start(*near)
        await began(tmp_path, 2, timeout_s=90)  # nobody waits for the connection, which ends by itself after minutes
        (tmp_path / "go").touch()
        run = await done(run)
        assert run.result == "done"
        head = (await run.session.info()).head
        host.cable("up")
        await has_given_up(log, first, run, head)
        events = [event async for event in facts(run.session)]
        assert len([event for event in events if isinstance(event, StepStart)]) == 2
        assert len([event for event in events if isinstance(event, StepEnd)]) == 1
        assert any(isinstance(event, TaskEnd) for event in seen)
        assert (await log.verify()).ok


async def has_given_up(log: Log, first: subprocess.Popen[bytes], run: TaskRun, head: int) -> None:
    """Hold that whoever was cut off goes on with other work, and has added nothing to what others ended."""
    other = await done(await conversations.held.trigger(log, None), within_s=90)
    assert other.result == "done"
    assert first.poll() is None
    assert (await run.session.info()).head == head

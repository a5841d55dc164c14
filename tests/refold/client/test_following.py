"""Following over HTTP: whatever happens on the way, nothing is missing and nothing comes twice."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventsource.background import running
from eventsource.envelope import Recorded
from eventsource.errors import TailLostError, UnknownSessionError
from eventsource.events import Label
from eventsource.log.load import read_all
from eventsource.models.scripted import call, scripted
from refold import Agent, Log, Session, open_log
from refold.client import Client, ClientError, ClientSession
from refold.client.connection import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_s
from refold.http import serving_log
from tests.temporal import free_port

from .cutting import CuttingProxy
from .served import TOKEN

CUTS = 200
SEEDS = (3, 20261128)


async def at_once(seconds: float) -> None:
    """Wait no longer than others need to go on."""
    assert 0 < seconds <= LONGEST_PAUSE_S
    await asyncio.sleep(0)


@asynccontextmanager
async def served(log: Log) -> AsyncIterator[str]:
    """Serve a log; give the address."""
    async with serving_log(log, token=TOKEN) as running:
        yield running.url


async def everything(log: Log, session: str) -> list[Recorded]:
    return [one async for one in read_all(log.store, session)]


async def family(log: Log) -> list[Session]:
    """Make a session with two children."""
    helper = Agent(scripted("One.", "Two."), name="helper").as_tool()
    calls = [call("helper", {"prompt": "1"}), call("helper", {"prompt": "2"})]
    root = await log.session("root")
    await Agent(scripted(calls, "Done."), tools=[helper]).run("Ask twice.", session=root)
    children = [info.id for info in await log.list() if info.started_by == root.id]
    assert len(children) == 2
    return [root, *[await log.find(one) for one in children]]


END = "the end"


async def write_until(path: Path, sessions: Sequence[str], done: asyncio.Event) -> None:
    """Write to sessions in turn, by a log opened for it, until enough has happened."""
    async with open_log(path) as log:
        number = 0
        while not done.is_set():
            session = await log.find(sessions[number % len(sessions)])
            await session.label(f"{'x' * (number % 400)} {number}", 1)
            number += 1


async def write_by_three(path: Path, sessions: Sequence[str], done: asyncio.Event) -> None:
    """Let three write at the same time; then the last thing is written to each session."""
    await asyncio.gather(*(write_until(path, sessions, done) for _ in range(3)))
    async with open_log(path) as log:
        for name in sessions:
            await (await log.find(name)).label(END, 1)


def is_last(recorded: Recorded) -> bool:
    return isinstance(recorded.event, Label) and recorded.event.text == END


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_session_with_three_writers_is_followed_over_200_cuts(tmp_path: Path, seed: int) -> None:
    path, got = tmp_path / "log.db", list[Recorded]()
    async with open_log(path) as log, served(log) as url:
        session = await log.session("oslo")
        await session.label("Oslo")
        proxy = CuttingProxy(url, cuts=CUTS, seed=seed)
        async with (
            proxy.listening() as through,
            Client(through, TOKEN, pause=at_once) as client,
            running(write_by_three(path, [session.id], proxy.done)) as (writing,),
        ):
            async for recorded in ClientSession(client.connection, session.id).follow():
                got.append(recorded)
                if is_last(recorded):
                    break
            await writing
        assert (proxy.left, proxy.made > CUTS) == (0, True)
        assert got == await everything(log, session.id)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_tree_with_three_writers_is_followed_over_200_cuts(tmp_path: Path, seed: int) -> None:
    path, got = tmp_path / "log.db", dict[str, list[Recorded]]()
    async with open_log(path) as log, served(log) as url:
        names = [one.id for one in await family(log)]
        proxy = CuttingProxy(url, cuts=CUTS, seed=seed)
        async with (
            proxy.listening() as through,
            Client(through, TOKEN, pause=at_once) as client,
            running(write_by_three(path, names, proxy.done)) as (writing,),
        ):
            async for name, recorded in ClientSession(client.connection, names[0]).follow_tree():
                got.setdefault(name, []).append(recorded)
                if len(got) == 3 and all(is_last(seen[-1]) for seen in got.values()):
                    break
            await writing
        assert (proxy.left, proxy.made > CUTS) == (0, True)
        assert got == {name: await everything(log, name) for name in names}


@asynccontextmanager
async def serving_process(path: Path, port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `refold serve` in a process of its own; give it and its address, once it listens."""
    words = ["-c", "from refold.cli import main; main()", "--db", str(path), "serve", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, *words],
        env={**os.environ, "REFOLD_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield process, line.removeprefix("Listening at ").strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
async def test_a_server_is_killed_and_started_again_and_who_watches_misses_nothing(tmp_path: Path) -> None:
    path, got, told, port = tmp_path / "log.db", list[Recorded](), list[str](), free_port()
    async with open_log(path) as log:
        session = await log.session("oslo")
        await session.label("before")
        async with serving_process(path, port) as (process, url):
            client = Client(url, TOKEN, tell=told.append, pause=lambda seconds: asyncio.sleep(min(seconds, 0.02)))
            events = (await client.find(session.id)).follow()
            got.append(await anext(events))
            process.kill()
            await process.wait()
            await session.label("nobody serves")
        coming = asyncio.ensure_future(anext(events))
        while not any("no server answers there" in one for one in told):
            await asyncio.sleep(0.01)
        async with serving_process(path, port):
            got.append(await coming)
            await session.label("after")
            got.append(await anext(events))
        await client.close()
        assert got == await everything(log, session.id)
    assert TOKEN not in "".join(told)


@pytest.mark.slow
async def test_a_reader_that_does_not_read_is_cut_off_and_comes_back_to_where_it_was(tmp_path: Path) -> None:
    got = list[Recorded]()
    async with open_log(tmp_path / "log.db") as log, served(log) as url:
        session = await log.session("oslo")
        await session.label("first")
        proxy = CuttingProxy(url)
        async with proxy.listening() as through, Client(through, TOKEN, pause=at_once) as client:
            events = (await client.find(session.id)).follow()
            got.append(await anext(events))
            made = proxy.made
            for number in range(400):
                await session.label(f"{number} " + "x" * 50_000)
            last = (await session.info()).head
            while got[-1].seq < last:
                got.append(await anext(events))
        assert proxy.made > made
        assert got == await everything(log, session.id)


async def test_another_session_under_the_same_id_is_no_end_of_the_one_that_was_seen() -> None:
    async with open_log() as log, served(log) as url:
        await log.store.create("oslo")
        session = await log.find("oslo")
        await session.label("one")
        await session.label("two")
        proxy = CuttingProxy(url)
        async with proxy.listening() as through, Client(through, TOKEN, pause=at_once) as client:
            events = (await client.find("oslo")).follow()
            assert [(await anext(events)).seq for _ in range(2)] == [1, 2]
            await log.delete("oslo")
            await log.store.create("oslo")
            for text in ("three", "four", "five"):
                await (await log.find("oslo")).label(text)
            proxy.cut()
            with pytest.raises(TailLostError) as lost:
                await anext(events)
    assert (lost.value.session, lost.value.seen, lost.value.head) == ("oslo", 2, 3)


async def test_a_place_that_is_not_in_the_log_is_told_at_once() -> None:
    async with open_log() as log, served(log) as url, Client(url, TOKEN, pause=at_once) as client:
        session, other = await log.session("oslo"), await log.session("bergen")
        await session.label("one")
        await other.label("two")
        watched = await client.find(session.id)
        with pytest.raises(TailLostError):
            await anext(watched.follow(7))
        with pytest.raises(TailLostError):
            await anext(watched.follow(await other.core.log.cursor(other.id)))
        with pytest.raises(TailLostError) as lost:
            await anext(watched.follow_tree({session.id: 7}))
        assert (lost.value.session, lost.value.seen, lost.value.head) == (session.id, 7, 1)
        assert (await anext(watched.follow(await watched.cursor(0)))).seq == 1


async def test_what_will_not_change_ends_the_following() -> None:
    async with open_log() as log, served(log) as url, Client(url, TOKEN, pause=at_once) as client:
        session = await log.session("oslo")
        await session.label("one")
        async with Client(url, "another-token-0123456789", pause=at_once) as stranger:
            watched = ClientSession(stranger.connection, session.id)
            with pytest.raises(ClientError) as refused:
                await anext(watched.follow())
            assert (refused.value.status, TOKEN in str(refused.value)) == (401, False)
        events, tree = (await client.find(session.id)).follow(), (await client.find(session.id)).follow_tree()
        await anext(events)
        await anext(tree)
        await log.delete(session.id)
        for ended in (events, tree):
            with pytest.raises(UnknownSessionError):
                await anext(ended)


async def test_facts_alone_are_followed_if_that_is_asked_for() -> None:
    async with open_log() as log, served(log) as url, Client(url, TOKEN) as client:
        session = await log.session("oslo")
        await Agent(scripted(["Many ", "pieces."])).run("Hello", session=session)
        facts = await session.events(updates=False)
        events = (await client.find(session.id)).follow(updates=False)
        assert [await anext(events) for _ in facts] == list(facts)


async def test_a_tree_of_thousands_of_sessions_is_gone_on_with_where_it_was(tmp_path: Path) -> None:
    async with open_log() as log, served(log) as url:
        names = [one.id for one in await family(log)]
        seen = {name: (await log.store.info(name)).head for name in names}
        others = {f"session-that-was-seen-before-{number}": 10_000 + number for number in range(3_000)}
        proxy = CuttingProxy(url)
        async with proxy.listening() as through, Client(through, TOKEN, pause=at_once) as client:
            events = ClientSession(client.connection, names[0]).follow_tree(seen | others)
            for number in range(3):
                for name in names:
                    await (await log.find(name)).label(f"x{number}", 1)
                found = [await anext(events) for _ in names]
                assert sorted(name for name, _ in found) == sorted(names)
                assert {one.seq for name, one in found} == {seen[name] + 1 + number for name in names}
                proxy.cut()


def test_pauses_grow_up_to_a_bound_and_differ_from_one_to_another() -> None:
    whole = [pause_s(failed, 0.0) for failed in range(1, 40)]
    assert whole[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert whole == sorted(whole)
    assert whole[-1] == LONGEST_PAUSE_S
    assert pause_s(2, 1.0) == FIRST_PAUSE_S

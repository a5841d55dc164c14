"""Cancelling what stands around a session, at any instant, once or five times: logs, followers, servers, the proxy."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventsource.events import Label
from eventsource.models.scripted.script import pause
from eventsource.models.transport.timeouts import AbortedError, StalledError, Timeouts
from refold import Log, open_log
from refold.http import ScriptServer, serving
from refold.http.proxy.proxy import Proxy, proxying
from refold.http.proxy.recorder import ProxyRecorder
from refold.http.proxy.upstreams import Upstreams
from refold.http.server import Exchange
from tests.refold.test_cancelling import cancelled_after, tasks_but_watchers

pytestmark = pytest.mark.slow
TIMES = pytest.mark.parametrize("times", [1, 5])
STORED = pytest.mark.parametrize("stored", ["memory", "file"])


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log index nothing meanwhile, which it does in a task of its own."""
    monkeypatch.setattr("eventsource.log.sqlite.indexing.AFTER_S", 3600.0)


async def at_each_tick(
    times: int,
    work: Callable[[], Awaitable[object]],
    check: Callable[[str], Awaitable[None]],
    *,
    most: int = 400,
    finely: int = 8,
) -> None:
    """Cancel work after ever more turns of the event loop, until it ends by itself; nothing may be left."""
    await asyncio.ensure_future(work())  # what is made once is made
    await check("not cancelled")
    tasks, threads, descriptors = tasks_but_watchers(), threading.active_count(), len(os.listdir("/proc/self/fd"))
    ticks = finished = 0
    while not finished and ticks < most:
        finished += not await cancelled_after(ticks, times, work())
        where = f"cancelled after {ticks} ticks"
        await check(where)
        assert tasks_but_watchers() == tasks, where
        assert threading.active_count() <= threads, where
        assert len(os.listdir("/proc/self/fd")) <= descriptors, where
        ticks += 1 + ticks // finely


async def nothing(where: str) -> None:
    """Look at nothing more."""


@TIMES
@STORED
async def test_a_log_that_is_opened_and_closed(tmp_path: Path, stored: str, times: int) -> None:
    path = tmp_path / "log.db" if stored == "file" else None

    async def work() -> None:
        log = Log(path=path)
        try:
            await log.open()
            session = await log.session("one")
            lease = await log.store.claim(session.id)
            await session.label(str(lease.epoch))
        finally:
            await log.close()

    async def check(where: str) -> None:
        async with open_log(path) as log:
            assert [info.owner for info in await log.list() if info.owner] == [], where
            assert (await log.verify()).ok, where

    await at_each_tick(times, work, check)


@TIMES
@STORED
async def test_who_follows_a_session_or_its_tree(tmp_path: Path, stored: str, times: int) -> None:
    async with open_log(tmp_path / "log.db" if stored == "file" else None) as log:
        session = await log.session("one")
        for number in range(3):
            await session.label(str(number))

        async def follow() -> None:
            async with aclosing(log.store.follow(session.id)) as events:  # type: ignore[type-var]  # it is a generator
                async for recorded in events:
                    if recorded.event == Label(text="2"):
                        return

        async def tree() -> None:
            async with aclosing(session.follow_tree()) as events:  # type: ignore[type-var]  # as above
                async for _, recorded in events:
                    if recorded.event == Label(text="2"):
                        return

        async def check(where: str) -> None:
            async with asyncio.timeout(60):  # the store stops listening a moment after the last one has left
                while getattr(log.store, "_notifier").has_waiting:  # noqa: B009 - what must be empty is not public
                    await asyncio.sleep(0.001)

        for work in (follow, tree):
            await at_each_tick(times, work, check)


@TIMES
async def test_a_wait_with_a_limit(times: int) -> None:
    for limit_ms, aborts in ((5, False), (1000, True), (1000, False)):
        signal = asyncio.Event()

        async def work(limit_ms: int = limit_ms, aborts: bool = aborts, signal: asyncio.Event = signal) -> None:
            signal.clear()
            async with Timeouts(signal) as waits:
                if aborts:
                    asyncio.get_running_loop().call_later(0.002, signal.set)
                try:
                    await waits.wait(lambda: asyncio.sleep(0.01), limit_ms=limit_ms)
                except (AbortedError, StalledError):
                    pass

        await at_each_tick(times, work, nothing, most=60)


async def body_of(url: str) -> None:
    asked = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "Rain?"}]}
    path = f"{url}/v1/chat/completions"
    async with httpx.AsyncClient(timeout=60) as client, client.stream("POST", path, json=asked) as response:
        async for _ in response.aiter_raw():
            pass


@TIMES
async def test_a_script_server_and_its_client(times: int) -> None:
    async def work() -> None:
        async with serving(ScriptServer([["It ", "rains."]] * 9), grace_s=1) as running:
            await body_of(running.url)

    await at_each_tick(times, work, nothing, most=200, finely=3)


@TIMES
@STORED
async def test_a_proxy_its_recording_and_its_client(tmp_path: Path, stored: str, times: int) -> None:
    lost: list[str] = []
    async with (
        open_log(tmp_path / "log.db" if stored == "file" else None) as log,
        serving(ScriptServer([["It ", "rains."]] * 999)) as upstream,
    ):

        async def work() -> None:
            recorder = ProxyRecorder(log, lose=lost.append)
            async with proxying(recorder, Upstreams([upstream.url])) as proxy, serving(proxy, grace_s=1) as running:
                await body_of(running.url)

        before = tasks_but_watchers()

        async def check(where: str) -> None:
            async with asyncio.timeout(60):  # the upstream sees a little later that its client has left
                while tasks_but_watchers() - before - {asyncio.current_task()}:
                    await asyncio.sleep(0.001)
            for info in await log.list():
                assert info.owner == "", where
                found = await log.find(info.id)
                state = await found.core.state()
                assert state.batch is None, where
                assert state.run is None, where
                assert info.head > 0, where
                assert (await found.replay()).difference is None, where
                await log.delete(info.id)

        await at_each_tick(times, work, check, most=300, finely=3)
    assert lost == []


class _Slow(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """An upstream that begins to answer, says nothing, and takes a while to be left."""

    def __init__(self) -> None:
        self.asked, self.left = asyncio.Event(), False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.asked.set()
        await asyncio.sleep(99)
        yield b""

    async def aclose(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        self.left = True


async def test_who_passes_an_exchange_on_and_is_cancelled_again_has_left_its_upstream() -> None:
    upstream = _Slow()

    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        pass

    path: Any = {"path": "/v1/models", "raw_path": b"/v1/models", "query_string": b""}
    scope: Any = {"method": "GET", "http_version": "1.1", "headers": [], **path}
    exchange = Exchange(scope, receive, send)
    async with open_log() as log, httpx.AsyncClient(transport=upstream) as client:
        proxy = Proxy(ProxyRecorder(log, lose=print), Upstreams(["http://upstream.test"]), client)
        passing = asyncio.create_task(proxy(exchange))
        await upstream.asked.wait()
        for _ in range(3):
            passing.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([passing])
        assert (passing.cancelled(), upstream.left) == (True, True)
        await exchange.__aexit__(None, None, None)


async def test_a_recording_whose_closing_is_cancelled_is_whole_all_the_same() -> None:
    served = ScriptServer([["It ", pause(20_000), "rains."]])
    async with open_log() as log, serving(served, grace_s=1) as upstream:
        recorder = ProxyRecorder(log, lose=print)
        async with proxying(recorder, Upstreams([upstream.url])) as proxy, serving(proxy, grace_s=1) as running:
            asking = asyncio.create_task(body_of(running.url))
            while not (await log.list() and (await log.list())[0].messages):
                await asyncio.sleep(0.01)
            closing = asyncio.create_task(recorder.close())
            for _ in range(3):
                await asyncio.sleep(0)
                closing.cancel()
            await asyncio.wait([closing])
            (info,) = await log.list()
            state = await (await log.find(info.id)).core.state()
            assert (state.run, info.owner) == (None, "")
            asking.cancel()
            await asyncio.wait([asking])

"""The log as a whole over HTTP, and a session that becomes a test."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventsource.envelope import TellVerified, VerifiedSoFar, VerifyReport
from eventsource.log import open_store
from eventsource.log.memory import MemoryLog
from eventsource.machine.state import State
from eventsource.models.scripted import scripted
from refold import Agent, Log, open_log
from refold.http.api.hub import Reader
from refold.http.api.page.store import verify_into
from refold.views.index import SessionIndex
from refold.views.pytest_file import NoTestError, pytest_file
from tests.refold.http.pages import Page, served_page
from tests.refold.views.sessions import ASKS, CountingLog, agent


async def told_of(page: Page) -> list[tuple[str, Any]]:
    """Have the log verified. Returns: what the stream told."""
    told: list[tuple[str, Any]] = []
    async with page.client.stream("POST", "/api/store/verify", headers={"X-Refold": "1"}) as answer:
        assert answer.status_code == 200
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told.append((name, json.loads(line.removeprefix("data: "))))
    return told


async def test_a_file_says_where_it_is_and_how_large(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_log(path) as log, served_page(log) as page:
        await agent("Fine.").run("Well?", session=await log.session("main"))
        found = await page.get("/store")
        assert (found["kind"], found["path"]) == ("sqlite", str(path))
        assert found["size_bytes"] == path.stat().st_size > 0
        assert found["wal_bytes"] > 0
    async with open_log() as log, served_page(log) as page:
        assert (await page.get("/store"))["kind"] == "memory"


async def test_a_log_is_verified_and_it_is_told_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_log(path) as log, served_page(log) as page:
        for name in ("main", "other"):
            await agent("Fine.").run("Well?", session=await log.session(name))
        *told, (kind, end) = await told_of(page)
        assert (kind, end["ok"], end["report"]["sessions"]) == ("report", True, 2)
        assert {name for name, _ in told} == {"progress"}
        counts = [(one["sessions"], one["facts"]) for _, one in told]
        assert counts == sorted(counts)
        assert counts[-1] == (2, end["report"]["facts"])
        assert told[-1][1]["sessions_in_all"] == 2
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE sessions SET turns = 9 WHERE number = 1")
            connection.commit()
        *told, (_, end) = await told_of(page)
        assert (end["ok"], told[-1][1]["defects"]) == (False, 1)
    async with open_store() as store:
        assert isinstance(store, MemoryLog)
        async with served_page(Log(store, clock=lambda: 7)) as page:
            assert (await page.client.post("/api/store/verify")).status_code == 403
            *told, (_, end) = await told_of(page)
            assert (end["ok"], end["report"]["sessions"], told[-1][1]["sessions_in_all"]) == (True, 0, 0)


async def test_a_log_is_verified_no_further_when_nobody_reads_the_stream(tmp_path: Path) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        session = await log.session("main")
        await session.label("one")
        reader, first, gone = Reader(), asyncio.Event(), threading.Event()
        heard: list[int] = []

        class Slow:
            """A log whose reading waits after each thing that it tells until nobody listens."""

            async def verify(self, *, progress: TellVerified) -> VerifyReport:
                loop = asyncio.get_running_loop()

                def tell(so_far: VerifiedSoFar) -> None:
                    heard.append(so_far.sessions)
                    loop.call_soon_threadsafe(first.set)
                    gone.wait()
                    progress(so_far)

                return await log.store.verify(progress=tell)

        verifying = asyncio.create_task(verify_into(Slow(), reader))
        await first.wait()
        verifying.cancel()
        await asyncio.sleep(0)
        gone.set()
        await asyncio.wait([verifying])
        assert verifying.cancelled()
        assert heard == [0]


@pytest.mark.slow
async def test_a_session_up_to_a_seq_is_a_test_that_passes_and_fails(tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await log.session("Oslo's weather")
    await agent(ASKS, 'Take a "coat",\nand a hat.').run("Do I need a coat?", session=session)
    ended = (await session.info()).head
    await agent("Bye.").run("Thanks.", session=session)
    async with served_page(log) as page:
        found = await page.get(f"/sessions/{session.id}/test", upto=ended)
        export = await page.client.get(found["recording_url"])
        assert "attachment" in export.headers["content-disposition"]
    assert found["path"] == "test_oslo_s_weather.py"
    (tmp_path / "sessions").mkdir()
    (tmp_path / found["recording"]).write_bytes(export.content)
    (tmp_path / found["path"]).write_text(found["source"])
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for system, passes in (("Be brief.", True), ("Be long.", False)):
        (tmp_path / "system.txt").write_text(system)
        run = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert (run.returncode == 0) is passes, run.stdout


CONFTEST = '''
from pathlib import Path

import pytest

from refold import Agent, tool
from refold.testing import scripted


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: rain"


@pytest.fixture
def refold_agent():
    return Agent(scripted(), system=Path(__file__).with_name("system.txt").read_text(), tools=[weather])
'''


async def test_there_is_no_test_of_half_a_run() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await log.session("main")
    await agent(ASKS, "Rain.").run("Well?", session=session)
    index = SessionIndex(store)
    for seq, says in ((0, "no run has ended"), (10, "a run is under way")):
        with pytest.raises(NoTestError, match=says):
            pytest_file(await index.at(session.id, seq))
    async with served_page(log) as page:
        refused = await page.get(f"/sessions/{session.id}/test", 409, upto=10)
        assert "choose a seq at which a run has ended" in refused["detail"]
        await page.get(f"/sessions/{session.id}/export", 404, upto=1_000)


def chosen(session: str, state: State) -> tuple[Agent[object], object]:
    return Agent(scripted("Fine.")), None


async def test_a_page_is_told_what_the_server_lets_it_do() -> None:
    async with open_log() as log, served_page(log) as page:
        found = await page.get("/server")
        assert (found["writes"], found["runs"]) == (True, False)
        assert found["version"]
    async with open_log() as log, served_page(log, choose=chosen) as page:
        assert (await page.get("/server"))["runs"] is True
        await page.post("/sessions/nobody/run", {"prompt": "Well?"}, 404)
    async with open_log() as log, served_page(log, read_only=True) as page:
        found = await page.get("/server")
        assert (found["writes"], found["runs"]) == (False, False)

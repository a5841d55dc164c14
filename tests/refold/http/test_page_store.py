"""The log as a whole over HTTP, and a session that becomes a test."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventsource.log import open_store
from eventsource.log.memory import MemoryLog
from refold import Log, open_log
from refold.views.index import SessionIndex
from refold.views.pytest_file import NoTestError, pytest_file
from tests.refold.http.pages import Page, served_page
from tests.refold.views.sessions import ASKS, CountingLog, agent


async def report_of(page: Page) -> tuple[list[str], Any]:
    """Have the log verified. Returns: what the stream told, and its last data."""
    told: list[str] = []
    data: Any = None
    async with page.client.stream("POST", "/api/store/verify", headers={"X-Refold": "1"}) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                told.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
    return told, data


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


async def test_a_log_is_verified_and_what_was_changed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_log(path) as log, served_page(log) as page:
        await agent("Fine.").run("Well?", session=await log.session("main"))
        told, end = await report_of(page)
        assert (told[0], told[-1], end["ok"], end["report"]["sessions"]) == ("progress", "report", True, 1)
    async with open_store() as store:
        assert isinstance(store, MemoryLog)
        async with served_page(Log(store, clock=lambda: 7)) as page:
            assert (await page.client.post("/api/store/verify")).status_code == 403
            told, end = await report_of(page)
            assert (end["ok"], end["report"]["sessions"]) == (True, 0)


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

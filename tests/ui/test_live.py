"""What another process writes appears as it happens, and after a lost server the page shows what a reload would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Route

from eventsource.models.scripted.script import pause
from refold import Agent, open_log
from refold.testing import ScriptedModel, scripted
from tests.ui.looking import PATIENCE_S, TOKEN, Watched, looking, tab
from tests.ui.on_page import opened, press, settled, shown

_WRITER = """
    import asyncio, sys
    from refold import Agent, open_log, tool
    from refold.testing import call, scripted

    @tool(effect="pure")
    def grep(pattern: str) -> str:
        "Search."
        if pattern.endswith("7"):
            raise RuntimeError("nothing like " + pattern)
        return "found " + pattern

    turns = 0
    def answer(request):
        global turns
        turns += 1
        words = [f"word{n} " for n in range(int(sys.argv[4]))]
        return words if turns % 3 == 0 else [*words, call("grep", {"pattern": f"p{turns}"})]

    async def main():
        async with open_log(sys.argv[1]) as log:
            session = await log.session(sys.argv[2])
            while (await session.info()).head < int(sys.argv[3]):
                await Agent(scripted(answer), tools=[grep]).run("Go on.", session=session)
                await asyncio.sleep(0.01)

    asyncio.run(main())
"""


@asynccontextmanager
async def writing(path: Path, name: str, events: int, words: int = 60) -> AsyncIterator[asyncio.subprocess.Process]:
    """Let another process append so many events to a session."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", dedent(_WRITER), str(path), name, str(events), str(words),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def rows_of(watched: Watched) -> list[dict[str, Any]]:
    """Read the rows at the end of the list as they are drawn."""
    await settled(watched.page)
    await press(watched)
    found: list[dict[str, Any]] = await watched.page.evaluate(
        "[...document.querySelectorAll('.row')].map(({ id, textContent, title }) => ({ id, text: textContent, title }))"
    )
    return sorted(found, key=lambda row: int(row["id"].removeprefix("row-")))


async def shows_again(watched: Watched, rows: list[dict[str, Any]]) -> None:
    """Load the page again, and wait until it shows just these rows at the end of its list."""
    await watched.page.reload()
    await watched.page.wait_for_selector(".row.is-selected")
    found: list[dict[str, Any]] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while (found := await rows_of(watched)) != rows:
                await asyncio.sleep(0.05)
    assert found == rows


@pytest_asyncio.fixture(loop_scope="session")
async def path(tmp_path: Path) -> Path:
    async with open_log(tmp_path / "runs.db") as log:
        await log.session("live")
    return tmp_path / "runs.db"


async def test_ten_thousand_events_of_another_process_are_what_a_reload_shows(browser: Browser, path: Path) -> None:
    async with open_log(path) as log:
        session = await log.session("live")
        async with writing(path, "live", 10_000) as process, looking(browser, log) as watched:
            while (await session.info()).head < 200:
                await asyncio.sleep(0.05)
            await opened(watched, f"/s/{session.id}")
            before = await watched.page.evaluate("performance.memory?.usedJSHeapSize ?? 0")
            assert await asyncio.wait_for(process.wait(), 120) == 0
            head = (await session.info()).head
            await watched.page.wait_for_selector(f".minimap[aria-valuemax='{head}']")
            found = await shown(watched)
            assert (found.map, found.follows) == (head, True)
            live = await rows_of(watched)
            grown = await watched.page.evaluate("performance.memory?.usedJSHeapSize ?? 0") - before
            assert grown < 40_000_000  # of which the most is not collected yet
            assert await watched.page.evaluate("document.querySelectorAll('*').length") < 1_500
            asked = len([one for one in watched.asked if "/live" in one.url])
            assert asked == 1  # one stream, however much happens
            await shows_again(watched, live)


async def test_a_server_that_is_killed_and_comes_back_is_found_again_and_nothing_is_missing(
    browser: Browser, path: Path
) -> None:
    async with open_log(path) as log:
        session = await log.session("live")
        async with writing(path, "live", 6_000) as process:
            while (await session.info()).head < 200:
                await asyncio.sleep(0.05)
            async with served(path, 0) as (url, first), tab(browser, url) as watched:
                await opened(watched, f"/s/{session.id}")
                with watched.allowing("Failed to load resource", "net::ERR"):
                    first.kill()
                    await watched.sees("not connected")
                    async with served(path, int(url.rpartition(":")[2])):
                        assert await asyncio.wait_for(process.wait(), 120) == 0
                        head = (await session.info()).head
                        await watched.page.wait_for_selector(f".minimap[aria-valuemax='{head}']")
                        live = await rows_of(watched)
                        await shows_again(watched, live)


@asynccontextmanager
async def served(path: Path, port: int) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Serve a log from another process. Yields: its address, and the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from refold.cli import main; main()", "--db", str(path), "serve", "--port", str(port),
        env={**os.environ, "REFOLD_TOKEN": TOKEN}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert b"http" in line, line
        yield line.split()[-1].decode(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_an_answer_grows_with_its_tokens_and_a_selection_that_stands_is_left_alone(
    browser: Browser, path: Path
) -> None:
    async with open_log(path) as log:
        session = await log.session("live")
        await Agent(scripted("First.")).run("Begin.", session=session)
        seen, grown = asyncio.Event(), asyncio.Event()
        gates = iter((seen, grown))

        async def until_then(_: float) -> None:
            await next(gates).wait()

        words = [f"word{n} " for n in range(60)]
        model = ScriptedModel([[*words[:20], pause(1), *words[20:], pause(1), "and so on."]], sleep=until_then)
        async with looking(browser, log) as watched:
            await opened(watched, f"/s/{session.id}")
            running = asyncio.create_task(Agent(model).run("Go on.", session=session))
            said = watched.page.locator(".message.is-open .said")
            await said.wait_for()
            first = await said.inner_text()
            seen.set()
            await watched.page.wait_for_function(
                f"() => document.querySelector('.message.is-open .said')?.innerText.length > {len(first) + 20}"
            )
            assert (await said.inner_text()).startswith(first.rstrip())
            stood = await press(watched, "k", "k")
            grown.set()
            await running
            run = await Agent(scripted("More of it.")).run("And then?", session=session)
            await watched.page.get_by_role("button", name="new").wait_for()
            found = await shown(watched)
            assert (found.at, found.head) == (stood.at, stood.at)
            assert not found.follows
            await watched.page.get_by_role("button", name="new").click()
            assert (await press(watched)).follows
            await watched.page.locator(".message", has_text=run.text.strip()).wait_for()
            assert await said.count() == 0


async def test_rows_that_are_read_anew_take_nothing_back_of_what_was_told_meanwhile(
    browser: Browser, path: Path
) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        read.set()
        await go_on.wait()
        await route.fulfill(response=answer)

    async with open_log(path) as log:
        session = await log.session("live")
        await Agent(scripted("First.")).run("Begin.", session=session)
        async with looking(browser, log) as watched:
            await opened(watched, f"/s/{session.id}")
            await watched.page.route("**/rows?partial=true", hold)
            await watched.asks("b")  # when a bookmark is set the rows are read anew
            await watched.page.keyboard.type("here")
            await watched.page.keyboard.press("Enter")
            await read.wait()
            await Agent(scripted("Second.")).run("Go on.", session=session)
            second = watched.page.locator(".row", has_text="Second.")
            await second.wait_for()
            async with watched.page.expect_response("**/rows?partial=true"):
                go_on.set()
            await rows_of(watched)
            assert await second.count() == 1
            assert (await shown(watched)).last == (await session.info()).head

"""The page opens by the printed address, keeps the token to its tab, and asks nobody but its own server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser

from refold import Agent, open_log, tool
from refold.http.api.served import Served
from refold.http.api.serving import serving_at
from refold.http.server import listening
from refold.testing import call, scripted
from tests.refold.cli.kept_sessions import claude
from tests.ui.looking import TOKEN, looking, origin, tab

REFOLD = (sys.executable, "-c", "from refold.cli import main; main()")
VIEWS = ("chat", "request", "diff", "timeline", "tree", "raw")


@tool(effect="pure")
def weather(city: str) -> str:
    """Say how the weather is."""
    return f"It rains in {city}."


async def fill(path: Path | None, name: str = "coats") -> None:
    """Make a log of a session with a call and a fork."""
    async with open_log(path) as log:
        session = await log.session(name)
        agent = Agent(scripted([call("weather", {"city": "Oslo"})], "Take a coat."), tools=[weather])
        await agent.run("Do I need a coat?", session=session)
        await session.fork(at=6, title="another")


@asynccontextmanager
async def refold_ui(folder: Path, *words: str, **variables: str) -> AsyncIterator[str]:
    """Run the command, with variables of the environment. Yields: the address that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "REFOLD_TOKEN"} | variables
    process = await asyncio.create_subprocess_exec(
        *REFOLD, "--db", str(folder / "runs.db"), "ui", "--port", "0", *words,
        cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"The page is at "):
            assert line, await process.wait()
        yield line.split()[-1].decode()
    finally:
        process.kill()
        await process.wait()


async def test_the_printed_address_opens_the_page_and_is_rid_of_its_token(browser: Browser, tmp_path: Path) -> None:
    file = claude(tmp_path, "one", "Do I need a coat in Oslo?")
    async with refold_ui(tmp_path, str(file)) as address:
        plain, token = address.split("#token=")
        url = origin(plain)
        assert plain.startswith(f"{url}/s/")
        async with tab(browser, url) as watched:
            await watched.page.goto(address)
            await watched.sees("Do I need a coat in Oslo?")
            assert watched.page.url == plain
            asked = [one for one in watched.asked if "/api/" in one.url]
            assert asked
            for one in watched.asked:
                assert token not in one.url
                assert not one.headers.get("referer")
                assert one.headers.get("authorization") == (f"Bearer {token}" if one in asked else None)
            kept = await watched.page.evaluate("[Object.values(sessionStorage), {...localStorage}, document.cookie]")
            assert kept[0] == [token]
            assert token not in str(kept[1:])
            await watched.page.reload()
            await watched.sees("Do I need a coat in Oslo?")
            assert watched.page.url == plain


@pytest.mark.parametrize("token", ["", "guessed-0123456789"])
async def test_a_tab_without_the_token_sees_nothing(token: str, browser: Browser, tmp_path: Path) -> None:
    await fill(tmp_path / "runs.db")
    async with open_log(tmp_path / "runs.db") as log:
        session = await log.session("coats")
        async with looking(browser, log) as watched:
            with watched.allowing("401"):
                async with watched.page.expect_response(lambda answer: "/api/" in answer.url) as asked:
                    await watched.open(f"/s/{session.id}", token)
                assert (await asked.value).status == 401
                await watched.sees("token")
                assert await watched.page.get_by_text("Do I need a coat?").count() == 0


async def test_the_link_that_a_browser_is_given_opens_the_page_once(browser: Browser, tmp_path: Path) -> None:
    await fill(tmp_path / "runs.db")
    async with open_log(tmp_path / "runs.db") as log:
        path = f"/s/{(await log.session('coats')).id}"
        served = Served(log, TOKEN)
        link = served.openings.make(path)
        with listening("127.0.0.1", 0) as at:
            async with serving_at(at, served), tab(browser, at.url) as watched:
                await watched.open(link, None)
                await watched.sees("Do I need a coat?")
                assert watched.page.url == f"{at.url}{path}"
                with watched.allowing("404"):
                    await watched.open(link, None)
                    await watched.sees("opens the page once")


@pytest.mark.parametrize("path", ["/", "/store", *(f"/s/{{id}}?view={view}" for view in VIEWS)])
async def test_no_view_leaves_the_origin_or_breaks_the_pages_own_rules(
    path: str, browser: Browser, tmp_path: Path
) -> None:
    await fill(tmp_path / "runs.db")
    async with open_log(tmp_path / "runs.db") as log:
        session = await log.session("coats")
        async with looking(browser, log) as watched:
            for at in ("", "&at=6") if "?" in path else ("",):
                await watched.open(path.format(id=session.id) + at)
                if "?" in path:
                    await watched.sees("coats")
                await watched.page.wait_for_function("document.getElementById('page').childElementCount > 0")
            loaded = {one.resource_type for one in watched.asked}
            assert loaded <= {"document", "script", "stylesheet", "image", "fetch", "other"}

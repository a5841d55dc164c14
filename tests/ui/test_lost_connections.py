"""A connection that is lost for a moment is not seen, one that is lost for longer is said and comes back by itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route

from refold import Agent, Log, Session, open_log
from refold.http import serving_log
from refold.http.server import listening
from refold.testing import scripted
from tests.ui.looking import PATIENCE_S, TOKEN, looking, tab
from tests.ui.on_page import opened, press, shown

AWAY = "The server does not answer: is `refold ui` still running?"


async def said(log: Log) -> Session:
    """Make a session to look at."""
    session = await log.session("coats")
    for n in range(5):
        await Agent(scripted(lambda _: ["It is ", "blue."])).run(f"What colour has coat {n}?", session=session)
    return session


class Losing:
    """Loses the first connection for each address, as a network does that changes under the browser."""

    def __init__(self) -> None:
        self.lost: set[str] = set()

    async def __call__(self, route: Route) -> None:
        url = route.request.url
        if url in self.lost or route.request.is_navigation_request():
            await route.continue_()
        else:
            self.lost.add(url)
            await route.abort("connectionaborted")


@pytest.mark.parametrize(
    "path", ["/", "/store", "/s/coats", "/s/coats?view=request", "/s/coats?view=diff", "/s/coats?view=tree"]
)
async def test_every_first_answer_is_lost_and_all_is_drawn_and_nothing_is_said(
    browser: Browser, tmp_path: Path, path: str
) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        session = await said(log)
        async with looking(browser, log) as watched:
            losing = Losing()
            await watched.page.route(lambda url: "/api/" in url, losing)
            with watched.allowing("Failed to load resource: net::ERR_CONNECTION_ABORTED"):
                await watched.open(path.replace("coats", session.id))
                await watched.sees({"/": "coats", "/store": str(tmp_path)}.get(path, "coat 4?"))
                async with asyncio.timeout(PATIENCE_S):
                    while len(losing.lost) < 2:
                        await asyncio.sleep(0.01)
                assert await watched.page.get_by_text("does not answer").count() == 0


async def test_a_part_of_the_page_that_is_lost_on_its_way_says_so_where_it_would_be(
    browser: Browser, tmp_path: Path
) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        session = await said(log)
        async with looking(browser, log) as watched:
            await watched.page.route(lambda url: "/tree-" in url, Losing())
            with watched.allowing("Failed to load resource: net::ERR_CONNECTION_ABORTED"):
                before = await opened(watched, f"/s/{session.id}?view=tree")
                await watched.sees("This part of the page was lost on its way here.")
                await watched.page.get_by_text("Load the page again").click()
                await watched.page.wait_for_selector(".tree-heads", state="attached")
            assert await shown(watched) == before


async def test_a_dialog_that_is_lost_on_its_way_says_so_where_it_is_seen(browser: Browser, tmp_path: Path) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        await said(log)
        async with looking(browser, log) as watched:
            await watched.page.route(lambda url: "/palette-" in url, Losing())
            with watched.allowing("Failed to load resource: net::ERR_CONNECTION_ABORTED"):
                await watched.open("/")
                await watched.sees("coats")
                await press(watched, "Control+k")
                await watched.sees("This part of the page was lost on its way here.")
                box = await watched.page.get_by_text("This part of the page").bounding_box()
                assert box is not None
                assert 0 < box["y"] < 900


async def test_a_server_that_is_away_is_said_and_what_was_asked_meanwhile_is_answered_when_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        session = await said(log)
        with listening("127.0.0.1", 0) as free:
            port = free.socket.getsockname()[1]
        async with AsyncExitStack() as stack:
            first = serving_log(log, token=TOKEN, port=port)
            url = (await first.__aenter__()).url
            watched = await stack.enter_async_context(tab(browser, url))
            stack.enter_context(watched.allowing("Failed to load resource", "net::ERR"))
            await opened(watched, f"/s/{session.id}")
            await first.__aexit__(None, None, None)
            await watched.sees(AWAY)
            await press(watched, "p", "2")
            assert await watched.page.locator(".part").count() == 0
            await stack.enter_async_context(serving_log(log, token=TOKEN, port=port))
            await watched.page.wait_for_selector(".part")
            await watched.page.get_by_text(AWAY).wait_for(state="detached")

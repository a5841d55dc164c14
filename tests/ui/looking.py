"""Looking at the page in a real browser: whatever goes wrong there, or leaves its origin, fails the test."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Route, expect

from refold import Log
from refold.http import serving_log
from refold.http.api.agent_runs import Chooser

TOKEN = "token-of-a-page-in-a-test-0123456789"
PAGE = Path(__file__).parents[2] / "refold" / "http" / "page" / "index.html"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) =>
  tellTheTest(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`))"""
LATE_S = float(os.environ.get("REFOLD_LATE_S", "0"))
"""How late a request of the page may be, by chance: what a test does not wait for is found so."""
_WITHOUT_ORIGIN = ("data:", "blob:", "about:")
PATIENCE_S = 60
"""How long the page may take for anything, on a machine that does much else."""
expect.set_options(timeout=1000 * PATIENCE_S)


def lacks(what: str) -> NoReturn:
    """Skip a test for what is not here; where browsers are required (REFOLD_BROWSER=required), fail."""
    if os.environ.get("REFOLD_BROWSER") == "required":
        pytest.fail(f"the page cannot be looked at: {what}")
    pytest.skip(what)


def find_chromium() -> str:
    """Find the system's Chromium: REFOLD_CHROMIUM's, or one on the path."""
    found = os.environ.get("REFOLD_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    return found or lacks("there is no Chromium here (apt-get install chromium, or name one in REFOLD_CHROMIUM)")


class Watched:
    """A tab of a browser. `told`: what went wrong in it, and every request that left the origin."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.told: list[str] = []
        self.asked: list[Request] = []
        self._allowed: list[str] = []

    async def watch(self) -> None:
        """Begin to listen."""
        await self.page.expose_function("tellTheTest", self._tell)
        await self.page.add_init_script(_VIOLATIONS)
        self.page.on("pageerror", lambda error: self._tell(f"raised: {error}"))
        self.page.on("console", self._hear)
        self.page.on("dialog", lambda dialog: self._tell(f"dialog: {dialog.message}"))
        self.page.on("request", self._see)

    def _tell(self, what: str) -> None:
        if not any(allowed in what for allowed in self._allowed):
            self.told.append(what)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._tell(f"console: {message.text}")

    def _see(self, request: Request) -> None:
        self.asked.append(request)
        is_file = request.url.partition("#")[0] == self.url  # the page in one file
        if not is_file and not request.url.startswith((f"{self.url}/", *_WITHOUT_ORIGIN)):
            self.told.append(f"left the origin: {request.url}")

    @contextmanager
    def allowing(self, *texts: str) -> Iterator[None]:
        """Let things that hold a text go wrong inside a block, since they are meant to."""
        self._allowed += texts
        try:
            yield
        finally:
            del self._allowed[-len(texts) :]

    async def open(self, path: str = "/", token: str | None = TOKEN) -> None:
        """Go to a path of the page, as its printed address does."""
        await self.page.goto(f"{self.url}{path}" + (f"#token={quote(token)}" if token else ""))

    async def asks(self, key: str) -> None:
        """Press the key of a dialog, and wait until it is there: keys pressed before are kept for it."""
        await self.page.keyboard.press(key)
        await expect(self.page.get_by_role("dialog")).to_be_visible()

    async def sees(self, text: str) -> None:
        """Wait until a text is to be seen."""
        await self.page.get_by_text(text).first.wait_for(state="visible")


async def _late(route: Route) -> None:
    """Let a request wait for a while by chance, each as long as REFOLD_LATE_S at most."""
    await asyncio.sleep(random.uniform(0, LATE_S))
    with suppress(Error):  # the page has given it up, or is gone
        await route.fallback()


@asynccontextmanager
async def tab(browser: Browser, url: str, **options: Any) -> AsyncIterator[Watched]:
    """Open a tab of its own; what went wrong in it fails the test at the end. `options`: of the browser's context."""
    context: BrowserContext = await browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    context.set_default_timeout(1000 * PATIENCE_S)
    if LATE_S:
        await context.route("**/api/**", _late)
    watched = Watched(await context.new_page(), url)
    try:
        await watched.watch()
        yield watched
        assert watched.told == []
    except BaseException as error:
        error.add_note(f"the page, at {watched.page.url}, told: {watched.told}")
        raise
    finally:
        await context.close()


@asynccontextmanager
async def looking(
    browser: Browser, log: Log, *, choose: Chooser | None = None, read_only: bool = False, **options: Any
) -> AsyncIterator[Watched]:
    """Serve a log, and open a tab for it; see `tab`."""
    wrong: list[str] = []
    async with (
        serving_log(log, token=TOKEN, choose=choose, read_only=read_only, tell=wrong.append) as running,
        tab(browser, running.url, **options) as watched,
    ):
        yield watched
    assert wrong == []


def origin(url: str) -> str:
    """Return the origin of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"

"""A browser that measures the page: the system's Chromium, driven by Playwright, and what is asked of the page."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Browser, CDPSession, Page

PAGE = Path(__file__).parents[1] / "refold" / "http" / "page"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_MS = 120_000
_TOOLS = """
  /* When something has come true and is painted, in milliseconds since the page was asked for. */
  window.painted = (is) => new Promise((done) => {
    const look = () => (is() ? setTimeout(() => done(performance.now())) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  });
  window.rest = (ms) => new Promise((done) => setTimeout(done, ms));
  window.press = (key) => (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  window.there = (what) => document.querySelector(what) !== null;
  window.seqAt = () => Number(new URLSearchParams(location.search || location.hash.split("?")[1]).get("at") ?? 0);
  window.seqShown = () => Number(document.querySelector(".inspector-head b")?.textContent.replace(/[#,]/g, ""));
  /* A session can be read: rows are drawn, one is selected, and both panes show what is there. */
  window.isUsable = () => there(".row.is-selected .words") && there("#reader .message") && there(".inspector h2") && !there(".is-old");
  window.frames = [];
  window.watchFrames = () => {
    frames = [];
    let last = 0;
    const tick = (now) => {
      if (last) frames.push(now - last);
      last = now;
      watching = requestAnimationFrame(tick);
    };
    window.watching = requestAnimationFrame(tick);
  };
"""  # noqa: E501 - a line is one idea here, too


def missing() -> str:
    """Say what is not here of all that it takes; empty when nothing is."""
    if find_spec("playwright") is None:
        return "needs playwright, which `make bench` has"
    if chromium() is None:
        return "needs Chromium, or REFOLD_CHROMIUM"
    return "" if (PAGE / "index.html").is_file() else "the page is not built (make ui)"


def chromium() -> str | None:
    """Find the system's Chromium."""
    return os.environ.get("REFOLD_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


class Tab:
    """A tab of a browser."""

    def __init__(self, page: Page, devtools: CDPSession) -> None:
        self.page, self._devtools = page, devtools

    async def go(self, url: str, until: str) -> float:
        """Open an address. `until`: a condition in JavaScript. Returns: milliseconds until it is so, and painted."""
        await self.page.goto("about:blank")
        await self.page.goto(url, wait_until="commit")
        return await self.until(until)

    async def until(self, condition: str) -> float:
        """Wait until a condition in JavaScript is so, and painted. Returns: when, in milliseconds of the page."""
        taken: float = await self.ask(f"() => painted(() => {condition})")
        return taken

    async def ask(self, script: str, *words: object) -> Any:  # noqa: ANN401 - whatever that returns
        """Evaluate a function of the page."""
        async with asyncio.timeout(_PATIENCE_MS / 1000):
            return await self.page.evaluate(script, list(words))

    async def nodes(self) -> int:
        """Count the elements of the page."""
        found: int = await self.page.evaluate("document.querySelectorAll('*').length")
        return found

    async def heap_mb(self) -> float:
        """Return what the page's objects take, once what nobody holds is collected."""
        await self._devtools.send("HeapProfiler.collectGarbage")
        used = await self._devtools.send("Runtime.getHeapUsage")
        return float(used["usedSize"]) / 1e6

    async def middle(self, what: str) -> tuple[float, float, float]:
        """Return the left edge, the width, and the height of the middle of an element."""
        box = await self.page.locator(what).bounding_box()
        return box["x"], box["width"], box["y"] + box["height"] / 2


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Start the browser."""
    from playwright.async_api import async_playwright

    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=chromium(), args=sandbox)
        yield browser
        await browser.close()


@asynccontextmanager
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    """Open a tab with a cache of its own."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    page = await context.new_page()
    await page.add_init_script(_TOOLS)
    try:
        yield Tab(page, await context.new_cdp_session(page))
    finally:
        await context.close()

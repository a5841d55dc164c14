"""What the page may cost, by count: bytes that are loaded, elements, requests, memory, however long a session is."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from playwright.async_api import Browser

from refold import Log
from tests.refold.views.sessions import CountingLog, adopted
from tests.ui.looking import PAGE, looking
from tests.ui.on_page import opened, press, settled

MESSAGES = 20_000
_AT_THE_END = """() => {
  const list = document.querySelector(".list");
  return list.scrollTop + list.clientHeight > list.scrollHeight - 40;
}"""
_IMPORT = re.compile(r'(?:from|import)\s*"\./([\w.-]+\.js)"')


def loaded_at_once(folder: Path, name: str, found: set[str] | None = None) -> set[str]:
    """Find the scripts that are loaded before anything is drawn: what one imports, and what these import."""
    found = set() if found is None else found
    if name not in found:
        found.add(name)
        for other in _IMPORT.findall((folder / name).read_text(encoding="utf-8")):
            loaded_at_once(folder, other, found)
    return found


async def test_what_is_loaded_before_anything_is_drawn_is_small(browser: Browser) -> None:
    assets = PAGE.parent / "assets"
    [first] = re.findall(r'src="/assets/([\w.-]+\.js)"', PAGE.read_text(encoding="utf-8"))
    scripts = loaded_at_once(assets, first)
    assert len(scripts) < len(list(assets.glob("*.js")))  # the rest comes when it is shown, or a moment later
    assert sum(len(gzip.compress((assets / name).read_bytes())) for name in scripts) < 60_000
    assert sum(len(gzip.compress(path.read_bytes())) for path in assets.glob("*.css")) < 10_000


async def test_a_long_session_costs_the_page_no_more_than_a_short_one(browser: Browser) -> None:
    store = CountingLog()
    name = await adopted(store, MESSAGES // 4)
    async with looking(browser, Log(store, clock=lambda: 7)) as watched:
        await opened(watched, f"/s/{name}")
        await settled(watched.page)
        rows = [one for one in watched.asked if one.url.endswith("/rows?partial=true")]
        assert 1 <= len(rows) <= 4
        for view in "123456":
            await press(watched, view)
            await settled(watched.page)
            assert await watched.page.evaluate("document.querySelectorAll('*').length") < 1_500, view
        await press(watched, "1", "g", "g")
        await settled(watched.page)
        before = len(watched.asked)
        for _ in range(50):
            for key in "jnhJ":
                await press(watched, key)
        await settled(watched.page)
        asked = [one.url for one in watched.asked[before:]]
        jumps = [url for url in asked if re.search(r"/at/\d+$", url)]
        assert len(jumps) <= 200
        assert (
            len(asked) <= 7 * 200
        )  # of each jump: what is there, its request, its words, its messages before and behind
        assert await watched.page.evaluate("performance.memory?.usedJSHeapSize ?? 0") < 150_000_000
        assert await watched.page.evaluate("document.querySelectorAll('*').length") < 1_500
        box = await watched.page.locator(".list").bounding_box()
        assert box is not None
        await watched.page.mouse.move(box["x"] + 40, box["y"] + 200)
        before = len(watched.asked)
        for _ in range(60):
            await watched.page.mouse.wheel(0, 20_000)
        await watched.page.wait_for_function(_AT_THE_END)
        await settled(watched.page)
        assert len(watched.asked) - before <= 130  # words of rows, by pages of a hundred; those out of sight are let go
        assert await watched.page.evaluate("document.querySelectorAll('*').length") < 1_500

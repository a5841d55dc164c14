"""What the page may cost, by count: bytes that are loaded, elements, requests, memory, however long a session is."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser

from benchmarks.exchange import exchanges
from refold import Log
from tests.refold.views.sessions import CountingLog, adopted
from tests.ui.looking import PAGE, Watched, looking
from tests.ui.on_page import opened, press, settled

MOST_NODES = 1_500
_AT_THE_END = """() => {
  const list = document.querySelector(".list");
  return list.scrollTop + list.clientHeight > list.scrollHeight - 40;
}"""
_COUNT_CHANGES = """() => {
  window.changed = 0;
  new MutationObserver((all) => {
    for (const one of all) changed += one.addedNodes.length + one.removedNodes.length;
  }).observe(document.body, { subtree: true, childList: true });
}"""
_SIZES = """() => {
  const all = performance.getEntriesByType("resource");
  const of = (end) => all.filter((one) => one.name.endsWith(end)).map((one) => one.decodedBodySize);
  return { rows: Math.max(0, ...of("/rows?partial=true")) };
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


async def many_messages(store: CountingLog) -> str:
    """Make a session of 100,000 messages."""
    return await adopted(store, 25_000)


async def many_events(store: CountingLog) -> str:
    """Make a session of 100,000 events, of which almost all are pieces of answers."""
    head, name = 0, (await store.create("streamed")).id
    for made in exchanges(295, deltas=160):
        head = await store.append(name, [event for append in made for event in append])
    assert head > 100_000
    return name


@pytest.mark.parametrize(("make", "heap_mb"), [(many_messages, 150), (many_events, 80)])
async def test_a_long_session_costs_the_page_no_more_than_a_short_one(
    make: Callable[[CountingLog], Awaitable[str]], heap_mb: int, browser: Browser
) -> None:
    store = CountingLog()
    name = await make(store)
    async with looking(browser, Log(store, clock=lambda: 7)) as watched:
        begun_s = time.monotonic()
        await opened(watched, f"/s/{name}")
        await watched.page.wait_for_function("() => !document.querySelector('.foot').textContent.includes('reading')")
        await settled(watched.page)
        rows = [one for one in watched.asked if one.url.endswith("/rows?partial=true")]
        rounds = 12 + (time.monotonic() - begun_s) / 1.5  # while it is read, however long: soon, then 1.5 s apart
        assert 1 <= len(rows) <= rounds
        for view in "123456":
            await press(watched, view)
            await settled(watched.page)
            assert await nodes(watched) < MOST_NODES, view
        await press(watched, "1", "g", "g")
        await settled(watched.page)
        await watched.page.evaluate(_COUNT_CHANGES)
        before, pressed = len(watched.asked), 0
        for _ in range(25):
            for key in "jnhJ":
                await press(watched, key)
                pressed += 1
        await settled(watched.page)
        asked = [one.url for one in watched.asked[before:]]
        jumps = [url for url in asked if re.search(r"/at/\d+$", url)]
        assert len(jumps) <= pressed
        assert len(asked) <= 7 * pressed  # of each: what is there, its request, its words, messages before and behind
        assert 0 < await watched.page.evaluate("changed") <= 200 * pressed  # elements put in or taken out
        assert await watched.page.evaluate("performance.memory?.usedJSHeapSize ?? 0") < heap_mb * 1_000_000
        assert await nodes(watched) < MOST_NODES
        assert await scrolled_to_the_end(watched) <= 130  # words of rows, by pages; those out of sight are let go
        assert await nodes(watched) < MOST_NODES
        sizes = await watched.page.evaluate(_SIZES)
        assert 0 < sizes["rows"] < 30 * (await store.info(name)).head


async def nodes(watched: Watched) -> int:
    """Count the elements of the page."""
    found: int = await watched.page.evaluate("document.querySelectorAll('*').length")
    return found


async def scrolled_to_the_end(watched: Watched) -> int:
    """Scroll the list by a wheel until it ends. Returns: how many requests that took."""
    box = await watched.page.locator(".list").bounding_box()
    assert box is not None
    await watched.page.mouse.move(box["x"] + 40, box["y"] + 200)
    before = len(watched.asked)
    for _ in range(60):
        await watched.page.mouse.wheel(0, 100_000)
    await watched.page.wait_for_function(_AT_THE_END)
    await settled(watched.page)
    return len(watched.asked) - before

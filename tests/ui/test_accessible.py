"""The page is for everybody: axe finds nothing serious in any screen and theme, and the focus is always to be seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from refold import Log, Session
from refold.http.page_file.file import session_file
from tests.refold.views.sessions import CountingLog, eventful
from tests.ui.looking import Watched, lacks, looking, tab
from tests.ui.on_page import opened, press, settled

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ("chat", "request", "diff", "timeline", "tree", "raw")
_RUN = "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)"
_RING = """() => {
  const focused = document.activeElement;
  const mark = (one) => one !== null && getComputedStyle(one).outlineStyle !== "none";
  const name = focused.getAttribute("aria-label") ?? focused.textContent.trim().slice(0, 40);
  return [name, focused === document.body || mark(focused) || mark(focused.querySelector(".is-selected"))];
}"""


@pytest_asyncio.fixture(loop_scope="session", params=["light", "dark"])
async def looked(request: pytest.FixtureRequest, browser: Browser) -> AsyncIterator[tuple[Watched, Session]]:
    store = CountingLog()
    session = await eventful(store)
    await session.fork(at=30, title="another")
    log = Log(store, clock=lambda: 7)
    async with looking(browser, log, color_scheme=request.param, reduced_motion="reduce") as watched:
        yield watched, session


async def serious(watched: Watched) -> list[str]:
    """Find what axe calls serious or worse, in a line each."""
    if not AXE.is_file():
        lacks("axe-core is not installed here (make ui)")
    await settled(watched.page)
    await watched.page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = await watched.page.evaluate(_RUN)
    return [
        f"{one['id']}: {node['html'][:160]}: {node['failureSummary'].splitlines()[-1]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:4]
    ]


async def test_axe_finds_nothing_serious_in_any_view(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    found: dict[str, list[str]] = {}
    for at in (25, 53):
        for view in VIEWS:
            await opened(watched, f"/s/{session.id}?view={view}&at={at}")
            found[f"{view} at {at}"] = await serious(watched)
    for each in ("Event", "State", "Usage", "Links"):
        await watched.page.get_by_role("tab", name=each).click()
        found[each] = await serious(watched)
    assert {where: what for where, what in found.items() if what} == {}


async def test_axe_finds_nothing_serious_in_the_table_the_store_and_the_dialogs(
    looked: tuple[Watched, Session],
) -> None:
    watched, session = looked
    found: dict[str, list[str]] = {}
    await watched.open("/")
    await watched.sees("main")
    found["table"] = await serious(watched)
    await watched.open("/store")
    await watched.page.wait_for_selector("main, h1")
    found["store"] = await serious(watched)
    await opened(watched, f"/s/{session.id}?at=25")
    for key in ("Control+k", "?", "/", "f", "b", "x", "r"):
        await press(watched, key)
        await watched.page.locator("dialog").wait_for()
        found[key] = await serious(watched)
        await press(watched, "Escape")
        await watched.page.locator("dialog").wait_for(state="detached")
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious_in_a_file(theme: str, browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    session = await eventful(store)
    fork = await session.fork(at=30, title="another")
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(Log(store, clock=lambda: 7), session.id, family=True, omit=["results"]))
    look = {"color_scheme": theme, "reduced_motion": "reduce"}
    found: dict[str, list[str]] = {}
    async with tab(browser, file.as_uri(), offline=True, **look) as alone:
        pinned = {"a branch": f"&pin={fork.id}:30", "a pin": f"&pin={session.id}:6"}
        places = {view: f"view={view}&at=53" for view in VIEWS}
        places |= {f"diff with {name}": f"view=diff&at=53{pin}" for name, pin in pinned.items()}
        for name, place in places.items():
            await alone.page.goto(f"{file.as_uri()}#/s/{session.id}?{place}")
            await alone.page.wait_for_selector(".row.is-selected")
            found[name] = await serious(alone)
        for each in ("Event", "State", "Usage", "Links"):
            await alone.page.get_by_role("tab", name=each).click()
            found[each] = await serious(alone)
        for key in ("Control+k", "?", "/", "Control+Shift+F"):
            await press(alone, key)
            await alone.page.locator("dialog").wait_for()
            found[key] = await serious(alone)
            await press(alone, "Escape")
            await alone.page.locator("dialog").wait_for(state="detached")
        await alone.page.get_by_role("button", name="a file as of").click()
        found["what the file is"] = await serious(alone)
        file.write_bytes(file.read_bytes()[:-2_000])
        await alone.page.reload()
        await alone.page.get_by_role("alert").wait_for()
        found["a file that is cut short"] = await serious(alone)
    assert {where: what for where, what in found.items() if what} == {}


async def test_the_focus_is_seen_wherever_tab_leads_and_comes_back_from_dialogs(
    looked: tuple[Watched, Session],
) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=25")
    await settled(watched.page)
    names: list[str] = []
    for _ in range(40):
        await watched.page.keyboard.press("Tab")
        name, is_seen = await watched.page.evaluate(_RING)
        names.append(name)
        assert is_seen, f"nothing shows that {name!r} has the focus, after {names}"
    order = [names.index(name) for name in ("Chat1", "Seq", "What was said") if name in names]
    assert len(order) == 3, names
    assert order == sorted(order)
    assert len(set(names)) > 8


async def test_at_twice_the_size_everything_can_be_reached(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await watched.page.set_viewport_size({"width": 720, "height": 450})  # as 1,440 by 900 at 200 %
    for view in VIEWS:
        await opened(watched, f"/s/{session.id}?view={view}&at=25")
        await settled(watched.page)
        wide = await watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert wide, view
        assert await watched.page.locator("#reader").is_visible()
        assert await watched.page.get_by_role("tab", name="Raw").is_visible()

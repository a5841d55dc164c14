"""One selection: list, map, inspector, reader and address say the same, whatever was done."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Route

from eventsource.events import ToolExecutionEnd
from refold import Log, Session
from tests.refold.views.sessions import CountingLog, eventful
from tests.ui.looking import Watched, looking
from tests.ui.on_page import Shown, opened, press, settled, shown

VIEWS = ("chat", "request", "diff", "timeline", "tree", "raw")


@pytest_asyncio.fixture(loop_scope="session")
async def looked(browser: Browser) -> AsyncIterator[tuple[Watched, Session]]:
    store = CountingLog()
    session = await eventful(store)
    await session.fork(at=30, title="another")
    async with looking(browser, Log(store, clock=lambda: 7)) as watched:
        yield watched, session


async def test_an_address_opens_exactly_what_it_says(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    chance = random.Random(11)
    head = (await session.info()).head
    await opened(watched, f"/s/{session.id}")
    for _ in range(40):
        seq, view = chance.randint(1, head), chance.choice(VIEWS)
        pin = chance.choice(["", f"&pin={session.id}:{chance.randint(1, head)}"])
        path = f"/s/{session.id}?at={seq}{f'&view={view}' if view != 'chat' else ''}{pin}"
        found = await opened(watched, path)
        assert (found.address, found.map, found.head, found.view) == (path, seq, seq, view)
        assert not found.follows
        agrees(found)
    follows = await opened(watched, f"/s/{session.id}")
    assert (follows.at, follows.map, follows.head, follows.follows) == (None, head, head, True)


def agrees(found: Shown) -> None:
    """Expect that all parts of the page show one seq; a row is selected that holds it, or is the nearest before."""
    at = found.at if found.at is not None else found.last
    assert (found.map, found.head) == (at, at)
    assert found.row is not None


async def test_after_any_actions_all_parts_show_one_seq_and_the_address_opens_it_again(
    looked: tuple[Watched, Session],
) -> None:
    watched, session = looked
    chance = random.Random(23)
    await opened(watched, f"/s/{session.id}")
    keys = [*"jkJKnphHeEtTcCGdm'123456", "Home", "End", "ArrowDown", "ArrowUp", "PageDown", "PageUp"]
    done: list[str] = []
    for number in range(500):
        what = chance.random()
        if what < 0.85:
            done.append(key := chance.choice(keys))
            found = await press(watched, key)
        else:
            box = await watched.page.locator(".minimap").bounding_box()
            assert box is not None
            x = chance.uniform(20, box["width"] - 20)
            done.append(f"map {x:.0f}")
            await watched.page.mouse.click(box["x"] + x, box["y"] + 20)
            found = await press(watched)
        try:
            agrees(found)
        except AssertionError as error:
            error.add_note(f"after {done[-8:]}, action {number}: {found}")
            raise
        if number % 100 == 99:
            again = await opened(watched, found.address)
            assert (again.address, again.row, again.map, again.view) == (
                found.address, found.row, found.map, found.view,
            ), done[-8:]  # fmt: skip


async def test_back_returns_from_a_jump_and_not_from_a_step(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=6")
    stepped = await press(watched, "j", "j")
    jumped = await press(watched, "e")
    assert jumped.at not in (6, stepped.at)
    await watched.page.go_back()
    assert (await press(watched)).at == stepped.at
    await watched.page.go_forward()
    assert (await press(watched)).at == jumped.at


async def test_a_click_on_a_row_selects_what_the_row_tells(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=1")
    row = watched.page.locator(".row", has_text="Take a coat.")
    seq = int((await row.locator(".seq").inner_text()).replace(",", ""))
    await row.click()
    found = await press(watched)
    assert (found.at, found.row, found.head) == (seq, seq, seq)
    await settled(watched.page)
    assert "Take a coat." in await watched.page.locator(".message.is-selected").inner_text()
    await watched.page.locator(".message", has_text="Do I need a coat?").locator(".said").click()
    assert (await press(watched)).at == 6
    assert (await shown(watched)).row == 6


async def test_what_is_at_a_seq_is_told_whole_when_rows_come_later(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    end = next(one.seq for one in await session.events() if isinstance(one.event, ToolExecutionEnd))
    told = asyncio.Event()

    async def behind(route: Route) -> None:
        await told.wait()
        await route.continue_()

    await watched.page.route(re.compile(r"/rows\?"), behind)
    await watched.open(f"/s/{session.id}?at={end}")
    inspector = watched.page.locator(".inspector")
    await inspector.get_by_text("Where the run stood").wait_for()
    assert await inspector.get_by_text("The call").count() == 0
    told.set()
    await inspector.get_by_text("The call").wait_for()

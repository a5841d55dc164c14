"""Every key of the page does what its table says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from eventsource.events import Compaction, ContextEdit, Custom, Label, MessageEnd, MessageStart, ToolExecutionStart
from refold import Agent, Log, Session
from refold.testing import scripted
from tests.refold.views.sessions import CountingLog, eventful
from tests.ui.looking import Watched, looking
from tests.ui.on_page import opened, press, settled


@pytest_asyncio.fixture(loop_scope="session")
async def looked(browser: Browser) -> AsyncIterator[tuple[Watched, Session]]:
    store = CountingLog()
    session = await eventful(store)
    async with looking(browser, Log(store, clock=lambda: 7)) as watched:
        await watched.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield watched, session


async def seqs_of(session: Session, kind: type[object]) -> list[int]:
    return [one.seq for one in await session.events() if isinstance(one.event, kind)]


async def test_keys_that_move(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=1")

    async def at(*keys: str) -> int | None:
        return (await press(watched, *keys)).at

    starts = [
        one.seq for one in await session.events() if isinstance(one.event, MessageStart) and one.event.role == "input"
    ]
    ends = await seqs_of(session, MessageEnd)
    prompts = [next(end for end in ends if end > start) for start in starts]
    assert await at("h") == prompts[0]
    assert await at("h", "h") == prompts[2]
    assert await at("H") == prompts[1]
    assert await at("g", "g") == 1
    assert await at("j") == prompts[0]
    assert await at("ArrowUp") == 1
    assert await at("J", "J") == 3
    assert await at("K") == 2
    assert await at("G") is None
    assert (await press(watched)).follows
    assert await at("k") is not None
    assert await at("Home") == 1
    assert await at("End") is None
    [compaction] = await seqs_of(session, Compaction)
    hides, replaces = await seqs_of(session, ContextEdit)
    assert await at("g", "g", "c") == hides
    assert await at("c") == replaces
    assert await at("c") == compaction
    assert await at("C") == replaces
    failed = [
        one.seq
        for one in await session.events()
        if isinstance(one.event, MessageEnd)
        and one.event.message is not None
        and one.event.message.stop_reason == "error"
    ]
    assert await at("g", "g", "e") == failed[0]
    assert (await at("e") or 0) > failed[0]  # the run ended in it
    assert await at("E") == failed[0]
    began = await seqs_of(session, ToolExecutionStart)
    tool = await at("g", "g", "t")
    assert tool is not None
    assert began[0] <= tool < began[1]
    assert (await at("t") or 0) >= began[1]
    assert await at("T") == tool
    turn = await at("g", "g", "n")
    assert turn is not None
    assert (await at("n") or 0) > turn
    assert await at("p") == turn
    assert await at("g", "4", "2", "Enter") == 42
    assert await at("g", "7", "g") == 42  # no chord: nothing is done
    await settled(watched.page)


async def test_keys_that_show(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=25")
    for key, view in zip("123456", ("chat", "request", "diff", "timeline", "tree", "raw"), strict=True):
        assert (await press(watched, key)).view == view
    assert [(await press(watched, key)).view for key in ("2", "d", "d")] == ["request", "diff", "request"]
    assert "pin" in (await press(watched, "m")).address
    moved = await press(watched, "g", "g")
    swapped = await press(watched, "'")
    assert (swapped.at, f"pin={session.id}:{moved.at}" in swapped.address) == (25, True)
    assert "pin" not in (await press(watched, "Escape")).address
    pane = watched.page.locator(".pane.is-list")
    assert await pane.count() == 1
    await press(watched, "[")
    assert await pane.count() == 0
    await press(watched, "[", "]")
    assert await watched.page.locator(".pane.is-inspector").count() == 0
    await watched.page.reload()
    await watched.page.wait_for_selector(".row")
    assert await watched.page.locator(".pane.is-inspector").count() == 0  # a browser remembers it
    await press(watched, "]")
    with watched.allowing("404"):  # no codec writes what a scripted model is sent
        await press(watched, "2", ".")
        await watched.page.get_by_role("button", name="Body", pressed=True).wait_for()
        await watched.sees("no codec writes requests")
    await press(watched, ".")
    await watched.page.get_by_role("button", name="Rendered", pressed=True).wait_for()


async def test_keys_that_copy(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=25&view=request")
    await press(watched, "y")
    await watched.sees("Link copied.")
    assert await watched.page.evaluate("navigator.clipboard.readText()") == watched.page.url
    await press(watched, "G", "y")  # a link is to this very seq, also when the head is followed
    head = (await session.info()).head
    await watched.page.wait_for_function(f"async () => (await navigator.clipboard.readText()).includes('at={head}')")
    plain = await Log(session.core.log, clock=lambda: 7).session("plain")
    await Agent(scripted("Take a coat.")).run("Do I need one?", session=plain)
    await opened(watched, f"/s/{plain.id}")
    await press(watched, "Y")
    await watched.sees("A test for pytest")
    await watched.page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('def test_')")


async def test_play_goes_on_by_itself_and_stops_when_something_else_is_selected(browser: Browser) -> None:
    log = Log(CountingLog())
    session = await log.session()
    said = [(second * 1_000_000, Label(text=f"second {second}", target_seq=1)) for second in range(100)]
    await session.core.log.append(session.id, [(0, Custom(kind="begin")), *said])
    async with looking(browser, log) as watched:
        await opened(watched, f"/s/{session.id}?at=1")
        await press(watched, "Space", "+", "+", "+")  # an eighth of a second each
        await watched.page.wait_for_function("() => Number(new URLSearchParams(location.search).get('at')) > 3")
        stood = await press(watched, "Space")
        assert stood.at is not None
        assert stood.at < 100
        await watched.page.wait_for_timeout(500)
        assert (await press(watched)).at == stood.at
        await press(watched, "Space")
        await watched.page.wait_for_function(
            f"() => Number(new URLSearchParams(location.search).get('at')) > {stood.at}"
        )
        gone = await press(watched, "g", "g")
        await watched.page.wait_for_timeout(500)
        assert (await press(watched)).at == gone.at


async def test_letters_are_no_keys_where_something_is_typed_or_when_they_are_turned_off(
    looked: tuple[Watched, Session],
) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?at=25")
    await press(watched, "/")
    field = watched.page.locator("dialog input").first
    await field.wait_for()
    await watched.page.keyboard.type("jjkk G")
    assert await field.input_value() == "jjkk G"
    await press(watched, "Escape")
    assert (await press(watched)).at == 25
    kept = "{...JSON.parse(localStorage.getItem('refold-page')), hasLetterKeys: false}"
    await watched.page.evaluate(f"localStorage.setItem('refold-page', JSON.stringify({kept}))")
    await watched.page.reload()
    await watched.page.wait_for_selector(".row.is-selected")
    assert (await press(watched, "j", "G", "5")).at == 25
    assert (await press(watched, "ArrowDown")).at != 25

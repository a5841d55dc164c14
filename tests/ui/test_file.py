"""A session in a file shows what the server shows, opened from the disk with no network at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import ndiff
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from eventsource.events import ModelRequest
from eventsource.log.load import read_all
from refold import Log
from refold.http.page_file.file import session_file
from replay.omitting import OMITTED
from tests.refold.http.secretive import TEXTS, WORDS, secretive
from tests.refold.http.test_family_file import family
from tests.refold.http.unpacking import blocks_of, packed_in
from tests.refold.views.sessions import CountingLog, eventful
from tests.ui.looking import Watched, looking, tab

VIEWS = ("chat", "request", "diff", "timeline", "tree", "raw")
PANES = "[...document.querySelectorAll('main > *')].map((pane) => pane.innerText.split('From here')[0].trim())"
"""The list, the view and the inspector, but for what can be done there."""
WAITS = re.compile(r"^Reading.*…$", re.MULTILINE)
LOOKS = 20
OF_FILES: Mapping[str, Callable[[str], bool]] = {
    # windows of messages are cut elsewhere: the file shows more of what came later
    "chat": lambda line: line.startswith("-"),
    # what other sessions did is not in the file, which says so
    "timeline": lambda line: not line.strip("- ") or "that were started" in line,
    # with what to compare the first request is said where a pin can be set
    "diff": lambda line: "This is the first request" in line,
}
"""Which lines of a view differ because it is a file."""


def difference(found: list[str], wanted: list[str]) -> list[str]:
    """Compare what two pages show, pane by pane: lines that only the first has (-), or only the second (+)."""
    lines = (ndiff(one.splitlines(), two.splitlines()) for one, two in zip(found, wanted, strict=True))
    return [line for pane in lines for line in pane if line[:1] in "+-"]


async def shown(page: Page) -> list[str]:
    """Read the list, the view and the inspector, once they stand still and wait for nothing."""
    before: list[str] = []
    while (now := await page.evaluate(PANES)) != before or not any(now) or WAITS.search("\n".join(now)):
        before = now
        await page.wait_for_timeout(150)
    return before


async def go(watched: Watched, base: str, session: str, seq: int, view: str) -> None:
    """Go to a seq in a view."""
    await watched.page.goto("about:blank")
    await watched.page.goto(f"{base}/s/{session}?at={seq}&view={view}")
    await watched.page.wait_for_selector("main")


async def at(watched: Watched, base: str, session: str, seq: int, view: str) -> list[str]:
    """Go to a seq in a view, and read what is shown there."""
    await go(watched, base, session, seq, view)
    return await shown(watched.page)


async def differences(alone: Watched, live: Watched, view: str = "") -> list[str]:
    """Say what a file shows otherwise than the page, and not because it is a file; on a slow machine both come late."""
    for _ in range(LOOKS):
        lines = difference(await shown(alone.page), await shown(live.page))
        differs = [line for line in lines if view not in OF_FILES or not OF_FILES[view](line)]
        if not differs:
            break
    return differs


@pytest.mark.parametrize("view", VIEWS)
async def test_the_file_shows_what_the_page_shows(view: str, browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await eventful(store)
    head = (await session.info()).head
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(log, session.id, family=True))
    async with looking(browser, log) as live, tab(browser, file.as_uri(), offline=True) as alone:
        await live.open("/")
        await live.page.wait_for_selector("main")
        for seq in (1, 6, head // 2, head):
            await go(live, live.url, session.id, seq, view)
            await go(alone, f"{file.as_uri()}#", session.id, seq, view)
            assert await differences(alone, live, view) == [], seq
        assert [one.url for one in alone.asked if one.url.startswith("http")] == []


async def test_the_page_writes_itself_into_a_file_that_opens(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await eventful(store)
    file = tmp_path / "saved.html"
    async with looking(browser, log) as live:
        await live.open(f"/s/{session.id}")
        await live.sees("Do I need a coat?")
        await live.page.keyboard.press("x")
        async with live.page.expect_download() as download:
            await live.page.get_by_role("button", name="Write the page").click()
        await (await download.value).save_as(file)
    assert file.read_bytes() == await session_file(log, session.id)
    async with tab(browser, file.as_uri(), offline=True) as alone:
        await alone.page.goto(file.as_uri())
        await alone.sees("Do I need a coat?")
        await alone.sees("a file as of")


async def test_what_is_left_out_is_said_under_the_title_and_where_it_stood(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await secretive(store)
    file = tmp_path / "less.html"
    async with looking(browser, log) as live:
        await live.open(f"/s/{session.id}")
        await live.sees(WORDS[0])
        await live.page.keyboard.press("x")
        for what in ("what tools answered", "images", "thinking"):
            await live.page.get_by_label(what, exact=True).check()
        await live.sees("--omit results --omit images --omit thinking")
        async with live.page.expect_download() as download:
            await live.page.get_by_role("button", name="Write the page").click()
        await (await download.value).save_as(file)
    assert file.read_bytes() == await session_file(log, session.id, omit=OMITTED)
    hidden = [text for kind in OMITTED for text in TEXTS[kind]]
    async with tab(browser, file.as_uri(), offline=True) as alone:
        for view in VIEWS:
            for seq in (6, 27, (await session.info()).head):
                seen = "\n".join(await at(alone, f"{file.as_uri()}#", session.id, seq, view))
                assert [text for text in hidden if text in seen] == []
                said = await alone.page.get_by_role("note").inner_text()
                assert "Left out of this file: 5 tool results, 1 image, 4 pieces of thinking" in said
        assert "[tool result left out]" in "\n".join(await at(alone, f"{file.as_uri()}#", session.id, 46, "chat"))
        asked = [one.seq async for one in read_all(store, session.id) if isinstance(one.event, ModelRequest)]
        request = "\n".join(await at(alone, f"{file.as_uri()}#", session.id, asked[-1], "request"))
        assert "digest unchecked: what it is of was left out" in request
        assert [one.url for one in alone.asked if one.url.startswith("http")] == []


async def test_who_runs_no_scripts_reads_what_was_said(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await eventful(store)
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(log, session.id))
    context = await browser.new_context(java_script_enabled=False, offline=True)
    page = await context.new_page()
    await page.goto(file.as_uri())
    assert "Do I need a coat?" in await page.inner_text("body")
    await context.close()


async def test_branches_and_agents_of_a_file_are_opened_compared_and_searched(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session, fork, _ = await family(store)
    file = tmp_path / "page.html"
    async with looking(browser, log) as live:
        await live.open(f"/s/{session.id}")
        await live.sees("At last?")
        await live.page.keyboard.press("x")
        await live.page.get_by_label("also its branches").check()
        async with live.page.expect_download() as download:
            await live.page.get_by_role("button", name="Write the page").click()
        await (await download.value).save_as(file)
        pinned = f"/s/{session.id}?at=6&view=diff&pin={fork.id}:{(await fork.info()).head}"
        await live.page.goto(f"{live.url}{pinned}")
        await live.sees("nothing here")
        wanted = (await shown(live.page))[1]
        async with tab(browser, file.as_uri(), offline=True) as alone:
            await alone.page.goto(f"{file.as_uri()}#{pinned}")
            await alone.sees("nothing here")
            found = (await shown(alone.page))[1]
            assert [line for line in difference([found], [wanted]) if line.strip("- +") not in ("requests", "")] == []
            await alone.page.keyboard.press("5")
            await alone.page.get_by_role("option").filter(has_text="third").click()
            await alone.page.get_by_role("heading", name="third").wait_for()
            await alone.page.keyboard.press("1")
            await alone.sees("Boots.")
            await alone.page.get_by_role("link", name="agent").first.click()
            await alone.page.get_by_role("heading", name="agent:helper").wait_for()
            await alone.asks("Control+Shift+F")
            await alone.page.keyboard.type("qzwxanswer")
            await alone.sees("found in")
            assert [one.url for one in alone.asked if one.url.startswith("http")] == []


async def test_what_is_not_in_a_file_is_said_and_leads_nowhere(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session, _, _ = await family(store)
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(log, session.id))
    async with tab(browser, file.as_uri(), offline=True) as alone:
        await alone.page.goto(f"{file.as_uri()}#/s/{session.id}?view=tree")
        away = alone.page.get_by_role("option").filter(has_text="not in this file")
        await expect(away).to_have_count(4)
        address = alone.page.url
        await away.first.click()
        await alone.sees("This session is not in the file")
        assert alone.page.url == address
        await alone.page.get_by_role("button", name="a file as of").click()
        for said in (
            "wire bodies",
            "comparisons of requests with any but the one before",
            "3 other sessions of its family",
        ):
            await alone.sees(said)


def damaged(text: bytes) -> bytes:
    """A packed text with another letter in its middle."""
    middle = len(text) // 2
    return text[:middle] + (b"B" if text[middle : middle + 1] == b"A" else b"A") + text[middle + 1 :]


async def test_a_damaged_file_says_so(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await eventful(store)
    whole = await session_file(log, session.id)
    directory, blocks = packed_in(whole)
    begin = whole.index(directory)
    cases = {
        "The file is cut short": whole[: begin + len(directory) + 200],
        "The file is damaged": whole[: begin + 200],
        "The file is damaged: ": whole[:begin],
        "The file is damaged: `refold export` writes it anew": whole.replace(directory, damaged(directory)),
    }
    file = tmp_path / "page.html"
    async with tab(browser, file.as_uri(), offline=True) as alone:
        for said, content in cases.items():
            file.write_bytes(content)
            await alone.page.goto(file.as_uri())
            await alone.sees(said)
            assert await alone.page.get_by_role("option").count() == 0
        [number] = blocks_of(whole, "messages")
        file.write_bytes(whole.replace(blocks[number], damaged(blocks[number])))
        await alone.page.goto(file.as_uri())
        await alone.sees("The file is damaged")
        await alone.page.get_by_role("option").filter(has_text="Still there?").wait_for()
        await alone.page.keyboard.press("2")
        await alone.page.locator("#reader").get_by_text("Still there?").first.wait_for()


async def test_a_pin_is_compared_where_the_file_knows_how_and_else_that_is_said(
    browser: Browser, tmp_path: Path
) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await eventful(store)
    asked = [one.seq async for one in read_all(store, session.id) if isinstance(one.event, ModelRequest)]
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(log, session.id))
    before, last = asked[-2:]
    async with looking(browser, log) as live, tab(browser, file.as_uri(), offline=True) as alone:
        await live.open("/")
        await live.page.wait_for_selector("main")
        for pin in (before, last):
            for watched, base in ((live, live.url), (alone, f"{file.as_uri()}#")):
                await go(watched, base, session.id, last, f"diff&pin={session.id}:{pin}")
            assert await differences(alone, live) == [], pin
        await at(alone, f"{file.as_uri()}#", session.id, last, f"diff&pin={session.id}:{asked[0]}")
        await alone.sees("A file has each request compared with the one before it")
        await alone.page.get_by_role("button", name="Compare with the request before").click()
        await alone.sees("against")
        assert "pin=" not in alone.page.url


async def test_the_keys_of_a_file_are_those_that_do_something_there(browser: Browser, tmp_path: Path) -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await eventful(store)
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(log, session.id))
    async with looking(browser, log) as live, tab(browser, file.as_uri(), offline=True) as alone:
        await live.open(f"/s/{session.id}")
        await alone.page.goto(file.as_uri())
        listed: list[set[str]] = []
        for one in (live, alone):
            await one.sees("Do I need a coat?")
            await one.page.keyboard.press("?")
            await one.page.get_by_role("heading", name="Keys").wait_for()
            listed.append(set(await one.page.locator("dialog dd").all_inner_texts()))
        missing = {words.partition(":")[0].partition(",")[0] for words in listed[0] - listed[1]}
        assert listed[1] <= listed[0]
        assert missing >= {"Fork here; on a message of a person", "Set a bookmark here", "Export", "Next session"}
        assert "Next error" in listed[1]

"""A real agent works, and the page watches what it keeps of its sessions, while it works; no proxy is between."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page

from eventsource.models.scripted.rules import Rule, ScriptEntry, rule
from eventsource.models.scripted.script import Item, call
from tests.clients.programs import CLAUDE_CODE
from tests.clients.running import provided
from tests.ui.looking import PATIENCE_S, origin, tab
from tests.ui.on_page import press
from tests.ui.test_live import rows_of
from tests.ui.test_opening import refold_ui

_SOON_MS = 60_000  # real programs start slowly where much else runs


def held(name: str, then: str) -> str:
    """A command that goes on when the test says so."""
    return f"until test -e {name}; do sleep 0.05; done; {then}"


def script() -> list[ScriptEntry]:
    """What the model says: two calls at once, a sub-agent that calls a tool, a summary, and what comes after it."""
    assert CLAUDE_CODE.agent is not None
    counting: list[Item] = [
        "Both at once.",
        call("Bash", {"command": held("counted", "echo osprey-1")}),
        call("Bash", {"command": "echo osprey-2; exit 3"}),
    ]
    return [
        Rule(when=CLAUDE_CODE.summary, answer="<summary>Two ospreys were counted.</summary>"),
        rule("And done.", said="osprey-4"),
        rule([call("Bash", {"command": held("gone", "echo osprey-4")})], said="Go on"),
        rule([call("Bash", {"command": held("dug", "echo osprey-3")})], said="Dig for the osprey"),
        rule("The osprey is found.", said="osprey-3"),
        rule("Good work.", said="The osprey is found"),
        rule([CLAUDE_CODE.agent("Dig for the osprey, please")], said="osprey-2"),
        rule(counting, said="Count the ospreys"),
    ]


@asynccontextmanager
async def working(home: Path, work: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Claude Code, which reads one prompt after the other from its input until that is closed."""
    process = await asyncio.create_subprocess_exec(
        str(CLAUDE_CODE.path),
        *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
        "--dangerously-skip-permissions",
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **CLAUDE_CODE.settle(home, url)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def say(process: asyncio.subprocess.Process, prompt: str) -> None:
    """Give the agent its next prompt."""
    assert process.stdin is not None
    line = {"type": "user", "message": {"role": "user", "content": prompt}}
    process.stdin.write(json.dumps(line).encode() + b"\n")


def row(page: Page, text: str | re.Pattern[str]) -> Locator:
    """A row of the session's list."""
    return page.locator(".list .row", has_text=text).first


async def seen(place: Locator) -> None:
    """Wait until something is to be seen."""
    await place.first.wait_for(timeout=_SOON_MS)


async def test_claude_code_is_watched_while_it_works(browser: Browser, tmp_path: Path) -> None:
    if CLAUDE_CODE.missing:
        pytest.skip(CLAUDE_CODE.missing)
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    async with (
        provided(script()) as url,
        refold_ui(work, "--from", "claude-code", "--watch", CLAUDE_CONFIG_DIR=str(home / ".claude")) as address,
        tab(browser, origin(address)) as watched,
        working(home, work, url) as agent,  # that keeps nothing yet: the page is there before it
    ):
        page = watched.page
        await page.goto(address)
        say(agent, "Count the ospreys")
        await page.locator("[role=row]", has_text="Count the ospreys").first.click(timeout=_SOON_MS)
        await seen(row(page, "Both at once."))
        await seen(page.locator(".message", has_text="until test -e counted"))  # they have no results yet
        await seen(page.locator(".message", has_text="echo osprey-2; exit 3"))
        (work / "counted").touch()
        await seen(row(page, "echo osprey-1"))
        await seen(page.locator(".message", has_text="Dig for the osprey, please"))
        first = page.url

        await press(watched, "5")
        await page.locator(".tree-row", has_text="Dig for the osprey, please").click(timeout=_SOON_MS)
        await press(watched, "1")
        await seen(page.locator(".message", has_text="until test -e dug"))
        (work / "dug").touch()
        await seen(row(page, "The osprey is found."))
        await page.goto(first)
        await seen(row(page, "Good work."))
        await press(watched, "4")
        await seen(page.get_by_role("main").get_by_text("Dig for the osprey"))
        await press(watched, "1")

        say(agent, "/compact")
        await seen(row(page, "compaction"))
        await seen(page.locator(".message.is-gone"))
        say(agent, "Go on")
        await seen(page.locator(".message", has_text="until test -e gone"))
        assert agent.returncode is None
        (work / "gone").touch()
        await seen(row(page, "And done."))
        assert agent.stdin is not None
        agent.stdin.close()
        await agent.wait()
        async with tab(browser, watched.url) as other, asyncio.timeout(PATIENCE_S):
            await other.page.goto(f"{page.url}#token={address.split('#token=')[1]}")
            await other.page.wait_for_selector(".row.is-selected")
            while await rows_of(watched) != await rows_of(other):  # what was written last is still to come
                await other.page.reload()
                await other.page.wait_for_selector(".row.is-selected")

"""A session of another agent is watched as its file grows: what it says appears on the page as it happens."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.ui.looking import origin, tab
from tests.ui.on_page import press, settled
from tests.ui.test_live import rows_of, shows_again
from tests.ui.test_opening import refold_ui

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data"))
GROWING = DATA / "transcripts" / "claude-code" / "ccl-dag_compact_after_rewind.jsonl"


async def test_a_growing_file_is_followed_and_its_compaction_is_seen(browser: Browser, tmp_path: Path) -> None:
    if not GROWING.is_file():
        pytest.skip("there are no recorded sessions here (REFOLD_DATA)")
    lines = GROWING.read_text(encoding="utf-8").splitlines(keepends=True)
    file = tmp_path / GROWING.name
    begun = next(place for place, line in enumerate(lines, 1) if "Second attempt" in line)  # else that is a fork
    assert not any("compact" in line for line in lines[:begun])
    file.write_text("".join(lines[:begun]), encoding="utf-8")
    async with refold_ui(tmp_path, str(file), "--watch") as address:
        url = origin(address)
        async with tab(browser, url) as watched:
            await watched.page.goto(address)
            await watched.page.wait_for_selector(".row.is-selected")
            for number in range(begun + 1, len(lines) + 1):
                with file.open("a", encoding="utf-8") as growing:
                    half = len(lines[number - 1]) // 2
                    growing.write(lines[number - 1][:half])
                    growing.flush()
                    await asyncio.sleep(0.05)
                    growing.write(lines[number - 1][half:])
            await watched.page.locator(".row", has_text="compaction").first.wait_for()
            await watched.page.locator(".message", has_text="After compaction").first.wait_for()
            await watched.page.locator(".message.is-gone").first.wait_for()
            await press(watched, "2")
            await watched.page.locator(".part.is-gone").first.wait_for()
            await press(watched, "1")
            await settled(watched.page)
            await watched.page.locator(".row", has_text="Final answer").wait_for()  # the last
            await shows_again(watched, await rows_of(watched))

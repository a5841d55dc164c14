"""The path of a reader who knows nothing of a bad run but what the page says: from the table to a file for a ticket."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from playwright.async_api import Browser, Locator

from eventsource.machine.state import State
from refold import Agent, Log
from tests.ui.looking import Watched, looking
from tests.ui.on_page import press, settled

EXAMPLE = Path(__file__).parents[2] / "examples" / "wrong_file.py"
TITLE = "Fix the flaky checkout test"


def example() -> ModuleType:
    """Load the agent of the bad run: it begins anew, with the files as they were."""
    spec = importlib.util.spec_from_file_location("wrong_file", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def looking_at_it(browser: Browser, log: Log, **options: Any) -> AsyncIterator[Watched]:
    """Run the agent in a log, and open a tab on a server that may run it again."""
    module = example()
    session = await log.session(TITLE)
    for prompt in ("The checkout test is flaky. Why?", "Good. Mend it, please."):
        await module.agent.run(prompt, session=session)

    def choose(name: str, state: State) -> tuple[Agent[object], object]:
        return example().agent, None

    async with looking(browser, log, choose=choose, **options) as watched:
        yield watched


class Reader:
    """Who reads it, step by step; each leaves the page as it is to be seen then."""

    def __init__(self, watched: Watched) -> None:
        self.watched, self.page = watched, watched.page

    def row(self, text: str) -> Locator:
        """Find a row of the list by what it says."""
        return self.page.locator(".row", has_text=text).first

    async def open_the_table(self) -> None:
        """A run has an error: it is to be seen in the table."""
        await self.watched.open("/")
        await self.page.get_by_text(TITLE).first.wait_for()

    async def open_the_session(self) -> None:
        """A click opens it."""
        await self.page.get_by_text(TITLE).first.click()
        await self.page.keyboard.press("Enter")
        await self.page.wait_for_selector(".row.is-selected")
        await settled(self.page)

    async def jump_to_the_error(self) -> None:
        """`e` jumps to the error: the test still fails."""
        await press(self.watched, "e")
        await self.page.locator(".message.is-selected", has_text="46 of 50 passed").wait_for()
        await settled(self.page)

    async def ask_why(self) -> None:
        """The call before it edited src/checkout/helper.ts: the pane beside says where that name comes from."""
        await self.row("`settle` is in src/checkout/helper.ts").click()
        await self.page.locator(".inspector", has_text="left out by compaction").wait_for()
        await settled(self.page)

    async def look_at_the_request(self) -> None:
        """`2` shows what the model was sent: the file that it needed stands there struck through."""
        await press(self.watched, "2")
        gone = self.page.locator(".part.is-gone", has_text="src/cart/wait.ts")
        await gone.first.wait_for()
        await gone.last.scroll_into_view_if_needed()
        await settled(self.page)

    async def look_at_the_change(self) -> None:
        """`d` shows what changed against the request before: a compaction put a summary there, and dropped the rest."""
        await press(self.watched, "d")
        await self.page.locator("#reader", has_text="dropped").wait_for()
        await settled(self.page)

    async def fork_with_another_wording(self) -> None:
        """`f` on the message of the person: the same with the file's name."""
        await self.row("Good. Mend it, please.").click()
        await press(self.watched, "1", "f")
        field = self.page.locator("dialog textarea").first
        await field.fill("Good. Mend it, please: the line is in src/cart/wait.ts.")
        await self.page.locator("dialog", has_text="the line is in src/cart/wait.ts").wait_for()
        await self.page.wait_for_timeout(600)

    async def run_the_fork(self) -> None:
        """*Fork and run*: the answer streams in, in a session of its own."""
        await self.page.get_by_role("button", name="Fork and run").click()
        await self.page.locator("#reader", has_text="Mended in src/cart/wait.ts").wait_for()
        await settled(self.page)

    async def compare_both_endings(self) -> None:
        """`3` shows both endings beside each other, and what either came to."""
        await press(self.watched, "3")
        await self.page.locator("#reader", has_text="Good. Mend it, please: the line").wait_for()
        await settled(self.page)

    async def see_the_tree(self) -> None:
        """`5` shows both branches: what they share is drawn once."""
        await press(self.watched, "5")
        await self.page.locator("#reader", has_text=TITLE).wait_for()
        await settled(self.page)

    async def export(self) -> None:
        """`x` writes one file for the ticket."""
        await press(self.watched, "1", "x")
        await self.page.locator("dialog", has_text="Export").wait_for()


STEPS = (
    "open_the_table",
    "open_the_session",
    "jump_to_the_error",
    "ask_why",
    "look_at_the_request",
    "look_at_the_change",
    "fork_with_another_wording",
    "run_the_fork",
    "compare_both_endings",
    "see_the_tree",
    "export",
)

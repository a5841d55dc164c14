"""Draws the pictures of the page that the README and docs/page.md show: `python -m tests.ui.pictures`.

They are of the examples' sessions: the four main screens in both themes, and the steps of `five_minutes`. With Pillow
at hand they are written in 256 colours, at a third of the size.
"""

from __future__ import annotations

import asyncio
import runpy
import tempfile
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from refold import open_log
from tests.ui.five_minutes import EXAMPLE, STEPS, Reader, looking_at_it
from tests.ui.looking import Watched, find_chromium
from tests.ui.on_page import press, settled

FOLDER = Path(__file__).parents[2] / "docs" / "page"
_SIZE = {"width": 1440, "height": 900}


async def sessions_of_examples(path: Path) -> None:
    """Run the other examples, so that the table has something to show."""
    for example in sorted(EXAMPLE.parent.glob("*.py")):
        if example != EXAMPLE:
            await runpy.run_path(str(example))["main"](str(path))


async def draw(watched: Watched, name: str) -> None:
    """Write what is to be seen now."""
    await settled(watched.page)
    await watched.page.mouse.move(720, 890)
    await watched.page.wait_for_timeout(400)
    path = FOLDER / f"{name}.png"
    await watched.page.screenshot(path=path)
    if find_spec("PIL") is not None:
        image = import_module("PIL.Image")
        image.open(path).convert("RGB").quantize(256, dither=0).save(path, optimize=True)


async def draw_steps(browser: Browser, path: Path) -> None:
    """Draw each step of the five minutes, in the light theme."""
    async with open_log(path) as log, looking_at_it(browser, log, viewport=_SIZE, color_scheme="light") as watched:
        reader = Reader(watched)
        for number, step in enumerate(STEPS, start=1):
            does: Callable[[], Awaitable[None]] = getattr(reader, step)
            await does()
            await draw(watched, f"step-{number:02}-{step.replace('_', '-')}")


async def draw_screens(browser: Browser, path: Path, theme: str) -> None:
    """Draw the four main screens in a theme."""
    async with open_log(path) as log, looking_at_it(browser, log, viewport=_SIZE, color_scheme=theme) as watched:
        reader = Reader(watched)
        await reader.open_the_table()
        await draw(watched, f"sessions-{theme}")
        await reader.open_the_session()
        await reader.jump_to_the_error()
        await draw(watched, f"chat-{theme}")
        await reader.ask_why()
        await reader.look_at_the_request()
        await draw(watched, f"request-{theme}")
        await press(watched, "4")
        await draw(watched, f"timeline-{theme}")


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for draws in (
            draw_steps,
            lambda browser, path: draw_screens(browser, path, "light"),
            lambda browser, path: draw_screens(browser, path, "dark"),
        ):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "runs.db"
                await sessions_of_examples(path)
                await draws(browser, path)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())

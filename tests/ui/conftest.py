"""A browser for the tests of the page, one for each process that tests; all of them run in one event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser

HERE = Path(__file__).parent

try:
    import playwright.async_api  # noqa: F401 - only whether it is there
except ImportError:
    if os.environ.get("REFOLD_BROWSER") == "required":
        raise
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in the loop of their browser."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.slow)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Start the system's Chromium, once there is a page to look at; nothing is downloaded for it."""
    from playwright.async_api import async_playwright

    from tests.ui.looking import PAGE, find_chromium, lacks

    if not PAGE.is_file():
        lacks("the page is not built here (make ui)")
    path = find_chromium()
    async with async_playwright() as started:
        sandbox = ["--no-sandbox"] if _is_root() else []
        browser = await started.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        await browser.close()


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0

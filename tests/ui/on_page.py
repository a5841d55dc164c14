"""What a session's page shows: where its list, its map, its inspector and its address say that it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page

from tests.ui.looking import PATIENCE_S, Watched

_READ = """() => {
  const selected = document.querySelector(".row.is-selected");
  const number = (text) => text == null ? null : Number(text.replace(/[#,]/g, ""));
  return {
    address: location.pathname + location.search,
    row: selected && number(selected.querySelector(".seq").textContent),
    map: number(document.querySelector(".minimap")?.getAttribute("aria-valuenow")),
    last: number(document.querySelector(".minimap")?.getAttribute("aria-valuemax")),
    head: number(document.querySelector(".inspector-head b")?.textContent),
    view: document.querySelector(".tabs [aria-selected=true]")?.id.replace("tab-", ""),
    follows: document.querySelector(".foot .at-end")?.textContent.startsWith("following") &&
      !document.querySelector(".foot .at-end").textContent.includes("off"),
    isBusy: [...document.querySelectorAll(".is-old, .is-late, [aria-busy=true]")]
      .some((one) => one.getBoundingClientRect().top < innerHeight - 30),
  };
}"""


@dataclass(frozen=True)
class Shown:
    """Where the page is. `row`: the seq of the row that is selected; `map`, `head`: what map and inspector say."""

    address: str
    row: int | None
    map: int
    last: int
    head: int
    view: str
    follows: bool

    @property
    def at(self) -> int | None:
        """The seq in the address; None follows the head."""
        found = parse_qs(urlsplit(self.address).query).get("at")
        return int(found[0]) if found else None


async def shown(watched: Watched) -> Shown:
    """Read where the page is, once it has drawn a frame."""
    found = await watched.page.evaluate(_READ)
    found.pop("isBusy")
    return Shown(**found)


async def settled(page: Page) -> None:
    """Wait until nothing is awaited any more."""
    async with asyncio.timeout(PATIENCE_S):
        while (await page.evaluate(_READ))["isBusy"]:
            await asyncio.sleep(0.01)


async def opened(watched: Watched, path: str) -> Shown:
    """Open a session's page, and wait for its list."""
    await watched.open(path)
    await watched.page.wait_for_selector(".row.is-selected")
    return await shown(watched)


async def press(watched: Watched, *keys: str) -> Shown:
    """Press keys one after the other, and read where that has led."""
    for key in keys:
        await watched.page.keyboard.press(key)
    await watched.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return await shown(watched)

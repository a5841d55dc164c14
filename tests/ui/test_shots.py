"""The page looks as it did: its pictures are compared with others of it, and none of those is kept in the repository.

Some comparisons need nothing from before: a page and its file, a screen reached by keys and by its address, a run that
was watched and one that was read, light and dark. Against what was before, `REFOLD_SHOTS=FOLDER` compares: with the
pictures of the last run there, on the same machine (fonts differ elsewhere). A picture that the folder has not is put
there; `REFOLD_SHOTS_MEANT="chat dialog-fork"` (or `all`) names those that are to differ, which are then put there, too.
All that is drawn is in `build/shots`, what differs in `build/shots/different`: before, now, and where.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from refold import Agent
from refold.http.page_file.file import session_file
from refold.testing import Answer, call, scripted
from tests.ui.comparing import Comparer, Difference
from tests.ui.looking import tab
from tests.ui.shots import SIZES, THEMES, VIEWS, Screen, drawer, drawing, options, others, refund, shown_log, views

DRAWN = Path(__file__).parents[2] / "build" / "shots"
MOST = 12
"""How many pixels of a million may differ: an edge that was rounded otherwise."""
NARROW = (
    *VIEWS,
    "sessions",
    "sessions-peek",
    "store",
    "chat-head",
    "chat-waiting",
    "inspector-turned",
    "dialog-fork",
    "dialog-decide",
)
"""What is drawn on a narrow screen, too."""
OTHERWISE_PLACED = ("sessions-peek", "dialog-fork")
"""Screens beside the views, of which the places are compared."""
WITHOUT_SERVER = ".inspector .chips, .diff-with, .tree-hints"
"""What a file has not, since it is not done without a server: buttons that write, other branches to compare with."""
CHANGES = {
    "a hue": ":root { --accent: light-dark(oklch(0.51 0.16 262), oklch(0.74 0.115 262)); }",
    "a lightness": ":root { --dim: light-dark(oklch(0.51 0.015 255), oklch(0.7 0.012 255)); }",
    "a line that is gone": ":root { --line: transparent; }",
    "rows": ".row { height: 27px; }",
    "a padding": "#reader .message { padding-left: 13px; }",
    "a weight": "h2 { font-weight: 400; }",
    "a size": "body { font-size: 13.2px; }",
    "signs": ".row svg { visibility: hidden; }",
    "a pane": ".panes { --inspector: 379px !important; }",
}
_INSERT = "(rule) => document.styleSheets[0].insertRule(rule, document.styleSheets[0].cssRules.length)"
_DELETE = "(place) => document.styleSheets[0].deleteRule(place)"
_BOXES = """() => [...document.querySelectorAll("body *")].map((one) => {
  const { x, y, width, height } = one.getBoundingClientRect();
  return [one.tagName, String(one.className), x, y, width, height].join(" ");
})"""


@pytest_asyncio.fixture(loop_scope="session")
async def comparer(browser: Browser) -> AsyncIterator[Comparer]:
    comparer = await Comparer.open(browser)
    yield comparer
    await comparer.close()


def keep(name: str, picture: bytes, found: Difference | None = None) -> None:
    """Keep a picture for whoever wants to look, and how it differs."""
    different = DRAWN / "different" / f"{name}.png"
    different.parent.mkdir(parents=True, exist_ok=True)
    different.unlink(missing_ok=True)
    (DRAWN / f"{name}.png").write_bytes(picture)
    if found is not None and found.picture:
        different.write_bytes(found.picture)


async def same(comparer: Comparer, name: str, before: bytes, now: bytes) -> None:
    """Expect that two pictures show the same; keep them, and what differs."""
    found = await comparer.compare(before, now)
    keep(name, now, found)
    assert found.pixels <= MOST, f"{name}: {found}; see {DRAWN / 'different' / name}.png"


class Before:
    """The folder of what was drawn before: REFOLD_SHOTS. Without it there is nothing to compare with.

    `made`: the pictures that it did not have. `differs`: how others differ, those left out that are meant to
    (REFOLD_SHOTS_MEANT).
    """

    def __init__(self, comparer: Comparer, folder: str = "", meant: str = "") -> None:
        self._comparer, self.folder, self._meant = (
            comparer,
            Path(folder).expanduser() if folder else None,
            meant.split(),
        )
        self.made: list[str] = []
        self.differs: list[str] = []

    async def look(self, name: str, picture: bytes) -> None:
        """Compare a picture with the one before; it takes its place if there was none, or it is as it is to be."""
        path = self.folder / f"{name}.png" if self.folder is not None else None
        found = Difference(0)
        if path is None or not path.is_file():
            self.made.append(name)
        else:
            found = await self._comparer.compare(path.read_bytes(), picture)
        keep(name, picture, found)
        if found.pixels > MOST and not self._is_meant(name):
            self.differs.append(f"{name}: {found}")
        elif path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)

    def gone(self, ending: str, drawn: Collection[str]) -> list[str]:
        """List pictures of before that are drawn no more."""
        there = {path.stem for path in self.folder.glob(f"*{ending}.png")} if self.folder is not None else set()
        return sorted(name for name in there - set(drawn) if not self._is_meant(name))

    def _is_meant(self, name: str) -> bool:
        return any(one == "all" or name.startswith(one) for one in self._meant)


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("theme", THEMES)
async def test_every_screen_can_be_drawn_and_looks_as_it_did(
    theme: str, width: int, browser: Browser, comparer: Comparer
) -> None:
    shown = await shown_log()
    screens = [one for one in views(shown) + others(shown) if width == max(SIZES) or one.name in NARROW]
    before = Before(comparer, os.environ.get("REFOLD_SHOTS", ""), os.environ.get("REFOLD_SHOTS_MEANT", ""))
    drawn = dict[bytes, str]()
    async with drawing(browser, shown.log, theme, width) as on:
        for screen in screens:
            picture, name = await on.draw(screen), f"{screen.name}-{theme}-{width}"
            assert drawn.setdefault(picture, name) == name  # else one of both has not come
            await before.look(name, picture)
    told = [*before.differs, f"see {DRAWN / 'different'}; what is meant to differ is named in REFOLD_SHOTS_MEANT"]
    assert not before.differs, "\n".join(told)
    assert before.gone(f"-{theme}-{width}", drawn.values()) == [], "these are drawn no more"
    if before.folder is not None and len(before.made) == len(screens):
        pytest.skip(f"there was nothing to compare with: {before.folder} has the pictures for the next time")


async def test_what_differs_from_before_is_told_unless_it_is_meant(
    browser: Browser, comparer: Comparer, tmp_path: Path
) -> None:
    shown = await shown_log()
    folder = str(tmp_path / "shots")
    async with drawing(browser, shown.log) as on:
        was = await on.draw(views(shown)[0])
        await on.page.evaluate(_INSERT, CHANGES["a hue"])
        now = await on.picture()
    meant = ("", "", "other before-chat", "")
    first, second, third, fourth = (Before(comparer, folder, one) for one in meant)
    for name in ("before-chat", "before-raw"):
        await first.look(name, was)
    await second.look("before-chat", now)
    await second.look("before-raw", was)
    assert (first.made, first.differs) == (["before-chat", "before-raw"], [])
    [told] = second.differs
    assert re.match(r"before-chat: [\d,]+ pixels, all in \d+ x \d+ from ", told)
    assert (DRAWN / "different" / "before-chat.png").read_bytes().startswith(b"\x89PNG")
    assert not (DRAWN / "different" / "before-raw.png").exists()
    assert second.gone("", ["before-chat"]) == ["before-raw"]
    await third.look("before-chat", now)
    assert third.differs == []
    await fourth.look("before-chat", now)
    assert (fourth.made, fourth.differs) == ([], [])


async def test_any_change_of_colours_or_places_is_seen(browser: Browser, comparer: Comparer) -> None:
    shown = await shown_log()
    async with drawing(browser, shown.log) as on:
        before = await on.draw(views(shown)[0])
        for what, rule in CHANGES.items():
            place = await on.page.evaluate(_INSERT, rule)
            found = await comparer.compare(before, await on.picture())
            assert found.pixels > 4 * MOST, f"{what}: {found}"
            assert found.picture
            await on.page.evaluate(_DELETE, place)
        await same(comparer, "changed-back", before, await on.picture())


@pytest.mark.parametrize("theme", THEMES)
async def test_a_file_looks_as_the_page_does(theme: str, browser: Browser, comparer: Comparer, tmp_path: Path) -> None:
    shown = await shown_log()
    file = tmp_path / "page.html"
    file.write_bytes(await session_file(shown.log, shown.session, family=True))
    url = file.as_uri()
    async with (
        drawing(browser, shown.log, theme) as live,
        tab(browser, url, offline=True, **options(theme, 1440)) as opened,
    ):
        alone = await drawer(opened)
        for screen in views(shown):
            await live.draw(screen)
            await alone.leave()
            await alone.page.goto(f"{url}#{screen.path}")
            await alone.page.locator(screen.waits).first.wait_for()
            for one in (live, alone):
                await one.page.evaluate(_INSERT, f"{WITHOUT_SERVER} {{ visibility: hidden }}")
            for part in ("main", ".minimap"):
                before, now = await live.picture(clip=part), await alone.picture(clip=part)
                await same(comparer, f"file-{screen.name}-{theme}{part.replace('.', '-')}", before, now)


async def test_a_selection_looks_the_same_by_its_address_and_by_keys(browser: Browser, comparer: Comparer) -> None:
    """But for how far the reader is scrolled, which does not move under who reads."""
    shown = await shown_log()
    async with drawing(browser, shown.log) as by_address, drawing(browser, shown.log) as by_keys:
        await by_keys.draw(Screen("session", f"/s/{shown.session}", waits=".row.is-selected"))
        for number, screen in enumerate(views(shown), 1):
            await by_address.draw(screen)
            seq = screen.path.partition("at=")[2].partition("&")[0]
            await by_keys.press(str(number), "g", *seq, "Enter")
            for part in (".session > header", ".minimap", ".pane.is-list", ".pane.is-inspector", ".foot"):
                before, now = await by_address.picture(clip=part), await by_keys.picture(clip=part)
                await same(comparer, f"by-keys-{screen.name}-{part.rpartition('.')[2][-9:]}", before, now)


async def test_what_was_watched_looks_as_it_does_when_it_is_read(browser: Browser, comparer: Comparer) -> None:
    shown = await shown_log()
    for view in ("chat", "request", "timeline", "raw"):
        session = await shown.log.session("Watched")
        watched = Screen(view, f"/s/{session.id}?view={view}", waits=".row.is-selected")
        async with drawing(browser, shown.log) as on:
            await Agent(scripted("Good morning.")).run("Hello.", session=session)
            await on.draw(watched)
            asks: Answer = ["I ask first. ", call("refund", {"order": "18", "amount": 7})]
            await Agent(scripted("Nice.", asks), tools=[refund]).run("It is.", session=session)
            head = (await session.info()).head
            await on.page.wait_for_selector(f".minimap[aria-valuemax='{head}']")
            now = await on.picture()
            await same(comparer, f"watched-{view}", await on.draw(watched), now)


async def test_both_themes_put_everything_in_the_same_place(browser: Browser) -> None:
    shown = await shown_log()
    found: dict[str, dict[str, Any]] = {theme: {} for theme in THEMES}
    for theme in THEMES:
        async with drawing(browser, shown.log, theme) as on:
            for screen in [*views(shown), *(one for one in others(shown) if one.name in OTHERWISE_PLACED)]:
                await on.draw(screen)
                found[theme][screen.name] = await on.page.evaluate(_BOXES)
    assert min(map(len, found["light"].values())) > 40
    for name, boxes in found["light"].items():
        assert boxes == found["dark"][name], name

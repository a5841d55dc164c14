"""The page drawn, screen by screen: the same pictures each time, since nothing in them is of this moment or machine.

Times come from a clock that counts, ids from a counter, answers from scripts; the page takes the day from its browser,
which is given one. What a picture shows is decided by its address, and by the keys that are pressed then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from playwright.async_api import Browser

from eventsource.events import Compaction, ModelRequest, ToolExecutionEnd
from eventsource.log.memory import MemoryLog
from eventsource.models.scripted.script import think
from refold import Agent, Log, tool
from refold.testing import Answer, call, fail, scripted
from tests.ui.five_minutes import TITLE, example
from tests.ui.looking import TOKEN, Watched, looking

BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
LOOKED = datetime(2026, 11, 3, 18, 30, tzinfo=UTC)
VIEWS = ("chat", "request", "diff", "timeline", "tree", "raw")
SIZES = {1440: 900, 1024: 768}
THEMES = ("light", "dark")


def clock() -> Iterator[int]:
    """Count the time: as often as it is asked for, it is a little later."""
    return count(int(BEGAN.timestamp() * 1_000_000), 130_000)


@dataclass(frozen=True)
class Shown:
    """A log to draw, and where what is worth drawing stands in it."""

    log: Log
    session: str
    fork: str
    asking: str
    error: int
    request: int
    compaction: int
    head: int


@tool(effect="once", approval="always")
def refund(order: str, amount: int) -> str:
    """Give money back."""
    return f"{amount} given back for {order}"


async def shown_log() -> Shown:
    """Make the log: a bad run with a compaction, its fork, a session that waits, one with a child, one that failed."""
    ticks, names = clock(), count(1)
    tick = ticks.__next__
    log = Log(MemoryLog(clock=tick, new_id=lambda: f"session{next(names):03}"), clock=tick)
    asking = await log.session("Refunds")
    asks: Answer = [
        think("Order 17 came broken."),
        "I give the money back. ",
        call("refund", {"order": "17", "amount": 900}),
    ]
    await Agent(scripted(asks, "Done."), name="support", tools=[refund]).run("Refund order 17, please.", session=asking)
    failing = await log.session("Weather")
    await Agent(scripted([fail("overloaded")]), name="weather").run("Do I need a coat?", session=failing)
    researcher = Agent(scripted("It rains in Oslo.", by="request"), name="researcher", system="Look things up.")
    chief = scripted([call("researcher", {"prompt": "Oslo?"})], "Take a coat.")
    lead = Agent(chief, name="lead", tools=[researcher.as_tool(description="Look things up.")])
    await lead.run("What do I wear in Oslo?", session=await log.session("Coats"))
    session = await log.session(TITLE)
    agent = example().agent
    for prompt in ("The checkout test is flaky. Why?", "Good. Mend it, please."):
        await agent.run(prompt, session=session)
    events = await session.events(after=0, limit=10_000)
    prompts = [one for one in await session.messages() if one.message.role == "user"]
    fork = await session.edit(prompts[-1], "Good. Mend it, please: the line is in src/cart/wait.ts.")
    await example().agent.resume(fork)
    await session.label("it edits the wrong file", seq=len(events) - 40)
    info = await session.info()
    return Shown(
        log=log,
        session=session.id,
        fork=fork.id,
        asking=asking.id,
        error=next(one.seq for one in events if isinstance(one.event, ToolExecutionEnd) and one.event.is_error),
        request=[one.seq for one in events if isinstance(one.event, ModelRequest)][-2],
        compaction=next(one.seq for one in events if isinstance(one.event, Compaction)),
        head=info.head,
    )


@dataclass(frozen=True)
class Screen:
    """Something to draw.

    name: of its picture. path: its address. keys: pressed then, one after the other. tab: of the inspector, clicked.
    waits: a selector of what is there when it can be drawn. has_token: whether who looks may.
    """

    name: str
    path: str
    keys: tuple[str, ...] = ()
    tab: str = ""
    waits: str = "main"
    has_token: bool = True


def views(shown: Shown) -> list[Screen]:
    """List the views of the session, each at the seq where it has most to show."""
    seqs = dict.fromkeys(VIEWS, shown.error) | {"request": shown.request, "diff": shown.request}
    return [Screen(view, _at(shown.session, seqs[view], view), waits=".row.is-selected") for view in VIEWS]


def others(shown: Shown) -> list[Screen]:
    """List the other main screens, what they turn into, the inspector's tabs, and the dialogs."""
    row = ".row.is-selected"
    error = _at(shown.session, shown.error)
    pinned = _at(shown.session, shown.head, "diff") + f"&pin={shown.fork}:{shown.head}"
    prompt = _at(shown.session, shown.error)
    tabs = [Screen(f"tab-{tab.lower()}", error, tab=tab, waits=row) for tab in ("Event", "State", "Usage", "Links")]
    keys = {
        "palette": ("Control+k",),
        "shortcuts": ("?",),
        "search": ("/", *"total"),
        "search-everywhere": ("Control+Shift+F", *"rains"),
        "fork": ("H", "f"),
        "bookmark": ("b",),
        "export": ("x",),
        "say": ("r",),
    }
    dialogs = [Screen(f"dialog-{name}", prompt, press, waits=row) for name, press in keys.items()]
    return [
        Screen("sessions", "/", waits=".session-row .is-title"),
        Screen("sessions-unfolded", "/", ("ArrowRight", "j"), waits=".session-row .is-title"),
        Screen("sessions-peek", "/?filter=status:waiting", (" ",), waits=".session-row .is-title"),
        Screen("sessions-none", "/?filter=nowhere", waits=".filters, main"),
        Screen("store", "/store", waits=".store .pairs"),
        Screen("token", "/", waits="form", has_token=False),
        Screen("chat-head", f"/s/{shown.session}", waits=row),
        Screen("chat-waiting", f"/s/{shown.asking}", waits=row),
        Screen("chat-inside-a-message", _at(shown.session, shown.request + 6), waits=row),
        Screen("chat-without-panes", error, ("[", "]"), waits="#reader .message"),
        Screen("inspector-turned", error, ("]",), waits=row),  # away on a wide screen, a drawer on a narrow one
        Screen("request-after-compaction", _at(shown.session, shown.compaction, "request"), waits=row),
        Screen("diff-of-branches", pinned, waits=row),
        Screen("raw-with-updates", _at(shown.session, shown.error, "raw"), ("u",), waits=row),
        *tabs,
        *dialogs,
        Screen("dialog-decide", f"/s/{shown.asking}", ("D",), waits=row),
    ]


def _at(session: str, seq: int, view: str = "chat") -> str:
    return f"/s/{session}?at={seq}&view={view}"


_COUNT = """
  window.awaited = new Set();
  const [ask, wait, forget] = [window.fetch, window.setTimeout, window.clearTimeout];
  const frame = () => new Promise((done) => requestAnimationFrame(() => wait(done)));
  const rendered = async () => {
    for (let frames = 0; frames < 5; frames++) await frame();
  };
  window.fetch = async (path, ...more) => {
    if (/\\/live($|\\?)/.test(path)) return ask(path, ...more);
    const mark = {};
    awaited.add(mark);
    try {
      const answer = await ask(path, ...more);
      await answer.clone().arrayBuffer();
      return answer;
    } finally {
      rendered().then(() => awaited.delete(mark));
    }
  };
  window.setTimeout = (does, ms, ...more) => {
    const id = wait((...given) => {
      does(...given);
      rendered().then(() => awaited.delete(id));
    }, ms, ...more);
    if (ms < 1500) awaited.add(id);
    return id;
  };
  window.clearTimeout = (id) => {
    awaited.delete(id);
    forget(id);
  };
"""
"""Counts what the page awaits: answers, until what they lead to is rendered and asked for, and short delays."""
_QUIET = """() => new Promise((done) => {
  const look = (quiet) => {
    quiet = awaited.size === 0 && !document.querySelector(".is-old, .is-late") ? quiet + 1 : 0;
    if (quiet === 4) done();
    else requestAnimationFrame(() => look(quiet));
  };
  look(0);
})"""


class Drawer:
    """Draws what a tab shows, once all that it asked for is there."""

    def __init__(self, watched: Watched) -> None:
        self.watched, self.page = watched, watched.page

    async def draw(self, screen: Screen) -> bytes:
        """Go to a screen from nowhere, and draw it. Returns: a PNG."""
        await self.leave()
        with self.watched.allowing(*([] if screen.has_token else ["401"])):
            await self.watched.open(screen.path, TOKEN if screen.has_token else None)
            await self.page.locator(screen.waits).first.wait_for()
            await self.press(*screen.keys)
            if screen.tab:
                await self.page.get_by_role("tab", name=screen.tab).click()
            return await self.picture()

    async def leave(self) -> None:
        """Close the page, and forget what it remembers."""
        if self.page.url != "about:blank":
            await self.page.evaluate("localStorage.clear(), sessionStorage.clear()")
            await self.page.goto("about:blank")

    async def press(self, *keys: str) -> None:
        """Press keys, each when what the one before led to is there."""
        for key in keys:
            await self.page.evaluate(_QUIET)
            await self.page.keyboard.press(key)

    async def picture(self, *, clip: str = "") -> bytes:
        """Draw what is to be seen, or one element of it. Returns: a PNG."""
        await self.page.evaluate(_QUIET)
        drawn = self.page.locator(clip) if clip else self.page
        picture: bytes = await drawn.screenshot(animations="disabled", caret="hide")
        return picture


def options(theme: str, width: int) -> dict[str, Any]:
    """Return how a tab is opened: of a size and a theme, in a time zone, with nothing that moves."""
    return {
        "viewport": {"width": width, "height": SIZES[width]},
        "color_scheme": theme,
        "reduced_motion": "reduce",
        "timezone_id": "UTC",
        "locale": "en-US",
    }


@asynccontextmanager
async def drawing(browser: Browser, log: Log, theme: str = "light", width: int = 1440) -> AsyncIterator[Drawer]:
    """Serve a log, and open a tab to draw, whose clock stands still."""
    async with looking(browser, log, **options(theme, width)) as watched:
        yield await drawer(watched)


async def drawer(watched: Watched) -> Drawer:
    """Let a tab's clock stand still, and draw in it."""
    await watched.page.clock.set_fixed_time(LOOKED)
    await watched.page.add_init_script(_COUNT)
    return Drawer(watched)

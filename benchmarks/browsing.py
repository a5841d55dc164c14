"""The page of `refold ui` in a browser: how soon it shows what, of sessions as long as they get, and what that takes.

A key is dispatched in the page, and its time ends when what it leads to is painted: list, head and inspector, and the
request where that is looked at. A session is opened by its address, in a tab that has the page itself in its cache, on
a server that was just started and has read nothing of it.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from eventsource.events import Event
from eventsource.log import open_store, utc_now_us
from eventsource.session import SessionHandle
from refold import Log
from refold.http.page_file.file import session_file

from .browser import PAGE, Tab, browsing, missing, tab
from .exchange import SESSION, exchanges, flushed
from .indexing import adopted_messages, streamed
from .many import make_sessions
from .measure import environment
from .rows import Row, absent, row
from .stores import new_folder
from .streams import resident_kb

if TYPE_CHECKING:
    from playwright.async_api import Browser

_TOKEN = "token-of-the-benchmark-of-the-page"
_PATIENCE_S = 120.0
_KEYS = "jnhJtpk"
"""Next row, turn, prompt, event and call of the tool; the turn and the row before."""
_USABLE = "isUsable()"
_IMPORT = re.compile(r'(?:from|import)\s*"\./([\w.-]+\.js)"')
_JUMPS = """async ([keys, times, isRequest]) => {
  const found = [];
  /* The request that the reader shows: its seq, Infinity while it shows none. What comes next was not sent, and has no seq. */
  const requestShown = () => {
    const head = document.querySelector("#reader .reader-head");
    const seq = head?.querySelector("b a")?.textContent.replace(/,/g, "");
    return seq ? Number(seq) : head?.textContent.startsWith("The next request") ? 0 : Infinity;
  };
  const isShown = () => seqShown() === seqAt() && there(".row.is-selected") && !there(".is-old") &&
    (!isRequest || (there("#reader .part") && requestShown() <= seqAt()));
  for (let n = 0; found.length < times; n++) {
    if (n > 8 * times) throw new Error(`only ${found.length} of ${times} keys led anywhere`);
    const before = location.href, began = performance.now();
    press(keys[n % keys.length]);
    if (location.href === before) continue;
    found.push((await painted(isShown)) - began);
    await rest(40);
  }
  return found;
}"""  # noqa: E501 - a condition that is one
_MIDDLE = """async ([seq]) => {
  press("g");
  for (const digit of String(seq)) press(digit);
  press("Enter");
  await painted(() => seqShown() === seq && isUsable());
}"""
_MARKS = """() => {
  window.marked = {};
  new MutationObserver(() => {
    const texts = [...document.querySelectorAll(".row .words")].map((one) => one.textContent);
    const now = texts.map((text) => /mark (\\d+)/.exec(text)?.[1]).filter((mark) => mark && !(mark in marked));
    for (const mark of now) {
      marked[mark] = 0;
      requestAnimationFrame(() => setTimeout(() => (marked[mark] = performance.timeOrigin + performance.now())));
    }
  }).observe(document.querySelector(".list"), { subtree: true, childList: true, characterData: true });
}"""
_FILTERED = """async ([text]) => {
  const field = document.getElementById("filter");
  field.focus();
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const titles = () => [...document.querySelectorAll(".session-row:not(.is-head) .is-title a")].map((one) => one.textContent);
  const began = performance.now();
  set.call(field, `title:${text}`);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  return (await painted(() => titles().length > 0 && titles().every((one) => one.includes(text)))) - began;
}"""  # noqa: E501 - as above


@dataclass(frozen=True)
class _Of:
    """A session to look at, and its goals, in ms, % and MB. `jump`: half of the jumps, and 19 of 20."""

    what: str
    appends: Iterator[Sequence[tuple[int, Event]]]
    opened: int
    jump: tuple[int, int]
    request: int
    late: int
    heap: int
    server: int
    file_ms: int


@dataclass(frozen=True)
class _Times:
    """How often what is measured."""

    opened: int
    jumps: int
    moves: int
    live: int
    marks: int


def run(quick: bool) -> list[Row]:
    """Measure both sessions, what is live, the table of many sessions, and what the page weighs."""
    why = missing()
    if why:
        return [absent("the page in a browser", why)]
    times = _Times(1, 12, 20, 1, 4) if quick else _Times(3, 200, 120, 30, 100)
    return asyncio.run(_measured(times, quick=quick))


async def _measured(times: _Times, *, quick: bool) -> list[Row]:
    place = new_folder()
    events, messages, sessions = (2, 50, 200) if quick else (295, 25_000, 10_000)
    of = (
        _Of("events", streamed(events), 1_000, (20, 50), 120, 2, 80, 60, 1_000),
        _Of("messages", adopted_messages(messages), 2_000, (30, 100), 200, 5, 150, 400, 3_000),
    )
    rows = [*_weight()]
    async with browsing() as browser:
        for one in of:
            path = place / f"{one.what}.db"
            head = await _write(path, one.appends)
            rows += await _session_rows(browser, path, one, head, times)
            rows += await _file_rows(browser, path, one, head, times)
        rows += await _live_rows(browser, place / "events.db", times)
        rows += await _table_rows(browser, place / "sessions.db", sessions, times)
    return rows


async def _write(path: Path, appends: Iterator[Sequence[tuple[int, Event]]]) -> int:
    head = 0
    async with open_store(path) as log:
        await log.create(SESSION, title="As long as they get")
        for append in appends:
            head = await log.append(SESSION, append) if append else head
    return head


def _weight() -> Iterator[Row]:
    """What is loaded before anything is drawn, and all of the styles."""
    assets = PAGE / "assets"
    [first] = re.findall(r'src="/assets/([\w.-]+\.js)"', (PAGE / "index.html").read_text(encoding="utf-8"))
    scripts, left = set[str](), [first]
    while left:
        name = left.pop()
        if name not in scripts:
            scripts.add(name)
            left += _IMPORT.findall((assets / name).read_text(encoding="utf-8"))
    sizes = {
        "scripts that are loaded at once, gzip": ([assets / name for name in scripts], "<= 60"),
        "styles, gzip": (list(assets.glob("*.css")), "<= 10"),
    }
    for name, (files, goal) in sizes.items():
        yield row(name, [sum(len(gzip.compress(path.read_bytes())) for path in files) / 1000], "kB", goal=goal)


# --------------------------------------------------------------------------- a session


async def _session_rows(browser: Browser, path: Path, of: _Of, head: int, times: _Times) -> list[Row]:
    said = f"of {head:,} {of.what}"
    started, opened = list[float](), list[float]()
    for number in range(times.opened):
        async with _ui(path) as (url, pid, ready_ms), tab(browser) as on:
            started.append(ready_ms)
            await on.go(f"{url}/#token={_TOKEN}", "there('.session-row .is-title a')")
            before_kb = resident_kb(pid)
            opened.append(await on.go(_address(url), _USABLE))
            if number == times.opened - 1:
                await on.until("!document.querySelector('.foot').textContent.includes('reading')")
                await on.ask(_MIDDLE, head // 2)
                rows = await _moved_rows(on, of, head, times)
                rows += _server_rows(before_kb, resident_kb(pid), of)
    return [
        row(f"refold ui to listening, a log {said}", started, "ms", goal="<= 400"),
        row("its session opened: rows, request and event to be seen", opened, "ms", goal=f"<= {of.opened:,}"),
        *rows,
    ]


async def _moved_rows(on: Tab, of: _Of, head: int, times: _Times) -> list[Row]:
    jumps = await on.ask(_JUMPS, _KEYS, times.jumps, False)
    heap = await on.heap_mb()
    nodes = [await on.nodes()]
    scrubbed = await _scrubbed(on, times.moves)
    scrolled = await _scrolled(on, times.moves)
    for view in "3456":
        await on.ask("async ([key]) => { press(key); await rest(500); await painted(() => !there('.is-old')); }", view)
        nodes.append(await on.nodes())
    await on.ask("async () => { press('2'); await painted(() => there('#reader .part')); }")
    nodes.append(await on.nodes())
    await on.ask(_MIDDLE.replace("isUsable()", "there('#reader .part')"), head // 2)
    requests = await on.ask(_JUMPS, "npjk", times.jumps // 4, True)
    half, late = of.jump
    return [
        _share("a key to what it leads to, painted: half of them", jumps, 50, "ms", f"<= {half}"),
        _share("19 in 20", jumps, 95, "ms", f"<= {late}"),
        _share("the same in the request, its last parts: 19 in 20", requests, 95, "ms", f"<= {of.request}"),
        Row(
            name="drawn along the map: frames over 33 ms",
            value=100 * sum(one > 33.4 for one in scrubbed) / len(scrubbed),
            unit="%",
            runs=len(scrubbed),
            goal=f"<= {of.late}",
        ),
        _share("the list scrolled by a wheel: 19 in 20 frames", scrolled, 95, "ms", "<= 20"),
        row(f"the browser's heap after opening and {times.jumps} jumps", [heap], "MB", goal=f"<= {of.heap}"),
        row("elements of the page, the most of six views", [float(max(nodes))], "", goal="<= 1,500"),
    ]


def _share(name: str, values: Sequence[float], percent: int, unit: str, goal: str) -> Row:
    value = quantiles(values, n=100)[percent - 1]
    return Row(name=name, value=value, unit=unit, runs=len(values), goal=goal)


def _server_rows(before_kb: int | None, after_kb: int | None, of: _Of) -> list[Row]:
    if before_kb is None or after_kb is None:
        return [absent("memory of the server for it", "this system does not say")]
    return [row("memory of the server for it", [max(after_kb - before_kb, 1) / 1000], "MB", goal=f"<= {of.server}")]


async def _scrubbed(on: Tab, moves: int) -> list[float]:
    left, width, y = await on.middle(".minimap")
    mouse = on.page.mouse
    await mouse.move(left + 20, y)
    await mouse.down()
    await on.ask("watchFrames")
    for number in range(moves):
        await mouse.move(left + 20 + (width - 40) * number / moves, y)
        await asyncio.sleep(0.016)
    found = await _frames(on)
    await mouse.up()
    return found


async def _scrolled(on: Tab, turns: int) -> list[float]:
    left, _, y = await on.middle(".list")
    await on.page.mouse.move(left + 40, y)
    await on.ask("watchFrames")
    for _ in range(turns):
        await on.page.mouse.wheel(0, 300)
        await asyncio.sleep(0.016)
    return await _frames(on)


async def _frames(on: Tab) -> list[float]:
    found: list[float] = await on.ask("() => { cancelAnimationFrame(watching); return frames; }")
    return found


# --------------------------------------------------------------------------- a file


async def _file_rows(browser: Browser, path: Path, of: _Of, head: int, times: _Times) -> list[Row]:
    file = path.with_suffix(".html")
    async with open_store(path) as log:
        began = time.perf_counter()
        file.write_bytes(await session_file(Log(log), SESSION))
        written_s = time.perf_counter() - began
    opened = []
    for _ in range(times.opened):
        async with tab(browser) as on:
            opened.append(await on.go(file.as_uri(), _USABLE))
    size = file.stat().st_size / 1e6
    return [
        row(f"the page in one file, of {head:,} {of.what}", [written_s], "s"),
        row("the same", [size], "MB", goal="<= 5" if of.what == "events" else ""),
        row("opened from the disk, until it can be used", opened, "ms", goal=f"<= {of.file_ms:,}"),
    ]


# --------------------------------------------------------------------------- live


async def _live_rows(browser: Browser, path: Path, times: _Times) -> list[Row]:
    async with open_store(path) as log, _ui(path) as (url, _, _), tab(browser) as on:
        await on.go(_address(url), _USABLE)
        before = await on.heap_mb()
        head = first = (await log.info(SESSION)).head
        for made in exchanges(times.live, after=head, first=head, deltas=160):
            for events, durable in (flush for append in made for flush in flushed(append, 20)):
                head = await log.append(SESSION, events, durable=durable)
                await asyncio.sleep(0.002)
        await on.until(f"seqShown() === {head}")
        grown = max(await on.heap_mb() - before, 0.01)
        await on.ask(_MARKS)
        session, sent = SessionHandle(log, SESSION, clock=utc_now_us), list[float]()
        for number in range(times.marks):
            await session.label(f"mark {number}", first)
            sent.append(utc_now_us() / 1000)
            await asyncio.sleep(0.1)
        await on.until(f"Object.values(marked).filter(Boolean).length === {times.marks}")
        marked = await on.page.evaluate("marked")
    delays = [max(marked[str(number)] - at, 0.1) for number, at in enumerate(sent)]
    return [
        row(f"the heap, grown by {head - first:,} events that came live", [grown], "MB", goal="<= 10"),
        _share("commit of another process to painted: half of them", delays, 50, "ms", ""),
        _share("19 in 20", delays, 95, "ms", "<= 150"),
    ]


# --------------------------------------------------------------------------- many sessions


async def _table_rows(browser: Browser, path: Path, sessions: int, times: _Times) -> list[Row]:
    await make_sessions(path, sessions, 0, 0)
    async with _ui(path) as (url, _, _), tab(browser) as on:
        listed = "document.querySelectorAll('.session-row .is-title a').length > 5"
        taken = [await on.go(f"{url}/#token={_TOKEN}", listed) for _ in range(2 * times.opened + 1)][1:]
        typed = []
        for number in range(2 * times.opened):
            typed.append(await on.ask(_FILTERED, f"s{1 + number}7"))
            await asyncio.sleep(0.5)
    return [
        row(f"the table of {sessions:,} sessions, drawn", taken, "ms", goal="<= 200"),
        row("a filter typed, until its rows are drawn", typed, "ms", goal="<= 100"),
    ]


def _address(url: str) -> str:
    return f"{url}/s/{SESSION}#token={_TOKEN}"


@asynccontextmanager
async def _ui(path: Path) -> AsyncIterator[tuple[str, int, float]]:
    """Run `refold ui`. Yields: its address, its process, and in how many ms it listened."""
    words = ("-c", "from refold.cli import main; main()", "--db", str(path), "ui", "--no-open", "--port", "0")
    began = time.perf_counter()
    other = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=Path(__file__).parents[1], env={**environment(), "REFOLD_TOKEN": _TOKEN},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert other.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            while b"http://" not in (line := await other.stdout.readline()):
                assert line, "refold ui ended"
        ready_ms = (time.perf_counter() - began) * 1000
        yield line.split()[-1].decode().split("/#")[0].split("#")[0], other.pid, ready_ms
    finally:
        other.terminate()
        await other.wait()

"""Diff, Timeline, Tree and Raw show what the log holds, lead to it, and draw no more than is in sight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from refold import (
    Agent,
    AssistantMessage,
    Compaction,
    CompactionPolicy,
    Log,
    MessageAdopt,
    ModelRequest,
    Origin,
    Session,
    TextContent,
    ToolExecutionEnd,
    UserMessage,
    open_log,
    tool,
)
from refold.testing import call, scripted
from tests.ui.looking import PATIENCE_S, Watched, looking

SWEEPS = 5  # over a list, in which a slow machine may draw a line too late
MOST_NODES = 1_500
HOSTILE = '<img src=x onerror=alert(1)> \u202e"><script>alert(2)</script> \x1b[31m'


@tool(effect="pure")
def weather(city: str) -> str:
    """Say how the weather is."""
    if city == "Atlantis":
        raise ValueError("no such place")
    return f"It rains in {city}."


ANSWERS = ([call("weather", {"city": "Oslo"})], [call("weather", {"city": "Atlantis"})], "Take a coat, ", "and a hat.")


async def talk(session: Session) -> None:
    """Let an agent answer twice, with a call that fails, and compact before the second answer."""
    compaction = CompactionPolicy(keep_tokens=0, model=scripted("Rain."))
    agent = Agent(scripted(*ANSWERS), tools=[weather], compaction=compaction)
    await agent.run("Do I need a coat?", session=session)
    await agent.compact(session)
    await agent.run("Anything else?", session=session)


@asynccontextmanager
async def opened(browser: Browser, folder: Path) -> AsyncIterator[tuple[Log, Session, Watched]]:
    """Open the page on a log with one session."""
    async with open_log(folder / "runs.db") as log:
        session = await log.session("coats")
        await talk(session)
        async with looking(browser, log) as watched:
            yield log, session, watched


def line(watched: Watched, seq: int) -> Locator:
    """Find the line of an event."""
    return watched.page.locator(f'.raw-line[data-seq="{seq}"]')


async def seqs(session: Session, kind: type) -> list[int]:
    """List the seqs of the events of a kind."""
    return [one.seq for one in await session.events(after=0, limit=500) if isinstance(one.event, kind)]


async def painted(watched: Watched) -> None:
    """Wait until what was done is drawn."""
    await watched.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def nodes(watched: Watched) -> int:
    """Count the elements of the page."""
    found: int = await watched.page.evaluate("document.querySelectorAll('*').length")
    return found


async def test_raw_has_a_line_for_every_event_and_updates_when_they_are_asked_for(
    browser: Browser, tmp_path: Path
) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        everything = await session.events(after=0, limit=500)
        facts = [one.seq for one in await session.events(after=0, limit=500, updates=False)]
        await watched.open(f"/s/{session.id}?at=1&view=raw")
        await expect(line(watched, 1)).to_be_visible()
        for key in ("", "u"):
            if key:
                await watched.page.keyboard.press(key)
                await expect(watched.page.get_by_text("sealed").first).to_be_visible()
            wanted = [one.seq for one in everything] if key else facts
            seen: set[int] = set()
            for _ in range(SWEEPS):
                await watched.page.evaluate("document.querySelector('.windowed').scrollTop = 0")
                await expect(line(watched, 1)).to_be_visible()
                seen |= await lines_down_to(watched, wanted[-1])
                if len(seen) >= len(wanted):
                    break
            assert sorted(seen) == wanted


async def lines_down_to(watched: Watched, last: int) -> set[int]:
    """Scroll down to a seq, and list those of the lines that were drawn on the way."""
    seen: set[int] = set()
    while last not in seen:
        lines = watched.page.locator(".raw-line")
        seen |= {*await lines.evaluate_all("all => all.map((one) => Number(one.dataset.seq))")}
        await watched.page.evaluate("document.querySelector('.windowed').scrollTop += 400")
        await painted(watched)
    return seen


async def test_raw_opens_an_event_and_selects_it(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        await watched.open(f"/s/{session.id}?at=1&view=raw")
        await line(watched, 2).click()
        await watched.page.wait_for_url("**at=2*")
        await line(watched, 2).get_by_role("button").click()
        await watched.sees('"content": "Do I need a coat?"')


async def test_raw_says_which_updates_were_dropped(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (log, session, watched):
        dropped = await log.store.drop_updates(session.id)
        assert dropped
        await watched.open(f"/s/{session.id}?at=1&view=raw")
        await expect(line(watched, 1)).to_be_visible()
        await watched.page.keyboard.press("u")
        await watched.sees("whose content was dropped")


async def test_raw_follows_what_comes(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        await watched.open(f"/s/{session.id}?view=raw")
        await expect(line(watched, (await session.info()).head)).to_be_visible()
        await Agent(scripted("It has stopped raining.")).run("And now?", session=session)
        await expect(line(watched, (await session.info()).head)).to_be_visible()
        await watched.page.evaluate("document.querySelector('.windowed').scrollTop = 0")
        await expect(line(watched, 1)).to_be_visible()
        await Agent(scripted("Still dry.")).run("And now?", session=session)
        head = (await session.info()).head
        await watched.sees(f"to {head} of {head}")
        await painted(watched)
        await expect(line(watched, 1)).to_be_visible()  # who has scrolled away reads on there
        await watched.page.keyboard.press("1")
        await watched.page.keyboard.press("6")
        await expect(line(watched, (await session.info()).head)).to_be_visible()


async def test_a_diff_names_what_was_added_and_what_compaction_dropped(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        (compaction,) = await seqs(session, Compaction)
        await watched.open(f"/s/{session.id}?view=diff&at={compaction + 8}")
        dropped = watched.page.locator(".change.is-removed")
        await expect(dropped.first).to_contain_text("dropped")
        await expect(dropped.first).to_contain_text(f"by compaction {compaction}")
        await expect(watched.page.locator(".change.is-added").first).to_contain_text("summary")
        await dropped.first.get_by_role("link", name=str(compaction)).click()
        await watched.page.wait_for_url(f"**at={compaction}*")


async def test_branches_stand_beside_each_other_with_what_they_came_to(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        question = next(one for one in await session.messages() if "else" in str(one.message))
        fork = await session.edit(question, "Nothing else?")
        await Agent(scripted("A scarf."), system="Be brief.").resume(fork)
        await watched.open(f"/s/{fork.id}?view=tree")
        await watched.page.locator(".tree-row", has_text="coats").first.click(modifiers=["Shift"])
        await watched.page.wait_for_url(f"**pin={session.id}:*")
        await watched.page.keyboard.press("3")
        await watched.sees("system prompt")
        await watched.sees("Be brief.")
        pair = watched.page.locator(".pair", has_text="scarf").first
        await expect(pair.locator("ins")).to_contain_text("scarf")
        await expect(watched.page.locator(".totals")).to_contain_text("model calls")
        for side in (session.id, fork.id):
            assert await watched.page.locator(f'.windowed a[href^="/s/{side}"]').count()


async def test_a_diff_of_thousands_of_messages_draws_what_is_in_sight(browser: Browser, tmp_path: Path) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        sides = [await log.session(name) for name in ("left", "right")]
        for number, side in enumerate(sides):
            origin = Origin(source="test")
            said = [
                message
                for turn in range(1_000)
                for message in (
                    UserMessage(content=f"question {turn}" + (" again" if number and turn % 5 == 0 else "")),
                    AssistantMessage(content=(TextContent(text=f"answer {turn}"),)),
                )
            ]
            adopted = [(at_us, MessageAdopt(message=one, origin=origin)) for at_us, one in enumerate(said)]
            await log.store.append(side.id, adopted)
        async with looking(browser, log) as watched:
            await watched.open(f"/s/{sides[1].id}?view=diff&pin={sides[0].id}:1")
            await watched.sees("question 0")
            most = 0
            async with asyncio.timeout(PATIENCE_S):
                while not await watched.page.get_by_text("The end of both.").is_visible():
                    most = max(most, await nodes(watched))
                    await watched.page.evaluate("document.querySelector('.windowed').scrollTop += 1500")
                    await painted(watched)
            most = max(most, await nodes(watched))
            assert most < MOST_NODES
            pages = [one for one in watched.asked if "/api/diff/pairs" in one.url]
            assert len(pages) <= 2_000 / 50 + 2


async def test_a_bookmark_of_a_fork_on_what_it_shares_stands_at_the_fork(browser: Browser) -> None:
    async with open_log() as log:
        session = await log.session("coats")
        await Agent(scripted("Take a coat.")).run("Do I need a coat?", session=session)
        fork = await session.fork(title="another way")
        await fork.label("where it went wrong", 6)
        async with looking(browser, log) as watched:
            await watched.open(f"/s/{session.id}?view=tree")
            row = watched.page.locator(".tree-row", has_text="another way")
            await expect(row.locator(".label")).to_contain_text("where it went wrong")
            await expect(watched.page.locator(".tree-row", has_text="coats").last.locator(".label")).to_have_count(0)
            await expect(watched.page.locator(".tree-graph .mark")).to_have_count(1)


async def test_texts_of_any_length_are_read_to_their_end_in_the_chat(browser: Browser) -> None:
    @tool(effect="pure")
    def read(path: str) -> str:
        """Read a file."""
        return "".join(f"line {number} 🐦 of the file\n" for number in range(9_000))

    said = "".join(f"word {number} of the é🧥\n" for number in range(10_000)) + "the very end"
    async with open_log() as log:
        session = await log.session("long")
        agent = Agent(scripted([call("read", {"path": "birds.txt"})], said), tools=[read])
        await agent.run("Read it.", session=session)
        async with looking(browser, log) as watched:
            await watched.open(f"/s/{session.id}")
            answer = watched.page.locator(".message.of-assistant").last
            await _to_the_end(answer, "word 9999 of the é🧥")
            shown = " ".join((await answer.locator(".prose").inner_text()).split())
            assert shown == " ".join(said.split())
            result = next(one.seq for one in await session.messages() if one.message.role == "tool_result")
            await watched.open(f"/s/{session.id}?at={result}")
            one = watched.page.locator(".call").first
            await one.locator(".call-head").click()
            await _to_the_end(one, "a tool result shows at most 100,000 bytes]")  # Refold's own tools cut it there


async def _to_the_end(place: Locator, words: str) -> None:
    """Ask for more of a text until its last words are there."""
    async with asyncio.timeout(60):
        while words not in await place.inner_text():
            await place.evaluate("(one) => [...one.querySelectorAll('button.more')].at(-1)?.click()")
            await place.page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")


async def test_the_tree_folds_old_forks_and_leads_to_each(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        forks = [await session.fork(at=6, title=f"fork {number}") for number in range(60)]
        await forks[3].label("worth a look", 7)
        await watched.open(f"/s/{session.id}?view=tree")
        await watched.sees("60 forks")
        rows = watched.page.locator(".tree-row")
        titles = await rows.locator(".words > .cut:first-of-type").all_inner_texts()
        assert titles.index("fork 59") < titles.index("fork 58") < titles.index("coats")
        assert "fork 3" in titles
        assert "fork 20" not in titles
        await watched.page.locator(".tree-row.is-fold").first.click()
        await watched.sees("fork 40")
        await watched.page.locator(".tree-row", has_text="fork 59").click()
        await watched.page.wait_for_url(f"**/s/{forks[59].id}?at=7&view=tree")
        await expect(watched.page.locator(".tree-row.is-selected")).to_contain_text("fork 59")
        await watched.page.locator(".tree").focus()
        await watched.page.keyboard.press("ArrowDown")
        await watched.page.keyboard.press("Enter")
        await watched.page.wait_for_url(f"**/s/{forks[58].id}?at=7&view=tree")


async def test_bars_of_the_timeline_lead_to_events_and_a_brush_zooms(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        ends = await seqs(session, ToolExecutionEnd)
        await watched.open(f"/s/{session.id}?view=timeline&at=1")
        await watched.sees("weather")
        area = watched.page.locator(".lanes-drawn")
        box = await area.bounding_box()
        assert box is not None
        lane = await watched.page.locator(".lane-names > div", has_text="weather").bounding_box()
        assert lane is not None
        y = lane["y"] + lane["height"] / 2
        await watched.page.mouse.move(box["x"] + box["width"] * 0.1, y)
        await watched.page.mouse.down()
        await watched.page.mouse.move(box["x"] + box["width"] * 0.9, y, steps=4)
        await watched.page.mouse.up()
        await expect(watched.page.get_by_role("button", name="back", exact=True)).to_be_visible()
        await watched.page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + 3)
        await expect(watched.page.get_by_role("button", name="back", exact=True)).to_have_count(0)
        await watched.page.get_by_role("button", name="List").click()
        failed = watched.page.locator(".span-line", has_text="error")
        await expect(failed).to_have_count(1)
        await failed.click()
        await watched.page.wait_for_url(f"**at={ends[1]}*")


async def test_charts_tell_the_figures_of_the_call_that_is_selected(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as (_, session, watched):
        requests = await seqs(session, ModelRequest)
        await watched.open(f"/s/{session.id}?view=timeline&at={requests[1] + 1}")
        await watched.sees(f"call 2 of {len(requests)}")
        await watched.page.locator(".charts-all").click(position={"x": 3, "y": 60})
        await watched.sees(f"call 1 of {len(requests)}")
        await watched.page.get_by_role("button", name="Charts").click()
        await expect(watched.page.locator(".charts")).to_have_count(0)


async def test_a_long_timeline_is_asked_for_once_and_its_figures_by_windows(browser: Browser, tmp_path: Path) -> None:
    calls = 1_200
    async with open_log(tmp_path / "runs.db") as log:
        session = await log.session("long")
        answer = MessageAdopt(
            message=AssistantMessage(content=(TextContent(text="yes"),)), origin=Origin(source="test")
        )
        await log.store.append(session.id, [(at_us * 1_000_000, answer) for at_us in range(calls)])
        async with looking(browser, log) as watched:
            await watched.open(f"/s/{session.id}?view=timeline&at={calls}")
            await watched.sees(f"call {calls:,} of {calls:,}")
            await watched.page.locator(".lanes-drawn canvas").wait_for()
            asked = [one.url.split("?")[0].rsplit("/", 1)[-1] for one in watched.asked]
            assert (asked.count("spans"), asked.count("series")) == (1, 3)
            assert await nodes(watched) < MOST_NODES


@pytest.mark.parametrize(("view", "shows"), [
    ("diff", ".hidden-character"), ("timeline", ".lanes-drawn canvas"),
    ("tree", ".tree-row .hidden-character"), ("raw", ".raw-line"),
])  # fmt: skip
async def test_what_a_log_says_stays_text_in_every_view(
    view: str, shows: str, browser: Browser, tmp_path: Path
) -> None:
    async with open_log(tmp_path / "runs.db") as log:
        session = await log.session(HOSTILE[:60])
        await Agent(scripted(HOSTILE, HOSTILE)).run(HOSTILE, session=session)
        fork = await session.fork(at=6, title=HOSTILE)
        await fork.label(HOSTILE, 7)
        await Agent(scripted(HOSTILE + "!"), system=HOSTILE).run(HOSTILE, session=fork)
        async with looking(browser, log) as watched:
            for pin in ("", f"&pin={session.id}:5"):
                await watched.open(f"/s/{fork.id}?view={view}{pin}")
                await watched.page.locator(f"#reader {shows}").first.wait_for()
                await painted(watched)
                assert await watched.page.locator("#reader :is(script, img, iframe)").count() == 0

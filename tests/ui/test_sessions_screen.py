"""The table of sessions: filtered, sorted, folded, looked into and followed, by its keys and by its address."""

from __future__ import annotations

import asyncio

from playwright.async_api import Browser, Page, expect

from refold import Agent, Log, open_log, tool
from refold.testing import call, scripted
from tests.ui.looking import PATIENCE_S, TOKEN, Watched, looking

HOSTILE = "<img src=x onerror=alert(1)> \u202egnorw\u202c <script>alert(2)</script>"
MANY = 350


@tool(effect="once", approval="always")
def refund(order: str, amount: int) -> str:
    """Give money back."""
    return f"{amount} given back for {order}"


async def talk(log: Log, title: str, *said: str) -> str:
    """Make a session in which some things are said. Returns: its id."""
    session = await log.session(title)
    for words in said:
        await Agent(scripted(f"An answer to: {words}")).run(words, session=session)
    return session.id


async def ask_money(log: Log) -> str:
    """Make a session that waits for an approval. Returns: its id."""
    session = await log.session("support")
    agent = Agent(scripted([call("refund", {"order": "17", "amount": 900})], "Done.", by="request"), tools=[refund])
    await agent.run("Refund 17, please.", session=session)
    return session.id


async def titles(page: Page) -> list[str]:
    """Read the titles of the rows in sight."""
    return await page.locator(".session-row:not(.is-head) .is-title a").all_inner_texts()


async def shows(watched: Watched, *expected: str) -> None:
    """Wait until the rows in sight have these titles."""
    await expect(watched.page.locator(".session-row:not(.is-head) .is-title a")).to_have_text(list(expected))


async def test_a_filter_is_typed_kept_in_the_address_and_told_what_is_wrong_with_it(browser: Browser) -> None:
    async with open_log() as log:
        await talk(log, "coats", "Do I need a coat?")
        await ask_money(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await watched.open("/")
            await shows(watched, "support", "coats")
            await page.keyboard.press("/")
            with watched.allowing("422"):  # it is asked for as it is typed, also before the last quote
                await page.keyboard.type('"need a coat"')
                await shows(watched, "coats")
                await page.wait_for_url("**filter=%22need%20a%20coat%22*")
            await page.keyboard.press("Enter")
            await page.keyboard.press("Enter")
            await watched.sees("An answer to: Do I need a coat?")
            await page.go_back()
            await shows(watched, "coats")
            assert await page.get_by_label("Filter", exact=True).input_value() == '"need a coat"'
            with watched.allowing("422"):
                await page.get_by_label("Filter", exact=True).fill("colour:red")
                await watched.sees("there is no field 'colour'")
            await page.locator(".saved-filter", has_text="Waiting").click()
            await shows(watched, "support")
            assert "filter=status:waiting" in page.url
            await page.reload()
            await shows(watched, "support")


async def test_the_address_sorts_and_so_does_a_click(browser: Browser) -> None:
    async with open_log() as log:
        await talk(log, "long", "One?", "Two?", "Three?")
        await talk(log, "short", "One?")
        async with looking(browser, log) as watched:
            await watched.open("/?sort=turns")
            await shows(watched, "long", "short")
            await watched.page.get_by_role("button", name="Updated", exact=True).click()
            await shows(watched, "short", "long")
            await watched.page.get_by_role("button", name="Events", exact=True).click()
            await shows(watched, "long", "short")
            assert watched.page.url.endswith("?sort=events")


async def test_families_fold_and_a_filter_unfolds_them(browser: Browser) -> None:
    async with open_log() as log:
        root = await log.find(await talk(log, "root", "One?", "Two?"))
        branch = await root.fork(at=6, title="branch")
        await Agent(scripted("Another.")).run("Three?", session=branch)
        await branch.fork(title="leaf")
        async with looking(browser, log) as watched:
            page = watched.page
            await watched.open("/")
            await shows(watched, "root")
            await watched.sees("+2")
            await page.keyboard.press("ArrowRight")
            await shows(watched, "root", "branch")
            await page.keyboard.press("j")
            await page.keyboard.press("ArrowRight")
            await shows(watched, "root", "branch", "leaf")
            await page.keyboard.press("ArrowLeft")
            await page.keyboard.press("ArrowLeft")
            await page.keyboard.press("ArrowLeft")
            await shows(watched, "root")
            await page.get_by_label("Filter", exact=True).fill("turns>0")
            await shows(watched, "root", "branch", "leaf")


async def test_a_pane_looks_into_a_session_and_follows_the_selection(browser: Browser) -> None:
    async with open_log() as log:
        await talk(log, "coats", "Do I need a coat?")
        await ask_money(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await watched.open("/")
            await shows(watched, "support", "coats")
            pane = page.get_by_label("A look into the session")
            await page.keyboard.press("Space")
            await expect(pane).to_contain_text("May refund run?")
            await expect(pane).to_contain_text('"amount": 900')
            await page.keyboard.press("j")
            await expect(pane).to_contain_text("An answer to: Do I need a coat?")
            await page.keyboard.press("Escape")
            await expect(pane).to_have_count(0)
            assert page.url == f"{watched.url}/"
            await page.keyboard.press("k")
            await page.keyboard.press("Space")
            await page.get_by_role("button", name="Decide…").click()
            await expect(page.get_by_role("dialog")).to_contain_text("May refund run?")


async def test_rows_come_and_change_by_themselves(browser: Browser) -> None:
    async with open_log() as log, looking(browser, log) as watched:
        await watched.open("/")
        await watched.sees("There is no session in this log yet.")
        await watched.sees("refold ui --from claude-code")
        session = await log.find(await talk(log, "first", "One?"))
        await shows(watched, "first")
        await talk(log, "second", "One?")
        await shows(watched, "second", "first")
        await Agent(scripted("Yes.")).run("Two?", session=session)
        await shows(watched, "first", "second")
        await session.label("renamed")
        await shows(watched, "renamed", "second")


async def test_of_many_sessions_only_those_in_sight_are_elements_and_all_are_reached(browser: Browser) -> None:
    async with open_log() as log:
        for number in range(MANY):
            await log.store.create(title=f"session {number:03}", created_at_us=1_000_000 + number)
        async with looking(browser, log) as watched:
            page = watched.page
            await watched.open("/?sort=created")
            await watched.sees(f"session {MANY - 1:03}")
            assert await page.evaluate("document.querySelectorAll('*').length") < 1_500
            async with asyncio.timeout(PATIENCE_S):
                while "session 000" not in await titles(page):
                    await page.keyboard.press("End")
            assert await page.evaluate("document.querySelectorAll('*').length") < 1_500
            await page.keyboard.press("Home")
            await watched.sees(f"session {MANY - 1:03}")


async def test_nothing_that_a_title_says_becomes_markup(browser: Browser) -> None:
    async with open_log() as log:
        await talk(log, HOSTILE, HOSTILE)
        async with looking(browser, log) as watched:
            page = watched.page
            await watched.open("/")
            await watched.sees("<img src=x onerror=alert(1)>")
            await page.keyboard.press("Space")
            await expect(page.get_by_label("A look into the session")).to_contain_text("<script>alert(2)</script>")
            assert await page.locator("main img, main script").count() == 0
            assert "\u202e" not in (await page.locator("#page").inner_text())
            await watched.asks("Control+k")
            await page.keyboard.type("onerror")
            await expect(page.get_by_role("option")).to_contain_text(["<script>alert(2)</script>"])


async def test_without_its_token_the_page_asks_for_it(browser: Browser) -> None:
    async with open_log() as log:
        path = f"/s/{await talk(log, 'coats', 'Do I need a coat?')}"
        async with looking(browser, log) as watched:
            field = watched.page.get_by_label("Token, or address")
            with watched.allowing("401"):
                await watched.open(path, None)
                await field.fill("wrong")
                await field.press("Enter")
                await watched.sees("The server refuses this one, too.")
            await field.fill(f"{watched.url}/#token={TOKEN}")
            await field.press("Enter")
            await watched.sees("An answer to: Do I need a coat?")
            assert watched.page.url == f"{watched.url}{path}"

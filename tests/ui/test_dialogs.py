"""What the page does by dialogs: each is opened by its key, and what it says is so in the log."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from eventsource.errors import MissingModelError
from eventsource.events import QueuePush, WaitEnd
from eventsource.machine.state import State
from eventsource.messages import UserMessage
from eventsource.models.scripted.script import stall
from projections import text_of
from refold import Agent, Log, Request, Session, ToolResultMessage, open_log, tool
from refold.testing import Answer, ScriptedModel, call, fail, scripted
from tests.ui.looking import Watched, looking


@tool(effect="once", approval="always")
def refund(order: str, amount: int) -> str:
    """Give money back."""
    return f"{amount} given back for {order}"


@tool(effect="once")
def mail(to: str) -> str:
    """Send a mail."""
    return f"sent to {to}"


async def coats(log: Log) -> Session:
    """Make a session of three exchanges, with a call in the second."""
    session = await log.session("coats")
    model = scripted("Take a coat.", [call("mail", {"to": "ann"})], "Ann knows.", "Any coat will do.")
    agent = Agent(model, tools=[mail], system="Be brief.")
    for words in ("Do I need a coat?", "Tell Ann.", "Which coat?"):
        await agent.run(words, session=session)
    return session


async def prompts(session: Session) -> dict[str, int]:
    """Name the messages of the person."""
    said = [(one.message, one.seq) for one in await session.messages()]
    return {
        message.content: seq for message, seq in said if message.role == "user" and isinstance(message.content, str)
    }


def dialog(watched: Watched) -> Locator:
    """The dialog that is open."""
    return watched.page.get_by_role("dialog")


async def opened(watched: Watched, session: Session, where: str = "") -> None:
    """Open a session's page, and wait for its list."""
    await watched.open(f"/s/{session.id}{where}")
    await watched.page.wait_for_selector(".row.is-selected")


async def test_the_palette_runs_commands_opens_sessions_and_gives_the_focus_back(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        await Agent(scripted("Yes.")).run("Is it far?", session=await log.session("trains"))
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session)
            await page.locator(".list").focus()
            await watched.asks("Control+k")
            await page.keyboard.type("request")
            await page.keyboard.press("Escape")
            await expect(dialog(watched)).to_have_count(0)
            assert await page.evaluate("document.activeElement.className") == "list scrolls"
            await watched.asks("Control+k")
            await page.keyboard.type("timeline")
            await page.keyboard.press("Enter")
            await expect(page).to_have_url(f"{watched.url}/s/{session.id}?view=timeline")
            await watched.asks("Control+k")
            await page.keyboard.type("8")
            await page.keyboard.press("Enter")
            await expect(page).to_have_url(f"{watched.url}/s/{session.id}?at=8&view=timeline")
            await watched.asks("Control+k")
            await page.keyboard.type("trains")
            await expect(dialog(watched).get_by_role("option", selected=True)).to_contain_text("trains")
            await page.keyboard.press("Enter")
            await watched.sees("Is it far?")


async def test_the_keys_are_listed_and_letters_can_be_turned_off(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session, "?at=6")
            await page.keyboard.press("?")
            await expect(dialog(watched)).to_contain_text("Next event; inside a message the next token")
            await expect(dialog(watched)).to_contain_text("Look into the session, or no longer")
            await dialog(watched).get_by_role("checkbox").click()
            await page.keyboard.press("Escape")
            await page.keyboard.press("3")
            await page.keyboard.press("ArrowDown")
            await expect(page).not_to_have_url(f"{watched.url}/s/{session.id}?at=6")
            assert "view=" not in page.url
            await page.reload()
            await page.wait_for_selector(".row.is-selected")
            await page.keyboard.press("3")
            await page.keyboard.press("Control+k")
            await expect(dialog(watched)).to_be_visible()
            assert "view=" not in page.url


async def test_what_is_searched_for_here_is_stepped_through(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session)
            await watched.asks("/")
            await page.keyboard.type("coat")
            hits = dialog(watched).get_by_role("option")
            await expect(hits).to_have_count(4)
            await expect(hits.first.locator("mark")).to_have_text("coat")
            await expect(dialog(watched)).to_contain_text("4 found")
            seqs = sorted(int(text) for text in await hits.locator(".seq").all_inner_texts())
            await page.keyboard.press("ArrowUp")
            for _ in seqs:
                await page.keyboard.press("ArrowDown")
            await page.keyboard.press("Enter")
            await expect(dialog(watched)).to_have_count(0)
            here = f"{watched.url}/s/{session.id}?at="
            await expect(page).to_have_url(f"{here}{seqs[0]}")
            for key, number in (("Enter", 1), ("Enter", 2), ("N", 1), ("N", 0), ("N", 3), ("Enter", 0)):
                await page.keyboard.press(key)
                await expect(page).to_have_url(f"{here}{seqs[number]}")
            await page.keyboard.press("Escape")
            await page.keyboard.press("Enter")
            await expect(page).to_have_url(f"{here}{seqs[0]}")


async def test_a_hit_of_another_session_opens_it_there(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await watched.open("/")
            await watched.sees("coats")
            await watched.asks("Control+Shift+f")
            await page.keyboard.type("nobody says this")
            await watched.sees("Nothing of this was said in any session.")
            await page.get_by_label("Search in all sessions").fill("Any coat")
            await watched.sees("1 found in 1 session")
            await page.keyboard.press("Enter")
            last = (await session.messages())[-1].seq
            await expect(page).to_have_url(f"{watched.url}/s/{session.id}?at={last}")


async def test_a_message_is_edited_in_a_fork_and_the_original_stays(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        names, before = await prompts(session), (await session.info()).digest
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session, f"?at={names['Tell Ann.']}")
            await page.keyboard.press("f")
            field = dialog(watched).get_by_label("The message at")
            await expect(field).to_have_value("Tell Ann.")
            await field.fill("Tell Bob.")
            preview = dialog(watched).get_by_label("What would be sent")
            await expect(preview.locator("ins")).to_have_text(["Bob"])
            await expect(preview.locator("del")).to_have_text(["Ann"])
            await expect(preview).to_contain_text("1 call with an effect behind this place")
            await dialog(watched).get_by_role("button", name="system prompt").click()
            await dialog(watched).get_by_label("System prompt").fill("Be long.")
            await expect(preview.locator("ins")).to_have_text([" long", "Bob"])
            await expect(dialog(watched)).to_contain_text("refold continue last --agent MODULE:NAME")
            await dialog(watched).get_by_role("button", name="Fork", exact=True).click()
            fork, head = await seen_fork(page, log, session), (await session.info()).head
            await expect(page).to_have_url(f"{watched.url}/s/{fork}?view=diff&pin={session.id}:{head}")
            branch = await log.find(fork)
            assert (await session.info()).digest == before
            assert (await branch.state()).config.system_prompt == "Be long."
            await Agent(scripted("Bob knows."), tools=[mail]).resume(branch)
            assert [*await prompts(branch)] == ["Do I need a coat?", "Tell Bob."]


async def forked(log: Log, session: Session) -> str:
    """Find the one fork of a session."""
    [one] = [info.id for info in await log.list() if info.parent == session.id]
    return one


async def test_a_result_reads_otherwise_in_a_fork_or_is_hidden(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        [result] = [one.seq for one in await session.messages() if one.message.role == "tool_result"]
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session, f"?at={result}")
            await page.keyboard.press("f")
            form = dialog(watched)
            await form.get_by_label("A message or result").select_option(str(result))
            await form.get_by_label("What result of mail").fill("no such address")
            preview = form.get_by_label("What would be sent")
            await expect(preview).to_contain_text("no such address")
            await form.get_by_label("Model", exact=True).fill("gpt-5")
            await expect(form.get_by_role("alert")).to_contain_text("vendor:model")
            await expect(form.get_by_role("button", name="Fork", exact=True)).to_be_disabled()
            await form.get_by_label("Model", exact=True).fill("")
            await form.get_by_role("button", name="Fork", exact=True).click()
            await expect(dialog(watched)).to_have_count(0)
            branch = await log.find(await forked(log, session))
            assert "no such address" in str((await branch.messages())[-1].message)


async def test_a_fork_is_run_where_the_server_runs_agents(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        names = await prompts(session)
        agent: Agent[object] = Agent(scripted("A red one.", "No gloves."), tools=[mail])
        async with looking(browser, log, choose=lambda name, state: (agent, None)) as watched:
            page = watched.page
            await opened(watched, session, f"?at={names['Which coat?']}")
            await page.keyboard.press("f")
            await dialog(watched).get_by_label("The message at").fill("Which coat, and why?")
            await dialog(watched).get_by_role("button", name="Fork and run").click()
            await watched.sees("A red one.")
            assert f"/s/{await forked(log, session)}" in page.url
            await watched.asks("r")
            await page.keyboard.type("And gloves?")
            await page.keyboard.press("Control+Enter")
            await watched.sees("No gloves.")


@pytest.mark.parametrize(("choice", "made"), [("recorded", 1), ("live", 2), ("ask", 1)])
async def test_a_fork_does_with_calls_already_made_what_was_chosen(browser: Browser, choice: str, made: int) -> None:
    charged: list[int] = []

    @tool
    def charge(amount: int) -> str:
        """Charge a card."""
        charged.append(amount)
        return f"charge {len(charged)} of {amount}"

    @tool(effect="pure")
    def look(order: str) -> str:
        """Look an order up."""
        return "open"

    def respond(request: Request) -> Answer:
        if isinstance(request.messages[-1], ToolResultMessage):
            return "Charged."
        return [call("look", {"order": "17"}), call("charge", {"amount": 9})]

    async with open_log() as log:
        session = await log.session("shop")
        agent: Agent[object] = Agent(ScriptedModel(respond), tools=[charge, look])
        await agent.run("Charge the order 17.", session=session)
        prompt = next(iter((await prompts(session)).values()))
        async with looking(browser, log, choose=lambda name, state: (agent, None)) as watched:
            page, form = watched.page, dialog(watched)
            await opened(watched, session, f"?at={prompt}")
            await page.keyboard.press("f")
            preview = form.get_by_label("What would be sent")
            await expect(preview).to_contain_text("1 call with an effect behind this place")
            await expect(preview.locator(".again").first).to_contain_text("charge 1 of 9")
            await expect(preview).to_contain_text("1 call without one")
            await expect(form.locator("input[value=ask]")).to_be_checked()
            await form.locator(f"input[value={choice}]").check()
            becomes = {"recorded": "gets the result on record", "live": "made again", "ask": "asks a person"}[choice]
            await expect(preview.locator(".again").first).to_contain_text(becomes)
            await form.get_by_role("button", name="Fork and run").click()
            branch = await log.find(await seen_fork(page, log, session))
            if choice == "ask":
                await expect(page.get_by_role("banner")).to_contain_text("waiting")
                await page.keyboard.press("D")
                await expect(form).to_contain_text("charge")
                await expect(form.get_by_role("checkbox", name="Then go on with the run")).to_be_checked()
                await form.get_by_role("button", name="Take what it came to before").click()
                await watched.sees("Decided: adopt. The run goes on.")
            await watched.sees("Charged.")
        assert len(charged) == made
        said = [text_of(one.message) for one in await branch.messages() if one.message.role == "tool_result"]
        assert said == ["open", f"charge {made} of 9"]
        assert (await branch.replay()).difference is None


async def seen_fork(page: Page, log: Log, session: Session) -> str:
    """Wait for the page to show the one fork of a session."""
    await page.wait_for_url(lambda url: session.id not in url.split("?")[0])
    return await forked(log, session)


async def test_a_call_is_approved_with_other_arguments_and_who_comes_later_is_told(browser: Browser) -> None:
    async with open_log() as log:
        session = await log.session("support")
        asks = [call("refund", {"order": "17", "amount": 900}), call("refund", {"order": "18", "amount": 5})]
        agent = Agent(scripted(asks, "Done."), tools=[refund])
        run = await agent.run("Refund both.", session=session)
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session)
            await page.keyboard.press("D")
            form = dialog(watched)
            await form.get_by_label("Arguments of refund").fill('{"order": "17", "amount": "much"')
            await expect(form.get_by_role("button", name="Approve with these")).to_be_disabled()
            with watched.allowing("409", "422"):
                await form.get_by_label("Arguments of refund").fill('{"order": "17", "amount": "much"}')
                await form.get_by_role("button", name="Approve with these").click()
                await expect(form.get_by_role("alert")).to_contain_text("amount")
            await form.get_by_label("Arguments of refund").fill('{"order": "17", "amount": 90}')
            await form.get_by_role("button", name="Approve with these").click()
            await expect(form).to_have_count(0)
            await page.keyboard.press("D")
            await form.get_by_label("Reason").fill("Not twice.")
            await session.decide(run.waits[1], approve=True, decided_by="ann")
            await expect(form.get_by_role("alert")).to_contain_text("Meanwhile it was approved by ann")
            await expect(form.get_by_label("Reason")).to_have_value("Not twice.")
            await expect(form.get_by_role("button", name="Deny")).to_have_count(0)
        await agent.resume(session)
        results = [one.message for one in await session.messages() if one.message.role == "tool_result"]
        assert [one.content[0].text for one in results] == ["90 given back for 17", "5 given back for 18"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("none", "refund may run. To go on: refold continue"),
        ("unasked", "refund may run. To go on: refold continue"),
        ("lost", "refund may run. The run does not go on here: session"),
    ],
)
async def test_a_decision_stands_where_the_page_does_not_go_on_with_the_run(
    browser: Browser, who: str, says: str
) -> None:
    async with open_log() as log:
        session = await log.session("support")
        agent: Agent[object] = Agent(scripted([call("refund", {"order": "17", "amount": 5})], "Done."), tools=[refund])
        await agent.run("Refund it.", session=session)

        def choose(name: str, state: State) -> tuple[Agent[object], object]:
            raise MissingModelError(name, "its model is not here")

        async with looking(browser, log, choose=None if who == "none" else choose) as watched:
            page, form = watched.page, dialog(watched)
            await opened(watched, session)
            await page.keyboard.press("D")
            goes_on = form.get_by_role("checkbox", name="Then go on with the run")
            await expect(form).to_contain_text("Arguments of refund")
            if who == "none":
                await expect(goes_on).to_have_count(0)
            else:
                await goes_on.set_checked(who == "lost")
            with watched.allowing("409"):
                await form.get_by_role("button", name="Approve", exact=True).click()
                await watched.sees(says)
        assert not [one for one in await session.messages() if one.message.role == "tool_result"]
        assert (await agent.resume(session)).text == "Done."


async def test_a_session_that_another_one_began_is_left_to_that(browser: Browser) -> None:
    async with open_log() as log:
        began = await log.session("main")
        session = await log.find((await log.store.create("child", started_by=began.id)).id)
        agent: Agent[object] = Agent(scripted([call("refund", {"order": "17", "amount": 5})], "Done."), tools=[refund])
        await agent.run("Refund it.", session=session)
        async with looking(browser, log, choose=lambda name, state: (agent, None)) as watched:
            await opened(watched, session)
            await watched.page.keyboard.press("D")
            await dialog(watched).get_by_role("button", name="Approve", exact=True).click()
            told = watched.page.get_by_text("refund may run.")
            await expect(told.first).to_be_visible()
            assert "go on" not in await told.first.inner_text()
        assert (await session.info()).status != "running"
        assert not [one for one in await session.messages() if one.message.role == "tool_result"]


async def test_a_run_that_stopped_is_gone_on_with_by_a_command(browser: Browser) -> None:
    async with open_log() as log:
        session = await log.session("coats")
        await Agent(scripted(fail("no answer"))).run("Do I need a coat?", session=session)
        agent: Agent[object] = Agent(scripted("Take one."))
        for choose, says in ((None, "This server runs no agents"), (lambda name, state: (agent, None), "Take one.")):
            async with looking(browser, log, choose=choose) as watched:
                await opened(watched, session)
                await watched.asks("Control+k")
                await watched.page.keyboard.type("go on with")
                await watched.page.keyboard.press("Enter")
                await watched.sees(says)


async def test_who_decides_a_moment_too_late_reads_what_was_decided_and_keeps_the_words(browser: Browser) -> None:
    async with open_log() as log:
        session = await log.session("support")
        asks = [call("refund", {"order": "17", "amount": 900}), call("refund", {"order": "18", "amount": 5})]
        run = await Agent(scripted(asks, "Done."), tools=[refund]).run("Refund both.", session=session)
        async with looking(browser, log) as watched:
            page, form = watched.page, dialog(watched)
            await opened(watched, session)
            await page.keyboard.press("D")
            await form.get_by_label("Reason").fill("Too much, says the customer's contract.")

            async def ann_first(route: Route) -> None:
                await session.decide(run.waits[0], approve=False, decided_by="ann", reason="No.")
                await route.continue_()

            await page.route("**/decide", ann_first, times=1)
            with watched.allowing("409"):
                async with page.expect_response("**/decide") as answered:
                    await form.get_by_role("button", name="Deny").click()
                assert (await answered.value).status == 409
                told = form.get_by_role("alert")
                await expect(told).to_contain_text("Meanwhile it was denied by ann: No.")
                await expect(told).to_contain_text("What you wrote was not sent.")
                await expect(form.get_by_label("Reason")).to_have_value("Too much, says the customer's contract.")
            await form.get_by_role("button", name="May refund run?").click()
            await expect(form.get_by_label("Arguments of refund")).to_have_value(re.compile("18"))
            await expect(form.get_by_label("Reason")).to_have_value("")
            await form.get_by_role("button", name="Approve", exact=True).click()
            await expect(form).to_have_count(0)
        ends = [one.event for one in await session.events() if isinstance(one.event, WaitEnd)]
        assert [one.decided_by for one in ends] == ["ann", "the page"]


async def test_what_is_written_to_a_session_that_is_gone_stays_in_the_dialog_with_the_reason(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        names = await prompts(session)
        async with looking(browser, log) as watched:
            page, form = watched.page, dialog(watched)
            await opened(watched, session, f"?at={names['Which coat?']}")
            await page.keyboard.press("f")
            field = form.get_by_label("The message at")
            await expect(field).to_have_value("Which coat?")
            await field.fill("Which coat, of the three?")
            await expect(form.get_by_label("What would be sent").locator("ins")).not_to_have_count(0)
            with watched.allowing("404"):
                await log.delete(session.id)
                await form.get_by_role("button", name="Fork", exact=True).click()
                await expect(form.get_by_role("alert").first).to_contain_text(session.id)
                await expect(field).to_have_value("Which coat, of the three?")
            assert await log.list() == ()


async def test_words_for_a_run_that_has_ended_meanwhile_are_said_to_wait_for_the_next_one(browser: Browser) -> None:
    async with open_log() as log:
        session = await log.session("coats")
        agent = Agent(scripted(["Take ", stall()], "A red one."))
        go = asyncio.create_task(agent.run("Do I need a coat?", session=session))
        async with looking(browser, log) as watched:
            page, form = watched.page, dialog(watched)
            await opened(watched, session)
            await watched.sees("Take")
            await watched.asks("s")
            await page.keyboard.type("Which colour?")
            await expect(form).to_contain_text("The model reads it with its next call")
            await session.abort()
            await go
            await expect(form).to_contain_text("Nothing runs here now")
            await expect(form.get_by_label("What is said")).to_have_value("Which colour?")
            await form.get_by_role("button", name="Steer").click()
            await watched.sees("it is queued, and read when the session is run next")
        assert len((await session.state()).queued("steering")) == 1
        assert (await agent.resume(session)).text == "A red one."


async def held(page: Page, chunk: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold a part of the page that is asked for by itself; return what says that it was, and what lets it come."""
    asked, here = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await here.wait()
        await route.continue_()

    await page.route(re.compile(f"/{chunk}-"), hold)
    return asked, here


async def test_what_is_typed_while_a_dialog_is_on_its_way_is_in_it(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            asked, here = await held(page, "bookmark")
            await opened(watched, session, "?at=6")
            await asked.wait()
            await page.keyboard.press("b")
            await page.keyboard.type("the qq")
            await page.keyboard.press("Backspace")
            await page.keyboard.type("uestion")
            await page.keyboard.press("Enter")
            await expect(dialog(watched)).to_have_count(0)
            assert await session.labels() == ()
            here.set()
            while not await session.labels():
                await page.wait_for_timeout(20)
            await expect(dialog(watched)).to_have_count(0)
            assert dict(await session.labels()) == {6: "the question"}
            assert "at=6" in page.url  # no letter was a command


async def test_what_is_typed_and_sent_while_the_words_dialog_is_on_its_way_is_sent_by_it(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        agent: Agent[object] = Agent(scripted("No gloves."), tools=[mail])
        async with looking(browser, log, choose=lambda name, state: (agent, None)) as watched:
            page = watched.page
            asked, here = await held(page, "say")
            await opened(watched, session)
            await asked.wait()
            await page.keyboard.press("r")
            await page.keyboard.type("And gloves?")
            await page.keyboard.press("Control+Enter")
            here.set()
            await watched.sees("No gloves.")
        assert text_of((await session.messages())[-2].message) == "And gloves?"


async def test_a_bookmark_and_a_title_are_set_and_removed(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session, "?at=6")
            await watched.asks("b")
            await page.keyboard.type("the question")
            await page.keyboard.press("Enter")
            await expect(dialog(watched)).to_have_count(0)
            assert dict(await session.labels()) == {6: "the question"}
            await page.keyboard.press("b")
            await dialog(watched).get_by_role("textbox").fill("")
            await dialog(watched).get_by_role("button", name="Remove").click()
            await expect(dialog(watched)).to_have_count(0)
            assert dict(await session.labels()) == {}
            await page.keyboard.press("b")
            await dialog(watched).get_by_label("the session").click()
            await dialog(watched).get_by_role("textbox").fill("coats of Oslo")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", name="coats of Oslo")).to_be_visible()


async def test_where_nothing_runs_a_command_is_there_to_copy_and_a_queue_takes_words(browser: Browser) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session)
            await watched.asks("r")
            await page.keyboard.type("It's late")
            await expect(dialog(watched)).to_contain_text(
                f"refold continue {session.id} --agent MODULE:NAME --prompt 'It'\\''s late'"
            )
            await expect(dialog(watched).get_by_role("button", name="Run")).to_be_disabled()
            await dialog(watched).get_by_role("radio", name="follow-up").click()
            await dialog(watched).get_by_role("button", name="Queue").click()
            await expect(dialog(watched)).to_have_count(0)
            assert len((await session.state()).queued("follow_up")) == 1
            last = (await session.events(after=(await session.info()).head - 1))[-1].event
            assert isinstance(last, QueuePush)
            assert last.message == UserMessage(content="It's late")


async def test_an_export_is_a_file_that_an_import_makes_the_same_session_of(browser: Browser, tmp_path: Path) -> None:
    async with open_log() as log:
        session = await coats(log)
        async with looking(browser, log) as watched:
            page = watched.page
            await opened(watched, session)
            await page.keyboard.press("x")
            async with page.expect_download() as told:
                await dialog(watched).get_by_role("button", name=re.compile("Write the (file|events)")).click()
            file = await told.value
            assert file.suggested_filename == "coats.refold.jsonl"
            path = tmp_path / file.suggested_filename
            await file.save_as(path)
            await expect(dialog(watched)).to_have_count(0)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert (await session.info()).digest in str(lines)


async def test_the_store_is_read_again_and_found_whole(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_log(path) as log:
        await coats(log)
        async with looking(browser, log) as watched:
            await watched.open("/store")
            await watched.sees(str(path))
            await watched.page.get_by_role("button", name="Verify").click()
            await watched.sees("Every byte is as it was written.")
            await watched.page.keyboard.press("Escape")
            await watched.sees("coats")

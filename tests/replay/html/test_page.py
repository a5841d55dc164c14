from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import Event
from eventsource.log import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.messages import ImageContent, TextContent, UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call, fail, stop, think
from eventsource.session import SessionHandle as Stored
from projections.context import CONTEXT, history as entries
from projections.projection import project
from projections.transcript import text_of
from refold import Agent, Session, tool
from refold.log import Log
from replay.html.blocks import esc
from replay.html.page import session_page
from tests.strategies import histories

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "article", "div", "p"),
    *("h1", "h2", "h3", "ul", "li", "a", "b", "span", "small", "time", "code", "pre", "details", "summary", "img"),
}
VOID = {"meta", "img"}
ASKS: Answer = [think("Oslo?"), call("weather", {"city": "Oslo"}), call("weather", {"city": "Rome"}), stop("tool_use")]


class Page(HTMLParser):
    """Reads a page: its tags must be the ones it is made of, and every one of them must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name == "src":
                self.images.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: <rain>"


def agent(*answers: Answer, system: str = "Be <brief>.") -> Agent[None]:
    return Agent(ScriptedModel(answers), system=system, tools=[weather])


async def family(log: EventLog) -> tuple[Session, Session]:
    session = await Log(log, clock=lambda: 7).session("A <coat>?")
    image = ImageContent(data="iVBORw0KGgo=", media_type="image/png")
    asked = UserMessage(content=(TextContent(text="Do I need a coat & boots?"), image))
    await agent(ASKS, "It rains. <script>alert(1)</script>").run(asked, session=session)
    fork = await session.fork(before=(await session.messages())[1], title="Facts & figures")
    await agent("Yes.", system="Facts only.").resume(fork)
    return session, fork


async def test_a_page_says_everything_and_runs_nothing(log: EventLog) -> None:
    session, _ = await family(log)
    text = await session.html()
    page = Page(text)
    for said in (
        "A <coat>?",
        "Do I need a coat & boots?",
        "It rains. <script>alert(1)</script>",
        "Oslo: <rain>",
        "Oslo?",
    ):
        assert said in page.text
    assert "Be <brief>." in page.text
    assert page.images == ["data:image/png;base64,iVBORw0KGgo="]
    assert "default-src 'none'" in text


async def test_forks_are_on_the_page_and_every_link_leads_somewhere(log: EventLog) -> None:
    session, fork = await family(log)
    page = Page(await session.html())
    assert "Facts & figures" in page.text
    assert "Facts only." in page.text
    assert {session.id, fork.id} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


async def test_the_page_of_a_fork_holds_what_it_inherited(log: EventLog) -> None:
    session, fork = await family(log)
    page = Page(await fork.html())
    assert "Do I need a coat & boots?" in page.text
    assert "It rains." not in page.text
    assert session.id not in page.ids


async def test_a_call_is_folded_with_its_result_and_a_failed_one_is_open(log: EventLog) -> None:
    session = await Log(log, clock=lambda: 7).session()
    asks: Answer = [call("weather", {"city": "Oslo"}), call("wether", {"city": "Rome"}), stop("tool_use")]
    await agent(asks, "Rain.").run("So?", session=session)
    text = await session.html()
    first, second = text.split('<details class="call')[2:]  # the first one is the tool in the configuration
    assert first.startswith('"><summary><b>weather</b>')
    assert "Oslo: &lt;rain&gt;" in first
    assert second.startswith(' failed" open><summary><b>wether</b>')
    assert "Tool wether not found" in second


async def test_what_failed_and_what_a_model_does_not_see_is_marked(log: EventLog) -> None:
    session = await Log(log, clock=lambda: 7).session()
    await agent([fail("over<loaded>")]).run("Hi", session=session)
    await session.replace((await session.messages())[0], "Hello")
    page = Page(await session.html())
    assert "error: over<loaded>" in page.text
    assert "not in the model's context" in page.text
    assert "replaced for the model" in page.text


@pytest.mark.parametrize("media_type", ["text/html", 'image/png" onload="x', "image/" + "x" * 99])
async def test_what_is_no_image_is_not_shown_as_one(log: EventLog, media_type: str) -> None:
    session = await Log(log, clock=lambda: 7).session()
    await agent("Hm.").run([ImageContent(data="AAAA", media_type=media_type)], session=session)
    await agent("Hm.").run([ImageContent(data='"><script>', media_type="image/png")], session=session)
    page = Page(await session.html())
    assert page.images == []
    assert "an image that cannot be shown" in page.text


def test_signs_that_html_cannot_hold_are_replaced() -> None:
    assert esc("a\x00b\x1b[31m\x85\uffff<\"'&") == "a\ufffdb\ufffd[31m\ufffd\ufffd&lt;&quot;&#x27;&amp;"


@pytest.mark.slow
@given(histories())
async def test_any_history_makes_a_page_with_every_text_in_it(history: tuple[Recorded, ...]) -> None:
    log = MemoryLog(clock=lambda: 0, new_id=lambda: "s")
    session = Stored(log, (await log.create()).id, clock=lambda: 0)
    events: list[tuple[int, Event]] = [(recorded.at_us, recorded.event) for recorded in history]
    if events:
        await log.append(session.id, events)
    page = Page(await session_page(session))
    for entry in entries(project(CONTEXT, history)):
        if entry.message is not None:
            assert text_of(entry.message).strip() in page.text

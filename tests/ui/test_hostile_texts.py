"""Whatever stands in a log is text on the page: nothing runs, nothing is fetched, nothing turns the line around."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from eventsource.message_text import text_of
from eventsource.messages import ImageContent, TextContent, UserMessage
from refold import Agent, Log, Session, tool
from refold.testing import Answer, call, fail, scripted
from tests.refold.views.sessions import CountingLog
from tests.ui.looking import Watched, looking
from tests.ui.on_page import opened, press, settled

TEXTS = (
    "<script>document.title='hit'</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "<img src=https://example.org/a.png>", "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>",
    "<svg><use href=data:image/svg+xml,x#y></svg>", "<iframe src=https://example.org></iframe>",
    "<iframe srcdoc='<b>x'>", "<object data=https://example.org/a.swf>", "<embed src=https://example.org>",
    "<link rel=stylesheet href=//example.org/a.css>", "<style>*{display:none}</style>",
    "</style><style>body{visibility:hidden}</style>", "<b style=position:fixed;inset:0>",
    "<base href=https://example.org/>", "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<form action=//example.org><button>", "<a href=javascript:alert(1)>x</a>", "[x](javascript:alert(1))",
    "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "![x](https://example.org/a.png)",
    "[x](https://example.org)", "https://example.org/", "<https://example.org/>", "//example.org/a",
    "# <script>alert(1)</script>", "```html\n<script>alert(1)</script>\n```", "```\nnever closed", "~~~\n<b>\n~~~",
    "`<i>`", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}", "<%= 1 %>", "';alert(1)//",
    "\"><script>alert(1)</script>", "&lt;script&gt;", "&#x3c;script&#x3e;", "\u003cscript\u003e", "%3Cscript%3E",
    "\x00nul\x00", "\x1b[31mred\x1b[0m \x1b]8;;https://example.org\x07x\x1b]8;;\x07", "\x07\x08\x0c\r",
    "\u202egnp.exe", "\u2066\u2067\u2069x\u202d", "\u200b\u200c\u200d\u2060\ufeff", "\u2028\u2029", "\ud800 alone",
    "a\u0300" * 200, "x" * 1_000_000, "word " * 100_000, "\n" * 10_000, "\t" * 5_000, "😀" * 10_000,
    "{\"__proto__\": {\"x\": 1}}", "constructor", "__proto__", "hasOwnProperty", "-->", "<!--", "]]>", "<plaintext>",
    "<noscript><p title='</noscript><img src=x>'>",
)  # fmt: skip
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_SVG = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0iYWxlcnQoMSkiLz4="


_READ = """[
  document.title.endsWith("hit"),
  document.querySelectorAll("script").length,
  document.querySelectorAll(
    "iframe, object, embed, base, form, a[href^='javascript' i], a[href^=http], img:not([src^='blob:'])"
  ).length,
]"""
"""Whether a text was run, how many scripts there are, and elements that a text would have made."""


@tool(effect="pure")
def echo(text: str) -> str:
    """Say the same."""
    if text.startswith("constructor"):
        raise RuntimeError(text)
    return text


def writable(text: str) -> str:
    """What can be written of a text: a lone surrogate stands in JSON only."""
    return text.encode("utf-8", "replace").decode()


async def hostile_session(log: Log) -> Session:
    """A session that says each text everywhere: prompt, system prompt, answer, call, result, title, bookmark, error."""
    session = await log.session("".join(writable(text[:30]) for text in TEXTS[:12]))
    answers: list[Answer] = [[writable(text), call("echo", json.dumps({"text": text}))] for text in TEXTS]
    agent = Agent(scripted(*answers, "Said."), system="".join(writable(text[:200]) for text in TEXTS), tools=[echo])
    images = (
        ImageContent(data=_PNG, media_type="image/png"),
        ImageContent(data=_SVG, media_type="image/svg+xml"),
        ImageContent(data="https://example.org/a.png", media_type="image/png"),
        TextContent(text="<img src=https://example.org/b.png>"),
    )
    await agent.run(UserMessage(content=images), session=session)
    await Agent(scripted([fail(writable(TEXTS[2]))])).run(writable(TEXTS[0]), session=session)
    for text in (TEXTS[0], TEXTS[44], TEXTS[4]):
        await session.label(text, seq=6)
    await session.fork(at=20, title=writable(TEXTS[4]))
    return session


@pytest_asyncio.fixture(loop_scope="session")
async def looked(browser: Browser) -> AsyncIterator[tuple[Watched, Session]]:
    log = Log(CountingLog(), clock=lambda: 7)
    session = await hostile_session(log)
    async with looking(browser, log) as watched:
        yield watched, session


@pytest.mark.parametrize("view", ["chat", "request", "diff", "timeline", "tree", "raw"])
async def test_no_text_of_a_log_becomes_anything_else(view: str, looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    head = (await session.info()).head
    with watched.allowing("404"):  # nobody writes the body of what a scripted model was sent
        for at in range(10, head + 1, head // 12):
            await opened(watched, f"/s/{session.id}?view={view}&at={at}")
            await settled(watched.page)
            for place in ("Event", "State", "Usage", "Links", "Why"):
                await watched.page.get_by_role("tab", name=place).click()
            await press(watched)
            found = await watched.page.evaluate(_READ)
            assert found == [False, 1, 0]
            assert await watched.page.locator(".session > header").is_visible()


async def test_the_table_shows_hostile_titles_as_they_are(looked: tuple[Watched, Session]) -> None:
    watched, _ = looked
    await watched.open("/")
    await watched.sees("<script>")
    assert await watched.page.locator("script").count() == 1


async def test_a_picture_is_shown_only_of_types_that_hold_nothing_else(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    await opened(watched, f"/s/{session.id}?view=request&at=12")
    part = watched.page.locator(".part", has_text="user").first
    await part.get_by_role("button").first.click()
    await watched.page.locator("img.picture").wait_for()
    sources = await watched.page.locator("img").evaluate_all("(found) => found.map((one) => one.src.slice(0, 5))")
    assert sources == ["blob:"]
    assert await watched.page.get_by_text("that is not shown").count() == 2


async def test_what_cannot_be_seen_stands_as_a_mark(looked: tuple[Watched, Session]) -> None:
    watched, session = looked
    said = next(one for one in await session.messages() if "gnp.exe" in text_of(one.message))
    await opened(watched, f"/s/{session.id}?at={said.seq}")
    await settled(watched.page)
    mark = watched.page.locator(".message .hidden-character", has_text="U+202E").first
    await mark.wait_for()
    assert "\u202e" not in await watched.page.locator(".message.is-selected").inner_text()

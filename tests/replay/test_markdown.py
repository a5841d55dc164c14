"""A session as a Markdown document: what was said reads as it was, and passes for nothing of the document."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markdown_it import MarkdownIt

from eventsource.codec import to_json
from eventsource.events import ContextEdit, MessageAdopt, Origin, Place
from eventsource.log.protocol import EventLog
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from replay.markdown import session_markdown
from tests.lives import Life


async def told(log: EventLog, said: Sequence[Message]) -> str:
    info = await log.create()
    for number, message in enumerate(said, 1):
        call = Place(message_seq=number - 1, content_index=2) if isinstance(message, ToolResultMessage) else None
        await log.append(info.id, [(number, MessageAdopt(message=message, origin=Origin(source="x"), call=call))])
    return info.id


def headings(text: str) -> list[str]:
    tokens = MarkdownIt().parse(text)
    return [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]


async def test_a_document_says_what_was_said_and_done_in_order(log: EventLog) -> None:
    image = ImageContent(data="aGVsbG8=", media_type="image/png")
    asked = ToolCall(id="c", name="look", arguments='{"where":"here"}')
    searched = ProviderContent(api="y", block=to_json({"query": "ice"}))
    session = await told(
        log,
        [
            UserMessage(content=(TextContent(text="Look!"), image)),
            AssistantMessage(content=(ThinkingContent(thinking="Hm.\nWhere?"), TextContent(text="I look."), asked)),
            ToolResultMessage(
                tool_call_id="c", tool_name="look", content=(TextContent(text="a ``` b"),), is_error=True
            ),
            AssistantMessage(content=(searched, TextContent(text="Done."))),
        ],
    )
    await log.append(session, [(5, ContextEdit(message_seq=4, replacement=None))])
    text = await session_markdown(log, session)
    found = [
        text.index(one)
        for one in ("Look!", "image/png", "> Hm.\n> Where?", "I look.", "**`look`**", "a block of y", "ice", "Done.")
    ]
    assert found == sorted(found)
    assert '```json\n{\n  "where": "here"\n}\n```' in text
    assert "````text\na ``` b\n````" in text
    assert "*It is hidden from the model.*" in text
    assert headings(text)[1:] == ["1: user", "2: assistant", "3: result of `look`", "4: assistant"]


async def test_headings_in_what_was_said_stand_below_those_of_the_document(log: EventLog) -> None:
    said = "# One\n\n## 7: user\n\n```sh\n# a comment\n```\n\nTwo\n===\n\n```\nnever closed"
    text = await session_markdown(log, await told(log, [UserMessage(content=said), UserMessage(content="next")]))
    tokens = MarkdownIt().parse(text)
    top = [token for token in tokens if token.type == "heading_open" and token.tag in ("h1", "h2")]
    assert len(top) == 3
    assert "# a comment" in text
    assert headings(text)[-1] == "2: user"


async def test_any_life_of_a_session_is_a_document_without_signs_that_steer(log: EventLog) -> None:
    for seed in range(0, 24, 2):
        life = Life(seed)
        life.live()
        info = await log.create()
        events = [(one.seq, one.event) for one in life.recorded if type(one.event).__name__ != "Fork"]
        if len(events) == len(life.recorded):
            await log.append(info.id, events)
            text = await session_markdown(log, info.id)
            assert "\x1b" not in text
            assert text.startswith("# ")

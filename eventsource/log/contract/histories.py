"""Small histories for the contract of stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ...envelope import Recorded
from ...events import (
    AgentEnd,
    AgentStart,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    TurnEnd,
    TurnStart,
)
from ...messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    Usage,
    UserMessage,
)
from ..protocol import EventLog

START_US = 1_700_000_000_000_000
IMAGE = "aW1hZ2U=" * 10


@contextmanager
def refused(kind: type[Exception]) -> Iterator[list[Exception]]:
    """Expect an error of a kind; the list holds it afterwards."""
    caught: list[Exception] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def timed(events: Sequence[Event], start_us: int = START_US) -> list[tuple[int, Event]]:
    """Give each event a time, 7 ms apart, now and then running backwards as clocks do."""
    return [(start_us + 7_000 * n - (50_000 if n % 11 == 10 else 0), event) for n, event in enumerate(events)]


def prompt(text: str) -> list[Event]:
    """A prompt, delivered."""
    return [
        QueuePush(queue="prompt", message=UserMessage(content=text)),
        AgentStart(),
        TurnStart(),
        MessageStart(role="input", push_seq=1),
        MessageEnd(),
        ModelRequest(attempt=1, request_sha256="0" * 64),
    ]


def streamed(text: str, *, width: int = 5, call: str = "", thinking: str = "") -> list[Event]:
    """An assistant message with its updates: thinking, text and a tool call, as far as they are given."""
    updates: list[Event] = []
    content: list[AssistantContent] = []
    if thinking:
        content.append(ThinkingContent(thinking=thinking, signature="sig", redacted=True))
        updates += [
            MessageUpdate(kind="thinking_start", content_index=0, redacted=True),
            *deltas("thinking_delta", 0, thinking, width),
            MessageUpdate(kind="thinking_end", content_index=0, signature="sig"),
        ]
    if text:
        index = len(content)
        content.append(TextContent(text=text))
        updates.append(MessageUpdate(kind="text_start", content_index=index))
        updates += deltas("text_delta", index, text, width)
        updates.append(MessageUpdate(kind="text_end", content_index=index))
    if call:
        index = len(content)
        content.append(ToolCall(id="call_1", name="read", arguments=call))
        updates.append(MessageUpdate(kind="tool_call_start", content_index=index, id="call_1", name="read"))
        updates += deltas("tool_call_delta", index, call, width)
        updates.append(MessageUpdate(kind="tool_call_end", content_index=index))
    message = AssistantMessage(
        content=tuple(content),
        stop_reason="tool_use" if call else "stop",
        usage=Usage(input_tokens=10, output_tokens=3),
    )
    return [MessageStart(role="assistant"), *updates, MessageEnd(message=message)]


def deltas(kind: str, index: int, text: str, width: int) -> list[Event]:
    """Cut a text into updates."""
    return [
        msgspec.convert(
            {"type": "message_update", "kind": kind, "content_index": index, "delta": text[at : at + width]},
            MessageUpdate,
        )
        for at in range(0, len(text), width)
    ]


def tool_run(message_seq: int, index: int = 0) -> list[Event]:
    """A tool call with two partial results and an image in its result."""
    place = Place(message_seq=message_seq, content_index=index)
    image = ImageContent(data=IMAGE, media_type="image/png")
    partial = ToolResult(content=(TextContent(text="so far"),))
    done = ToolResult(content=(TextContent(text="two kB " * 300), image), details=msgspec.Raw(b'{"rows":[1,2]}'))
    return [
        ToolExecutionStart(message_seq=message_seq, content_index=index, name="read"),
        ToolExecutionUpdate(message_seq=message_seq, content_index=index, partial=partial),
        ToolExecutionUpdate(message_seq=message_seq, content_index=index, partial=partial),
        ToolExecutionEnd(message_seq=message_seq, content_index=index, result=done),
        MessageStart(role="tool_result", call=place),
        MessageEnd(),
    ]


def exchange(text: str = "It is 12 degrees — ☂ take a coat 🧥.") -> list[Event]:
    """A whole run: prompt, a call, its result, an answer."""
    first = [*prompt("Do I need a coat?"), *streamed("Let me look.", call='{"city": "Oslo"}', thinking="Hm, weather.")]
    return [*first, *tool_run(len(first), 2), TurnEnd(), TurnStart(), *streamed(text), TurnEnd(), AgentEnd()]


async def read_all(
    log: EventLog, session: str, *, after: int = 0, limit: int = 7, updates: bool = True
) -> list[Recorded]:
    """Read a session page by page."""
    found: list[Recorded] = []
    while True:
        page = await log.read(session, after=after, limit=limit, updates=updates)
        found += page
        if len(page) < limit:
            return found
        after = page[-1].seq


def numbered(events: Sequence[tuple[int, Event]], after: int = 0) -> list[Recorded]:
    """Return what a reader finds in a session that holds just these events."""
    return [Recorded(after + n, at_us, event) for n, (at_us, event) in enumerate(events, 1)]

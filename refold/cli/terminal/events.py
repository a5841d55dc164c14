"""One line for each event: its seq, time and kind, and what it holds, as short as can be."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from eventsource.envelope import Recorded
from eventsource.events import (
    ConfigChange,
    ContextEdit,
    Event,
    MessageAdopt,
    MessageEnd,
    MessageUpdate,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
)
from eventsource.messages import AssistantMessage, Message, ToolResultMessage
from projections import text_of

from .formatting import count, shorten, time_of_day
from .screen import Screen


def event_text(event: Event, *, width: int = 80) -> str:
    """Return what an event holds, in one line."""
    match event:
        case QueuePush():
            return f"{event.queue}: {_message_text(event.message, width)}"
        case MessageUpdate(delta=delta) if delta:
            return f"{event.kind}[{event.content_index}] {delta!r}"
        case MessageUpdate():
            return " ".join([f"{event.kind}[{event.content_index}]", *([event.name] if event.name else [])])
        case MessageEnd(message=AssistantMessage() as message):
            closed = f"interrupted ({event.interrupted}) " if event.interrupted is not None else ""
            return closed + _message_text(message, width)
        case MessageAdopt():
            return f"{message_role(event.message)}: {_message_text(event.message, width)}"
        case ContextEdit(replacement=None):
            return f"hides {event.message_seq}"
        case ContextEdit(replacement=replacement) if replacement is not None:
            return f"replaces {event.message_seq}: {_message_text(replacement, width)}"
        case ToolExecutionStart():
            return shorten(" ".join(_started(event)), width)
        case ToolExecutionUpdate():
            return f"{event.message_seq}.{event.content_index} {result_text(event.partial, width)}"
        case ToolExecutionEnd():
            text = result_text(event.result, width) if event.result is not None else event.decided
            return f"{event.message_seq}.{event.content_index} {'error: ' if event.is_error else ''}{text}"
        case ConfigChange():
            return ", ".join(_changed(event, width))
        case _:
            return shorten(" ".join(_fields(event)), width)


def message_role(message: Message) -> str:
    """Return the role of a message."""
    return str(message.__struct_config__.tag)


def result_text(result: ToolResult, width: int) -> str:
    """Return a tool's result, in one line."""
    return shorten(text_of(ToolResultMessage(tool_call_id="", tool_name="", content=result.content)), width)


def _message_text(message: Message, width: int) -> str:
    words = [shorten(text_of(message), width)] if text_of(message) else []
    if isinstance(message, AssistantMessage):
        words += [f"→ {call.name} {shorten(call.arguments, width // 2)}".rstrip() for call in message.tool_calls]
        if message.stop_reason not in ("stop", "tool_use"):
            words.append(f"({message.stop_reason}{f': {shorten(message.error, width)}' if message.error else ''})")
    return "  ".join(words) or "(nothing)"


def _started(event: ToolExecutionStart) -> Iterator[str]:
    yield f"{event.message_seq}.{event.content_index} {event.name}"
    if event.attempt > 1:
        yield f"attempt {event.attempt}"
    if event.arguments is not None:
        yield f"with {event.arguments}"
    if event.refused is not None:
        yield f"refused: {event.refused}"


def _changed(event: ConfigChange, width: int) -> Iterator[str]:
    if event.model is not None:
        yield f"model {event.model.provider}:{event.model.model}"
    if event.system_prompt is not None:
        yield f"system {shorten(event.system_prompt, width // 2)!r}"
    if event.tools is not None:
        yield count(len(event.tools), "tool")
    for name in ("options", "policies"):
        value = getattr(event, name)
        if value is not None and not isinstance(value, msgspec.UnsetType):
            yield f"{name} {shorten(msgspec.json.encode(value).decode(), width // 2)}"


def _fields(event: Event) -> Iterator[str]:
    """List the fields that differ from their defaults."""
    given: dict[str, object] = msgspec.json.decode(msgspec.json.encode(event))
    for name, value in given.items():
        if name == "request_sha256" or name == "body_sha256":
            yield f"{name.partition('_')[0]} {str(value)[:12]}…"
        elif isinstance(value, dict) and value.keys() == {"message_seq", "content_index"}:
            yield f"{name} {value['message_seq']}.{value['content_index']}"
        elif name != "type":
            yield f"{name}={value if isinstance(value, str | int) else msgspec.json.encode(value).decode()}"


def print_event(screen: Screen, recorded: Recorded, width: int, *, room: int = 200, session: str = "") -> None:
    """Print an event on one line, which on a terminal it does not leave; `session`: whose it is, where that is said."""
    kind = recorded.event.type
    room = max(min(screen.width - width - 42 - len(session), room), 20)
    text = event_text(recorded.event, width=room)
    style = "dim" if kind.endswith("_update") else ""
    stamp = time_of_day(recorded.at_us)
    place = f"{recorded.seq:>{width}}  {stamp}  {f'{session}  ' if session else ''}"
    screen.cut_line((place, "dim"), (f"{kind:<22}  ", style or "cyan"), (text, style))

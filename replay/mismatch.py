"""The first difference between a re-execution and its recording, and its text for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from typing import Literal

import msgspec

from eventsource.events import ToolExecutionEnd, ToolResult
from eventsource.messages import AssistantMessage, CustomMessage, Message, TextContent, ThinkingContent, ToolCall
from eventsource.request import Request
from projections.transcript import text_of

from .diff_text import canonical
from .recorded_answers import RecordedCall

_MOST_LINES = 60
"""Lines of one difference that are shown; more of them say no more."""


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that today's code asks and the recording does not answer.

    request: a model call, `missing`: a recorded one that is not made. call: a tool call. result: a tool that really ran
    said something else. run: a recorded run does not begin, or waits. `seq` is the recording's (0: nothing there
    corresponds), `head` that of the re-execution. `lines`: the difference, `-` recorded, `+` today.
    """

    kind: Literal["request", "missing", "call", "result", "run"]
    seq: int
    head: int
    problem: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it for a person."""
        return "\n".join([self.problem, *(f"    {line}" for line in self.lines)])


def request_lines(recorded: Request, found: Request) -> tuple[str, ...]:
    """Compare two requests part by part; of the messages, the first that differs and how many follow."""
    return tuple(_request_lines(recorded, found))


def call_lines(recorded: RecordedCall | None, name: str, arguments: str) -> tuple[str, ...]:
    """Compare a call with the recorded one that is most like it."""
    was = f"{recorded.name}\n{_pretty(recorded.arguments)}" if recorded is not None else ""
    return text_lines(was, f"{name}\n{_pretty(arguments)}")


def result_lines(recorded: ToolExecutionEnd, found: ToolResult, *, is_error: bool) -> tuple[str, ...]:
    """Compare what a tool said with what it had said."""
    return text_lines(
        _result(recorded.result or ToolResult(), is_error=recorded.is_error), _result(found, is_error=is_error)
    )


def _result(result: ToolResult, *, is_error: bool) -> str:
    texts = [block.text if isinstance(block, TextContent) else _json(block) for block in result.content]
    details = [] if isinstance(result.details, msgspec.UnsetType) else [f"details {_json(result.details)}"]
    ends = ["ends the run"] if result.terminate else []
    return "\n".join([*(["[an error]"] if is_error else []), *texts, *details, *ends])


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), indent=1, sort_keys=True, ensure_ascii=False)
    except ValueError:
        return arguments


def _request_lines(recorded: Request, found: Request) -> Iterator[str]:
    yield from _part("model", _json(recorded.model), _json(found.model))
    yield from _part("system prompt", recorded.system_prompt, found.system_prompt)
    was = {tool.name: tool for tool in recorded.tools}
    now = {tool.name: tool for tool in found.tools}
    for name in [*was, *(name for name in now if name not in was)]:
        texts = [
            "" if tool is None else f"{tool.description}\n{_json(tool.schema)}"
            for tool in (was.get(name), now.get(name))
        ]
        change = "" if name in was and name in now else " is new" if name in now else " is gone"
        yield from _part(f"tool {name}{change}", *texts)
    if list(was) != list(now) and set(was) == set(now):
        yield from _part("order of the tools", "\n".join(was), "\n".join(now))
    yield from _part("options", _json(recorded.options or {}), _json(found.options or {}))
    yield from _messages(recorded.messages, found.messages)


def _messages(recorded: Sequence[Message], found: Sequence[Message]) -> Iterator[str]:
    pairs = zip(recorded, found, strict=False)
    first = next((place for place, (one, two) in enumerate(pairs) if one != two), min(len(recorded), len(found)))
    if first == len(recorded) == len(found):
        return
    yield f"message {first + 1} (of {len(recorded)} recorded, {len(found)} today):"
    was, now = (list(map(_message, messages[first : first + 1])) for messages in (recorded, found))
    if was == now:
        was, now = (list(map(_json, messages[first : first + 1])) for messages in (recorded, found))
    yield from text_lines("\n".join(was), "\n".join(now))


def _message(message: Message) -> str:
    """Write a message as a person reads it."""
    role = message.kind if isinstance(message, CustomMessage) else str(message.__struct_config__.tag)
    lines = [f"{role}: {text_of(message)}"]
    if isinstance(message, AssistantMessage):
        lines += [f"(thinks) {block.thinking}" for block in message.content if isinstance(block, ThinkingContent)]
        calls = (block for block in message.content if isinstance(block, ToolCall))
        lines += [f"calls {call.name}({canonical(call.arguments)})" for call in calls]
    return "\n".join(lines)


def _part(name: str, recorded: str, found: str) -> Iterator[str]:
    if recorded != found:
        yield f"{name}:"
        yield from text_lines(recorded, found)


def text_lines(recorded: str, found: str) -> tuple[str, ...]:
    """Compare two texts line by line."""
    lines = unified_diff(recorded.splitlines(), found.splitlines(), lineterm="", n=1)
    shown = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    more = len(shown) - _MOST_LINES
    return tuple(shown) if more <= 0 else (*shown[:_MOST_LINES], f"… {more} more lines")


def _json(value: object) -> str:
    return json.dumps(json.loads(msgspec.json.encode(value)), indent=1, ensure_ascii=False)

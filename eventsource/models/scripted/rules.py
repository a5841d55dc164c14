"""Rules: answers that are given for what a request says, not for where its conversation stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec

from ...codec import read_object, to_json
from ...messages import AssistantMessage, TextContent, ToolResultMessage, UserMessage
from ...request import Request
from ..wire import inner, text_of
from .script import Answer

_SCHEMAS = (("response_format",), ("text", "format"), ("output_format",))  # OpenAI's two protocols, older Anthropic
_GOOGLE_SCHEMAS = ("responseJsonSchema", "responseSchema")


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request must say; of what is None here it may say anything, the rest must hold all at once.

    said: a part of a text since the last answer: a prompt's, a tool result's. system: a part of the system prompt.
    tool: the name of a tool that is offered. schema: a part of the JSON Schema, written as JSON, that the answer must
    follow; empty for any.
    """

    said: str | None = None
    system: str | None = None
    tool: str | None = None
    schema: str | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to every request that says something; one that leaves nothing in a context is given once."""

    when: When
    answer: Answer


ScriptEntry: TypeAlias = Answer | Rule


def rule(
    answer: Answer,
    *,
    said: str | None = None,
    system: str | None = None,
    tool: str | None = None,
    schema: str | None = None,
) -> Rule:
    """Make a rule: `rule("Rain in Oslo", system="write a title")` answers whatever has that in its system prompt.

    Args:
        answer: an answer, as `scripted` takes it.
        said: a part of a text since the last answer: a prompt's, or a tool result's.
        system: a part of the system prompt.
        tool: the name of a tool that is offered.
        schema: a part of the JSON Schema, written as JSON, that the answer must follow; empty for any.
    """
    return Rule(when=When(said=said, system=system, tool=tool, schema=schema), answer=answer)


def fits(when: When, request: Request) -> bool:
    """Whether a request says all that a rule wants."""
    return (
        (when.said is None or any(when.said in text for text in said_since(request)))
        and (when.system is None or when.system in request.system_prompt)
        and (when.tool is None or when.tool in _offered(request))
        and (when.schema is None or any(when.schema in text for text in _schemas(request)))
    )


def said_since(request: Request) -> list[str]:
    """List the texts since the last answer: of prompts and of tool results, in order.

    An answer at the very end of a request is the beginning of the next one (a prefill), not the last.
    """
    messages = list(request.messages)
    while messages and isinstance(messages[-1], AssistantMessage):
        messages.pop()
    begin = max((n for n, message in enumerate(messages, 1) if isinstance(message, AssistantMessage)), default=0)
    texts = list[str]()
    for message in messages[begin:]:
        match message:
            case UserMessage(content=str() as text):
                texts.append(text)
            case UserMessage() | ToolResultMessage():
                texts += [part.text for part in message.content if isinstance(part, TextContent)]
            case _:
                pass
    return texts


def _offered(request: Request) -> Iterator[str]:
    """Name the tools: functions, and what a protocol has beside them, by name or kind."""
    yield from (tool.name for tool in request.tools)
    others = _own_words(request).get("tools")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, dict):
            name = text_of(other, "name") or text_of(other, "type")
            yield from [name] if name else other


def _schemas(request: Request) -> Iterator[str]:
    """Write the schema that is asked for, wherever the request's protocol has it."""
    asked = read_object(request.options).get("output_schema")
    if asked is not None:
        yield _written(asked)
    extra = _own_words(request)
    for place in _SCHEMAS:
        format_ = extra
        for name in place:
            format_ = inner(format_, name)
        if format_.get("type") == "json_schema":
            yield _written(format_)
    config = inner(extra, "generationConfig")
    yield from (_written(config[name]) for name in _GOOGLE_SCHEMAS if name in config)


def _own_words(request: Request) -> Mapping[str, object]:
    """Return what of a request has no neutral name."""
    return inner(read_object(request.options), "extra_body")


def _written(schema: object) -> str:
    return bytes(to_json(schema)).decode()

"""The protocol `anthropic-messages` as a server speaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from eventsource.codec import clean_text, read_object, to_json
from eventsource.events import MessageUpdate, ModelRef, ToolSpec
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from eventsource.models.anthropic import assistant_blocks
from eventsource.models.anthropic_reader import API
from eventsource.models.wire import inner, text_of
from eventsource.request import Request

from .protocol import (
    STATUS_KINDS,
    Asked,
    Form,
    JsonObject,
    Spelled,
    as_json,
    foreign_part,
    objects,
    rest_of,
    server_sent,
    string,
    without,
)

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPS: Mapping[StopReason, str] = {
    "stop": "end_turn",
    "tool_use": "tool_use",
    "length": "max_tokens",
    "pause": "pause_turn",
    "refusal": "refusal",
}
_SIGNATURE = "unsigned"  # what has none is signed too: without one, clients take reasoning for another provider's


class AnthropicWire:
    """Requests to /v1/messages, and their answers."""

    api = API

    def read(self, path: str, body: Mapping[str, object], provider: str) -> Asked:
        """Read a request. See `wire.Wire`."""
        form: Form = "events" if body.get("stream") is True else "whole"
        return Asked(request=read_request(body, provider), form=form)

    def answerer(self, asked: Asked, expected: AssistantMessage) -> AnthropicAnswerer:
        """Begin to write an answer."""
        return AnthropicAnswerer(asked, expected)

    def whole(self, asked: Asked, message: AssistantMessage) -> JsonObject:
        """Write an answer as one object."""
        return {
            **_message(asked, message),
            "content": [block for part in message.content for block in _blocks(part)],
            **_stop(message),
            "usage": _usage(message.usage),
            **read_object(message.raw),
        }

    def error(self, status: int, message: str) -> JsonObject:
        """Write the body of an HTTP error."""
        return {"type": "error", "error": {"type": STATUS_KINDS.get(status, "api_error"), "message": message}}

    def frame(self, objects: Sequence[JsonObject], form: Form, *, first: bool) -> bytes:
        """Write a piece of a stream."""
        return server_sent(objects, named=True)

    def closing(self, form: Form) -> bytes:
        """Write nothing: `message_stop` was the end."""
        return b""


class AnthropicAnswerer:
    """Writes one streamed answer."""

    def __init__(self, asked: Asked, expected: AssistantMessage) -> None:
        self._asked, self._expected = asked, expected
        self._arguments: dict[int, Spelled] = {}

    def start(self) -> list[JsonObject]:
        """Begin the answer."""
        usage = {**_usage(self._expected.usage), "output_tokens": 1}
        message = {**_message(self._asked, self._expected), "content": [], "stop_reason": None, "stop_sequence": None}
        return [{"type": "message_start", "message": {**message, "usage": usage}}]

    def update(self, update: MessageUpdate) -> list[JsonObject]:
        """Write a delta, or the beginning or end of a block."""
        index, block = update.content_index, self._expected.content[update.content_index]
        delta: JsonObject | None = None
        match update.kind:
            case "text_start" | "thinking_start" | "tool_call_start" | "provider_block":
                began: JsonObject = {
                    "type": "content_block_start",
                    "index": index,
                    "content_block": self._begun(index, block),
                }
                return [began, *([_stopped(index)] if update.kind == "provider_block" else [])]
            case "text_delta":
                delta = {"type": "text_delta", "text": update.delta}
            case "thinking_delta":
                delta = {"type": "thinking_delta", "thinking": update.delta}
            case "tool_call_delta":
                delta = {"type": "input_json_delta", "partial_json": self._arguments[index].add(update.delta)}
            case _:
                return [*self._rest(index, block), _stopped(index)]
        return [_delta(index, delta)]

    def end(self, message: AssistantMessage) -> list[JsonObject]:
        """End the answer."""
        if message.stop_reason in ("error", "aborted"):
            return [{"type": "error", "error": {"type": "api_error", "message": message.error}}]
        ended: JsonObject = {
            "type": "message_delta",
            "delta": {**_stop(message), **read_object(message.raw)},
            "usage": _usage(message.usage),
        }
        return [ended, {"type": "message_stop"}]

    def _begun(self, index: int, block: AssistantContent) -> JsonObject:
        """Write a block as it begins: what deltas do not say stands there."""
        match block:
            case TextContent(raw=raw):
                return {"type": "text", "text": "", **read_object(raw)}
            case ThinkingContent(redacted=False):
                return {"type": "thinking", "thinking": "", "signature": "", **read_object(block.raw)}
            case ToolCall(id=call_id, name=name, arguments=arguments, raw=raw):
                self._arguments[index] = Spelled(arguments)
                return {"type": "tool_use", "id": call_id, "name": name, "input": {}, **read_object(raw)}
            case _:
                return next(assistant_blocks(block), {})

    def _rest(self, index: int, block: AssistantContent) -> list[JsonObject]:
        if isinstance(block, ToolCall) and (rest := self._arguments[index].rest()):
            return [_delta(index, {"type": "input_json_delta", "partial_json": rest})]
        if isinstance(block, ThinkingContent) and not block.redacted:
            return [_delta(index, {"type": "signature_delta", "signature": block.signature or _SIGNATURE})]
        return []


def _blocks(part: AssistantContent) -> list[JsonObject]:
    if isinstance(part, ThinkingContent) and not part.signature:
        part = replace(part, signature=_SIGNATURE)
    return list(assistant_blocks(part))


def _delta(index: int, delta: JsonObject) -> JsonObject:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _stopped(index: int) -> JsonObject:
    return {"type": "content_block_stop", "index": index}


def _message(asked: Asked, message: AssistantMessage) -> JsonObject:
    model = message.model or asked.request.model.model
    return {"id": message.response_id, "type": "message", "role": "assistant", "model": model}


def _stop(message: AssistantMessage) -> JsonObject:
    return {
        "stop_reason": message.raw_stop_reason or _STOPS.get(message.stop_reason, "end_turn"),
        "stop_sequence": None,
    }


def _usage(usage: Usage | None) -> JsonObject:
    usage = usage or Usage()
    hour = usage.cache_write_1h_tokens
    written = {"ephemeral_5m_input_tokens": usage.cache_write_tokens - hour, "ephemeral_1h_input_tokens": hour}
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        **({"cache_creation": written} if hour else {}),
    }


def read_request(body: Mapping[str, object], provider: str = "anthropic") -> Request:
    """Read a body; what has no neutral name goes to `extra_body`."""
    extra = {name: field for name, field in body.items() if name not in ("model", "system", "messages", "stream")}
    marked = as_json([body.get(name) for name in ("system", "tools", "messages")])
    options: JsonObject = {"cache": "short" if '"cache_control":' in marked else "none"}
    tools = objects(extra.pop("tools", None))
    own = [without(tool) for tool in tools if _is_function(tool)]
    if len(own) < len(tools):
        extra["tools"] = [tool for tool in tools if not _is_function(tool)]
    for theirs, ours in (("max_tokens", "max_tokens"), ("temperature", "temperature"), ("stop_sequences", "stop")):
        if extra.get(theirs) is not None:
            options[ours] = extra.pop(theirs)
    _read_choice(extra, options)
    config = inner(extra, "output_config")
    if "format" in config:
        options["output_schema"] = inner(config, "format").get("schema")
        rest = without(config, "format")
        extra |= {"output_config": rest}
        if not rest:
            extra.pop("output_config")
    options["extra_body"] = extra
    system = body.get("system")
    told = system if isinstance(system, str) else "\n".join(text_of(block, "text") for block in objects(system))
    return Request(
        model=ModelRef(api=API, provider=provider, model=text_of(body, "model")),
        system_prompt=clean_text(told),
        tools=tuple(
            ToolSpec(name=text_of(t, "name"), description=text_of(t, "description"), schema=to_json(t["input_schema"]))
            for t in own
        ),
        options=to_json(options),
        messages=tuple(m for message in objects(body.get("messages")) for m in _messages(message)),
    )


def _is_function(tool: JsonObject) -> bool:
    return "input_schema" in tool and set(without(tool)) <= {"name", "description", "input_schema"}


def _read_choice(extra: JsonObject, options: JsonObject) -> None:
    choice = inner(extra, "tool_choice")
    if not set(choice) <= {"type", "name"}:
        return
    if choice.get("type") == "tool" and choice.get("name"):
        options["tool_choice"] = {"name": choice["name"]}
    elif choice.get("type") in _CHOICES:
        options["tool_choice"] = _CHOICES[text_of(choice, "type")]
    if "tool_choice" in options:
        extra.pop("tool_choice")
        if options["tool_choice"] not in ("auto", "none"):
            options["tool_choice_always"] = True  # a client says it of each call


def _messages(message: JsonObject) -> list[Message]:
    content = message.get("content")
    blocks = objects([{"type": "text", "text": content}] if isinstance(content, str) else content)
    if message.get("role") == "assistant":
        return [AssistantMessage(content=tuple(map(_assistant, blocks)))]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    rest = tuple(_user(block) for block in blocks if block.get("type") != "tool_result")
    role = message.get("role")
    raw = msgspec.UNSET if role == "user" else to_json({"role": role})  # a client's own words have another
    return [*map(_result, results), *([UserMessage(content=rest, raw=raw)] if rest else [])]


def _result(block: JsonObject) -> Message:
    content = block.get("content")
    parts = objects([{"type": "text", "text": content}] if isinstance(content, str) else content)
    return ToolResultMessage(
        tool_call_id=text_of(block, "tool_use_id"),
        tool_name="",
        content=tuple(map(_user, parts)),
        is_error=block.get("is_error") is True,
    )


def _user(block: JsonObject) -> UserContent:
    source = inner(block, "source")
    if block.get("type") == "text":
        more = any(field is not None for field in without(block, "type", "text").values())
        whole = to_json({"part": without(block)}) if more else msgspec.UNSET
        return TextContent(text=clean_text(text_of(block, "text")), raw=whole)
    if block.get("type") == "image" and source.get("type", "base64") == "base64" and source.get("data"):
        return ImageContent(data=text_of(source, "data"), media_type=text_of(source, "media_type"))
    return foreign_part(block)


def _assistant(block: JsonObject) -> AssistantContent:
    match block.get("type"):
        case "text":
            return TextContent(text=clean_text(text_of(block, "text")), raw=rest_of(block, "type", "text"))
        case "thinking":
            return ThinkingContent(
                thinking=clean_text(text_of(block, "thinking")), signature=text_of(block, "signature")
            )
        case "redacted_thinking":
            return ThinkingContent(thinking="", signature=text_of(block, "data"), redacted=True)
        case "tool_use":
            return ToolCall(
                id=text_of(block, "id"),
                name=string(block.get("name")),
                arguments=as_json({} if block.get("input") is None else block["input"]),
                raw=rest_of(block, "type", "id", "name", "input"),
            )
        case _:
            return ProviderContent(api=API, block=to_json(without(block)))

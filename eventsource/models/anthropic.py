"""The protocol `anthropic-messages`: requests to POST /v1/messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypedDict

import msgspec

from ..codec import from_json, read_object, to_json
from ..events import ModelRef, ToolSpec
from ..messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from ..request import Request
from .adapt.history import arguments_object
from .adapt.output_schemas import closed_form
from .adapt.request import adapt_request, recorded_names
from .anthropic_reader import API, AnthropicReader
from .openai.dialects import vendor_of
from .openai.shared import besides
from .options import ModelOptions, NamedTool, merge_body
from .rules import RULES, Limits, Rule, limits_for
from .wire import Reader, inner

_VERSION_HEADER = "2023-06-01"
_BINDING_BETA = "thinking-binding-controls-2026-08-01"
_MAX_TOKENS = 64_000  # the most that an answer may have where nobody says: the protocol wants a number
# These take a number of tokens to think with; every later model takes an effort.
_BUDGETED = re.compile(r"claude-(2|3|instant)|claude-(opus|sonnet|haiku)-4(-0|-1|-5|-2025|$)")
_BUDGET = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768}
_EFFORT = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}
_NO_XHIGH = re.compile(r"-4-6")  # these know `max` above `high`, and nothing between
_MIN_BUDGET = 1_024
_CHOICE = {"auto": "auto", "required": "any", "none": "none"}


class AnthropicMessage(TypedDict):
    """One message as it is written."""

    role: str
    content: list[dict[str, object]]


class AnthropicMessages(msgspec.Struct, frozen=True):
    """Anthropic's own protocol, also spoken by others at their own base URL."""

    rules: tuple[Rule, ...] = RULES

    @property
    def name(self) -> str:
        """The protocol's name."""
        return API

    @property
    def version(self) -> int:
        """Raised whenever the same request gives another body."""
        return 2

    def encode(self, request: Request) -> bytes:
        """Write the body. Raises: ModelOptionsError."""
        kept = adapt_request(request, API, self._limits(request.model))
        request, options, model = kept.request, kept.options, request.model.model
        messages = _messages(request.messages)
        limit = options.max_tokens or kept.limits.most_tokens or _MAX_TOKENS
        body: dict[str, object] = {"model": model, "max_tokens": limit, "messages": messages}
        if request.system_prompt:
            body["system"] = [{"type": "text", "text": request.system_prompt}]
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        body.update(_asked(model, options, limit, checked=kept.limits.schema == "anthropic"))
        enabled = inner(body, "thinking").get("type") == "enabled"
        if enabled and kept.limits.thinking_first and not _may_think(messages):
            del body["thinking"]
        for block in [block for said in messages for block in said["content"]] if kept.limits.own_marks else ():
            block.pop("cache_control", None)
        if kept.limits.bound_thinking:  # such a model always reasons so
            asked = {"type": "adaptive", **inner(body, "thinking")}
            body["thinking"] = {**asked, "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
        body["stream"] = True
        if options.cache != "none":
            _mark_cached(body, {"type": "ephemeral"} | ({"ttl": "1h"} if options.cache == "long" else {}))
        return bytes(to_json(merge_body(body, read_object(options.extra_body))))

    def path(self, model: ModelRef) -> str:
        """The path below the base URL, which has no version in it."""
        return "/v1/messages"

    def headers(self, request: Request, api_key: str) -> Mapping[str, str]:
        """The protocol's version, and the key: an OAuth token goes as a bearer's."""
        named = {"anthropic-version": _VERSION_HEADER}
        betas = [_BINDING_BETA] if self._limits(request.model).bound_thinking else []
        if api_key.startswith("sk-ant-oat"):
            betas.append("oauth-2025-04-20")
            named["authorization"] = f"Bearer {api_key}"
        elif api_key:
            named["x-api-key"] = api_key
        return named | ({"anthropic-beta": ",".join(betas)} if betas else {})

    def reader(self, request: Request) -> Reader:
        """Begin to read the answer to a request."""
        return AnthropicReader(request.model.model, recorded_names(request.tools, self._limits(request.model)))

    def _limits(self, model: ModelRef) -> Limits:
        return limits_for(API, model, vendor_of(model), self.rules)


def _asked(model: str, options: ModelOptions, limit: int, *, checked: bool) -> dict[str, object]:
    """Write the options that were given."""
    body: dict[str, object] = {}
    config: dict[str, object] = {}
    if options.temperature is not None:
        body["temperature"] = options.temperature
    if options.stop:
        body["stop_sequences"] = list(options.stop)
    match options.tool_choice:
        case None:
            pass
        case NamedTool(name=name):
            body["tool_choice"] = {"type": "tool", "name": name}
        case word:
            body["tool_choice"] = {"type": _CHOICE[word]}
    if options.thinking not in (None, "off"):
        if _BUDGETED.search(model) and limit <= _MIN_BUDGET:
            pass  # there is no room for the fewest tokens it may be given to think with
        elif _BUDGETED.search(model):
            budget = min(_BUDGET[options.thinking], max(_MIN_BUDGET, limit - _MIN_BUDGET))
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        else:
            # later models keep their reasoning to themselves unless asked for its summary
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
            effort = _EFFORT[options.thinking]
            config["effort"] = "max" if effort == "xhigh" and _NO_XHIGH.search(model) else effort
    if not isinstance(options.output_schema, msgspec.UnsetType):
        schema = from_json(options.output_schema)
        config["format"] = {"type": "json_schema", "schema": closed_form(schema) if checked else schema}
    return body | ({"output_config": config} if config else {})


def _tool(tool: ToolSpec) -> dict[str, object]:
    schema = dict(read_object(tool.schema))
    schema.setdefault("type", "object")
    return {"name": tool.name, "description": tool.description, "input_schema": schema}


def _messages(history: tuple[Message, ...]) -> list[AnthropicMessage]:
    """Write the history; results that follow each other are one message, as parallel calls want it."""
    messages: list[AnthropicMessage] = []
    results: list[dict[str, object]] = []
    for message in history:
        if isinstance(message, ToolResultMessage):
            if not results:
                messages.append({"role": "user", "content": results})
            results.append(_result(message))
            continue
        results = []
        match message:
            case UserMessage(content=content):
                parts = (TextContent(text=content),) if isinstance(content, str) else content
                blocks, role = [_user_block(part) for part in parts], "user"
            case AssistantMessage(content=parts):
                blocks, role = [block for part in parts for block in assistant_blocks(part)], "assistant"
            case _:
                continue
        messages.append({"role": role, "content": blocks})
    return messages


def _may_think(messages: list[AnthropicMessage]) -> bool:
    """Return whether a model that is given tokens to think with may think: not within a turn that began without."""
    first: AnthropicMessage | None = None
    for message in reversed(messages):
        if message["role"] == "assistant":
            first = message
        elif any(block.get("type") != "tool_result" for block in message["content"]):
            break
    return first is None or str(first["content"][0].get("type")).endswith("thinking")


def _user_block(part: UserContent) -> dict[str, object]:
    match part:
        case TextContent(text=text):
            return {"type": "text", "text": text}
        case ImageContent(data=data, media_type=media_type):
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _result(message: ToolResultMessage) -> dict[str, object]:
    content = [_user_block(part) for part in message.content]
    said = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}
    return said | ({"is_error": True} if message.is_error else {})


def assistant_blocks(part: AssistantContent) -> Iterator[dict[str, object]]:
    """Write what a model said as the block it was."""
    block: dict[str, object]
    match part:
        case TextContent(text=text, raw=raw):
            block = {"type": "text", "text": text}
            yield {**block, **besides(read_object(raw), block)}
        case ThinkingContent(redacted=True, signature=data):
            yield {"type": "redacted_thinking", "data": data}
        case ThinkingContent(thinking=thinking, signature=signature, raw=raw):
            block = {"type": "thinking", "thinking": thinking, "signature": signature}
            yield {**block, **besides(read_object(raw), block)}
        case ToolCall(id=call_id, name=name, arguments=arguments, raw=raw):
            block = {"type": "tool_use", "id": call_id, "name": name, "input": arguments_object(arguments)}
            yield {**block, **besides(read_object(raw), block)}
        case ProviderContent(block=own):
            yield dict(read_object(own))


def _mark_cached(body: dict[str, object], control: dict[str, str]) -> None:
    """Let the provider keep what comes before the last tool, the prompt's end and the last two messages of the user's.

    Four marks are allowed. The one before the last finds what the request before has written.
    """
    places = [body.get("tools"), body.get("system")]
    messages = body["messages"]
    if isinstance(messages, list):
        places += [message["content"] for message in messages if message["role"] == "user"][-2:]
    for blocks in places:
        if isinstance(blocks, list) and blocks:
            blocks[-1] = {**blocks[-1], "cache_control": control}

"""The protocol `openai-completions`: Chat Completions of OpenAI and of everyone who speaks like it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from ...codec import from_json, read_object, to_json
from ...events import ModelRef, ToolSpec
from ...messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from ...request import Request
from ..adapt.output_schemas import with_schema_words
from ..adapt.request import adapt_request, recorded_names
from ..options import ModelOptions, NamedTool, merge_body
from ..rules import RULES, Limits, Rule, limits_for
from ..wire import Reader
from .chat_reader import CONTENT, CUSTOM, REASONING_FIELDS, REFUSAL, ChunkReader
from .dialects import Dialect, dialect_of, thinking_fields, vendor_of
from .shared import (
    besides,
    custom_fields,
    custom_input,
    image_url,
    is_custom,
    is_object_schema,
    plain_text,
    schema_format,
    sent_arguments,
    tool_fields,
    with_text,
)

API = "openai-completions"
_CALL = dict.fromkeys(("custom", "function", "id", "type"))


class OpenAICompletions:
    """The codec. How a vendor differs from the others is data, found by provider or base URL (`dialects.py`)."""

    name = API
    version = 3

    def __init__(self, rules: tuple[Rule, ...] = RULES) -> None:
        self._rules = rules

    def encode(self, request: Request) -> bytes:
        """Write the body. See `wire.Codec`."""
        dialect, limits = dialect_of(request.model), self._limits(request.model)
        if limits.reasoning == "any" and not dialect.reasoning:  # no field for reasoning that came without one
            limits = msgspec.structs.replace(limits, reasoning="signed")
        kept = adapt_request(request, API, limits)
        request, options = kept.request, kept.options
        body: dict[str, object] = {
            "model": request.model.model,
            "messages": _messages(request, options, dialect, plain=kept.limits.plain_texts),
            "stream": True,
        }
        if dialect.ask_usage:
            body["stream_options"] = {"include_usage": True}
        if request.tools:
            body["tools"] = [_tool(tool, dialect) for tool in request.tools]
        fields = _option_fields(request.model, options, dialect, checked=limits.schema == "openai")
        if isinstance(options.tool_choice, NamedTool) and is_custom(options.tool_choice.name, request.tools):
            fields["tool_choice"] = {"type": "custom", "custom": {"name": options.tool_choice.name}}
        body = merge_body(body, {**dialect.body, **fields})
        return bytes(to_json(merge_body(body, read_object(options.extra_body)), where="request"))

    def path(self, model: ModelRef) -> str:
        """The path below the base URL."""
        return "/chat/completions"

    def headers(self, request: Request, api_key: str) -> Mapping[str, str]:
        """The headers, the key's included."""
        if not api_key:
            return {}
        own = dialect_of(request.model).key_header
        return {own: api_key} if own else {"authorization": f"Bearer {api_key}"}

    def reader(self, request: Request) -> Reader:
        """Begin to read the answer."""
        return ChunkReader(request.model.model, recorded_names(request.tools, self._limits(request.model)))

    def _limits(self, model: ModelRef) -> Limits:
        return limits_for(API, model, vendor_of(model), self._rules)


def _option_fields(model: ModelRef, options: ModelOptions, dialect: Dialect, *, checked: bool) -> dict[str, object]:
    fields: dict[str, object] = {}
    if options.temperature is not None:
        fields["temperature"] = options.temperature
    if options.max_tokens is not None:
        fields[dialect.max_tokens] = options.max_tokens
    if options.stop:
        fields["stop"] = list(options.stop)
    if isinstance(options.tool_choice, NamedTool):
        fields["tool_choice"] = {"type": "function", "function": {"name": options.tool_choice.name}}
    elif options.tool_choice is not None:
        fields["tool_choice"] = options.tool_choice
    if is_object_schema(schema := from_json(options.output_schema)):
        written = {"json_schema": schema_format(options.output_name, schema, strict=dialect.strict, checked=checked)}
        fields["response_format"] = (
            {"type": "json_schema", **written} if dialect.json_schema else {"type": "json_object"}
        )
    if options.thinking is not None:
        fields.update(thinking_fields(options.thinking, model.model, dialect))
    if options.cache == "long":
        fields.update(dialect.cache_long)
    return fields


def _tool(tool: ToolSpec, dialect: Dialect) -> dict[str, object]:
    custom = custom_fields(tool)
    if custom is not None:
        return {"type": "custom", "custom": custom}
    return {"type": "function", "function": tool_fields(tool, strict=dialect.strict)}


def _messages(request: Request, options: ModelOptions, dialect: Dialect, *, plain: bool) -> list[dict[str, object]]:
    written = _system(request, options, dialect)
    for message in request.messages:
        match message:
            case UserMessage(content=content):
                role = _role(message, request.model, dialect)
                written.append({"role": role, "content": _content(content, plain=plain)})
            case AssistantMessage():
                written.append(_assistant(message, dialect))
            case ToolResultMessage(tool_call_id=call_id, content=content):
                images = [_part(part) for part in content if isinstance(part, ImageContent)]
                text: object = [*map(_part, content)] if images else plain_text(content)
                written.append({"role": "tool", "content": text, "tool_call_id": call_id})
            case CustomMessage():
                pass
    if options.cache != "none" and dialect.cached and re.search(dialect.cached, request.model.model):
        _mark(written, {"type": "ephemeral"} if options.cache == "short" else {"type": "ephemeral", "ttl": "1h"})
    return written


def _system(request: Request, options: ModelOptions, dialect: Dialect) -> list[dict[str, object]]:
    """Write the prompt, and with it the schema that the server takes in no other form."""
    system, schema = request.system_prompt, from_json(options.output_schema)
    if schema is not None and not (dialect.json_schema and is_object_schema(schema)):
        system = with_schema_words(system, schema)
    if not system:
        return []
    return [{"role": _program_role(request.model, dialect), "content": system}]


def _program_role(model: ModelRef, dialect: Dialect) -> str:
    """Return in whose name a program tells a model what to do."""
    return "developer" if dialect.developer and re.search(dialect.developer, model.model) else "system"


def _role(message: UserMessage, model: ModelRef, dialect: Dialect) -> str:
    """Return in whose name a message is sent: what a program said in its own is not the user's, where OpenAI is told.

    Others refuse a system message behind the first, or one that holds images, as OpenAI does.
    """
    said = message.content if not isinstance(message.content, str) else ()
    own = read_object(message.raw).get("role") in ("developer", "system")
    texts = all(isinstance(part, TextContent) for part in said)
    return _program_role(model, dialect) if own and texts and dialect.developer else "user"


def _content(content: str | Sequence[UserContent], *, plain: bool) -> object:
    if isinstance(content, str):
        return content
    if (plain or len(content) == 1) and all(isinstance(part, TextContent) for part in content):
        return plain_text(content)
    return [_part(part) for part in content]


def _part(part: UserContent) -> dict[str, object]:
    if isinstance(part, TextContent):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": image_url(part)}}


def _assistant(message: AssistantMessage, dialect: Dialect) -> dict[str, object]:
    said = [block for block in message.content if isinstance(block, TextContent)]
    text = "".join(block.text for block in said if block.signature != REFUSAL)
    refusal = "".join(block.text for block in said if block.signature == REFUSAL)
    written: dict[str, object] = {"role": "assistant", "content": text or None}
    if refusal:
        written["refusal"] = refusal
    calls = [_call(call) for call in message.tool_calls]
    if calls:
        written["tool_calls"] = calls
    elif not refusal:
        written["content"] = text
    for block in message.content:
        if isinstance(block, ThinkingContent):
            _add_thinking(written, block, dialect)
    if calls and dialect.needs_reasoning and not written.get(dialect.reasoning):
        # from another model: the server wants the field, and takes an empty one for none
        written[dialect.reasoning] = " "
    return written


def _add_thinking(written: dict[str, object], block: ThinkingContent, dialect: Dialect) -> None:
    """Send reasoning back where it came from: its field, the structured details, or a part of the content."""
    details = _details(block)
    if details is not None:
        kept = written.get("reasoning_details")
        written["reasoning_details"] = (kept if isinstance(kept, list) else []) + details
        return
    field = block.signature if block.signature in (*REASONING_FIELDS, CONTENT) else dialect.reasoning
    if field == CONTENT:
        part = {"type": "thinking", "thinking": [{"type": "text", "text": block.thinking}], "closed": True}
        content = written["content"]
        rest = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        written["content"] = [part, *rest]
    elif field:
        before = written.get(field)
        written[field] = (before if isinstance(before, str) else "") + block.thinking


def _details(block: ThinkingContent) -> list[object] | None:
    try:
        parts = json.loads(block.signature) if block.signature.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return with_text(parts, block.thinking, ("reasoning.text",)) if isinstance(parts, list) else None


def _call(call: ToolCall) -> dict[str, object]:
    """Write a call, with the fields of the server's own that must come back (Gemini's signatures)."""
    written: dict[str, object] = {**besides(read_object(call.raw), _CALL), "id": call.id, "type": "function"}
    if call.signature == CUSTOM:
        written |= {"type": "custom", "custom": {"name": call.name, "input": custom_input(call.arguments)}}
    else:
        written["function"] = {"name": call.name, "arguments": sent_arguments(call.arguments)}
    return written


def _mark(written: list[dict[str, object]], mark: Mapping[str, object]) -> None:
    """Mark the ends of the prompt and of the last message, up to which the server caches."""
    prompt = [message for message in written[:1] if message["role"] in ("system", "developer")]
    last_said = [message for message in written if message["role"] in ("user", "tool")][-1:]
    for message in [*prompt, *last_said]:
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        last = parts[-1] if parts else None
        if isinstance(last, dict) and last.get("type") == "text" and last.get("text"):
            message["content"] = [*parts[:-1], {**last, "cache_control": mark}]

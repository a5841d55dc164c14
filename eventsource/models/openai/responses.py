"""The protocol `openai-responses`: OpenAI's Responses API, stateless, and those who speak like it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from ...codec import from_json, read_object, to_json
from ...events import ModelRef, ToolSpec
from ...messages import (
    AssistantMessage,
    CustomMessage,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from ...request import Request
from ..adapt.output_schemas import with_schema_words
from ..adapt.reasoning import signed_fields
from ..adapt.request import adapt_request, recorded_names, wire_names
from ..options import ModelOptions, ModelOptionsError, NamedTool, merge_body, read_options
from ..rules import RULES, Limits, Rule, limits_for
from ..wire import Reader
from .dialects import Dialect, dialect_of, effort, vendor_of
from .responses_reader import API, ItemReader
from .shared import (
    custom_fields,
    custom_input,
    image_url,
    is_custom,
    is_object_schema,
    schema_format,
    sent_arguments,
    tool_fields,
    with_text,
)

_ID_CHARS = 64  # the longest id the API takes; a longer one (GitHub Copilot's) means nothing to it and is left out
_TEXT_TYPES = ("reasoning_text", "summary_text", "text")
_ENCRYPTED = "reasoning.encrypted_content"


class OpenAIResponses:
    """The codec. Nothing is stored at the server: every item goes back as it came."""

    name = API
    version = 3

    def __init__(self, rules: tuple[Rule, ...] = RULES) -> None:
        self._rules = rules

    def encode(self, request: Request) -> bytes:
        """Write the body. See `wire.Codec`."""
        options, dialect = read_options(request.options), dialect_of(request.model)
        if options.stop:
            raise ModelOptionsError(f"{API} knows no stop sequences")
        extra = read_object(options.extra_body)
        stateless = extra.get("store") is not True
        limits = self._limits(request.model)
        if not stateless:  # the server knows what it stored
            limits = msgspec.structs.replace(limits, reasoning="signed", ids_need_reasoning=False)
        kept = adapt_request(request, API, limits)
        request, options = kept.request, kept.options
        body: dict[str, object] = {
            "model": request.model.model,
            "input": _input(request),
            "stream": True,
            "store": False,
        }
        instructions, schema = request.system_prompt, from_json(options.output_schema)
        if schema is not None and not is_object_schema(schema):
            instructions = with_schema_words(instructions, schema)
        if instructions:
            body["instructions"] = instructions
        if stateless and _may_reason(request.model, dialect):
            body["include"] = [_ENCRYPTED]
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        body.update(_option_fields(request.model, options, dialect, checked=limits.schema == "openai"))
        if isinstance(options.tool_choice, NamedTool) and is_custom(options.tool_choice.name, request.tools):
            body["tool_choice"] = {"type": "custom", "name": options.tool_choice.name}
        return bytes(to_json(merge_body(body, extra), where="request"))

    def path(self, model: ModelRef) -> str:
        """The path below the base URL."""
        return "/responses"

    def headers(self, request: Request, api_key: str) -> Mapping[str, str]:
        """The headers, the key's included."""
        if not api_key:
            return {}
        own = dialect_of(request.model).key_header
        return {own: api_key} if own else {"authorization": f"Bearer {api_key}"}

    def reader(self, request: Request) -> Reader:
        """Begin to read the answer."""
        limits = self._limits(request.model)
        names = wire_names(request.tools, limits).values()
        return ItemReader(request.model.model, names, recorded_names(request.tools, limits))

    def _limits(self, model: ModelRef) -> Limits:
        return limits_for(API, model, vendor_of(model), self._rules)


def _may_reason(model: ModelRef, dialect: Dialect) -> bool:
    """Return whether to ask for reasoning in the form in which it can go back."""
    return bool(dialect.encrypts) and re.search(dialect.encrypts, model.model) is not None


def _option_fields(model: ModelRef, options: ModelOptions, dialect: Dialect, *, checked: bool) -> dict[str, object]:
    fields: dict[str, object] = {}
    if options.temperature is not None:
        fields["temperature"] = options.temperature
    if options.max_tokens is not None:
        fields["max_output_tokens"] = options.max_tokens
    if isinstance(options.tool_choice, NamedTool):
        fields["tool_choice"] = {"type": "function", "name": options.tool_choice.name}
    elif options.tool_choice is not None:
        fields["tool_choice"] = options.tool_choice
    if is_object_schema(schema := from_json(options.output_schema)):
        written = schema_format(options.output_name, schema, strict=True, checked=checked)
        fields["text"] = {"format": {"type": "json_schema", **written}}
    if options.thinking is not None and (word := effort(options.thinking, model.model, dialect.efforts)):
        fields["reasoning"] = {"effort": word} if word == "none" else {"effort": word, "summary": "auto"}
    if options.cache == "long":
        fields.update(dialect.cache_long)
    return fields


def _tool(tool: ToolSpec) -> dict[str, object]:
    custom = custom_fields(tool)
    if custom is not None:
        return {"type": "custom", **custom}
    return {"type": "function", **tool_fields(tool, strict=True, say_loose=True)}


def _role(message: UserMessage) -> str:
    """Return in whose name a message is sent: what a program said in its own is not the user's."""
    role = read_object(message.raw).get("role")
    return role if role in ("developer", "system") else "user"


def _input(request: Request) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    custom: set[str] = set()
    for message in request.messages:
        match message:
            case UserMessage(content=content):
                items.append({"role": _role(message), "content": _content(content)})
            case AssistantMessage():
                own = message_items(message)
                custom |= {str(item.get("call_id")) for item in own if item.get("type") == "custom_tool_call"}
                items += own
            case ToolResultMessage(tool_call_id=call_id, content=content):
                kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
                items.append({"type": kind, "call_id": call_id, "output": _output(content)})
            case CustomMessage():
                pass
    return items


def _content(content: str | Sequence[UserContent]) -> object:
    if isinstance(content, str):
        return content
    if len(content) == 1 and isinstance(content[0], TextContent):
        return content[0].text
    return [_part(part) for part in content]


def _output(content: Sequence[UserContent]) -> object:
    texts = [part.text for part in content if isinstance(part, TextContent)]
    return "\n".join(texts) if len(texts) == len(content) else [_part(part) for part in content]


def _part(part: UserContent) -> dict[str, object]:
    if isinstance(part, TextContent):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": image_url(part)}


def message_items(message: AssistantMessage) -> list[dict[str, object]]:
    """Write a message as the items it came in."""
    items: list[dict[str, object]] = []
    for block in message.content:
        match block:
            case TextContent():
                _add_text(items, block)
            case ThinkingContent():
                items.append(_reasoning(block))
            case ToolCall():
                items.append(_call(block))
            case ProviderContent(block=raw):
                items.append(dict(read_object(raw)))
    return items


def _add_text(items: list[dict[str, object]], block: TextContent) -> None:
    """Write a text as a message, or as a further part of the message before it when both have the same id."""
    signed = _signed(block.signature)
    if not signed:
        items.append({"role": "assistant", "content": block.text})
        return
    refusal = signed.pop("type", "") == "refusal"
    rest = {k: v for k, v in read_object(block.raw).items() if k != "logprobs"}
    part = {"type": "output_text", "text": block.text, "annotations": [], **rest}
    part = {"type": "refusal", "refusal": block.text} if refusal else part
    before = items[-1] if items else {}
    parts = before.get("content")
    if signed.get("id") and before.get("id") == signed.get("id") and isinstance(parts, list):
        parts.append(part)
        return
    items.append({"type": "message", "role": "assistant", "status": "completed", **signed, "content": [part]})


def _reasoning(block: ThinkingContent) -> dict[str, object]:
    """Write reasoning as it came."""
    signed = _signed(block.signature)
    item: dict[str, object] = {"summary": [], **signed, "type": "reasoning"}
    for name in ("summary", "content"):
        parts = signed.get(name)
        if isinstance(parts, list):
            item[name] = with_text(parts, block.thinking, _TEXT_TYPES)
    return item


def _call(call: ToolCall) -> dict[str, object]:
    signed = _signed(call.signature)
    if signed.pop("type", "") == "custom_tool_call":
        written = {"type": "custom_tool_call", "name": call.name, "input": custom_input(call.arguments)}
    else:
        written = {"type": "function_call", "name": call.name, "arguments": sent_arguments(call.arguments)}
    return {**written, **signed, "call_id": call.id}


def _signed(signature: str) -> dict[str, object]:
    """Read what an item's other fields were; an id longer than the API takes is left out."""
    signed = signed_fields(signature)
    if len(str(signed.get("id", ""))) > _ID_CHARS:
        signed.pop("id")
    return signed

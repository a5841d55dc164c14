"""The protocol `google-generative-ai`: requests to streamGenerateContent, of the Gemini API and of Vertex."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypedDict
from urllib.parse import quote

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
from .adapt.request import adapt_request, recorded_names
from .google_reader import API, MADE_ID, GoogleReader
from .openai.dialects import vendor_of
from .openai.shared import besides
from .options import ModelOptions, NamedTool, ThinkingLevel, merge_body
from .rules import RULES, Limits, Rule, limits_for
from .wire import Reader, inner

# What Google documents for calls that another model made, which Gemini 3 would refuse without a signature.
_NO_SIGNATURE = "skip_thought_signature_validator"
_OWN = dict.fromkeys(("text", "thought", "thoughtSignature", "functionCall", "functionResponse"))
_CHOICE = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_NEVER_THINKS = re.compile(r"gemini-(1|2\.0)|gemma|embedding")
# Gemini 2.5 takes a number of tokens to think with, later models a level. First pattern found counts.
_BUDGETED: tuple[tuple[re.Pattern[str], dict[ThinkingLevel, int]], ...] = (
    (
        re.compile(r"gemini-2\.5-pro"),
        {"off": 128, "minimal": 128, "low": 2_048, "medium": 8_192, "high": 32_768, "xhigh": 32_768},
    ),
    (
        re.compile(r"gemini-2\.5-flash-lite"),
        {"off": 0, "minimal": 512, "low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 24_576},
    ),
    (
        re.compile(r"gemini-2\.5"),
        {"off": 0, "minimal": 128, "low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 24_576},
    ),
)
_LEVEL: dict[ThinkingLevel, str] = {"off": "minimal", "minimal": "minimal", "xhigh": "high"}
_LEVEL_PRO: dict[ThinkingLevel, str] = {"off": "low", "minimal": "low", "xhigh": "high"}


class GoogleTurn(TypedDict):
    """One turn as it is written."""

    role: str
    parts: list[dict[str, object]]


class GoogleGenerativeAI(msgspec.Struct, frozen=True):
    """Google's own protocol. `bearer`: the key is an OAuth token (Vertex)."""

    bearer: bool = False
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
        contents = _contents(request.messages, kept.limits)
        body: dict[str, object] = {"contents": contents}
        if request.system_prompt and kept.limits.system_in_turn and contents:
            contents[0]["parts"].insert(0, {"text": request.system_prompt})
        elif request.system_prompt:
            body["systemInstruction"] = {"parts": [{"text": request.system_prompt}]}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        match options.tool_choice:
            case None:
                pass
            case NamedTool(name=name):
                body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}}
            case word:
                body["toolConfig"] = {"functionCallingConfig": {"mode": _CHOICE[word]}}
        asked = _asked(model, options)
        if asked:
            body["generationConfig"] = asked
        return bytes(to_json(merge_body(body, read_object(options.extra_body))))

    def path(self, model: ModelRef) -> str:
        """The path below the base URL, which ends with the version (on Vertex: with the publisher)."""
        name = model.model if "/" in model.model else f"models/{model.model}"
        return f"/{quote(name)}:streamGenerateContent?alt=sse"

    def headers(self, request: Request, api_key: str) -> Mapping[str, str]:
        """The key."""
        if not api_key:
            return {}
        return {"authorization": f"Bearer {api_key}"} if self.bearer else {"x-goog-api-key": api_key}

    def reader(self, request: Request) -> Reader:
        """Begin to read the answer to a request."""
        return GoogleReader(request.model.model, recorded_names(request.tools, self._limits(request.model)))

    def _limits(self, model: ModelRef) -> Limits:
        return limits_for(API, model, vendor_of(model), self.rules)


def _asked(model: str, options: ModelOptions) -> dict[str, object]:
    """Write the options that were given. A cache needs no word: Google keeps prompts by itself."""
    config: dict[str, object] = {}
    if options.temperature is not None:
        config["temperature"] = options.temperature
    if options.max_tokens is not None:
        config["maxOutputTokens"] = options.max_tokens
    if options.stop:
        config["stopSequences"] = list(options.stop)
    if not isinstance(options.output_schema, msgspec.UnsetType):
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = from_json(options.output_schema)
    if options.thinking is not None and not _NEVER_THINKS.search(model):
        config["thinkingConfig"] = _thinking(model, options.thinking)
    return config


def _thinking(model: str, level: ThinkingLevel) -> dict[str, object]:
    """Return how long to think; a model that cannot be kept from it thinks as little as it can."""
    shown = {"includeThoughts": level != "off"}
    for pattern, budgets in _BUDGETED:
        if pattern.search(model):
            return shown | {"thinkingBudget": budgets[level]}
    levels = _LEVEL_PRO if "pro" in model else _LEVEL
    return shown | {"thinkingLevel": levels.get(level, level)}


def _tool(tool: ToolSpec) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": from_json(tool.schema)}


def _contents(history: tuple[Message, ...], limits: Limits) -> list[GoogleTurn]:
    """Write the history; the results of one answer's calls are one turn."""
    contents: list[GoogleTurn] = []
    results: list[dict[str, object]] = []
    for message in history:
        if isinstance(message, ToolResultMessage):
            if not results:
                contents.append({"role": "user", "parts": results})
            results += [
                _result(message),
                *(_user_part(one) for one in message.content if isinstance(one, ImageContent)),
            ]
            continue
        results = []
        match message:
            case UserMessage(content=content):
                said = (TextContent(text=content),) if isinstance(content, str) else content
                contents.append({"role": "user", "parts": [_user_part(part) for part in said]})
            case AssistantMessage():
                contents.append({"role": "model", "parts": _answer(message, limits)})
            case _:
                pass
    for part in [part for turn in contents for part in turn["parts"]] if limits.unnamed_calls else ():
        for name in ("functionCall", "functionResponse"):
            inner(part, name).pop("id", None)
    return contents


def _user_part(part: UserContent) -> dict[str, object]:
    match part:
        case TextContent(text=text):
            return {"text": text}
        case ImageContent(data=data, media_type=media_type):
            return {"inlineData": {"mimeType": media_type, "data": data}}


def _result(message: ToolResultMessage) -> dict[str, object]:
    text = "\n".join(part.text for part in message.content if isinstance(part, TextContent))
    said = {"name": message.tool_name, "response": {"error" if message.is_error else "output": text}}
    return {"functionResponse": said if _made(message.tool_call_id) else {"id": message.tool_call_id, **said}}


def _answer(message: AssistantMessage, limits: Limits) -> list[dict[str, object]]:
    parts = [part for block in message.content for part in answer_parts(block)]
    calls = [part for part in parts if "functionCall" in part]
    if calls and limits.signed_calls:
        calls[0].setdefault("thoughtSignature", _NO_SIGNATURE)
    return parts


def answer_parts(block: AssistantContent) -> Iterator[dict[str, object]]:
    """Write a block as the part it was."""
    said: dict[str, object]
    match block:
        case TextContent(text=text, signature=signature, raw=raw):
            said = {"text": text, **_signed(signature)}
            yield {**said, **besides(read_object(raw), _OWN)}
        case ThinkingContent(thinking=thinking, signature=signature, raw=raw):
            said = {"text": thinking, "thought": True, **_signed(signature)}
            yield {**said, **besides(read_object(raw), _OWN)}
        case ToolCall(id=call_id, name=name, arguments=arguments, signature=signature, raw=raw):
            named: dict[str, object] = {} if _made(call_id) else {"id": call_id}
            call = {**named, "name": name, "args": arguments_object(arguments)}
            yield {"functionCall": call, **_signed(signature), **besides(read_object(raw), _OWN)}
        case ProviderContent(block=part):
            yield dict(read_object(part))


def _signed(signature: str) -> dict[str, object]:
    return {"thoughtSignature": signature} if signature else {}


def _made(call_id: str) -> bool:
    """True when the call came without an id, and so goes back without one."""
    return call_id.startswith(MADE_ID)

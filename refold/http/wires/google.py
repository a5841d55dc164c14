"""The protocol `google-generative-ai` as a server speaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import msgspec

from eventsource.codec import clean_text, to_json
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
from eventsource.models.google import answer_parts
from eventsource.models.google_reader import API
from eventsource.models.wire import inner, text_of
from eventsource.request import Request

from .protocol import Asked, Form, JsonObject, as_json, foreign_part, objects, rest_of, server_sent, string, without

_CHOICES = {"AUTO": "auto", "ANY": "required", "NONE": "none"}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    529: "UNAVAILABLE",
}
_FINISH: Mapping[StopReason, str] = {"length": "MAX_TOKENS", "refusal": "SAFETY"}
# Google takes both spellings of these, and two names for a tool's schema.
_FUNCTION = {"name", "description", "parametersJsonSchema"}
_SPELLINGS = {
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "function_declarations": "functionDeclarations",
    "parameters_json_schema": "parametersJsonSchema",
    "parameters": "parametersJsonSchema",
    "thought_signature": "thoughtSignature",
    "inline_data": "inlineData",
    "mime_type": "mimeType",
    "system_instruction": "systemInstruction",
    "generation_config": "generationConfig",
    "tool_config": "toolConfig",
    "function_calling_config": "functionCallingConfig",
    "allowed_function_names": "allowedFunctionNames",
    "max_output_tokens": "maxOutputTokens",
    "stop_sequences": "stopSequences",
    "response_mime_type": "responseMimeType",
    "response_schema": "responseSchema",
    "response_json_schema": "responseJsonSchema",
}
_OUTPUTS = ("output", "result", "return_value")  # under which clients put what a tool returned


class GoogleWire:
    """Requests to models/NAME:generateContent and :streamGenerateContent, and their answers."""

    api = API

    def read(self, path: str, body: Mapping[str, object], provider: str) -> Asked:
        """Read a request. See `wire.Wire`."""
        way, _, query = path.partition("?")
        form: Form = "whole"
        if ":stream" in way:
            form = "events" if "alt=sse" in query.split("&") else "array"
        return Asked(request=read_request(path, body, provider), form=form)

    def answerer(self, asked: Asked, expected: AssistantMessage) -> GoogleAnswerer:
        """Begin to write an answer."""
        return GoogleAnswerer(asked, expected)

    def whole(self, asked: Asked, message: AssistantMessage) -> JsonObject:
        """Write an answer as one object."""
        return _chunk(asked, message, [part for block in message.content for part in _parts(block)], ended=True)

    def error(self, status: int, message: str) -> JsonObject:
        """Write the body of an HTTP error."""
        return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}}

    def frame(self, objects: Sequence[JsonObject], form: Form, *, first: bool) -> bytes:
        """Write a piece of a stream."""
        if form == "events":
            return server_sent(objects, named=False).replace(b"\n", b"\r\n")
        joined = b",\r\n".join(bytes(to_json(value)) for value in objects)
        return (b"[" if first else b",\r\n") + joined if objects else b""

    def closing(self, form: Form) -> bytes:
        """Write the end of a stream."""
        return b"]" if form == "array" else b""


class GoogleAnswerer:
    """Writes one streamed answer. What carries a signature is a part of its own, and comes whole; so do calls."""

    def __init__(self, asked: Asked, expected: AssistantMessage) -> None:
        self._asked, self._expected = asked, expected

    def start(self) -> list[JsonObject]:
        """Begin with nothing: every chunk says whose it is."""
        return []

    def update(self, update: MessageUpdate) -> list[JsonObject]:
        """Write a chunk."""
        block = self._expected.content[update.content_index]
        match block:
            case TextContent(signature="") | ThinkingContent(signature="") if update.kind.endswith("_delta"):
                thought = {"thought": True} if isinstance(block, ThinkingContent) else {}
                parts: list[JsonObject] = [{"text": update.delta, **thought}]
            case TextContent(signature="") | ThinkingContent(signature=""):
                parts = []
            case _ if update.kind.endswith("_end") or update.kind == "provider_block":
                parts = list(answer_parts(block))
            case _:
                parts = []
        return [_chunk(self._asked, self._expected, parts)] if parts else []

    def end(self, message: AssistantMessage) -> list[JsonObject]:
        """End the answer."""
        if message.stop_reason in ("error", "aborted"):
            return [GoogleWire().error(500, message.error)]
        return [_chunk(self._asked, message, [], ended=True)]


def _parts(block: AssistantContent) -> list[JsonObject]:
    """Write a block; reasoning is shown here, also what nobody wants back."""
    if isinstance(block, ThinkingContent) and not block.signature:
        return [{"text": block.thinking, "thought": True}]
    return list(answer_parts(block))


def _chunk(asked: Asked, message: AssistantMessage, parts: list[JsonObject], *, ended: bool = False) -> JsonObject:
    candidate: JsonObject = {"content": {"role": "model", "parts": parts}, "index": 0}
    chunk: JsonObject = {"candidates": [candidate]}
    if ended:
        candidate["finishReason"] = message.raw_stop_reason or _FINISH.get(message.stop_reason, "STOP")
        chunk["usageMetadata"] = _usage(message.usage)
    model = message.model or asked.request.model.model
    return {**chunk, "modelVersion": model, "responseId": message.response_id}


def _usage(usage: Usage | None) -> JsonObject:
    usage = usage or Usage()
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cache_read_tokens,
        "totalTokenCount": prompt + usage.output_tokens,
    }


def read_request(path: str, given: Mapping[str, object], provider: str = "google") -> Request:
    """Read a body; what has no neutral name goes to `extra_body`."""
    body = _spelled_at_top(given)
    options: JsonObject = {}
    config = dict(inner(body, "generationConfig"))
    for theirs, ours in (("temperature", "temperature"), ("maxOutputTokens", "max_tokens"), ("stopSequences", "stop")):
        if config.get(theirs) is not None:
            options[ours] = config.pop(theirs)
    schema = config.get("responseJsonSchema")
    if schema is not None and config.pop("responseMimeType", None) is not None:
        options["output_schema"] = config.pop("responseJsonSchema")
    tools = [_spelled(tool) for tool in objects(body.get("tools"))]
    declared = [tool for group in tools for tool in objects(group.get("functionDeclarations"))]
    own = [tool for tool in map(_spelled, declared) if not set(tool) - _FUNCTION]
    unknown = [tool for tool in declared if set(_spelled(tool)) - _FUNCTION]
    other = [without(group, "functionDeclarations") for group in tools if set(group) - {"functionDeclarations"}]
    other += [{"functionDeclarations": unknown}] if unknown else []
    extra = without(body, "contents", "systemInstruction", "generationConfig", "tools")
    _read_choice(extra, options)
    extra |= ({"generationConfig": config} if config else {}) | ({"tools": other} if other else {})
    options["extra_body"] = extra
    system = [text_of(part, "text") for part in objects(inner(body, "systemInstruction").get("parts"))]
    return Request(
        model=ModelRef(api=API, provider=provider, model=_model(path)),
        system_prompt=clean_text("\n".join(system)),
        tools=tuple(
            ToolSpec(
                name=text_of(tool, "name"),
                description=text_of(tool, "description"),
                schema=to_json(tool.get("parametersJsonSchema", {"type": "object"})),
            )
            for tool in own
        ),
        options=to_json(options),
        messages=tuple(message for content in objects(body.get("contents")) for message in _messages(content)),
    )


def _model(path: str) -> str:
    """Find the model in a path; on Vertex it has a publisher."""
    return unquote(path.partition("?")[0].rpartition("models/")[2].partition(":")[0])


def _read_choice(extra: JsonObject, options: JsonObject) -> None:
    config = _spelled(inner(_spelled(inner(extra, "toolConfig")), "functionCallingConfig"))
    names, mode = config.get("allowedFunctionNames"), text_of(config, "mode")
    if set(config) - {"mode", "allowedFunctionNames"} or set(inner(extra, "toolConfig")) - {"functionCallingConfig"}:
        return
    if mode == "ANY" and isinstance(names, list) and len(names) == 1:
        options["tool_choice"] = {"name": string(names[0])}
    elif mode in _CHOICES and not names:
        options["tool_choice"] = _CHOICES[mode]
    if "tool_choice" in options:
        extra.pop("toolConfig")
        if options["tool_choice"] not in ("auto", "none"):
            options["tool_choice_always"] = True  # a client says it of each call


def _spelled(value: Mapping[str, object]) -> JsonObject:
    return {_SPELLINGS.get(name, name): field for name, field in value.items()}


def _spelled_at_top(given: Mapping[str, object]) -> JsonObject:
    body = _spelled(given)
    for name in ("generationConfig", "systemInstruction"):
        if isinstance(body.get(name), dict):
            body[name] = _spelled(inner(body, name))
    return body


def _messages(content: JsonObject) -> list[Message]:
    parts = [_spelled(part) for part in objects(content.get("parts"))]
    if content.get("role") == "model":
        return [AssistantMessage(content=tuple(map(_answered, parts)))]
    results, rest = list[ToolResultMessage](), list[UserContent]()
    for part in parts:
        if "functionResponse" in part:
            results.append(_result(_spelled(inner(part, "functionResponse"))))
            continue
        said = _user(part)
        if results and not rest and isinstance(said, ImageContent):  # it stands behind the result that it is of
            results[-1] = msgspec.structs.replace(results[-1], content=(*results[-1].content, said))
        else:
            rest.append(said)
    return [*results, *([UserMessage(content=tuple(rest))] if rest else [])]


def _result(part: JsonObject) -> ToolResultMessage:
    response = inner(part, "response")
    failed = "error" in response
    said = next((response[name] for name in ("error", *_OUTPUTS) if name in response), response)
    content = TextContent(text=clean_text(string(said))), *(_user(_spelled(one)) for one in objects(part.get("parts")))
    return ToolResultMessage(
        tool_call_id=text_of(part, "id"), tool_name=text_of(part, "name"), content=content, is_error=failed
    )


def _user(part: JsonObject) -> UserContent:
    if isinstance(part.get("text"), str):
        return TextContent(text=clean_text(text_of(part, "text")))
    data = _spelled(inner(part, "inlineData"))
    if text_of(data, "mimeType").startswith("image/"):
        return ImageContent(data=text_of(data, "data"), media_type=text_of(data, "mimeType"))
    return foreign_part({"type": next(iter(part), "part"), **part})


def _answered(part: JsonObject) -> AssistantContent:
    signature = text_of(part, "thoughtSignature")
    if part.get("thought") is True:
        return ThinkingContent(thinking=clean_text(text_of(part, "text")), signature=signature)
    if isinstance(part.get("text"), str):
        return TextContent(text=clean_text(text_of(part, "text")), signature=signature)
    if "functionCall" in part:
        call = inner(part, "functionCall")
        return ToolCall(
            id=text_of(call, "id"),
            name=text_of(call, "name"),
            arguments=as_json({} if call.get("args") is None else call["args"]),
            signature=signature,
            raw=rest_of(part, "functionCall", "thoughtSignature"),
        )
    return ProviderContent(api=API, block=to_json(part))

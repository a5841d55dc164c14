"""The protocol `openai-completions` (Chat Completions) as a server speaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventsource.codec import clean_text, from_json, to_json
from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    Message,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from eventsource.models.openai.chat import API
from eventsource.models.openai.chat_reader import CONTENT, CUSTOM, REASONING_FIELDS, REFUSAL
from eventsource.models.openai.shared import CUSTOM_CLOSE, CUSTOM_OPEN, custom_input, escaped
from eventsource.models.wire import inner, text_of
from eventsource.request import Request

from .openai_requests import Options, content_parts, openai_error, read_tools, split_system, user_content
from .protocol import Asked, Form, JsonObject, Spelled, as_json, objects, rest_of, server_sent, string

_FINISH: Mapping[StopReason, str] = {
    "stop": "stop",
    "tool_use": "tool_calls",
    "length": "length",
    "refusal": "content_filter",
    "pause": "stop",
}


class ChatWire:
    """Requests to /chat/completions, and their answers."""

    api = API

    def read(self, path: str, body: Mapping[str, object], provider: str) -> Asked:
        """Read a request. See `wire.Wire`."""
        form: Form = "events" if body.get("stream") is True else "whole"
        usage = inner(body, "stream_options").get("include_usage") is True
        return Asked(request=read_request(body, provider), form=form, usage=usage)

    def answerer(self, asked: Asked, expected: AssistantMessage) -> ChatAnswerer:
        """Begin to write an answer."""
        return ChatAnswerer(asked, expected)

    def whole(self, asked: Asked, message: AssistantMessage) -> JsonObject:
        """Write an answer as one object."""
        texts = [block for block in message.content if isinstance(block, TextContent)]
        said: JsonObject = {
            "role": "assistant",
            "content": "".join(text.text for text in texts if text.signature != REFUSAL) or None,
            "refusal": "".join(text.text for text in texts if text.signature == REFUSAL) or None,
        }
        for block in message.content:
            if isinstance(block, ThinkingContent):
                field = _field(block)
                said[field] = string(said.get(field)) + block.thinking
        if message.tool_calls:
            said["tool_calls"] = [_call(call) for call in message.tool_calls]
        choice = {"index": 0, "message": said, "finish_reason": _finish(message), "logprobs": None}
        return {**_head(asked, message, "chat.completion"), "choices": [choice], "usage": _usage(message.usage)}

    def error(self, status: int, message: str) -> JsonObject:
        """Write the body of an HTTP error."""
        return openai_error(status, message)

    def frame(self, objects: Sequence[JsonObject], form: Form, *, first: bool) -> bytes:
        """Write a piece of a stream."""
        return server_sent(objects, named=False)

    def closing(self, form: Form) -> bytes:
        """Write the end of a stream."""
        return b"data: [DONE]\n\n"


class ChatAnswerer:
    """Writes one streamed answer. The protocol knows one text and one reasoning: blocks of a kind run together."""

    def __init__(self, asked: Asked, expected: AssistantMessage) -> None:
        self._asked, self._expected = asked, expected
        self._head = _head(asked, expected, "chat.completion.chunk")
        self._calls: list[int] = []
        self._arguments: dict[int, Spelled] = {}

    def start(self) -> list[JsonObject]:
        """Begin the answer."""
        return [self._chunk({"role": "assistant", "content": ""})]

    def update(self, update: MessageUpdate) -> list[JsonObject]:
        """Write a delta; the ends of blocks are not said in this protocol."""
        index = update.content_index
        block = self._expected.content[index]
        match update.kind, block:
            case "text_delta", TextContent(signature=signature):
                return [self._chunk({"refusal" if signature == REFUSAL else "content": update.delta})]
            case "thinking_delta", ThinkingContent():
                return [self._chunk({_field(block): update.delta})]
            case "thinking_end", ThinkingContent(signature=signature) if signature.startswith("["):
                return [self._chunk({"reasoning_details": _details(block)})]
            case "tool_call_start", ToolCall():
                self._calls.append(index)
                self._arguments[index] = Spelled(_spelled(block))
                return [self._call(index, {**_call(block, empty=True)})]
            case "tool_call_delta", ToolCall():
                custom = block.signature == CUSTOM  # its text is not JSON, and comes at its end
                return self._argue(index, block, "" if custom else self._arguments[index].add(update.delta))
            case "tool_call_end", ToolCall():
                return self._argue(index, block, self._arguments[index].rest())
            case _:
                return []

    def end(self, message: AssistantMessage) -> list[JsonObject]:
        """End the answer."""
        if message.stop_reason in ("error", "aborted"):
            return [openai_error(500, message.error)]
        finished = self._chunk({}, _finish(message))
        return [
            finished,
            *([{**self._head, "choices": [], "usage": _usage(message.usage)}] if self._asked.usage else []),
        ]

    def _chunk(self, delta: JsonObject, finish: str | None = None) -> JsonObject:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    def _call(self, index: int, call: JsonObject) -> JsonObject:
        return self._chunk({"tool_calls": [{"index": self._calls.index(index), **call}]})

    def _argue(self, index: int, call: ToolCall, piece: str) -> list[JsonObject]:
        custom = call.signature == CUSTOM
        said: JsonObject = {"custom": {"input": piece}} if custom else {"function": {"arguments": piece}}
        return [self._call(index, said)] if piece else []


def _spelled(call: ToolCall) -> str:
    return custom_input(call.arguments) if call.signature == CUSTOM else call.arguments


def _call(call: ToolCall, *, empty: bool = False) -> JsonObject:
    text = "" if empty else _spelled(call)
    if call.signature == CUSTOM:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _field(block: ThinkingContent) -> str:
    return block.signature if block.signature in REASONING_FIELDS else REASONING_FIELDS[0]


def _details(block: ThinkingContent) -> list[JsonObject]:
    try:
        return objects(from_json(block.signature))
    except ValueError:
        return []


def _head(asked: Asked, message: AssistantMessage, kind: str) -> JsonObject:
    model = message.model or asked.request.model.model
    return {"id": message.response_id, "object": kind, "created": 0, "model": model}


def _finish(message: AssistantMessage) -> str:
    return message.raw_stop_reason or _FINISH.get(message.stop_reason, "stop")


def _usage(usage: Usage | None) -> JsonObject:
    usage = usage or Usage()
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def read_request(body: Mapping[str, object], provider: str = "openai") -> Request:
    """Read a body; what has no neutral name goes to `extra_body`."""
    options = Options(body, ("messages", "model", "stream", "stream_options", "tools"))
    options.take("max_tokens", "max_tokens")
    options.take("max_completion_tokens", "max_tokens")
    own, foreign = read_tools(body)
    if foreign:
        options.rest["tools"] = foreign
    system, messages = split_system(objects(body.get("messages")))
    return Request(
        model=ModelRef(api=API, provider=provider, model=text_of(body, "model")),
        system_prompt=system,
        tools=own,
        options=options.raw(),
        messages=tuple(map(_message, messages)),
    )


def _message(message: JsonObject) -> Message:
    match message.get("role"):
        case "tool" | "function":
            return ToolResultMessage(
                tool_call_id=text_of(message, "tool_call_id"),
                tool_name="",
                content=content_parts(message.get("content")),
            )
        case "assistant":
            return AssistantMessage(content=tuple(_blocks(message)))
        case "user":
            return UserMessage(content=user_content(message.get("content")))
        case role:  # a prompt's words inside the history
            said = user_content(message.get("content"))
            return UserMessage(content=said, raw=to_json({"role": role}))


def _blocks(message: JsonObject) -> list[AssistantContent]:
    blocks: list[AssistantContent] = [
        ThinkingContent(thinking=clean_text(text_of(message, field)), signature=field)
        for field in ("reasoning_content", "reasoning")
        if text_of(message, field)
    ]
    if details := message.get("reasoning_details"):
        blocks = [ThinkingContent(thinking="", signature=as_json(details))]
    content = message.get("content")
    for part in objects([{"type": "text", "text": content}] if isinstance(content, str) else content):
        if part.get("type") == "thinking":
            text = "".join(text_of(one, "text") for one in objects(part.get("thinking")))
            blocks.append(ThinkingContent(thinking=text, signature=CONTENT))
        elif part.get("type") == "refusal":
            blocks.append(TextContent(text=clean_text(text_of(part, "refusal")), signature=REFUSAL))
        else:
            blocks.append(TextContent(text=clean_text(text_of(part, "text"))))
    if refusal := text_of(message, "refusal"):
        blocks.append(TextContent(text=clean_text(refusal), signature=REFUSAL))
    calls = objects(message.get("tool_calls"))
    return [*blocks, *map(_read_call, calls)]


def _read_call(call: JsonObject) -> ToolCall:
    custom = inner(call, "custom")
    raw = rest_of(call, "id", "type", "function", "custom", "index")
    if custom:
        text = CUSTOM_OPEN + escaped(clean_text(text_of(custom, "input"))) + CUSTOM_CLOSE
        name = text_of(custom, "name")
        return ToolCall(id=text_of(call, "id"), name=name, arguments=text, signature=CUSTOM, raw=raw)
    function = inner(call, "function")
    arguments = string(function.get("arguments"))
    return ToolCall(id=text_of(call, "id"), name=text_of(function, "name"), arguments=arguments, raw=raw)

"""The protocol `openai-responses` as a server speaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventsource.codec import clean_text, from_json, read_object, to_json
from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from eventsource.models.openai.responses_reader import API
from eventsource.models.openai.shared import CUSTOM_CLOSE, CUSTOM_OPEN, custom_input, escaped, with_text
from eventsource.models.wire import text_of
from eventsource.request import Request

from .openai_requests import Options, content_parts, openai_error, read_tools, split_system, user_content
from .protocol import Asked, Form, JsonObject, Spelled, as_json, objects, rest_of, server_sent, string, without

_REASONING = ("reasoning_text", "summary_text", "text")


class ResponsesWire:
    """Requests to /responses, and their answers."""

    api = API

    def read(self, path: str, body: Mapping[str, object], provider: str) -> Asked:
        """Read a request. See `wire.Wire`."""
        form: Form = "events" if body.get("stream") is True else "whole"
        previous = text_of(body, "previous_response_id")
        return Asked(request=read_request(body, provider), form=form, previous=previous)

    def answerer(self, asked: Asked, expected: AssistantMessage) -> ResponsesAnswerer:
        """Begin to write an answer."""
        return ResponsesAnswerer(asked, expected)

    def whole(self, asked: Asked, message: AssistantMessage) -> JsonObject:
        """Write an answer as one object."""
        return _response(asked, message, _status(message), list(map(_item, _ids(message), message.content)))

    def error(self, status: int, message: str) -> JsonObject:
        """Write the body of an HTTP error."""
        return openai_error(status, message)

    def frame(self, objects: Sequence[JsonObject], form: Form, *, first: bool) -> bytes:
        """Write a piece of a stream."""
        return server_sent(objects, named=True)

    def closing(self, form: Form) -> bytes:
        """Write nothing: the response's last event was the end."""
        return b""


class ResponsesAnswerer:
    """Writes one streamed answer: each block is an item of the output, in its place."""

    def __init__(self, asked: Asked, expected: AssistantMessage) -> None:
        self._asked, self._expected = asked, expected
        self._ids = _ids(expected)
        self._spelled: dict[int, Spelled] = {}
        self._done: list[JsonObject] = []
        self._number = 0

    def start(self) -> list[JsonObject]:
        """Begin the answer."""
        response = _response(self._asked, self._expected, "in_progress", [])
        return self._numbered([_event(f"response.{kind}", response=response) for kind in ("created", "in_progress")])

    def update(self, update: MessageUpdate) -> list[JsonObject]:
        """Write a delta, or the beginning or end of an item."""
        return self._numbered(self._update(update))

    def _update(self, update: MessageUpdate) -> list[JsonObject]:
        index = update.content_index
        block, name = self._expected.content[index], self._ids[index]
        if update.kind == "provider_block":
            item = _item(name, block)
            return [_placed("response.output_item.added", index, item=item), self._item_done(index, item)]
        if update.kind.endswith("_start"):
            self._spelled[index] = Spelled(_spelled(block))
            return self._begin(index, _item(name, block))
        if update.kind.endswith("_delta"):
            piece = "" if _is_custom(block) else self._spelled[index].add(update.delta)
            return self._delta(index, block, piece)
        return [*self._delta(index, block, self._spelled[index].rest()), *self._finish(index, _item(name, block))]

    def end(self, message: AssistantMessage) -> list[JsonObject]:
        """End the answer."""
        status = _status(message)
        return self._numbered(
            [_event(f"response.{status}", response=_response(self._asked, message, status, self._done))]
        )

    def _begin(self, index: int, item: JsonObject) -> list[JsonObject]:
        opened: JsonObject = {**item, "status": "in_progress"}
        match item["type"]:
            case "message":
                part = {**objects(item["content"])[0], "text": ""}
                part = part if part["type"] == "output_text" else {"type": "refusal", "refusal": ""}
                added = _placed("response.content_part.added", index, item_id=item["id"], content_index=0, part=part)
                return [_placed("response.output_item.added", index, item={**opened, "content": []}), added]
            case "reasoning":
                added = _placed("response.output_item.added", index, item={**opened, "summary": []})
                part = {"type": "summary_text", "text": ""}
                kind = "response.reasoning_summary_part.added"
                return [added, _placed(kind, index, item_id=item.get("id"), summary_index=0, part=part)]
            case "function_call":
                opened["arguments"] = ""
            case _:
                opened["input"] = ""
        return [_placed("response.output_item.added", index, item=opened)]

    def _delta(self, index: int, block: AssistantContent, piece: str) -> list[JsonObject]:
        kind, more = _KINDS[_kind(block)]
        return [_placed(f"response.{kind}.delta", index, item_id=self._ids[index], delta=piece, **more)] * bool(piece)

    def _finish(self, index: int, item: JsonObject) -> list[JsonObject]:
        block = self._expected.content[index]
        kind, more = _KINDS[_kind(block)]
        said = {"text": "text", "refusal": "refusal", "reasoning": "text", "function": "arguments", "custom": "input"}
        whole = {said[_kind(block)]: _spelled(block)}
        done = [_placed(f"response.{kind}.done", index, item_id=self._ids[index], **more, **whole)]
        if item["type"] == "message":
            part = objects(item["content"])[0]
            name = "response.content_part.done"
            done.append(_placed(name, index, item_id=self._ids[index], content_index=0, part=part))
        elif item["type"] == "reasoning":
            part = {"type": "summary_text", "text": _spelled(block)}
            name = "response.reasoning_summary_part.done"
            done.append(_placed(name, index, item_id=self._ids[index], summary_index=0, part=part))
        return [*done, self._item_done(index, item)]

    def _item_done(self, index: int, item: JsonObject) -> JsonObject:
        self._done.append(item)
        return _placed("response.output_item.done", index, item=item)

    def _numbered(self, events: list[JsonObject]) -> list[JsonObject]:
        self._number += len(events)
        return [{**event, "sequence_number": n} for n, event in enumerate(events, self._number - len(events))]


def _event(kind: str, **fields: object) -> JsonObject:
    return {"type": kind, **fields}


def _placed(kind: str, index: int, **fields: object) -> JsonObject:
    return {"type": kind, "output_index": index, **fields}


_KINDS: Mapping[str, tuple[str, JsonObject]] = {
    "text": ("output_text", {"content_index": 0, "logprobs": []}),
    "refusal": ("refusal", {"content_index": 0}),
    "reasoning": ("reasoning_summary_text", {"summary_index": 0}),
    "function": ("function_call_arguments", {}),
    "custom": ("custom_tool_call_input", {}),
}


def _kind(block: AssistantContent) -> str:
    match block:
        case ThinkingContent():
            return "reasoning"
        case ToolCall():
            return "custom" if _is_custom(block) else "function"
        case TextContent(signature=signature):
            return "refusal" if _signed(signature).get("type") == "refusal" else "text"
        case _:
            return "text"


def _is_custom(block: AssistantContent) -> bool:
    return isinstance(block, ToolCall) and _signed(block.signature).get("type") == "custom_tool_call"


def _spelled(block: AssistantContent) -> str:
    match block:
        case TextContent(text=text):
            return text
        case ThinkingContent(thinking=text):
            return text
        case ToolCall(arguments=arguments):
            return custom_input(arguments) if _is_custom(block) else arguments
        case _:
            return ""


def _signed(signature: str) -> JsonObject:
    """Read the item's own fields, which the signature keeps; another provider's signature says none."""
    try:
        value = from_json(signature) if signature.startswith("{") else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _ids(message: AssistantMessage) -> list[str]:
    """Name the items of an answer: by their own ids, else by the answer's and their place."""
    return [
        text_of(_signed(getattr(block, "signature", "")), "id") or f"item_{message.response_id}_{place}"
        for place, block in enumerate(message.content)
    ]


def _item(name: str, block: AssistantContent) -> JsonObject:
    """Write a whole item."""
    match block:
        case ProviderContent(block=raw):
            return dict(read_object(raw))
        case ThinkingContent(thinking=thinking, signature=signature):
            signed = _signed(signature)
            summary = signed.get("summary", [{"type": "summary_text"}] if thinking else [])
            item: JsonObject = {"id": name, "type": "reasoning", **signed}
            item["summary"] = with_text(objects(summary), thinking, _REASONING)
            if "content" in signed:
                item["content"] = with_text(objects(signed["content"]), thinking, _REASONING)
            return item
        case ToolCall():
            kind = "custom_tool_call" if _is_custom(block) else "function_call"
            said = {"input" if kind == "custom_tool_call" else "arguments": _spelled(block)}
            told = {"id": name, "type": kind, "status": "completed", "call_id": block.id, "name": block.name, **said}
            return {**told, **without(_signed(block.signature), "type")}
        case TextContent(text=text, signature=signature, raw=raw):
            signed = _signed(signature)
            part: JsonObject = {
                "type": "output_text",
                "text": text,
                "annotations": [],
                "logprobs": [],
                **read_object(raw),
            }
            part = {"type": "refusal", "refusal": text} if signed.pop("type", "") == "refusal" else part
            whole = {"id": name, "type": "message", "role": "assistant", "status": "completed", **signed}
            return {**whole, "content": [part]}


def _status(message: AssistantMessage) -> str:
    if message.stop_reason in ("error", "aborted"):
        return "failed"
    refused = any(_kind(block) == "refusal" for block in message.content)
    cut = message.stop_reason == "length" or (message.stop_reason == "refusal" and not refused)
    return "incomplete" if cut else "completed"


def _response(asked: Asked, message: AssistantMessage, status: str, output: list[JsonObject]) -> JsonObject:
    request = asked.request
    reason = message.raw_stop_reason or ("content_filter" if message.stop_reason == "refusal" else "max_output_tokens")
    return {
        "id": message.response_id,
        "object": "response",
        "created_at": 0,
        "status": status,
        "error": {"code": "server_error", "message": message.error} if status == "failed" else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": request.system_prompt or None,
        "metadata": {},
        "model": message.model or request.model.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None if status == "in_progress" else _usage(message.usage),
    }


def _usage(usage: Usage | None) -> JsonObject:
    usage = usage or Usage()
    read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": read + usage.output_tokens,
    }


def read_request(body: Mapping[str, object], provider: str = "openai") -> Request:
    """Read a body; what has no neutral name goes to `extra_body`."""
    options = Options(body, ("input", "instructions", "model", "stream", "tools"))
    options.take("max_output_tokens", "max_tokens")
    own, foreign = read_tools(body)
    if foreign:
        options.rest["tools"] = foreign
    given = body.get("input")
    items = objects([{"role": "user", "content": given}] if isinstance(given, str) else given)
    told, items = split_system(items)
    messages: list[Message] = []
    for item in items:
        read = _message(item)
        last = messages[-1] if messages else None
        if isinstance(read, AssistantMessage) and isinstance(last, AssistantMessage):
            messages[-1] = AssistantMessage(content=last.content + read.content)
        else:
            messages.append(read)
    return Request(
        model=ModelRef(api=API, provider=provider, model=text_of(body, "model")),
        system_prompt="\n\n".join(text for text in (clean_text(text_of(body, "instructions")), told) if text),
        tools=own,
        options=options.raw(),
        messages=tuple(messages),
    )


def _message(item: JsonObject) -> Message:
    match item.get("type", "message"):
        case "message" if item.get("role") == "assistant":
            return AssistantMessage(content=tuple(_texts(item)))
        case "message" if item.get("role") == "user":
            return UserMessage(content=user_content(item.get("content")))
        case "message":
            return UserMessage(content=user_content(item.get("content")), raw=to_json({"role": item.get("role")}))
        case "function_call_output" | "custom_tool_call_output":
            output = content_parts(item.get("output"))
            return ToolResultMessage(tool_call_id=text_of(item, "call_id"), tool_name="", content=output)
        case "function_call":
            rest = without(item, "type", "call_id", "name", "arguments")
            return AssistantMessage(content=(_call(item, string(item.get("arguments")), rest),))
        case "custom_tool_call":
            rest = without(item, "call_id", "name", "input")
            text = CUSTOM_OPEN + escaped(clean_text(text_of(item, "input"))) + CUSTOM_CLOSE
            return AssistantMessage(content=(_call(item, text, rest),))
        case "reasoning":
            signed = as_json(without(item, "type"))
            return AssistantMessage(content=(ThinkingContent(thinking="", signature=signed),))
        case _:
            return AssistantMessage(content=(ProviderContent(api=API, block=to_json(item)),))


def _call(item: JsonObject, arguments: str, rest: JsonObject) -> ToolCall:
    signature = as_json(rest) if rest else ""
    return ToolCall(id=text_of(item, "call_id"), name=text_of(item, "name"), arguments=arguments, signature=signature)


def _texts(item: JsonObject) -> list[AssistantContent]:
    rest = without(item, "type", "role", "content")
    signature = as_json(rest) if rest else ""
    content = item.get("content")
    if isinstance(content, str):
        return [TextContent(text=clean_text(content), signature=signature)]
    blocks: list[AssistantContent] = []
    for part in objects(content):
        refusal = part.get("type") == "refusal"
        text = clean_text(text_of(part, "refusal" if refusal else "text"))
        signed = as_json({**rest, "type": "refusal"}) if refusal else signature
        blocks.append(TextContent(text=text, signature=signed, raw=rest_of(part, "type", "text", "refusal")))
    return blocks

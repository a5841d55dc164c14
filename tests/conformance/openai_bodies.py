"""Recorded request bodies of OpenAI's protocols, read back into our requests, and how two bodies are compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from eventsource.codec import to_json
from eventsource.events import ModelRef, ToolSpec
from eventsource.messages import (
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
from eventsource.models import openai_completions, openai_items
from eventsource.request import Request

Body = dict[str, Any]


class UnreadableError(Exception):
    """The body holds something our messages have no form for."""


def signed(fields: dict[str, Any]) -> str:
    return bytes(to_json(fields)).decode() if fields else ""


def image(url: str) -> ImageContent:
    head, _, data = url.partition(";base64,")
    if not head.startswith("data:"):
        raise UnreadableError("an image by its address: ours are always carried along")
    return ImageContent(data=data, media_type=head.removeprefix("data:"))


def user_content(content: Any) -> str | tuple[UserContent, ...]:
    if isinstance(content, str):
        return content
    read: list[UserContent] = []
    for part in content:
        match part["type"]:
            case "text" | "input_text" | "output_text":
                read.append(TextContent(text=part["text"]))
            case "image_url":
                read.append(image(part["image_url"]["url"]))
            case "input_image" if "image_url" in part:
                read.append(image(part["image_url"]))
            case kind:
                raise UnreadableError(f"a user's part of the type {kind}")
    return tuple(read)


def parts(content: Any) -> tuple[UserContent, ...]:
    read = user_content(content)
    return (TextContent(text=read),) if isinstance(read, str) else read


def told(content: Any) -> str:
    return "".join(part.text for part in parts(content) if isinstance(part, TextContent))


class Options:
    """Takes the fields that are options of ours out of a body; the rest goes into `extra_body`."""

    def __init__(self, body: Body, known: tuple[str, ...]) -> None:
        self.rest = {name: value for name, value in body.items() if name not in known}
        self.read: dict[str, Any] = {"cache": "none"}

    def take(self, name: str, option: str, read: Callable[[Any], Any] = lambda value: value) -> None:
        if name in self.rest and (value := read(self.rest[name])) is not None:
            self.read[option] = value
            self.rest.pop(name)

    def raw(self) -> msgspec.Raw:
        return to_json({**self.read, "extra_body": self.rest})


def choice(value: Any) -> Any:
    if isinstance(value, str):
        return value if value in ("auto", "required", "none") else None
    name = (value.get("function") or value).get("name") if value.get("type") == "function" else None
    return {"name": name} if name else None


def tools(body: Body) -> tuple[tuple[ToolSpec, ...], list[Any]]:
    """Read the functions; tools of a server's own stay as they are, if they come after the functions."""
    own, foreign = [], []
    for tool in body.get("tools") or []:
        if tool.get("type") != "function":
            foreign.append(tool)
            continue
        function = tool.get("function") or tool
        schema = to_json(function.get("parameters"))
        own.append(ToolSpec(name=function["name"], schema=schema, description=function.get("description") or ""))
    return tuple(own), foreign


def chat_request(body: Body, provider: str) -> Request:
    """Read a body of Chat Completions."""
    options = Options(body, ("messages", "model", "stream", "stream_options", "tools"))
    options.take("temperature", "temperature")
    options.take("max_tokens", "max_tokens")
    options.take("max_completion_tokens", "max_tokens")
    options.take("tool_choice", "tool_choice", choice)
    own, foreign = tools(body)
    if foreign:
        options.rest["tools"] = foreign
    messages = list(body["messages"])
    system = ""
    while messages and messages[0]["role"] in ("system", "developer"):
        text = told(messages.pop(0)["content"])
        system = f"{system}\n\n{text}" if system else text
    return Request(
        model=ModelRef(api=openai_completions.API, provider=provider, model=body["model"]),
        system_prompt=system,
        tools=own,
        options=options.raw(),
        messages=tuple(chat_message(message) for message in messages),
    )


def chat_message(message: Body) -> Message:
    match message["role"]:
        case "user":
            return UserMessage(content=user_content(message["content"]))
        case "tool":
            return ToolResultMessage(
                tool_call_id=message["tool_call_id"], tool_name="", content=parts(message["content"])
            )
        case "assistant":
            return AssistantMessage(content=tuple(chat_blocks(message)))
        case role:
            raise UnreadableError(f"a message of the role {role} inside the history")


def chat_blocks(message: Body) -> list[AssistantContent]:
    blocks: list[AssistantContent] = [
        ThinkingContent(thinking=message[field], signature=field)
        for field in ("reasoning_content", "reasoning")
        if message.get(field)
    ]
    if message.get("reasoning_details"):
        blocks = [ThinkingContent(thinking="", signature=json.dumps(message["reasoning_details"]))]
    content: Any = message.get("content")
    listed: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in listed:
        if part["type"] == "thinking":
            text = "".join(inner["text"] for inner in part["thinking"])
            blocks.append(ThinkingContent(thinking=text, signature="content"))
        elif part["type"] == "text":
            blocks.append(TextContent(text=part["text"]))
        else:
            raise UnreadableError(f"an assistant's part of the type {part['type']}")
    for call in message.get("tool_calls") or []:
        function = call.get("function")
        if function is None:
            raise UnreadableError("a call that is no function")
        blocks.append(ToolCall(id=call["id"], name=function["name"], arguments=function["arguments"]))
    return blocks


def responses_request(body: Body, provider: str) -> Request:
    """Read a body of the Responses API."""
    options = Options(body, ("input", "instructions", "model", "stream", "tools"))
    options.take("temperature", "temperature")
    options.take("max_output_tokens", "max_tokens")
    options.take("tool_choice", "tool_choice", choice)
    own, foreign = tools(body)
    if foreign:
        options.rest["tools"] = foreign
    items = body["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else list(items)
    system = body.get("instructions") or ""
    while items and items[0].get("role") in ("system", "developer"):
        text = told(items.pop(0)["content"])
        system = f"{system}\n\n{text}" if system else text
    messages: list[Message] = []
    for item in items:
        read = responses_item(item)
        last = messages[-1] if messages else None
        if isinstance(read, AssistantMessage) and isinstance(last, AssistantMessage):
            messages[-1] = AssistantMessage(content=last.content + read.content)
        else:
            messages.append(read)
    return Request(
        model=ModelRef(api=openai_items.API, provider=provider, model=body["model"]),
        system_prompt=system,
        tools=own,
        options=options.raw(),
        messages=tuple(messages),
    )


def responses_item(item: Body) -> Message:
    match item.get("type", "message"):
        case "message" if item["role"] == "user":
            return UserMessage(content=user_content(item["content"]))
        case "message" if item["role"] == "assistant":
            return AssistantMessage(content=tuple(responses_text(item)))
        case "function_call_output" | "custom_tool_call_output":
            return ToolResultMessage(tool_call_id=item["call_id"], tool_name="", content=parts(item["output"]))
        case "function_call":
            rest = {k: v for k, v in item.items() if k not in ("type", "call_id", "name", "arguments")}
            call = ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"], signature=signed(rest))
            return AssistantMessage(content=(call,))
        case "reasoning":
            rest = {k: v for k, v in item.items() if k != "type"}
            return AssistantMessage(content=(ThinkingContent(thinking="", signature=signed(rest)),))
        case "message" | "item_reference" as kind:
            raise UnreadableError(f"an item of the type {kind} inside the history")
        case _:
            return AssistantMessage(content=(ProviderContent(api=openai_items.API, block=to_json(item)),))


def responses_text(item: Body) -> list[AssistantContent]:
    rest = {k: v for k, v in item.items() if k not in ("type", "role", "content")}
    content = item["content"]
    if isinstance(content, str):
        return [TextContent(text=content, signature=signed(rest))]
    return [
        TextContent(
            text=part.get("text", ""),
            signature=signed(rest),
            raw=to_json({k: v for k, v in part.items() if k not in ("type", "text")}),
        )
        for part in content
    ]


def plain(body: Body) -> Body:
    """Say a body without what the two sides may write differently; each line here is named in `SAME`."""
    body = json.loads(json.dumps(body))
    body = {name: value for name, value in body.items() if name not in IGNORED and value not in (None, [], {})}
    if "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    for tool in body.get("tools", []):
        for function in (tool, tool.get("function") or {}):
            function.pop("strict", None)
            if not function.get("description"):
                function.pop("description", None)
    history = body.get("messages", body.get("input"))
    if isinstance(history, str):
        history = [{"role": "user", "content": history}]
    shown: list[Any] = []
    for message in history or []:
        plain_message(message)
        empty = message.get("role") == "assistant" and not message.keys() - {"role"}
        if not empty:
            shown.append(message)
    while shown and shown[0].get("role") == "system":
        text = shown.pop(0)["content"]
        body["instructions"] = "\n\n".join(filter(None, (body.get("instructions"), text)))
    if not body.get("instructions"):
        body.pop("instructions", None)
    return {**body, "messages": shown, "input": None}


def plain_message(message: Body) -> None:
    """Rewrite one message or item of a body; see `plain`."""
    if message.get("role") == "developer":
        message["role"] = "system"
    if message.get("type") == "message" or (message.get("role") == "assistant" and "type" not in message):
        message.pop("type", None)
        for name in ("id", "status", "phase"):
            message.pop(name, None)
    if message.get("type") in ("function_call", "custom_tool_call"):
        message.pop("id", None)
    if "type" in message:
        message.pop("status", None)
    if message.get("reasoning_details"):
        message.pop("reasoning", None)
        details = [{k: v for k, v in part.items() if v not in (None, "")} for part in message["reasoning_details"]]
        message["reasoning_details"] = details
    content = message.get("content", message.get("output"))
    if isinstance(content, list):
        content = [{k: v for k, v in part.items() if k not in ("cache_control", "detail")} for part in content]
        if all(part.get("type") in ("text", "output_text", "input_text") for part in content):
            line_end = "\n" if "output" in message or message.get("role") == "tool" else ""
            content = line_end.join(part["text"] for part in content)
        message["output" if "output" in message else "content"] = content
    for call in [message, *[call.get("function", {}) for call in message.get("tool_calls") or []]]:
        if "arguments" in call:
            call["arguments"] = json.loads(call["arguments"] or "{}")
    for name in [name for name, value in message.items() if value in (None, "", [])]:
        message.pop(name)


IGNORED = (
    "stream",
    "stream_options",
    "store",
    "include",
    "prompt_cache_retention",
    "tool_stream",
    "previous_response_id",
)


def renamed(body: Body) -> Body:
    """Name calls by their order and each result by its call; where both sides must name calls differently."""
    waiting: dict[str, list[str]] = {}
    for message in body["messages"]:
        for call in [message, *(message.get("tool_calls") or [])]:
            if call is not message or message.get("type") == "function_call":
                field = "call_id" if call is message else "id"
                name = f"call {sum(map(len, waiting.values()))}"
                waiting.setdefault(call[field], []).append(name)
                call[field] = name
        for field in ("tool_call_id", "call_id"):
            if waiting.get(message.get(field, "")):
                message[field] = waiting[message[field]][-1]
    return body


def call_ids(body: Body) -> list[str]:
    found = [call["id"] for message in body["messages"] for call in message.get("tool_calls") or []]
    return found + [item["call_id"] for item in body["messages"] if item.get("type") == "function_call"]


def same_names(ours: Body, theirs: Body) -> tuple[Body, Body]:
    """Rename calls on both sides if an id is refused by the vendor or is used twice, so that ours is another."""
    return (ours, theirs) if call_ids(ours) == call_ids(theirs) else (renamed(ours), renamed(theirs))


SAME = {
    "stream, stream_options": "we always stream, and ask for usage where it does not come by itself",
    "store, include": "we are stateless: nothing is stored, and reasoning comes encrypted",
    "previous_response_id": "only null is recorded here; a real one means a history kept at the server",
    "tool_stream": "z.ai holds arguments back without it",
    "tools.strict": "ours are strict where the schema allows it",
    "tools.description": "an empty one is none",
    "developer, system, instructions": "one prompt, told as the model wants it",
    "id, phase, status of messages and calls": "ours go back as they came; the recording clients drop them",
    "max_tokens": "the field is the vendor's choice; both say the same",
    "reasoning": "says again what reasoning_details say",
    "cache_control, detail": "marks of the recording client's own; ours are tested elsewhere",
    "content": "texts of several parts may be joined; null, empty and absent are the same; an empty message is none",
    "ids of calls": "ours are unique and of the form the vendor takes; where they differ, the pairs are compared",
    "arguments": "compared as JSON: some clients write them anew",
}
"""Why two bodies count as equal although they are not the same bytes."""

"""How two request bodies of OpenAI's protocols are compared."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from eventsource.messages import AssistantMessage, Message
from eventsource.request import Request

Body = dict[str, Any]


def has_foreign(request: Request) -> bool:
    """Say whether a request holds something our messages have no form for, so that it is only kept as it came."""
    return any(map(_foreign, request.messages))


def _foreign(message: Message) -> bool:
    content = () if isinstance(getattr(message, "content", ""), str) else getattr(message, "content", ())
    kept = [message, *(() if isinstance(message, AssistantMessage) else content)]
    return any(getattr(one, "raw", msgspec.UNSET) is not msgspec.UNSET for one in kept)


def plain(body: Body) -> Body:
    """Say a body without what the two sides may write differently; each line here is named in `SAME`."""
    body = json.loads(json.dumps(body))
    body = {name: value for name, value in body.items() if name not in IGNORED and value not in (None, [], {})}
    if "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    if "tools" in body:
        body["tools"] = sorted(body["tools"], key=lambda tool: tool.get("type") != "function")
    for tool in body.get("tools", []):
        for function in (tool, tool.get("function") or {}):
            function.pop("strict", None)
            function.pop("defer_loading", None)
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
        if isinstance(call.get("arguments"), str):
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
    "tools": "a server's own tools stand behind the functions; their order says nothing",
    "tools.strict": "ours are strict where the schema allows it",
    "tools.defer_loading": "a mark of tools that are to be searched for; ours are all there",
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

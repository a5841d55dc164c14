"""What a request says that has no name here is kept in its own words, and goes out again when an agent goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsource.codec import read_object
from eventsource.events import ModelRef
from eventsource.messages import AssistantMessage, ImageContent, TextContent, ToolResultMessage, UserMessage
from eventsource.models.catalog import find_codec
from eventsource.models.wire import inner
from refold.http.wires.routes import WIRES

SCHEMA = {"type": "object", "properties": {}}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "anthropic-messages": (
        "claude-sonnet-4-5",
        "/v1/messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "go"}],
            "tools": [{"name": "far", "description": "", "input_schema": SCHEMA, "defer_loading": True}],
        },
    ),
    "openai-responses": (
        "gpt-5",
        "/v1/responses",
        {
            "model": "gpt-5",
            "input": [{"type": "message", "role": "user", "content": "go"}],
            "tools": [{"type": "function", "name": "far", "parameters": SCHEMA, "defer_loading": True}],
        },
    ),
    "openai-completions": (
        "gpt-5",
        "/v1/chat/completions",
        {
            "model": "gpt-5",
            "messages": [{"role": "user", "content": "go"}],
            "tools": [{"type": "function", "function": {"name": "far", "parameters": SCHEMA, "defer_loading": True}}],
        },
    ),
    "google-generative-ai": (
        "gemini-2.5-pro",
        "/v1beta/models/gemini-2.5-pro:generateContent",
        {
            "contents": [{"role": "user", "parts": [{"text": "go"}]}],
            "tools": [
                {"functionDeclarations": [{"name": "far", "parametersJsonSchema": SCHEMA, "behavior": "BLOCKING"}]}
            ],
        },
    ),
}


@pytest.mark.parametrize("api", CASES)
def test_unknown_fields_of_a_tool_are_kept_and_sent_again(api: str) -> None:
    model, path, body = CASES[api]
    request = WIRES[api].read(path, body, "openai").request
    kept = inner(read_object(request.options), "extra_body")["tools"]
    assert kept == body["tools"]
    provider = {"anthropic-messages": "anthropic", "google-generative-ai": "google"}.get(api, "openai")
    ref = ModelRef(api=api, provider=provider, model=model)
    again = json.loads(find_codec(ref).encode(type(request)(**{**_fields(request), "model": ref})))
    assert again["tools"] == body["tools"]


def _fields(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_roles_and_unknown_fields_of_messages_are_kept() -> None:
    block = {"type": "text", "text": "Look", "citations": {"enabled": True}}
    call = {"type": "tool_use", "id": "c1", "name": "t", "input": {}, "caller": {"type": "direct"}}
    messages = [
        {"role": "user", "content": [block]},
        {"role": "system", "content": "Agents: a"},
        {"role": "assistant", "content": [call]},
    ]
    said, notice, answer = WIRES["anthropic-messages"].read("/", {"messages": messages}, "").request.messages
    assert isinstance(said, UserMessage)
    assert isinstance(notice, UserMessage)
    assert isinstance(answer, AssistantMessage)
    assert read_object(said.content[0].raw) == {"part": block}  # type: ignore[union-attr]  # it was given as parts
    assert read_object(notice.raw) == {"role": "system"}
    assert read_object(answer.tool_calls[0].raw) == {"caller": {"type": "direct"}}


def test_arguments_that_are_no_object_stay_what_they_are() -> None:
    inputs: tuple[object, ...] = ([], "", 0, {}, None)
    calls = [{"type": "tool_use", "id": "c1", "name": "t", "input": given} for given in inputs]
    messages = [{"role": "assistant", "content": calls}]
    (answer,) = WIRES["anthropic-messages"].read("/", {"messages": messages}, "").request.messages
    assert isinstance(answer, AssistantMessage)
    assert [call.arguments for call in answer.tool_calls] == ["[]", '""', "0", "{}", "{}"]


def test_an_image_of_google_belongs_to_the_result_that_it_stands_behind_or_in() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}
    made, seen = ({"id": one, "name": "t", "response": {"output": one}} for one in ("x1", "x2"))
    within = {**seen, "parts": [image]}  # as Gemini 3 takes it
    contents = [
        {"role": "user", "parts": [{"functionResponse": made}, image, {"functionResponse": within}]},
        {"role": "user", "parts": [{"functionResponse": made}, {"text": "And this?"}, image]},
    ]
    _, path, _ = CASES["google-generative-ai"]
    first, second, alone, asked = WIRES["google-generative-ai"].read(path, {"contents": contents}, "").request.messages
    shown = ImageContent(data="aW1n", media_type="image/png")
    said = [TextContent(text=text) for text in ("x1", "x2", "And this?")]
    told = [one.content for one in (first, second, alone) if isinstance(one, ToolResultMessage)]
    assert told == [(said[0], shown), (said[1], shown), (said[0],)]
    assert isinstance(asked, UserMessage)
    assert asked.content == (said[2], shown)

"""Requests in Google's protocol say what was asked, as it must be said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from eventsource.events import ModelRef, ToolSpec
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.google import GoogleGenerativeAI
from eventsource.request import Request


def written(*messages: Message, model: str = "gemini-2.5-flash", **options: Any) -> dict[str, Any]:
    request = Request(
        model=ModelRef(api="google-generative-ai", provider="google", model=model),
        messages=messages,
        options=msgspec.Raw(json.dumps(options).encode()),
    )
    body: dict[str, Any] = json.loads(GoogleGenerativeAI().encode(request))
    return body


def parts(*messages: Message, model: str = "gemini-2.5-flash") -> list[Any]:
    """What is written after a question."""
    return [content["parts"] for content in written(UserMessage(content="q"), *messages, model=model)["contents"][1:]]


def test_parallel_results_are_one_turn_in_order_and_images_the_next() -> None:
    image = ImageContent(data="iVBORw0KGgo=", media_type="image/png")
    calls = AssistantMessage(content=(ToolCall(id="gemini_r_1", name="t"), ToolCall(id="given", name="u")))
    results = [
        ToolResultMessage(tool_call_id="given", tool_name="u", content=(TextContent(text="no"),), is_error=True),
        ToolResultMessage(tool_call_id="gemini_r_1", tool_name="t", content=(TextContent(text="yes"), image)),
    ]
    asked, answered, shown = parts(calls, *results)
    assert asked == [
        {"functionCall": {"name": "t", "args": {}}},
        {"functionCall": {"id": "given", "name": "u", "args": {}}},
    ]
    assert answered == [
        {"functionResponse": {"name": "t", "response": {"output": "yes"}}},
        {"functionResponse": {"id": "given", "name": "u", "response": {"error": "no"}}},
    ]
    assert shown == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]


def test_signatures_stay_on_their_parts_and_unsigned_summaries_stay_here() -> None:
    message = AssistantMessage(
        content=(
            ThinkingContent(thinking="summary"),
            ThinkingContent(thinking="signed", signature="1"),
            TextContent(text="said"),
            TextContent(text="", signature="2"),
            ToolCall(id="gemini_r_1", name="t", signature="3"),
        )
    )
    assert parts(message)[0] == [
        {"text": "signed", "thought": True, "thoughtSignature": "1"},
        {"text": "said"},
        {"text": "", "thoughtSignature": "2"},
        {"functionCall": {"name": "t", "args": {}}, "thoughtSignature": "3"},
    ]


def test_the_user_speaks_first_and_last() -> None:
    said = written(AssistantMessage(content=(TextContent(text="Hello"),)))["contents"]
    assert [one["role"] for one in said] == ["user", "model", "user"]


def test_calls_of_another_model_pass_gemini_3() -> None:
    message = AssistantMessage(api="other", content=(ToolCall(id="a", name="t"), ToolCall(id="b", name="t")))
    marks = [part.get("thoughtSignature") for part in parts(message, model="gemini-3-pro-preview")[0]]
    assert marks == ["skip_thought_signature_validator", None]
    assert "thoughtSignature" not in json.dumps(parts(message, model="gemini-2.5-pro"))


@pytest.mark.parametrize(
    ("model", "level", "config"),
    [
        ("gemini-2.5-flash", "off", {"includeThoughts": False, "thinkingBudget": 0}),
        ("gemini-2.5-pro", "off", {"includeThoughts": False, "thinkingBudget": 128}),
        ("gemini-2.5-flash", "high", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-3-pro-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3-flash", "off", {"includeThoughts": False, "thinkingLevel": "minimal"}),
        ("gemini-3-flash", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-2.0-flash", "high", None),
    ],
)
def test_a_thinking_level_is_said_as_the_model_knows_it(model: str, level: str, config: dict[str, Any] | None) -> None:
    assert written(model=model, thinking=level).get("generationConfig", {}).get("thinkingConfig") == config


def test_options_are_said_in_googles_words() -> None:
    body = written(
        temperature=0.5,
        max_tokens=7,
        stop=["x"],
        tool_choice={"name": "t"},
        output_schema={"type": "object"},
        extra_body={"generationConfig": {"seed": 1}, "tools": [{"googleSearch": {}}]},
    )
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "maxOutputTokens": 7,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
        "seed": 1,
    }
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["t"]}}


def test_tools_and_prompt_are_told() -> None:
    request = Request(
        model=ModelRef(api="google-generative-ai", provider="google", model="m"),
        system_prompt="be brief",
        tools=(ToolSpec(name="t", description="d", schema=msgspec.Raw(b'{"type":"object"}')),),
    )
    body = json.loads(GoogleGenerativeAI().encode(request))
    assert body["systemInstruction"] == {"parts": [{"text": "be brief"}]}
    declared = {"name": "t", "description": "d", "parametersJsonSchema": {"type": "object"}}
    assert body["tools"] == [{"functionDeclarations": [declared]}]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("gemini-3-flash", "/models/gemini-3-flash:streamGenerateContent?alt=sse"),
        ("tunedModels/a b", "/tunedModels/a%20b:streamGenerateContent?alt=sse"),
    ],
)
def test_the_model_is_in_the_path(name: str, path: str) -> None:
    assert GoogleGenerativeAI().path(ModelRef(api="", provider="", model=name)) == path


def test_the_key_goes_in_its_header() -> None:
    request = Request(model=ModelRef(api="", provider="", model="m"))
    assert GoogleGenerativeAI().headers(request, "k") == {"x-goog-api-key": "k"}
    assert GoogleGenerativeAI(bearer=True).headers(request, "k") == {"authorization": "Bearer k"}
    assert GoogleGenerativeAI().headers(request, "") == {}

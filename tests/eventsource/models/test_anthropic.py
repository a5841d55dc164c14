"""Requests in Anthropic's protocol say what was asked, as it must be said."""

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
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.anthropic import AnthropicMessages
from eventsource.request import Request

ADAPTIVE = {"type": "adaptive", "display": "summarized"}
EPHEMERAL = {"type": "ephemeral"}


def written(*messages: Message, model: str = "claude-sonnet-4-5", **options: Any) -> dict[str, Any]:
    request = Request(
        model=ModelRef(api="anthropic-messages", provider="anthropic", model=model),
        messages=messages,
        options=msgspec.Raw(json.dumps({"cache": "none", **options}).encode()),
    )
    body: dict[str, Any] = json.loads(AnthropicMessages().encode(request))
    return body


ASKED = UserMessage(content="q")


def content(*messages: Message) -> list[Any]:
    """What is written after a question."""
    return [message["content"] for message in written(ASKED, *messages)["messages"][1:]]


def test_parallel_results_are_one_message_and_texts_stay_outside() -> None:
    image = ImageContent(data="iVBORw0KGgo=", media_type="image/png")
    calls = AssistantMessage(content=(ToolCall(id="a", name="t"), ToolCall(id="b", name="t", arguments='{"x":1}')))
    results = [
        ToolResultMessage(tool_call_id="a", tool_name="t", content=(TextContent(text="A"), image)),
        ToolResultMessage(tool_call_id="b", tool_name="t", content=(TextContent(text=""),), is_error=True),
    ]
    asked, answered, said = content(calls, *results, UserMessage(content="go on"))
    assert [block["input"] for block in asked] == [{}, {"x": 1}]
    assert [block["tool_use_id"] for block in answered] == ["a", "b"]
    assert [part["type"] for part in answered[0]["content"]] == ["text", "image"]
    words = [{"type": "text", "text": "(the tool failed and said nothing)"}]
    assert answered[1] == {"type": "tool_result", "tool_use_id": "b", "content": words, "is_error": True}
    assert said == [{"type": "text", "text": "go on"}]


def test_what_the_provider_signed_goes_back_as_it_came() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1.0}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    message = AssistantMessage(
        content=(
            ThinkingContent(thinking="", signature="sig"),
            ThinkingContent(thinking="", signature="opaque", redacted=True),
            ProviderContent(api="anthropic-messages", block=msgspec.Raw(json.dumps(block).encode())),
            ProviderContent(api="anthropic-messages", block=msgspec.Raw(json.dumps(found).encode())),
            TextContent(text="cited", raw=msgspec.Raw(b'{"citations":[1]}')),
        )
    )
    assert content(message) == [
        [
            {"type": "thinking", "thinking": "", "signature": "sig"},
            {"type": "redacted_thinking", "data": "opaque"},
            block,
            found,
            {"type": "text", "text": "cited", "citations": [1]},
        ]
    ]


def test_empty_answers_are_left_out_and_empty_messages_of_the_user_say_so() -> None:
    empty = AssistantMessage(content=(TextContent(text=" "), ThinkingContent(thinking="")))
    said = content(UserMessage(content=" "), empty, UserMessage(content="x"))
    assert said == [[{"type": "text", "text": "(an empty message)"}], [{"type": "text", "text": "x"}]]


def test_arguments_cut_by_the_limit_are_quoted() -> None:
    asked, _result = content(AssistantMessage(content=(ToolCall(id="a", name="t", arguments='{"x":'),)))
    assert asked[0]["input"] == {"invalid_arguments": '{"x":'}


def test_lone_surrogates_do_not_reach_the_wire() -> None:
    assert content(UserMessage(content="a\ud83db")) == [[{"type": "text", "text": "a\ufffdb"}]]


def test_four_places_are_cached() -> None:
    request = Request(
        model=ModelRef(api="anthropic-messages", provider="anthropic", model="m"),
        system_prompt="s",
        tools=tuple(ToolSpec(name=name, schema=msgspec.Raw(b"{}")) for name in "ab"),
        messages=tuple(UserMessage(content=text) for text in "xyz"),
    )
    body = json.loads(AnthropicMessages().encode(request))
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, EPHEMERAL]
    assert body["system"][0]["cache_control"] == EPHEMERAL
    assert [m["content"][0].get("cache_control") for m in body["messages"]] == [None, EPHEMERAL, EPHEMERAL]
    assert written(UserMessage(content="x"), cache="long")["messages"][0]["content"][0]["cache_control"]["ttl"] == "1h"
    assert "cache_control" not in json.dumps(written(UserMessage(content="x"), cache="none"))


@pytest.mark.parametrize(
    ("model", "level", "fields"),
    [
        ("claude-sonnet-4-5", "high", {"thinking": {"type": "enabled", "budget_tokens": 16384}}),
        ("claude-opus-4-20250514", "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("claude-opus-4-6", "xhigh", {"thinking": ADAPTIVE, "output_config": {"effort": "max"}}),
        ("claude-opus-4-8", "xhigh", {"thinking": ADAPTIVE, "output_config": {"effort": "xhigh"}}),
        ("claude-sonnet-5", "minimal", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}),
        ("claude-sonnet-4-5", "off", {}),
    ],
)
def test_a_thinking_level_is_said_as_the_model_knows_it(model: str, level: str, fields: dict[str, Any]) -> None:
    body = written(model=model, thinking=level)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == fields


def test_no_thinking_is_asked_in_a_turn_that_another_model_began() -> None:
    call = AssistantMessage(api="other", content=(ToolCall(id="a", name="t"),))
    result = ToolResultMessage(tool_call_id="a", tool_name="t")
    assert "thinking" not in written(ASKED, call, result, thinking="low")
    assert "thinking" in written(ASKED, call, result, ASKED, thinking="low")
    thought = AssistantMessage(content=(ThinkingContent(thinking="", signature="s"), ToolCall(id="a", name="t")))
    assert "thinking" in written(ASKED, thought, result, msgspec.structs.replace(call, api=""), thinking="low")


def test_the_user_speaks_first() -> None:
    first, second = written(AssistantMessage(content=(TextContent(text="Hello"),)), ASKED)["messages"][:2]
    assert (first["role"], second["role"]) == ("user", "assistant")


def test_words_to_go_on_from_end_without_space() -> None:
    begun = AssistantMessage(content=(TextContent(text="Once "),))
    assert content(begun) == [[{"type": "text", "text": "Once"}]]
    assert content(AssistantMessage(content=(TextContent(text=" "),))) == []


def test_thinking_leaves_room_for_the_answer() -> None:
    body = written(model="claude-sonnet-4-5", thinking="xhigh", max_tokens=4096)
    assert body["thinking"]["budget_tokens"] < body["max_tokens"]


@pytest.mark.parametrize(
    ("model", "limit"),
    [("claude-3-haiku-20240307", 4096), ("claude-3-5-sonnet-latest", 8192), ("claude-opus-4-1", 32000), ("new", 64000)],
)
def test_a_limit_is_always_given(model: str, limit: int) -> None:
    assert written(model=model)["max_tokens"] == limit


def test_options_are_said_in_anthropics_words() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "description": "count"}}}
    body = written(
        temperature=0,
        stop=["x"],
        tool_choice="required",
        output_schema=schema,
        extra_body={"metadata": {"user_id": "u"}, "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    )
    assert (body["temperature"], body["stop_sequences"], body["metadata"]) == (0, ["x"], {"user_id": "u"})
    assert body["tool_choice"] == {"type": "any"}
    assert body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "count (minimum: 1)"}},
        "additionalProperties": False,
    }
    named = written(tool_choice={"name": "t"}, extra_body={"tools": [{"name": "t"}]})
    assert named["tool_choice"] == {"type": "tool", "name": "t"}
    assert "tool_choice" not in written(tool_choice="required")


def test_the_key_goes_in_its_header() -> None:
    request = Request(model=ModelRef(api="", provider="", model="m"))
    headers = AnthropicMessages().headers
    assert headers(request, "sk-ant-api03")["x-api-key"] == "sk-ant-api03"
    assert headers(request, "sk-ant-oat01")["authorization"] == "Bearer sk-ant-oat01"
    assert set(headers(request, "")) == {"anthropic-version"}

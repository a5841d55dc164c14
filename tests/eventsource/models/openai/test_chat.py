from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from eventsource.codec import to_json
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
from eventsource.models.openai.chat import API, OpenAICompletions
from eventsource.request import Request

CODEC = OpenAICompletions()
HI = UserMessage(content="hi")
STRICT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


def body(
    *messages: Message, provider: str = "openai", model: str = "m", system: str = "", tools: Any = (), **options: Any
) -> dict[str, Any]:
    request = Request(
        model=ModelRef(api=API, provider=provider, model=model),
        system_prompt=system,
        tools=tuple(tools),
        options=to_json(options),
        messages=messages or (HI,),
    )
    written: dict[str, Any] = json.loads(CODEC.encode(request))
    return written


def tool(name: str = "f", schema: Any = STRICT, description: str = "") -> ToolSpec:
    return ToolSpec(name=name, schema=to_json(schema), description=description)


def asked(*blocks: Any, **fields: Any) -> AssistantMessage:
    return AssistantMessage(content=blocks, **fields)


def result(call_id: str, *content: Any) -> ToolResultMessage:
    return ToolResultMessage(tool_call_id=call_id, tool_name="f", content=content or (TextContent(text="ok"),))


@pytest.mark.parametrize(
    ("provider", "model", "role"),
    [
        ("openai", "gpt-5", "developer"),
        ("openai", "o3-mini", "developer"),
        ("openai", "gpt-4o", "system"),
        ("openai", "gpt-5-chat-latest", "system"),
        ("groq", "openai/gpt-oss-20b", "system"),
        ("unheard-of", "gpt-5", "system"),
    ],
)
def test_only_models_that_reason_at_openai_are_told_by_a_developer(provider: str, model: str, role: str) -> None:
    assert body(provider=provider, model=model, system="Be brief.")["messages"][0] == {
        "role": role,
        "content": "Be brief.",
    }


@pytest.mark.parametrize(
    ("provider", "model", "said_by", "sent"),
    [
        ("openai", "gpt-5", "developer", "developer"),
        ("openai", "gpt-4o", "developer", "system"),
        ("openai", "gpt-5", "tool", "user"),
        ("mistral", "mistral-large-latest", "developer", "user"),
    ],
)
def test_what_a_program_said_in_its_own_name_is_not_the_users_at_openai(
    provider: str, model: str, said_by: str, sent: str
) -> None:
    told = UserMessage(content="Be careful.", raw=to_json({"role": said_by}))
    shown = msgspec.structs.replace(told, content=(ImageContent(data="iVBORw0KGgo=", media_type="image/png"),))
    for message, role in ((told, sent), (shown, "user")):
        assert [one["role"] for one in body(HI, message, provider=provider, model=model)["messages"]] == ["user", role]


@pytest.mark.parametrize(("provider", "field"), [("openai", "max_completion_tokens"), ("ollama", "max_tokens")])
def test_the_limit_goes_into_the_field_of_the_vendor(provider: str, field: str) -> None:
    assert body(provider=provider, max_tokens=7)[field] == 7


@pytest.mark.parametrize(("provider", "asks"), [("openai", True), ("mistral", False), ("any-other", True)])
def test_usage_is_asked_where_it_does_not_come_by_itself(provider: str, asks: bool) -> None:
    assert ("stream_options" in body(provider=provider)) is asks


def test_options_are_written() -> None:
    written = body(temperature=0.5, stop=["END"], tool_choice={"name": "f"}, tools=[tool()], cache="long")
    assert written["temperature"] == 0.5
    assert written["stop"] == ["END"]
    assert written["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert written["prompt_cache_retention"] == "24h"
    assert body(tool_choice="required", tools=[tool()])["tool_choice"] == "required"
    assert "tool_choice" not in body(tool_choice="required")


def test_extra_body_has_the_last_word() -> None:
    written = body(tools=[tool()], extra_body={"tools": [{"type": "x"}], "stream_options": None, "seed": 1})
    assert [t["type"] for t in written["tools"]] == ["function", "x"]
    assert (written["seed"], "stream_options" in written) == (1, False)


def test_a_tool_is_strict_only_where_schema_and_vendor_allow_it() -> None:
    loose = {"type": "object", "properties": {"x": {"type": "integer"}}}
    strict, not_strict = body(tools=[tool(), tool("g", loose, "G")])["tools"]
    assert strict["function"] == {"name": "f", "parameters": STRICT, "strict": True}
    assert not_strict["function"] == {"name": "g", "description": "G", "parameters": loose}
    assert "strict" not in body(tools=[tool()], provider="deepseek")["tools"][0]["function"]


def test_a_custom_tool_is_declared_and_called_as_text() -> None:
    schema = {"type": "object", "x-openai-custom": {"type": "text"}}
    call = ToolCall(id="a", name="p", arguments='{"input":"a \\"b\\""}', signature="custom")
    written = body(HI, asked(call), result("a"), tools=[tool("p", schema)])
    assert written["tools"] == [{"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}}]
    assert written["messages"][1]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "p", "input": 'a "b"'}}
    ]


def test_an_output_schema_is_closed_where_strictness_is_known_and_told_in_words_where_no_schema_is() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}}
    written = body(output_schema=schema, output_name="answer")["response_format"]["json_schema"]
    assert written == {
        "name": "answer",
        "schema": {
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "additionalProperties": False,
            "required": ["x"],
        },
        "strict": True,
    }
    words = body(output_schema=schema, provider="deepseek", system="Be brief.")
    assert words["response_format"] == {"type": "json_object"}
    assert words["messages"][0]["content"].startswith("Be brief.\n\n")
    assert json.dumps(schema, separators=(",", ":")) in words["messages"][0]["content"]


def test_a_schema_of_no_object_is_told_in_words() -> None:
    assert body(output_schema={"type": "array"})["messages"][0]["content"].endswith('{"type":"array"}')
    assert "response_format" not in body(output_schema={"type": "array"})


def test_a_refusal_goes_back_beside_the_content() -> None:
    (_, said) = body(HI, asked(TextContent(text="no", signature="refusal")))["messages"]
    assert said == {"role": "assistant", "content": None, "refusal": "no"}


def test_images_of_results_follow_all_results_of_the_batch() -> None:
    image = ImageContent(data="iVBORw0KGgo=", media_type="image/png")
    two = asked(ToolCall(id="a", name="f"), ToolCall(id="b", name="f"))
    written = body(HI, two, result("a", image), result("b"), UserMessage(content="and?"))["messages"]
    assert [message["role"] for message in written] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert written[4]["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    assert body(HI, asked(ToolCall(id="a", name="f")), result("a", image))["messages"][-1]["role"] == "user"


def test_arguments_go_back_as_received_unless_no_server_could_parse_them() -> None:
    def sent(arguments: str) -> Any:
        written = body(HI, asked(ToolCall(id="a", name="f", arguments=arguments)), result("a"))
        return written["messages"][1]["tool_calls"][0]["function"]["arguments"]

    assert sent('{"x" : 1.0}') == '{"x" : 1.0}'
    assert sent("") == "{}"
    assert json.loads(sent('{"x')) == {"invalid_arguments": '{"x'}


@pytest.mark.parametrize(
    ("provider", "block", "field", "value"),
    [
        ("any-other", ThinkingContent(thinking="hm", signature="reasoning_content"), "reasoning_content", "hm"),
        ("any-other", ThinkingContent(thinking="hm", signature="reasoning"), "reasoning", "hm"),
        ("deepseek", ThinkingContent(thinking="hm"), "reasoning_content", "hm"),
        (
            "openrouter",
            ThinkingContent(thinking="hm", signature='[{"type":"reasoning.text","signature":"S"}]'),
            "reasoning_details",
            [{"type": "reasoning.text", "signature": "S", "text": "hm"}],
        ),
        (
            "mistral",
            ThinkingContent(thinking="hm", signature="content"),
            "content",
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
                {"type": "text", "text": "so"},
            ],
        ),
    ],
)
def test_reasoning_goes_back_where_it_came_from(provider: str, block: ThinkingContent, field: str, value: Any) -> None:
    assert body(HI, asked(block, TextContent(text="so")), provider=provider)["messages"][1][field] == value


def test_reasoning_without_a_field_goes_to_openai_as_text() -> None:
    (_, said) = body(HI, asked(ThinkingContent(thinking="hm"), TextContent(text="so")))["messages"]
    assert said == {"role": "assistant", "content": "hmso"}


def test_a_call_from_elsewhere_gets_the_reasoning_field_that_the_vendor_insists_on() -> None:
    foreign = asked(ToolCall(id="a", name="f"), api="anthropic-messages", provider="anthropic")
    for provider in ("deepseek", "moonshot"):
        said = body(HI, foreign, result("a"), provider=provider)["messages"][1]
        assert said["reasoning_content"].strip() == ""
        assert said["reasoning_content"] != ""
    assert "reasoning_content" not in body(HI, foreign, result("a"))["messages"][1]


def test_mistral_gets_ids_of_nine_letters_and_digits_and_keeps_its_own() -> None:
    calls = asked(ToolCall(id="call_with_a_long_id", name="f"), ToolCall(id="abcDEF123", name="f"))
    written = body(HI, calls, result("call_with_a_long_id"), result("abcDEF123"), provider="mistral")["messages"]
    ids = [call["id"] for call in written[1]["tool_calls"]]
    assert ids == [message["tool_call_id"] for message in written[2:]]
    assert ids[1] == "abcDEF123"
    assert len(ids[0]) == 9
    assert ids[0].isalnum()


def test_ids_that_one_vendor_needs_unchanged_are_left_alone() -> None:
    call = asked(ToolCall(id="functions.get_weather:0", name="get_weather"))
    written = body(HI, call, result("functions.get_weather:0"), provider="moonshot")["messages"]
    assert written[1]["tool_calls"][0]["id"] == written[2]["tool_call_id"] == "functions.get_weather:0"


def test_claude_at_openrouter_gets_marks_for_its_cache() -> None:
    mark = {"type": "ephemeral"}
    system, first, said, last = body(
        HI, asked(TextContent(text="x")), HI, provider="openrouter", model="anthropic/claude-x", system="S"
    )["messages"]
    assert system["content"] == [{"type": "text", "text": "S", "cache_control": mark}]
    assert last["content"] == [{"type": "text", "text": "hi", "cache_control": mark}]
    assert (first["content"], said["content"]) == ("hi", "x")
    assert body(provider="openrouter", model="anthropic/claude-x", cache="none")["messages"] == [
        {"role": "user", "content": "hi"}
    ]


def test_fields_of_a_call_that_the_server_made_up_go_back_to_it_alone() -> None:
    call = ToolCall(id="a", name="f", raw=to_json({"extra_content": {"google": {"thought_signature": "S"}}}))
    own, foreign = asked(call), asked(call, api="anthropic-messages", provider="anthropic")
    sent = [body(HI, said, result("a"))["messages"][1]["tool_calls"][0] for said in (own, foreign)]
    assert sent[0]["extra_content"] == {"google": {"thought_signature": "S"}}
    assert "extra_content" not in sent[1]


def test_an_answer_of_nothing_is_left_out() -> None:
    assert body(HI, asked(), HI)["messages"] == [{"role": "user", "content": "hi"}] * 2


def test_the_key_goes_where_the_vendor_wants_it() -> None:
    def headers(provider: str, key: str) -> dict[str, str]:
        return dict(CODEC.headers(Request(model=ModelRef(api=API, provider=provider, model="m")), key))

    assert headers("openai", "K") == {"authorization": "Bearer K"}
    assert headers("azure", "K") == {"api-key": "K"}
    assert headers("ollama", "") == {}

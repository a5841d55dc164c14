from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

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
    Usage,
    UserMessage,
)
from eventsource.models.openai.responses import OpenAIResponses
from eventsource.models.openai.responses_reader import API
from eventsource.models.options import ModelOptionsError
from eventsource.request import Request

CODEC = OpenAIResponses()
HI = UserMessage(content="hi")
REASONING = ThinkingContent(
    thinking="hm", signature='{"id":"rs","summary":[{"type":"summary_text"}],"encrypted_content":"E"}'
)
TOOL = ToolSpec(name="f", schema=to_json({"type": "object", "properties": {}}))
SAID = TextContent(text="so", signature='{"id":"msg","phase":"final_answer"}')


NO_REASONING = Usage(output_tokens=9, raw=to_json({"output_tokens": 9}))


def body(
    *messages: Message,
    model: str = "gpt-5",
    provider: str = "openai",
    system: str = "",
    tools: Any = (),
    **options: Any,
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


def items(*blocks: AssistantContent, **options: Any) -> list[dict[str, Any]]:
    answer = AssistantMessage(content=blocks, usage=NO_REASONING)
    written: list[dict[str, Any]] = body(HI, answer, **options)["input"][1:]
    return written


def result(call_id: str, *content: Any) -> ToolResultMessage:
    return ToolResultMessage(tool_call_id=call_id, tool_name="f", content=content or (TextContent(text="ok"),))


def test_a_request_is_stateless_and_asks_a_model_that_reasons_for_its_reasoning() -> None:
    assert body(system="Be brief.") == {
        "model": "gpt-5",
        "input": [{"role": "user", "content": "hi"}],
        "stream": True,
        "store": False,
        "instructions": "Be brief.",
        "include": ["reasoning.encrypted_content"],
    }
    assert "include" not in body(model="gpt-4o")
    assert "include" not in body(extra_body={"store": True})


def test_options_are_written() -> None:
    written = body(max_tokens=17, thinking="low", tool_choice={"name": "f"}, tools=[TOOL], cache="long")
    assert written["max_output_tokens"] == 17
    assert written["reasoning"] == {"effort": "low", "summary": "auto"}
    assert written["tool_choice"] == {"type": "function", "name": "f"}
    assert written["prompt_cache_retention"] == "24h"
    assert body(model="gpt-5.2", thinking="off")["reasoning"] == {"effort": "none"}
    assert "reasoning" not in body(model="gpt-4o", thinking="off")


@pytest.mark.parametrize(
    ("model", "thinking", "taken"),
    [
        ("gpt-4.1", None, True),
        ("gpt-5", None, False),
        ("gpt-5-mini-2025-08-07", "low", False),
        ("gpt-5-chat-latest", None, True),
        ("gpt-5.2", None, True),
        ("gpt-5.2", "off", True),
        ("gpt-5.2", "high", False),
        ("gpt-5.2-pro", None, False),
        ("gpt-5.1-codex-mini", None, False),
        ("gpt-5.3-chat-latest", "low", True),
        ("o3", None, False),
        ("o4-mini", None, False),
        ("omni", None, True),
    ],
)
def test_a_temperature_goes_to_models_that_take_one(model: str, thinking: str | None, taken: bool) -> None:
    options: dict[str, Any] = {"temperature": 0.5} | ({"thinking": thinking} if thinking else {})
    assert ("temperature" in body(model=model, **options)) is taken
    assert body(model=model, provider="mine", **options)["temperature"] == 0.5  # another server may take it


def test_stop_sequences_are_refused_because_the_protocol_has_none() -> None:
    with pytest.raises(ModelOptionsError, match="stop sequences"):
        body(stop=["END"])


def test_a_tool_is_said_to_be_loose_because_silence_means_strict() -> None:
    loose = {"type": "object", "properties": {"x": {"type": "integer"}}}
    closed = {**loose, "required": ["x"], "additionalProperties": False}
    tools = [ToolSpec(name="f", schema=to_json(schema)) for schema in (loose, closed)]
    assert [tool["strict"] for tool in body(tools=tools)["tools"]] == [False, True]


def test_an_output_schema_is_a_text_format() -> None:
    written = body(output_schema={"type": "object", "properties": {}}, output_name="answer")["text"]["format"]
    assert (written["type"], written["name"], written["strict"]) == ("json_schema", "answer", True)


def test_a_schema_of_no_object_is_told_in_words() -> None:
    assert body(output_schema={"type": "array"})["instructions"].endswith('{"type":"array"}')
    assert "text" not in body(output_schema={"type": "array"})


def test_reasoning_goes_back_as_it_came_with_the_item_that_followed_it() -> None:
    assert items(REASONING, SAID) == [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "E",
        },
        {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "id": "msg",
            "phase": "final_answer",
            "content": [{"type": "output_text", "text": "so", "annotations": []}],
        },
    ]


def test_reasoning_that_nothing_follows_stays_out() -> None:
    assert items(SAID, REASONING) == items(SAID)


def test_reasoning_that_the_server_would_have_to_look_up_stays_out_unless_it_was_stored() -> None:
    stored = ThinkingContent(thinking="hm", signature='{"id":"rs","summary":[]}')
    (bare,) = items(stored, SAID)
    assert bare == {name: value for name, value in items(SAID)[0].items() if name != "id"}
    assert items(stored, SAID, extra_body={"store": True})[0] == {"type": "reasoning", "id": "rs", "summary": []}
    aloud = ThinkingContent(thinking="hm", signature='{"id":"rs","summary":[],"content":[{"type":"reasoning_text"}]}')
    assert items(aloud, SAID)[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]


def test_parts_of_one_message_go_back_as_one_message() -> None:
    note = to_json({"annotations": [{"type": "url_citation"}], "logprobs": [1]})
    second = TextContent(text="!", signature=SAID.signature, raw=note)
    (message,) = items(SAID, second)
    assert [part["text"] for part in message["content"]] == ["so", "!"]
    assert message["content"][1] == {"type": "output_text", "text": "!", "annotations": [{"type": "url_citation"}]}
    assert len(items(SAID, TextContent(text="!", signature='{"id":"other"}'))) == 2


def test_a_text_of_no_item_goes_back_plain_and_a_refusal_as_one() -> None:
    assert items(TextContent(text="so")) == [{"role": "assistant", "content": "so"}]
    (refused,) = items(TextContent(text="no", signature='{"id":"m","type":"refusal"}'))
    assert refused["content"] == [{"type": "refusal", "refusal": "no"}]


def test_calls_go_back_with_their_own_fields_and_results_name_the_call_id() -> None:
    signature = '{"id":"fc_1","caller":{"type":"program","caller_id":"p"}}'
    call = AssistantMessage(content=(ToolCall(id="call_1", name="f", arguments='{"x" :1}', signature=signature),))
    call = msgspec.structs.replace(call, usage=NO_REASONING)
    assert body(HI, call, result("call_1"))["input"][1:] == [
        {
            "type": "function_call",
            "name": "f",
            "arguments": '{"x" :1}',
            "id": "fc_1",
            "caller": {"type": "program", "caller_id": "p"},
            "call_id": "call_1",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
    ]


def test_a_custom_call_and_its_result_are_text() -> None:
    schema = to_json({"type": "object", "x-openai-custom": True})
    call = ToolCall(id="a", name="p", arguments='{"input":"a\\nb"}', signature='{"id":"ctc","type":"custom_tool_call"}')
    written = body(
        HI,
        AssistantMessage(content=(call,), usage=NO_REASONING),
        result("a"),
        tools=[ToolSpec(name="p", schema=schema)],
    )
    assert written["tools"] == [{"type": "custom", "name": "p"}]
    assert written["input"][1:] == [
        {"type": "custom_tool_call", "name": "p", "input": "a\nb", "id": "ctc", "call_id": "a"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "ok"},
    ]


def test_a_result_with_an_image_is_a_list() -> None:
    call = AssistantMessage(content=(ToolCall(id="a", name="f"),))
    image = ImageContent(data="iVBORw0KGgo=", media_type="image/png")
    assert body(HI, call, result("a", TextContent(text="see"), image))["input"][-1]["output"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
    ]


def test_an_item_without_a_neutral_form_goes_back_as_it_came_and_only_here() -> None:
    item = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}}
    assert items(ProviderContent(api=API, block=to_json(item)), SAID)[0] == item
    assert items(ProviderContent(api="anthropic-messages", block=to_json(item)), SAID) == items(SAID)


def test_an_id_longer_than_the_api_takes_is_left_out() -> None:
    long = to_json({"id": "x" * 65})
    (item,) = items(TextContent(text="so", signature=bytes(long).decode()))
    assert item["content"] == "so"
    call = ToolCall(id="a", name="f", signature=bytes(long).decode())
    assert "id" not in items(call)[0]


def test_the_message_of_another_provider_goes_as_plain_text() -> None:
    foreign = AssistantMessage(content=(REASONING, SAID), api="anthropic-messages", provider="anthropic")
    assert body(HI, foreign)["input"][1:] == [
        {"role": "assistant", "content": "hm"},
        {"role": "assistant", "content": "so"},
    ]


@pytest.mark.parametrize(("role", "sent"), [("developer", "developer"), ("system", "system"), ("tool", "user")])
def test_what_a_program_said_in_its_own_name_is_not_sent_as_the_users(role: str, sent: str) -> None:
    told = UserMessage(content="Be careful.", raw=to_json({"role": role}))
    assert [item["role"] for item in body(told, HI)["input"]] == [sent, "user"]

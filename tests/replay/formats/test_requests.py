"""Sessions written as what an API or a library takes: the context, in the protocol that is asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from eventsource.codec import to_json
from eventsource.events import Compaction, ConfigChange, Event, MessageAdopt, ModelRef, Origin, ToolSpec
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
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
from projections import CONTEXT, parts, project
from replay.formats import import_file
from replay.formats.pydantic_ai.write import pydantic_ai_parts
from replay.formats.requests import anthropic_parts, openai_chat_parts

Parts = Callable[[EventLog, str, int | None], AsyncIterator[bytes]]
CLAUDE = ModelRef(api="anthropic-messages", provider="anthropic", model="claude-sonnet-4-5")
GPT = ModelRef(api="openai-responses", provider="openai", model="gpt-5")
LOOK = ToolSpec(name="look", schema=to_json({"type": "object", "properties": {}}), description="Looks.")
PNG = ImageContent(data="iVBORw0KGgo=", media_type="image/png")


def adopt(message: Message, number: int = 0) -> MessageAdopt:
    return MessageAdopt(message=message, origin=Origin(source="test", entry=str(number)))


def asked(text: str) -> MessageAdopt:
    return adopt(UserMessage(content=text))


def said(*content: AssistantContent) -> MessageAdopt:
    return adopt(AssistantMessage(content=content, usage=Usage(input_tokens=3, cache_read_tokens=4, output_tokens=2)))


def result(call_id: str, *content: TextContent | ImageContent, failed: bool = False) -> MessageAdopt:
    message = ToolResultMessage(tool_call_id=call_id, tool_name="look", content=content, is_error=failed)
    return adopt(message)


def told(model: ModelRef, signature: str) -> list[Event]:
    return [
        ConfigChange(model=model, system_prompt="Be brief.", tools=(LOOK,), options=to_json({"extra_body": {"x": 1}})),
        asked("look"),
        said(
            ThinkingContent(thinking="The sky.", signature=signature),
            ProviderContent(api=model.api, block=to_json({"type": "web_search_call", "id": "ws"})),
            ToolCall(id="c1", name="look", arguments='{"at":"sky"}'),
            ToolCall(id="c2", name="look", arguments='{"at": "sea"}'),
        ),
        result("c1", TextContent(text="blue"), PNG),
        result("c2", TextContent(text="gone"), failed=True),
        said(TextContent(text="Blue.")),
    ]


async def session(log: EventLog, events: list[Event]) -> str:
    made = (await log.create("s")).id
    await log.append(made, [(1_760_000_000_000_000 + number, event) for number, event in enumerate(events)])
    return made


async def written(log: EventLog, events: list[Event], write: Parts, upto: int | None = None) -> Any:
    return json.loads(b"".join([part async for part in write(log, await session(log, events), upto)]))


async def test_a_body_for_chat_completions_says_what_the_model_would_be_sent(log: EventLog) -> None:
    body = await written(log, told(CLAUDE, "c2ln"), openai_chat_parts)
    assert (body["model"], set(body) & {"stream", "stream_options", "x"}) == ("claude-sonnet-4-5", set())
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert [message["role"] for message in body["messages"]] == [
        *("system", "user", "assistant", "tool", "tool"),
        *("user", "assistant"),  # a tool's image is shown by the user
    ]
    assert [call["id"] for call in body["messages"][2]["tool_calls"]] == ["c1", "c2"]
    assert [message["tool_call_id"] for message in body["messages"][3:5]] == ["c1", "c2"]


async def test_a_body_for_messages_keeps_reasoning_and_its_signature(log: EventLog) -> None:
    body = await written(log, told(CLAUDE, "c2ln"), anthropic_parts)
    assert (body["system"], "stream" in body, body["x"]) == ([{"type": "text", "text": "Be brief."}], False, 1)
    thought = body["messages"][1]["content"][0]
    assert (thought["type"], thought["thinking"], thought["signature"]) == ("thinking", "The sky.", "c2ln")
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["c1", "c2"]
    assert "cache_control" not in json.dumps(body)


async def test_reasoning_of_another_provider_is_left_out_of_a_body(log: EventLog) -> None:
    body = await written(log, told(GPT, '{"id":"rs_1","encrypted_content":"gAAA"}'), anthropic_parts)
    assert "gAAA" not in json.dumps(body)
    assert "x" not in body


async def test_a_history_for_pydantic_ai_has_what_stands_between_two_answers_in_one_request(log: EventLog) -> None:
    messages = await written(log, told(GPT, '{"id":"rs_1","encrypted_content":"gAAA"}'), pydantic_ai_parts)
    assert [one["kind"] for one in messages] == ["request", "response", "request", "response"]
    assert [part["part_kind"] for part in messages[0]["parts"]] == ["system-prompt", "user-prompt"]
    thinking, *calls = messages[1]["parts"]
    assert (thinking["id"], thinking["signature"], thinking["provider_name"]) == ("rs_1", "gAAA", "openai")
    assert [call["args"] for call in calls] == [{"at": "sky"}, '{"at": "sea"}']
    assert [part["outcome"] for part in messages[2]["parts"]] == ["success", "failed"]
    assert messages[2]["parts"][0]["content"][1]["media_type"] == "image/png"
    assert (messages[1]["model_name"], messages[1]["usage"]["input_tokens"]) == ("gpt-5", 7)
    assert messages[3]["timestamp"].startswith("2025-10-09T08:53:20.00000")


@pytest.mark.parametrize("write", [openai_chat_parts, anthropic_parts, pydantic_ai_parts])
async def test_what_was_compacted_is_left_out_and_a_seq_ends_it_earlier(write: Parts, tmp_path: Path) -> None:
    events: list[Event] = [
        ConfigChange(model=CLAUDE),
        asked("first"),
        said(TextContent(text="1")),
        Compaction(summary="In short."),
        asked("second"),
    ]
    async with open_store() as log:
        whole = json.dumps(await written(log, events, write))
        assert ("first" in whole, "In short." in whole, "second" in whole) == (False, True, True)
        early = b"".join([part async for part in write(log, "s", 3)])
        assert (b"first" in early, b"In short." in early, b"second" in early) == (True, False, False)


@pytest.mark.parametrize("write", [openai_chat_parts, pydantic_ai_parts])
async def test_what_was_written_is_read_back(write: Parts, tmp_path: Path) -> None:
    async with open_store() as log:
        plain = [one for one in told(CLAUDE, "c2ln") if not isinstance(one, MessageAdopt)]
        calls = said(ToolCall(id="c1", name="look", arguments='{"at": "sky"}'), ToolCall(id="c2", name="look"))
        results = [result(call_id, TextContent(text=call_id)) for call_id in ("c1", "c2")]
        made = await session(log, [*plain, asked("look"), calls, *results, said(TextContent(text="Blue."))])
        path = tmp_path / "out.json"
        _write(path, b"".join([part async for part in write(log, made, None)]))
        again = (await import_file(log, str(path))).session
        wanted, found = [[_core(one) for one in await context(log, each)] for each in (made, again)]
        assert found == wanted
        view = project(CONTEXT, await log.read(again, limit=1_000))
        assert (view.config.system_prompt, view.config.model and view.config.model.model) == (
            "Be brief.",
            "claude-sonnet-4-5",
        )


async def context(log: EventLog, name: str) -> list[Message]:
    return [part.message for part in parts(project(CONTEXT, await log.read(name, limit=1_000)))]


def _core(message: Message) -> object:
    """Return what each form can say of a message."""
    match message:
        case AssistantMessage():
            return message.text, [
                (call.id, call.name, json.loads(call.arguments or "{}")) for call in message.tool_calls
            ]
        case ToolResultMessage():
            return message.tool_call_id, message.tool_name, [type(part) for part in message.content]
        case _:
            return message


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def test_a_session_without_messages_is_still_a_document(log: EventLog) -> None:
    assert await written(log, [ConfigChange(model=CLAUDE)], pydantic_ai_parts) == []

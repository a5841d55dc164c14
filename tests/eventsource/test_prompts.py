"""What a caller may say, in every form that people have it in; and what is told of what is none."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from eventsource.errors import ArgumentError
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Message,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.prompts import as_message, as_messages
from eventsource.tools.results import Image
from tests.strategies import of_type

PNG_BYTES = b"\x89PNG\r\n\x1a\n"
PNG = base64.b64encode(PNG_BYTES).decode()
IMAGE = ImageContent(data=PNG, media_type="image/png")
SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}
ADD = ToolCall(id="c1", name="add", arguments='{"a":2}')
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}


class Person(BaseModel):
    name: str = "Kim"


def read(prompt: object) -> list[Message]:
    return list(as_messages(prompt, where="here"))


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("hi", UserMessage(content="hi")),
        ({"role": "user", "content": "hi"}, UserMessage(content="hi")),
        (["a", "b"], UserMessage(content=(TextContent(text="a"), TextContent(text="b")))),
        (IMAGE, UserMessage(content=(IMAGE,))),
        (Image(PNG_BYTES, "image/png"), UserMessage(content=(IMAGE,))),
        ({"type": "text", "text": "a"}, UserMessage(content=(TextContent(text="a"),))),
        (
            ["what?", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}],
            UserMessage(content=(TextContent(text="what?"), IMAGE)),
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]},
            UserMessage(content=(IMAGE,)),
        ),
        (
            {"role": "user", "content": [{"type": "image", "source": SOURCE}]},
            UserMessage(content=(IMAGE,)),
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            AssistantMessage(content=(ADD,), stop_reason="tool_use"),
        ),
        (
            ChatCompletionMessage.model_validate({"role": "assistant", "content": "so", "tool_calls": [CALL]}),
            AssistantMessage(
                content=(TextContent(text="so"), ADD), stop_reason="tool_use"
            ),
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
            ToolResultMessage(tool_call_id="c1", tool_name="", content=(TextContent(text="4"),)),
        ),
        ("\ud83d\ude00", UserMessage(content="😀")),
    ],
)  # fmt: skip
def test_every_form_of_a_message_is_read(prompt: object, said: Message) -> None:
    assert read(prompt) == [said]


def test_a_list_of_messages_stays_a_list_of_messages() -> None:
    history = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        AssistantMessage(content=(TextContent(text="4"),)),
        "and 3?",
    ]
    said = read(history)
    assert [type(one).__name__ for one in said] == [
        "UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage", "UserMessage",
    ]  # fmt: skip
    assert history[0] == {"role": "user", "content": "2+2?"}


@given(st.one_of([of_type(one) for one in (UserMessage, AssistantMessage, ToolResultMessage, CustomMessage)]))
def test_a_message_as_json_of_ours_is_a_message_of_its_role(message: Message) -> None:
    if isinstance(message, AssistantMessage) and not message.content:
        return  # it says nothing
    written = msgspec.json.decode(msgspec.json.encode(message))
    if written["role"] == "assistant" and any(block["type"] == "provider" for block in written.get("content", ())):
        return  # a provider's own
    assert type(as_message(written, where="here")) is type(message)


@pytest.mark.parametrize(
    ("prompt", "place", "says"),
    [
        ("", "prompt", "nothing to say"),
        ("  \n", "prompt", "nothing to say"),
        (None, "prompt", "resume"),
        ([], "prompt", "the list is empty"),
        (b"x", "prompt", "refold.Image"),
        (3, "prompt", "3 (int)"),
        (True, "prompt", "True"),
        (Path("x.txt"), "prompt", "path.read_text()"),
        (Person(), "prompt", "model_dump_json"),
        (Person, "prompt", "the class Person"),
        (len, "prompt", "the function len"),
        ({"a": 1}, "prompt", "role and a content"),
        ({"role": "user"}, "prompt['content']", "None"),
        ({"role": "user", "content": 3}, "prompt['content']", "3 (int)"),
        ({"role": "boss", "content": "x"}, "prompt['role']", "user, assistant or tool"),
        ([{"role": "system", "content": "x"}], "prompt[0]['role']", "Agent(..., system=...)"),
        ([{"role": "developer", "content": "x"}], "prompt[0]['role']", "Agent(..., system=...)"),
        ({"role": "tool", "content": "4"}, "prompt['tool_call_id']", "None"),
        ({"role": "assistant", "content": None}, "prompt['content']", "tool_calls"),
        ({"role": "assistant", "content": "x", "tool_calls": [{"name": "add"}]}, "prompt['tool_calls'][0]", "function"),
        (["a", None], "prompt[1]", "None"),
        ([["a"]], "prompt[0]", "a list"),
        ({"role": "user", "content": ["a", 3]}, "prompt['content'][1]", "3 (int)"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://host/a.png"}}]},
            "prompt['content'][0]['image_url']",
            "nothing is fetched",
        ),
        ({"role": "user", "content": [{"type": "video"}]}, "prompt['content'][0]['type']", "'video'"),
    ],
)
def test_what_is_no_prompt_is_told_with_its_place(prompt: object, place: str, says: str) -> None:
    with pytest.raises(ArgumentError) as told:
        read(prompt)
    assert str(told.value).startswith(f"here: {place}: expected ")
    assert says in str(told.value)


async def test_a_coroutine_in_the_place_of_its_result_is_told_once() -> None:
    async def fetch() -> str:
        return "x"

    with pytest.raises(ArgumentError, match=r"the coroutine of .*fetch, which nobody awaited; await it first"):
        read(fetch())


def test_one_message_is_not_several() -> None:
    with pytest.raises(ArgumentError, match="one message, found a list of 2"):
        as_message([UserMessage(content="a"), UserMessage(content="b")], where="here")

"""An assistant message's content, put together from its updates."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from eventsource.assemble import Assembler, content_differs, same_arguments
from eventsource.events import MessageEnd, MessageUpdate
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
)
from tests.interpreter import played
from tests.strategies import choices

RAW = msgspec.Raw(b'{"a":1}')
UPDATES = [
    MessageUpdate(kind="thinking_start", content_index=0, redacted=True),
    MessageUpdate(kind="thinking_delta", content_index=0, delta="hm"),
    MessageUpdate(kind="text_start", content_index=1),
    MessageUpdate(kind="tool_call_start", content_index=2, id="c", name="read"),
    MessageUpdate(kind="text_delta", content_index=1, delta="It is"),
    MessageUpdate(kind="tool_call_delta", content_index=2, delta='{"n"'),
    MessageUpdate(kind="text_delta", content_index=1, delta=" rain."),
    MessageUpdate(kind="tool_call_delta", content_index=2, delta=":1}"),
    MessageUpdate(kind="thinking_end", content_index=0, signature="s"),
    MessageUpdate(kind="text_end", content_index=1, signature="t"),
    MessageUpdate(kind="tool_call_end", content_index=2, signature="u"),
    MessageUpdate(kind="provider_block", content_index=3, api="x", block=RAW),
]
WHOLE: tuple[AssistantContent, ...] = (
    ThinkingContent(thinking="hm", signature="s", redacted=True),
    TextContent(text="It is rain.", signature="t"),
    ToolCall(id="c", name="read", arguments='{"n":1}', signature="u"),
    ProviderContent(api="x", block=RAW),
)


def assembled(*updates: MessageUpdate) -> tuple[AssistantContent, ...]:
    assembler = Assembler()
    for update in updates:
        assembler.add(update)
    return assembler.content()


def test_updates_of_interleaved_blocks_make_the_blocks() -> None:
    assert assembled(*UPDATES) == WHOLE


def test_what_was_not_ended_is_there_as_far_as_it_came() -> None:
    assert assembled(*UPDATES[:6]) == (
        ThinkingContent(thinking="hm", redacted=True),
        TextContent(text="It is"),
        ToolCall(id="c", name="read", arguments='{"n"'),
    )
    assert assembled() == ()


def test_arguments_that_an_end_repeats_replace_the_joined_ones() -> None:
    begun = (
        MessageUpdate(kind="tool_call_start", content_index=0, id="c", name="read"),
        MessageUpdate(kind="tool_call_delta", content_index=0, delta='{"n"'),
    )
    for arguments in ("{}", ""):
        end = MessageUpdate(kind="tool_call_end", content_index=0, arguments=arguments)
        assert assembled(*begun, end) == (ToolCall(id="c", name="read", arguments=arguments),)


def test_a_providers_block_without_content_is_null() -> None:
    block = MessageUpdate(kind="provider_block", content_index=0, api="x")
    assert assembled(block) == (ProviderContent(api="x", block=msgspec.Raw(b"null")),)


@given(choices(120))
def test_a_streamed_message_is_what_its_updates_make(numbers: list[int]) -> None:
    assembler = Assembler()
    for recorded in played(numbers):
        match recorded.event:
            case MessageUpdate():
                assembler.add(recorded.event)
            case MessageEnd(message=AssistantMessage(content=content)) if assembler.content():
                assert content_differs(assembler.content(), content) == ""
                assembler = Assembler()
            case _:
                pass


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("", "{}", True),
        ('{"a": 1, "b":2}', '{"b":2,"a":1}', True),
        ('{"a":1}', '{"a":1.0}', True),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":', '{"a":', True),
        ('{"a":', "{}", False),
        ("[]", "{}", False),
    ],
)
def test_arguments_are_compared_by_what_they_say(one: str, other: str, same: bool) -> None:
    assert same_arguments(one, other) is same_arguments(other, one) is same


DIFFERENT: dict[str, tuple[tuple[AssistantContent, ...], str]] = {
    "a block less": (WHOLE[:3], "content: 4 blocks were streamed, 3 were stored"),
    "another text": ((WHOLE[0], TextContent(text="It is dry."), *WHOLE[2:]), "content[1]: the streamed TextContent"),
    "another thought": ((ThinkingContent(thinking=""), *WHOLE[1:]), "content[0]: the streamed ThinkingContent"),
    "other arguments": ((*WHOLE[:2], ToolCall(id="c", name="read"), WHOLE[3]), "content[2]: the streamed ToolCall"),
    "another block": ((*WHOLE[:3], ProviderContent(api="x", block=msgspec.Raw(b"2"))), "content[3]: the streamed Prov"),
    "another type": ((WHOLE[1], WHOLE[1], *WHOLE[2:]), "the streamed ThinkingContent is not the stored TextContent"),
}


@pytest.mark.parametrize(("stored", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_message_that_says_something_else_is_told_apart(stored: tuple[AssistantContent, ...], said: str) -> None:
    assert said in content_differs(WHOLE, stored)


def test_what_updates_have_no_room_for_may_differ() -> None:
    late = ToolCall(id="late", name="write", arguments='{"n":1}', raw=RAW)
    stored = (ThinkingContent(thinking="hm"), TextContent(text="It is rain.", raw=RAW), late, WHOLE[3])
    assert content_differs(WHOLE, stored) == ""

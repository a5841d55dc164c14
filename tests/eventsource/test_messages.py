"""What a message says of itself."""

from __future__ import annotations

import msgspec
from hypothesis import given

from eventsource.messages import AssistantMessage, TextContent, ThinkingContent, ToolCall, Usage
from tests.strategies import of_type

RAW = msgspec.Raw(b'{"tokens":3}')


def test_the_text_of_a_message_is_its_text_blocks_joined() -> None:
    blocks = (TextContent(text="It is "), ThinkingContent(thinking="hm"), TextContent(text="12 C."))
    assert AssistantMessage(content=blocks).text == "It is 12 C."
    assert AssistantMessage().text == ""


def test_the_calls_of_a_message_keep_their_order_and_repeated_ids() -> None:
    first, second = ToolCall(id="c", name="read"), ToolCall(id="c", name="send")
    assert AssistantMessage(content=(first, TextContent(text="and"), second)).tool_calls == (first, second)


def test_adding_usage_adds_tokens_and_known_costs() -> None:
    one = Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4, cost_microusd=5, raw=RAW)
    other = Usage(input_tokens=10, reasoning_tokens=7, prices="list-1")
    both = Usage(
        input_tokens=11,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        reasoning_tokens=7,
        cost_microusd=5,
        prices="list-1",
    )
    assert one + other == other + one == both


def test_an_unknown_cost_stays_unknown() -> None:
    assert (Usage() + Usage()).cost_microusd is None
    assert (Usage(cost_microusd=0) + Usage()).cost_microusd == 0


def test_reasoning_is_part_of_the_output_and_counts_once() -> None:
    usage = Usage(input_tokens=1, output_tokens=9, cache_read_tokens=10, cache_write_tokens=20, reasoning_tokens=5)
    assert usage.total_tokens == 40


@given(of_type(Usage), of_type(Usage))
def test_tokens_of_a_sum_are_the_sum_of_tokens(one: Usage, other: Usage) -> None:
    assert (one + other).total_tokens == one.total_tokens + other.total_tokens

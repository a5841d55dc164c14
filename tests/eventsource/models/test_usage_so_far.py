"""What a provider says of its tokens before the end is said at once, in each of the four protocols."""

from __future__ import annotations

import json

import pytest

from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import Usage
from eventsource.models.catalog import find_codec
from eventsource.models.protocol import StreamEvent, StreamUsage
from eventsource.models.transport.sse import ServerEvent
from eventsource.request import Request

CLAUDE = [
    {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 100, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hel"}},
]
GEMINI = [
    {
        "candidates": [{"content": {"parts": [{"text": "Hel"}]}}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 1},
    }
]
CHUNKS = [
    {
        "choices": [{"index": 0, "delta": {"content": "Hel"}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
    }
]
ITEMS = [
    {"type": "response.created", "response": {"id": "r", "usage": {"input_tokens": 100, "output_tokens": 1}}},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"},
]


@pytest.mark.parametrize(
    ("api", "events"),
    [
        ("anthropic-messages", CLAUDE),
        ("google-generative-ai", GEMINI),
        ("openai-completions", CHUNKS),
        ("openai-responses", ITEMS),
    ],
)
def test_what_was_used_so_far_is_said_before_the_first_word(api: str, events: list[object]) -> None:
    ref = ModelRef(api=api, provider="p", model="m")
    reader = find_codec(ref).reader(Request(model=ref))
    said: list[StreamEvent] = []
    for event in events:
        said += reader.feed(ServerEvent(data=json.dumps(event)))
    used = next(place for place, one in enumerate(said) if isinstance(one, StreamUsage))
    word = next(place for place, one in enumerate(said) if isinstance(one, MessageUpdate))
    assert used < word
    first = said[used]
    assert isinstance(first, StreamUsage)
    assert (first.usage.input_tokens, first.usage.output_tokens) == (100, 1)
    assert sum(isinstance(one, StreamUsage) for one in said) == 1


def test_the_hour_of_a_cache_is_read_as_such() -> None:
    ref = ModelRef(api="anthropic-messages", provider="anthropic", model="m")
    reader = find_codec(ref).reader(Request(model=ref))
    written = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 10, "cache_creation": written}
    (used, _) = reader.feed(ServerEvent(data=json.dumps({"type": "message_start", "message": {"usage": usage}})))
    assert isinstance(used, StreamUsage)
    assert (used.usage.cache_write_tokens, used.usage.cache_write_1h_tokens) == (10, 6)
    assert (used.usage + Usage(cache_write_1h_tokens=1)).cache_write_1h_tokens == 7

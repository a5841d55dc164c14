"""However a recorded stream is damaged, its reading keeps the contract and ends."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from eventsource.codec import encode
from eventsource.events import MessageEnd
from eventsource.models.anthropic import AnthropicMessages
from eventsource.models.google import GoogleGenerativeAI
from eventsource.models.openai.chat import OpenAICompletions
from eventsource.models.openai.responses import OpenAIResponses
from eventsource.models.transport.body import BodyParser
from eventsource.models.transport.sse import ServerEvent
from eventsource.models.wire import Codec
from tests.conformance.exchanges import ABSENT, Case, asked, cases, final

CODECS: dict[str, Codec] = {
    "anthropic": AnthropicMessages(),
    "gemini": GoogleGenerativeAI(),
    "openai_chat": OpenAICompletions(),
    "openai_compat": OpenAICompletions(),
    "openai_responses": OpenAIResponses(),
}
CASES = [(api, case) for api in CODECS for case in cases(api) if case.response["status"] == 200]
ODD: list[Any] = [None, 0, -1, 2.5, True, "", "x", [], {}, [None], {"a": 1}, "\ud800"]
pytestmark = pytest.mark.skipif(not CASES, reason=ABSENT)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inside:
        yield from paths(item, (*path, name))


def damaged(data: str, dice: random.Random) -> str:
    """Put an odd value anywhere into JSON."""
    try:
        value = copy.deepcopy(json.loads(data))
    except ValueError:
        return data
    *above, last = dice.choice([*paths(value)][1:] or [("",)])
    at = value
    for name in above:
        at = at[name]
    if isinstance(at, dict | list):
        at[last] = dice.choice(ODD)
    return json.dumps(value)


def events(case: Case) -> list[ServerEvent]:
    parser = BodyParser()
    found = [*parser.feed(case.body), *parser.close()]
    return found if len(found) <= 60 else [*found[:20], *found[-40:]]


@pytest.mark.parametrize(("api", "case"), CASES, ids=str)
def test_a_damaged_stream_ends_like_any_other(api: str, case: Case) -> None:
    dice, request, whole = random.Random(case.name), asked(CODECS[api].name, "vendor", "asked"), events(case)
    for _ in range(4):
        stream = list(whole)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(stream) + 1)
            if dice.random() < 0.3:
                stream[at : at + 1] = dice.choice([[], whole[:2], whole[-1:]])
            elif at < len(stream):
                stream[at] = ServerEvent(data=damaged(stream[at].data, dice), event=stream[at].event)
        reader = CODECS[api].reader(request)
        said = [out for event in stream if not reader.done and not reader.failure for out in reader.feed(event)]
        message = final([*said, *reader.finish("cut")])
        assert encode(MessageEnd(message=message))

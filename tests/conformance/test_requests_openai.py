"""Recorded requests in OpenAI's protocols, written again, and conversations of several turns, played end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from eventsource.codec import read_object
from eventsource.events import ModelRef
from eventsource.messages import AssistantMessage, ProviderContent, ToolCall, ToolResultMessage
from eventsource.models.adapt.history import Target, adapt_history
from eventsource.models.openai.chat import OpenAICompletions
from eventsource.models.openai.responses import OpenAIResponses
from eventsource.models.rules import Limits
from eventsource.models.wire import Codec
from eventsource.request import Request
from refold.http.wires import chat as chat_wire, responses as responses_wire
from tests.conformance.exchanges import ABSENT, Case, asked, cases, final, play
from tests.conformance.openai_bodies import has_foreign, plain, same_names
from tests.conformance.stream_rules import chunks
from tests.conformance.test_streams_openai import provider

CASES = [*cases("openai_chat"), *cases("openai_compat"), *cases("openai_responses")]
WITH_BODY = [
    case for case in CASES if case.request_body and case.request_body.get("messages", case.request_body.get("input"))
]
RESPONSES = [case for case in cases("openai_responses") if case.response["status"] == 200]
pytestmark = pytest.mark.skipif(not CASES, reason=ABSENT)


def codec_of(case: Case) -> Codec:
    return OpenAIResponses() if case.data["provider_api"] == "openai_responses" else OpenAICompletions()


def request_of(case: Case) -> Request:
    assert case.request_body is not None
    responses = case.data["provider_api"] == "openai_responses"
    read = responses_wire.read_request if responses else chat_wire.read_request
    request = read(case.request_body, provider(case))
    if has_foreign(request):
        pytest.skip("the recorded request holds something that our messages only keep as it came")
    return request


def written(codec: Codec, request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(codec.encode(request))
    return body


ANYTHING = Target(api="", model=ModelRef(api="", provider="", model=""), limits=Limits())


def lacks_results(request: Request) -> bool:
    calls = [call.id for m in request.messages if isinstance(m, AssistantMessage) for call in m.tool_calls]
    results = [m.tool_call_id for m in request.messages if isinstance(m, ToolResultMessage)]
    return sorted(calls) != sorted(results)


@pytest.mark.parametrize("case", WITH_BODY, ids=repr)
def test_a_recorded_request_is_written_again_as_it_was(case: Case) -> None:
    request, codec = request_of(case), codec_of(case)
    ours = written(codec, request)
    if lacks_results(request):  # the recorded server refused it; ours has a result for each call, and no other
        assert not lacks_results(msgspec.structs.replace(request, messages=adapt_history(request.messages, ANYTHING)))
        return
    mine, theirs = same_names(plain(ours), plain(case.request_body or {}))
    assert mine == theirs
    assert codec.encode(request) == codec.encode(request)


def turns() -> Iterator[tuple[Case, Case]]:
    """Find requests that carry the answer to the one before."""
    by_place = {case.turns[:2]: case for case in WITH_BODY}
    for (source, index), case in by_place.items():
        before = by_place.get((source, index - 1))
        if before is not None and before.response["status"] == 200:
            yield before, case


TURNS = list(turns())


@pytest.mark.parametrize(("before", "case"), TURNS, ids=[repr(case) for _, case in TURNS])
async def test_the_next_request_holds_our_reading_of_the_answer(before: Case, case: Case) -> None:
    codec, first, second = codec_of(case), request_of(before), request_of(case)
    answer = final(await play(before, codec, first, [before.body]))
    count = len(first.messages)
    rest = list(second.messages[count:])
    if second.messages[:count] != first.messages or not rest or not isinstance(rest[0], AssistantMessage):
        pytest.skip("the second request does not go on where the first one ended")
    count = next((i for i, m in enumerate(rest) if not isinstance(m, AssistantMessage)), len(rest))
    recorded = [message for message in rest[:count] if isinstance(message, AssistantMessage)]
    rest = rest[count:]
    if answer.stop_reason == "error":  # what a client made of a refused answer is its own; ours sends nothing of it
        mine, theirs = (
            plain(written(codec, msgspec.structs.replace(second, messages=first.messages))),
            plain(case.request_body or {}),
        )
        assert mine == {**theirs, "messages": theirs["messages"][: len(mine["messages"])]}
        return
    answer = named_as_recorded(answer, recorded)
    answer = msgspec.structs.replace(answer, content=(*answer.content, *outputs(recorded, answer)))
    ours = msgspec.structs.replace(second, messages=(*first.messages, answer, *rest))
    mine, theirs = retyped(plain(written(codec, ours))), retyped(plain(case.request_body or {}))
    assert without(mine, theirs) == theirs


def named_as_recorded(answer: AssistantMessage, recorded: list[AssistantMessage]) -> AssistantMessage:
    """Give our calls the ids of the recorded request: some recordings name calls that their answer names otherwise."""
    names = [call.id for message in recorded for call in message.tool_calls]
    assert len(names) == len(answer.tool_calls)
    content = [
        msgspec.structs.replace(block, id=names.pop(0)) if isinstance(block, ToolCall) else block
        for block in answer.content
    ]
    return msgspec.structs.replace(answer, content=tuple(content))


def outputs(recorded: list[AssistantMessage], answer: AssistantMessage) -> list[ProviderContent]:
    """Find what the recording client itself said to the server's own calls, such as the tools that a search found."""
    blocks = [block for message in recorded for block in message.content if isinstance(block, ProviderContent)]
    came = {item_type(block) for block in answer.content if isinstance(block, ProviderContent)}
    return [block for block in blocks if item_type(block).endswith("_output") and item_type(block) not in came]


def item_type(block: ProviderContent) -> str:
    return str(read_object(block.block).get("type"))


RETYPED = {"’": "'", "‘": "'", "“": '"', "”": '"', "—": "--", "–": "-", "…": "..."}
"""What one recording program made of typography in request bodies; the answers it left alone."""


def without(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Leave out reasoning, and items of the server's own tools, if the recording client sent none of the kind.

    Reasoning that it sent inside the text, between tags, stands there on our side too.
    """
    kinds = {item.get("type") for item in theirs["messages"]}
    fields = {name for message in theirs["messages"] for name in message}
    shown = []
    for message in ours["messages"]:
        aloud = [message.pop(name) for name in REASONING if name in message and name not in fields]
        if aloud and any("<think>" in str(other.get("content")) for other in theirs["messages"]):
            message["content"] = "".join(f"<think>{aloud[0]}</think>{message.get('content', '')}".split())
        if message.get("type") in kinds:
            shown.append(message)
    return {**ours, "messages": shown}


REASONING = ("reasoning_content", "reasoning", "reasoning_details")


def retyped(body: dict[str, Any]) -> dict[str, Any]:
    """Write texts in plain letters, and without the line ends that one recording client sets after <think>."""
    for message in body["messages"]:
        if isinstance(text := message.get("content"), str):
            for letter, plain_letters in RETYPED.items():
                text = text.replace(letter, plain_letters)
            message["content"] = "".join(text.split()) if "<think>" in text else text
    return body


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """Say an item without what is empty, its state, and log probabilities, which nobody takes back."""
    item = {k: v for k, v in item.items() if v not in (None, [], {}) and k != "status"}
    if isinstance(item.get("content"), list):
        item["content"] = [{k: v for k, v in part.items() if v and k != "logprobs"} for part in item["content"]]
    return item


def finished(case: Case) -> list[dict[str, Any]]:
    """Collect the items by place: as their end was streamed, and what that left out from the terminal event."""
    found: dict[int, dict[str, Any]] = {}
    last: dict[str, Any] = {}
    for chunk in chunks(case):
        last = chunk.get("response") or last
        if chunk.get("type") == "response.output_item.done":
            found[chunk["output_index"]] = chunk["item"]
    for place, item in enumerate(last.get("output") or []):
        ids = {k: v for k, v in item.items() if k == "call_id" and item["type"] == "function_call"}
        found[place] = {**item, **found.get(place, {}), **ids}
    return [found[place] for place in sorted(found)]


def edited(case: Case) -> bool:
    """Tell that the texts at the end are not the texts that were streamed: somebody wrote into the recording."""
    summary = case.expected["summary"]
    return not summary["text"].startswith(summary["text_from_deltas"])


@pytest.mark.parametrize("case", [case for case in RESPONSES if finished(case)], ids=repr)
async def test_every_item_goes_back_as_it_came(case: Case) -> None:
    codec = OpenAIResponses()
    request = asked(codec.name, provider(case), "asked")
    answer = final(await play(case, codec, request, [case.body]))
    stored = msgspec.Raw(b'{"extra_body":{"store":true}}')
    whole = msgspec.structs.replace(request, messages=(answer,), options=stored)
    ours = [bare(item) for item in written(codec, whole)["input"]]
    ours = [item for item in ours if item.get("type") not in (None, "function_call_output", "custom_tool_call_output")]
    theirs = [bare(item) for item in finished(case)]
    while theirs and theirs[-1]["type"] == "reasoning":
        theirs.pop()
    if edited(case):
        for item in (*ours, *theirs):
            item.pop("content", None)
    assert ordered(ours) == ordered(theirs)
    ends = [chunk["output_index"] for chunk in chunks(case) if chunk.get("type") == "response.output_item.done"]
    if ends == list(range(len(theirs))):
        assert list(map(sorted, ours)) == list(map(sorted, theirs))


def ordered(items: list[dict[str, Any]]) -> list[str]:
    """Put items into one order: those that end at the same time, or only with the answer, come in any."""
    return sorted(json.dumps(item, sort_keys=True) for item in items)

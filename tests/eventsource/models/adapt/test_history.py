"""Any history becomes one that a provider accepts."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given, strategies as st

from eventsource.events import ModelRef
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.adapt.history import NO_RESULT, Target, adapt_history, without_images
from eventsource.models.adapt.images import NO_IMAGE
from eventsource.models.rules import Limits

LIMITS = Limits(id_refused=r"[^a-zA-Z0-9_-]", id_chars=64, unique_ids=True)
MODEL = ModelRef(api="here", provider="", model="")
ACCEPTS = Target(api="here", model=MODEL, limits=LIMITS)


def called(*ids: str, api: str = "") -> AssistantMessage:
    return AssistantMessage(api=api, content=tuple(ToolCall(id=i, name="t", arguments="{}") for i in ids))


def result(call_id: str, text: str = "r") -> ToolResultMessage:
    return ToolResultMessage(tool_call_id=call_id, tool_name="t", content=(TextContent(text=text),))


def texts(messages: tuple[Message, ...]) -> list[str]:
    return [
        m.content[0].text
        for m in messages
        if isinstance(m, ToolResultMessage) and isinstance(m.content[0], TextContent)
    ]


def test_a_complete_history_of_the_same_provider_is_not_changed() -> None:
    history = (UserMessage(content="q"), called("a", "b"), result("a"), result("b"), UserMessage(content="more"))
    assert adapt_history(history, ACCEPTS) == history


def test_results_follow_their_message_in_the_order_of_its_calls() -> None:
    history = (called("a", "b"), UserMessage(content="wait"), result("b", "B"), result("a", "A"))
    prepared = adapt_history(history, ACCEPTS)
    assert texts(prepared) == ["A", "B"]
    assert prepared[-1] == history[1]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    (_, missing) = adapt_history((called("a"),), ACCEPTS)
    assert isinstance(missing, ToolResultMessage)
    assert (missing.is_error, texts((missing,))) == (True, [NO_RESULT])


def test_a_result_without_a_call_becomes_text() -> None:
    (said,) = adapt_history((result("lost", "found"),), ACCEPTS)
    assert isinstance(said, UserMessage)
    assert said.content[-1] == TextContent(text="found")


def test_reasoning_goes_back_only_to_where_it_was_signed() -> None:
    block = ThinkingContent(thinking="hm", signature="s")
    own, other = AssistantMessage(content=(block,)), AssistantMessage(content=(block,), api="there")
    assert adapt_history((own,), ACCEPTS) == (own,)
    assert adapt_history((other,), ACCEPTS)[0].content == (TextContent(text="hm"),)  # type: ignore[union-attr]  # an assistant's
    unsigned = AssistantMessage(content=(ThinkingContent(thinking="hm"),))
    strict = msgspec.structs.replace(LIMITS, reasoning="signed", unsigned="drop", texts="some")
    assert adapt_history((unsigned,), msgspec.structs.replace(ACCEPTS, limits=strict)) == ()


def test_what_only_one_provider_reads_is_left_out_for_another() -> None:
    raw = msgspec.Raw(b"{}")
    message = AssistantMessage(
        api="there",
        raw=raw,
        content=(
            ProviderContent(api="there", block=raw),
            TextContent(text="t", signature="s", raw=raw),
            ToolCall(id="a", name="t", signature="s", raw=raw),
        ),
    )
    assert adapt_history((message, result("a")), ACCEPTS)[0] == AssistantMessage(
        api="there", content=(TextContent(text="t"), ToolCall(id="a", name="t"))
    )


def test_images_become_a_remark_where_none_are_taken() -> None:
    image, remark = ImageContent(data="AA==", media_type="image/png"), TextContent(text=NO_IMAGE)
    history = (UserMessage(content="q"), UserMessage(content=(image,)), result("a"))
    shown = msgspec.structs.replace(history[2], content=(image,))
    assert without_images((*history[:2], shown)) == (
        history[0],
        UserMessage(content=(remark,)),
        msgspec.structs.replace(shown, content=(remark,)),
    )


def test_custom_messages_are_left_out() -> None:
    assert adapt_history((CustomMessage(kind="note", body=msgspec.Raw(b"{}")),), ACCEPTS) == ()


IDS = st.sampled_from(["", "a", "a!", "a?", "call_1", "call", "x" * 70, "x" * 64, "fc|1"])
PIECES = st.one_of(
    st.lists(IDS, max_size=3).map(lambda ids: called(*ids)),
    st.lists(IDS, max_size=3).map(lambda ids: called(*ids, api="there")),
    IDS.map(result),
    st.just(UserMessage(content="u")),
)


@given(st.lists(PIECES, max_size=8))
def test_every_call_has_one_result_right_after_it_and_ids_are_legal_and_unique(history: list[Message]) -> None:
    prepared = list(adapt_history(history, ACCEPTS))
    seen: list[str] = []
    while prepared:
        message = prepared.pop(0)
        assert not isinstance(message, ToolResultMessage)
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                answer = prepared.pop(0)
                assert isinstance(answer, ToolResultMessage)
                assert answer.tool_call_id == call.id
                assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call.id)
                seen.append(call.id)
    assert len(seen) == len(set(seen))

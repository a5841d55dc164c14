"""What is left out of events is nowhere in them, whatever they are; what happened stays."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.codec import encode, from_json, read_object, to_json
from eventsource.envelope import Recorded
from eventsource.events import (
    ConfigChange,
    Custom,
    Event,
    MessageAdopt,
    MessageEnd,
    MetadataSet,
    ModelRequest,
    Origin,
    QueuePush,
    Retry,
    TaskEnd,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    WaitEnd,
)
from eventsource.machine.evolve import evolve
from eventsource.machine.state import State
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from eventsource.values import Inserted, SeqRange, ToolResult, ToolSpec
from refold.testing import events
from replay.omitting import MARK, MARKS, OMITTED, Omitted, Omitting, left_out_words
from tests.strategies import histories

ORIGIN = Origin(source="test")
KINDS = st.sets(st.sampled_from(OMITTED), min_size=1)
KEPT_JSON = (TokenCreate, ToolSpec, ConfigChange, CustomMessage)
"""Of these a schema, options or known fields stay; the tests below hold them to what."""


def structs(value: object) -> Iterator[msgspec.Struct]:
    """Yield every struct in a value."""
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from structs(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from structs(one)


def without(event: Event, *kinds: Omitted) -> Event:
    return Omitting(kinds).take(event)


@given(events(), KINDS)
def test_no_event_holds_what_is_left_out(event: Event, kinds: set[Omitted]) -> None:
    left = Omitting(kinds).take(event)
    assert type(left) is type(event)
    for one in structs(left):
        match one:
            case ThinkingContent() if "thinking" in kinds:
                assert one == ThinkingContent(thinking=MARKS["thinking"])
            case TextContent(signature=signature) | ToolCall(signature=signature) if "thinking" in kinds:
                assert signature == ""
            case ImageContent():
                assert "images" not in kinds
            case ToolResultMessage(content=content) | ToolResult(content=content) if "results" in kinds:
                assert content in ((), (TextContent(text=MARKS["results"]),))
            case _:
                pass
        if not isinstance(one, KEPT_JSON):
            for name in one.__struct_fields__:
                value = getattr(one, name)
                assert not isinstance(value, msgspec.Raw) or is_plain(one, value), (one, name)


def is_plain(holder: msgspec.Struct, value: msgspec.Raw) -> bool:
    """A mark, or one of the few values that are kept: what was decided, a number of the run, where it was made."""
    plain = from_json(value)
    match holder:
        case WaitEnd():
            return plain in (MARK, "rerun", "adopt", "fail", {"approve": True}, {"approve": False})
        case MetadataSet(name=name):
            return (
                plain is None
                or plain == MARK
                or isinstance(plain, int | float)
                or name in ("agent", "folder", "branch")
            )
        case _:
            return plain in (MARK, [])


@given(histories(), KINDS)
def test_the_machine_goes_the_same_way_without_it(history: tuple[Recorded, ...], kinds: set[Omitted]) -> None:
    omitting, state, other = Omitting(kinds), State(), State()
    for recorded in history:
        state = evolve(state, recorded)
        other = evolve(other, msgspec.structs.replace(recorded, event=omitting.take(recorded.event)))
        assert other.phase is state.phase


@given(events(), KINDS)
def test_nothing_is_left_out_twice(event: Event, kinds: set[Omitted]) -> None:
    once = Omitting(kinds).take(event)
    assert Omitting(kinds).take(once) == once


@given(events())
def test_without_a_choice_an_event_stays_as_it_is(event: Event) -> None:
    assert Omitting(()).take(event) is event


def test_of_a_result_a_mark_stays_and_that_it_failed() -> None:
    content = (TextContent(text="secret"), ImageContent(data="aGk=", media_type="image/png"))
    end = ToolExecutionEnd(
        message_seq=1,
        content_index=0,
        result=ToolResult(content=content, details=to_json({"a": "secret"})),
        is_error=True,
    )
    omitting = Omitting(["results"])
    left = omitting.take(end)
    assert isinstance(left, ToolExecutionEnd)
    assert left.is_error
    assert left.result == ToolResult(content=(TextContent(text="[tool result left out]"),), details=to_json(MARK))
    assert omitting.counts == {"results": 1, "other": 1}


def test_of_a_result_only_the_images_go() -> None:
    content = (TextContent(text="seen"), ImageContent(data="aGk=", media_type="image/png"))
    end = ToolExecutionEnd(message_seq=1, content_index=0, result=ToolResult(content=content))
    left = without(end, "images")
    assert isinstance(left, ToolExecutionEnd)
    assert left.result == ToolResult(content=(TextContent(text="seen"), TextContent(text="[image left out]")))


def test_an_empty_result_is_no_result_that_was_left_out() -> None:
    end = ToolExecutionEnd(message_seq=1, content_index=0, result=ToolResult())
    assert without(end, "results") == end


def test_what_a_model_read_in_place_of_a_result_goes_too() -> None:
    start = ToolExecutionStart(message_seq=1, content_index=0, name="f", refused="blocked", reason="secret")
    assert without(start, "results") == msgspec.structs.replace(start, reason="[tool result left out]")
    assert without(start, "images", "thinking") == start


def test_thinking_goes_with_what_providers_keep_of_it_in_other_places() -> None:
    message = AssistantMessage(
        content=(
            ThinkingContent(thinking="secret", signature="secret"),
            ThinkingContent(thinking="", signature="secret", redacted=True),
            TextContent(text="said", signature="secret", raw=to_json({"a": "secret"})),
            ToolCall(id="c", name="f", arguments='{"a":1}', signature="secret"),
            ProviderContent(api="x", block=to_json({"summary": "secret"})),
        ),
        usage=Usage(input_tokens=3, raw=to_json({"a": "secret"})),
        raw=to_json({"a": "secret"}),
    )
    omitting = Omitting(["thinking"])
    left = omitting.take(MessageEnd(message=message))
    assert b"secret" not in encode(left)
    assert isinstance(left, MessageEnd)
    assert left.message is not None
    assert [type(one) for one in left.message.content] == [type(one) for one in message.content]
    assert (left.message.text, left.message.tool_calls[0].arguments) == ("said", '{"a":1}')
    assert left.message.usage == Usage(input_tokens=3)
    assert omitting.counts == {"thinking": 2, "other": 3}


def test_what_a_hook_put_into_one_request_is_looked_at_too() -> None:
    result = ToolResultMessage(tool_call_id="c", tool_name="f", content=(TextContent(text="secret"),))
    request = ModelRequest(
        attempt=1, request_sha256="ab" * 32, selection=(SeqRange(first=1, last=2), Inserted(message=result))
    )
    left = without(request, "results")
    assert b"secret" not in encode(left)
    assert isinstance(left, ModelRequest)
    assert left.request_sha256 == ""
    assert left.selection is not None
    assert left.selection[0] == SeqRange(first=1, last=2)


def test_of_messages_of_applications_stays_what_is_known_of_them() -> None:
    def body(kind: str, fields: dict[str, object], *kinds: Omitted) -> object:
        message = CustomMessage(kind=kind, body=to_json(fields))
        left = without(MessageAdopt(message=message, origin=ORIGIN), *kinds)
        assert isinstance(left, MessageAdopt)
        assert isinstance(left.message, CustomMessage)
        return read_object(left.message.body)

    ran: dict[str, object] = {"command": "ls", "output": "secret", "exitCode": 1, "fullOutputPath": "secret"}
    assert body("bashExecution", ran, "results") == {"command": "ls", "output": MARKS["results"], "exitCode": 1}
    assert body("bashExecution", ran, "images") == {"command": "ls", "output": "secret", "exitCode": 1}
    blocks = [{"type": "text", "text": "said"}, {"type": "image", "data": "secret", "mimeType": "image/png"}, {"x": 1}]
    texts = [{"type": "text", "text": text} for text in ("said", MARKS["images"], MARK)]
    assert body("hookMessage", {"content": blocks, "details": "secret"}, "images") == {"content": texts}
    assert body("mine", {"content": "secret"}, "images") == {"content": MARK}


@pytest.mark.parametrize(
    "event",
    [
        Custom(kind="mine", data=to_json({"line": "secret"})),
        MetadataSet(name="note", value=to_json("secret")),
        MetadataSet(name="folder", value=to_json(["secret"])),
        WaitEnd(key="k", outcome="completed", value=to_json({"approve": True, "reason": "secret"})),
        TaskEnd(result=to_json("secret"), error="secret"),
        QueuePush(queue="inbox", message=CustomMessage(kind="value", body=to_json({"value": "secret"}))),
    ],
)
def test_what_has_no_known_form_goes_with_anything(event: Event) -> None:
    assert b"secret" not in encode(without(event, "results"))


def test_what_says_where_a_session_was_made_and_what_was_decided_stays() -> None:
    for event in (
        MetadataSet(name="folder", value=to_json("/home")),
        MetadataSet(name="score", value=to_json(3)),
        WaitEnd(key="k", outcome="completed", value=to_json({"approve": False})),
        Retry(cause="overloaded"),
        QueuePush(queue="prompt", message=UserMessage(content="said")),
    ):
        assert without(event, *OMITTED) == event


def test_why_a_task_is_tried_again_is_what_its_code_said() -> None:
    assert Omitting(["results"], is_task=True).take(Retry(cause="secret")) == Retry(cause=MARKS["results"])


def test_what_was_left_out_is_counted_in_words() -> None:
    counts = {"results": 1_312, "images": 1, "other": 2}
    assert left_out_words(["images", "results"], counts) == (
        "1,312 tool results",
        "1 image",
        "2 fields of other programs",
    )
    assert left_out_words(["thinking"], {}) == ("0 pieces of thinking",)

"""Events to exact bytes and back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.admission import repair
from eventsource.codec import clean_text, decode, encode, from_json, read_object, to_json
from eventsource.errors import CorruptLogError, InvalidTextError
from eventsource.events import (
    EVENT_TYPES,
    AgentEnd,
    ConfigChange,
    Custom,
    Event,
    LoopContext,
    MessageUpdate,
    MetadataSet,
    Policies,
    QueuePush,
    ToolExecutionStart,
    TurnStart,
)
from eventsource.messages import TextContent, UserMessage
from tests.strategies import EVENTS, JSON_VALUES, TEXTS, events


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: str(kind.__struct_config__.tag))
@given(data=st.data())
def test_every_event_is_read_as_it_was_written(kind: type, data: st.DataObject) -> None:
    event: Event = data.draw(EVENTS[kind])
    body = encode(event)
    assert decode(body) == event
    assert encode(decode(body)) == body


@given(events())
def test_bytes_are_one_line_of_json_that_any_reader_understands(event: Event) -> None:
    body = encode(event)
    assert b"\n" not in body
    assert json.loads(body)["type"] == event.__struct_config__.tag


@given(events())
def test_defaults_are_left_out(event: Event) -> None:
    stored = json.loads(encode(event))
    for field in msgspec.structs.fields(event):
        left_out = not field.required and getattr(event, field.name) == field.default
        assert (field.name in stored) is not left_out


def test_the_smallest_event_is_its_tag_alone() -> None:
    assert encode(TurnStart()) == b'{"type":"turn_start"}'
    assert encode(AgentEnd(reason="stop", error="")) == b'{"type":"agent_end"}'


def test_null_and_absent_are_two_values() -> None:
    null = MetadataSet(name="n", value=msgspec.Raw(b"null"))
    assert decode(encode(null)) == null != MetadataSet(name="n")
    assert decode(b'{"type":"metadata_set","name":"n"}') == MetadataSet(name="n")


def test_an_empty_change_is_not_no_change() -> None:
    assert decode(encode(ConfigChange(policies=Policies()))) != ConfigChange()
    assert decode(encode(ConfigChange(tools=()))) != ConfigChange()


def test_json_is_kept_to_the_byte() -> None:
    patch = b'[ {"op" : "add", "n": 1.50, "big": 1267650600228229401496703205376, "e": "\\u00e9"} ]'
    read = decode(encode(LoopContext(iteration=1, patch=msgspec.Raw(patch))))
    assert isinstance(read, LoopContext)
    assert bytes(read.patch) == patch


@pytest.mark.parametrize(
    "text", ["\u2028", "\u2029", "\x00", "\x7f", "\x85", "🧥", '"\\/', "a\r\nb", "\ufeff", "\uffff"]
)
def test_awkward_text_comes_back(text: str) -> None:
    event = MessageUpdate(kind="text_delta", content_index=0, delta=text)
    assert decode(encode(event)) == event


REFUSED: dict[str, tuple[bytes, str]] = {
    "an unknown tag": (b'{"type":"agent_paused"}', "agent_paused"),
    "no tag": (b'{"reason":"stop"}', "type"),
    "an unknown field": (b'{"type":"turn_end","mood":1}', "mood"),
    "an unknown field of a part": (b'{"type":"config_change","policies":{"speed":9}}', "speed"),
    "an unknown field of a message": (
        b'{"type":"queue_push","queue":"prompt","message":{"role":"user","content":"","mood":1}}',
        "mood",
    ),
    "an unknown role": (b'{"type":"queue_push","queue":"prompt","message":{"role":"system"}}', "system"),
    "an unknown word": (b'{"type":"agent_end","reason":"tired"}', "tired"),
    "a missing field": (b'{"type":"label"}', "text"),
    "null for a text": (b'{"type":"label","text":null}', "null"),
    "a number for a text": (b'{"type":"label","text":1}', "int"),
    "cut bytes": (b'{"type":"turn_e', "truncated"),
    "bytes behind the end": (b'{"type":"turn_end"}{}', "trailing"),
    "no bytes": (b"", "truncated"),
    "bytes that are no UTF-8": (b'{"type":"label","text":"\xff"}', "utf-8"),
}


@pytest.mark.parametrize(("body", "part"), REFUSED.values(), ids=REFUSED)
def test_what_no_release_wrote_is_refused_with_its_seq_and_text(body: bytes, part: str) -> None:
    with pytest.raises(CorruptLogError) as caught:
        decode(body, session="oslo", seq=42)
    assert (caught.value.session, caught.value.seq) == ("oslo", 42)
    assert "session oslo, seq 42" in str(caught.value)
    assert part in str(caught.value)
    assert body.decode("utf-8", "backslashreplace") in str(caught.value)


@pytest.mark.parametrize("text", ["\ud83e", "a\udde5b", "\udde5\ud83e"])
def test_a_lone_surrogate_is_refused_on_writing_and_repaired_on_entering(text: str) -> None:
    event = QueuePush(queue="prompt", message=UserMessage(content=(TextContent(text=text),)), key=text)
    with pytest.raises(InvalidTextError, match="QueuePush"):
        encode(event)
    repaired = repair(event)
    assert decode(encode(repaired)) == repaired
    assert repaired.key == clean_text(text)
    assert "\ufffd" in repaired.key


def test_a_pair_of_surrogates_becomes_its_character() -> None:
    assert clean_text("a\ud83e\udde5b") == "a🧥b"
    assert repair(Custom(kind="\ud83e\udde5")) == Custom(kind="🧥")


@given(TEXTS)
def test_clean_text_is_left_alone(text: str) -> None:
    assert clean_text(text) is text


@given(events())
def test_what_needs_no_repair_is_the_same_object(event: Event) -> None:
    assert repair(event) is event


def test_repair_reaches_every_text() -> None:
    broken = ToolExecutionStart(message_seq=1, content_index=0, name="\ud800", reason="x\udfff", arguments="\ud800")
    fixed = ToolExecutionStart(message_seq=1, content_index=0, name="\ufffd", reason="x\ufffd", arguments="\ufffd")
    assert repair(broken) == fixed


@given(JSON_VALUES)
def test_json_values_come_back(value: Any) -> None:
    raw = to_json(value)
    assert from_json(raw) == value
    assert to_json(from_json(raw)) == raw


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, {1, 2}, object(), b"x"])
def test_what_json_lacks_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidTextError, match="mood"):
        to_json(value, where="mood")


def test_json_of_surrogates_is_repaired() -> None:
    assert to_json({"\ud83e\udde5": "\ud800"}) == msgspec.Raw('{"🧥":"\ufffd"}'.encode())


@pytest.mark.parametrize("raw", [msgspec.UNSET, msgspec.Raw(b"null"), msgspec.Raw(b"[1]"), msgspec.Raw(b'"{}"')])
def test_what_is_no_object_reads_as_an_empty_one(raw: msgspec.Raw | msgspec.UnsetType) -> None:
    assert read_object(raw) == {}


def test_absent_json_reads_as_none() -> None:
    assert from_json(msgspec.UNSET) is None
    assert from_json('{"a":1}') == {"a": 1}

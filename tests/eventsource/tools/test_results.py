"""Whatever a tool returns becomes a result that can be kept."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
from collections import Counter, OrderedDict
from pathlib import PurePosixPath
from types import MappingProxyType

import msgspec
import pydantic
import pytest
from hypothesis import given, strategies as st

from eventsource.codec import decode, encode, from_json
from eventsource.errors import InvalidTextError, ToolFailure
from eventsource.events import ToolExecutionEnd, ToolResult
from eventsource.messages import Block, ImageContent, TextContent
from eventsource.tools.results import (
    RESULT_LIMIT_BYTES,
    WHOLE_LIMIT_BYTES,
    Image,
    ToolOutcome,
    failure,
    to_outcome,
    to_result,
    tool_result,
)

PNG = b"\x89PNG\r\n\x1a\n123"


class Weather(pydantic.BaseModel):
    city: str
    at: dt.date


@dataclasses.dataclass
class Report:
    weather: Weather
    degrees: float


class Sky(enum.StrEnum):
    CLEAR = "clear"


class Text(str):
    pass


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def text(result: ToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


@pytest.mark.parametrize(
    ("value", "shown"),
    [("12 C", "12 C"), ("", ""), (Text("sub"), "sub"), (Sky.CLEAR, "clear"), (b"bytes \xc3\xa9", "bytes é")],
)
def test_text_stays_text_without_details(value: object, shown: str) -> None:
    assert to_result(value) == ToolResult(content=(TextContent(text=shown),))
    assert all(type(block.text) is str for block in to_result(value).content if isinstance(block, TextContent))


def test_none_says_nothing() -> None:
    assert to_result(None) == ToolResult()


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (3, "3"),
        (True, "true"),
        (["a", "b"], '["a","b"]'),
        ({"b": 1, "a": [None, 1.5]}, '{"b":1,"a":[null,1.5]}'),
        ({1: "x"}, '{"1":"x"}'),
        (Weather(city="Oslo", at=dt.date(2026, 1, 2)), '{"city":"Oslo","at":"2026-01-02"}'),
        (
            Report(Weather(city="Å", at=dt.date(2026, 1, 2)), 1.0),
            '{"weather":{"city":"Å","at":"2026-01-02"},"degrees":1.0}',
        ),
        ({"sky": Sky.CLEAR, "text": Text("x")}, '{"sky":"clear","text":"x"}'),
        (Counter("aab"), '{"a":2,"b":1}'),
        (OrderedDict(z=1, a=2), '{"z":1,"a":2}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (PurePosixPath("a/b"), '"a/b"'),
        (10**30, str(10**30)),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), '"2026-01-02T00:00:00Z"'),
        (msgspec.Raw(b'{"a":1}'), '{"a":1}'),
        ([float("nan"), float("inf"), {"x": float("-inf")}], '["NaN","Infinity",{"x":"-Infinity"}]'),
        ({"a": "\ud83d\ude00\ud83d"}, '{"a":"😀\ufffd"}'),
    ],
)
def test_everything_else_is_shown_as_json_and_kept_as_details(value: object, json: str) -> None:
    result = to_result(value)
    assert text(result) == json
    assert result.details == msgspec.Raw(json.encode())


def test_images_come_as_bytes_alone_or_among_texts() -> None:
    image = ImageContent(data=base64.b64encode(PNG).decode(), media_type="image/png")
    assert to_result(PNG).content == (image,)
    assert to_result(Image(PNG, "image/png")).content == (image,)
    assert to_result(["see", Image(PNG, "image/png")]).content == (TextContent(text="see"), image)
    assert to_result((TextContent(text="a"), "b", image)).content == (
        TextContent(text="a"),
        TextContent(text="b"),
        image,
    )
    assert to_result(b"RIFF1234WEBPx").content == to_result(Image(b"RIFF1234WEBPx", "image/webp")).content


def test_a_whole_result_is_taken_as_it_is() -> None:
    result = tool_result("done", Image(PNG, "image/png"), details={"n": 1}, terminate=True)
    assert to_result(result) == result
    assert (from_json(result.details), result.terminate) == ({"n": 1}, True)
    assert to_outcome(ToolOutcome(result, is_error=True), tool="t") == ToolOutcome(result, is_error=True)


def test_details_that_no_json_reader_takes_are_repaired() -> None:
    result = to_result(ToolResult(details=msgspec.Raw(b'{"a":NaN,"b":"\\ud800"}')))
    assert result.details == msgspec.Raw('{"a":"NaN","b":"\ufffd"}'.encode())


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "an object is not text, JSON or an image"),
        ({"x": [object()]}, "an object has no JSON form"),
        ((n for n in "ab"), "a generator is not text, JSON or an image"),
        (b"\xff\xfe\x00", "bytes that are neither UTF-8 text nor"),
        (["a", Image(PNG, "image/png"), 3], "an int cannot stand among images and texts"),
        (ToolResult(details=msgspec.Raw(b"{")), "its details are not valid JSON"),
        ("x" * (WHOLE_LIMIT_BYTES + 1), "bytes, at most 8,000,000 are kept; write it to a file"),
    ],
)
def test_what_cannot_be_kept_is_an_error_that_says_the_tool_did_run(value: object, problem: str) -> None:
    with pytest.raises(InvalidTextError):
        to_result(value)
    outcome = to_outcome(value, tool="weather")
    assert outcome.is_error
    assert text(outcome.result).startswith('Tool "weather" ran, but what it returned cannot be kept: ')
    assert problem in text(outcome.result)


def test_a_value_that_holds_itself_is_an_error_and_no_crash() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert to_outcome(loop, tool="t").is_error


def test_a_text_at_the_limit_is_whole_and_one_byte_more_is_cut_with_a_note() -> None:
    whole = "é" * (RESULT_LIMIT_BYTES // 2)
    assert to_result(whole) == ToolResult(content=(TextContent(text=whole),))
    result = to_result(whole + "é")
    note = "\n\n[2 of 100,002 bytes left out: a tool result shows at most 100,000 bytes]"
    assert text(result) == whole + note
    assert from_json(result.details) == {"whole_text": whole + "é"}


def test_a_cut_never_falls_within_a_character() -> None:
    result = to_result("a" + "é" * RESULT_LIMIT_BYTES)
    shown, note = text(result).split("\n\n")
    assert shown == "a" + "é" * (RESULT_LIMIT_BYTES // 2 - 1)
    assert note.startswith("[100,002 of 200,001 bytes left out")


def test_of_several_texts_the_first_are_shown_and_all_are_kept_beside_the_details() -> None:
    image = Image(PNG, "image/png")
    many: list[str | Image] = ["a" * 60_000, image, "b" * 40_000, "c" * 10, image, "d"]
    result = to_result(tool_result(*many, details={"n": 1}))
    kinds: list[type[Block]] = [TextContent, ImageContent, TextContent, TextContent, ImageContent]
    assert [type(block) for block in result.content] == kinds
    assert text(result).endswith("b[11 of 100,011 bytes left out: a tool result shows at most 100,000 bytes]")
    assert from_json(result.details) == {"n": 1, "whole_text": [part for part in many if isinstance(part, str)]}


@pytest.mark.parametrize("details", [[1], "x", None])
def test_details_that_are_no_object_stand_beside_the_whole_text(details: object) -> None:
    result = to_result(tool_result("x" * 100_001, details=details))
    assert from_json(result.details) == {"details": details, "whole_text": "x" * 100_001}


def test_json_that_is_cut_has_its_whole_in_its_details_already() -> None:
    value = {"rows": ["x" * 100] * 2_000}
    result = to_result(value)
    assert from_json(result.details) == value
    assert len(text(result).encode()) < RESULT_LIMIT_BYTES + 100


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("bad"), "bad"),
        (TimeoutError(), "TimeoutError"),
        (BrokenError(), "BrokenError (its text cannot be made: RuntimeError)"),
        (ValueError("\ud800"), "ValueError: \ufffd"),
        (ToolFailure("no such city"), "no such city"),
    ],
)
def test_an_exception_is_an_error_with_its_text_or_its_name(error: Exception, shown: str) -> None:
    outcome = failure(error)
    assert outcome.is_error
    assert outcome.result.content == (TextContent(text=shown),)


def test_a_failure_may_have_details() -> None:
    assert from_json(failure(ToolFailure("no", {"code": 7})).result.details) == {"code": 7}
    assert "its details cannot be kept" in text(failure(ToolFailure("no", object())).result)


def test_an_exception_with_a_huge_text_is_cut() -> None:
    outcome = failure(ValueError("\x00" * WHOLE_LIMIT_BYTES))
    assert outcome.is_error
    assert len(msgspec.json.encode(outcome.result)) <= WHOLE_LIMIT_BYTES


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_becomes_an_outcome_that_the_log_can_hold(value: object) -> None:
    outcome = to_outcome(value, tool="t")
    end = ToolExecutionEnd(message_seq=1, content_index=0, result=outcome.result, is_error=outcome.is_error)
    assert decode(encode(end)) == end

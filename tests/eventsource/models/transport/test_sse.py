"""Server-sent events are read by the WHATWG rules, however the body is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from eventsource.models.transport.body import BodyParser, JsonValues
from eventsource.models.transport.sse import ServerEvent, SseParser


def read(*chunks: bytes) -> list[tuple[str | None, str]]:
    parser = SseParser()
    return [(event.event, event.data) for chunk in chunks for event in parser.feed(chunk)]


def test_only_cr_lf_and_crlf_end_a_line() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf"
    assert read(f"data: {text}\n\n".encode()) == [(None, text)]


def test_a_crlf_cut_between_pieces_is_one_line_end() -> None:
    assert read(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [(None, "a\nb")]


def test_an_event_is_given_at_the_cr_that_ends_it() -> None:
    assert read(b"data: a\r\r") == [(None, "a")]


def test_a_bom_is_dropped_at_the_start_only() -> None:
    assert read(b"\xef", b"\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n") == [(None, "a"), (None, "c")]


def test_an_event_without_an_empty_line_is_kept_apart() -> None:
    parser = SseParser()
    assert parser.feed(b"event: x\ndata: {}") == []
    assert parser.close() == ServerEvent(data="{}", event="x")


def test_a_null_in_an_id_voids_it_and_ids_hold() -> None:
    parser = SseParser()
    one, two = parser.feed(b"id: 1\ndata\n\nid: \x002\ndata\n\n")
    assert (one.id, two.id, two.last_id) == ("1", None, "1")


@pytest.mark.slow
@given(st.lists(st.sampled_from(["data: é\u2028😀", "event: x", "id: 1", ":c", "data", "", "retry: 7"])), st.data())
def test_where_a_body_is_cut_does_not_matter(lines: list[str], data: st.DataObject) -> None:
    body = b"".join(line.encode() + data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)))))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole, cut = SseParser(), SseParser()
    assert whole.feed(body) == [event for piece in pieces for event in cut.feed(piece)]
    assert (whole.comments, whole.retry_ms, whole.close()) == (cut.comments, cut.retry_ms, cut.close())


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids)),
    st.data(),
)
def test_the_objects_of_a_json_array_are_found_wherever_it_is_cut(value: object, data: st.DataObject) -> None:
    objects = [{"value": value}, {"text": '}]"\\'}]
    body = json.dumps(objects, indent=data.draw(st.none() | st.just(2))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)))))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    parser = JsonValues()
    assert [json.loads(event.data) for piece in pieces for event in parser.feed(piece)] == objects


def test_the_first_character_tells_json_from_events() -> None:
    array, events = BodyParser(), BodyParser()
    assert [e.data for piece in (b" \r\n", b"[{}", b',{"a":1}]') for e in array.feed(piece)] == ["{}", '{"a":1}']
    assert [e.data for e in events.feed(b"\n\ndata: {}\n\n")] == ["{}"]


def test_a_last_event_without_its_empty_line_counts_if_its_data_is_whole() -> None:
    whole, half = BodyParser(), BodyParser()
    whole.feed(b'data: {"a":1}')
    half.feed(b'data: {"a":')
    assert [event.data for event in whole.close()] == ['{"a":1}']
    assert half.close() == []

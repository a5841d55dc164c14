"""Updates packed, sealed, cut and dropped come back as they were."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.errors import CorruptLogError
from eventsource.events import Event, MessageEnd, MessageUpdate, StreamUpdate, ToolExecutionUpdate, ToolResult
from eventsource.log.contract.histories import streamed, timed
from eventsource.log.sql.packs import (
    DROPPED,
    KINDS,
    PACKED,
    SEALED,
    Pack,
    dropped_row,
    dropped_times,
    from_row,
    is_as_compressed,
    pack,
    to_row,
    unpack,
)
from eventsource.log.sql.seal import redact, seal
from eventsource.messages import AssistantContent, ProviderContent, TextContent, ThinkingContent, ToolCall

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
raws = st.sampled_from([msgspec.UNSET, msgspec.Raw(b'{"a":1}'), msgspec.Raw(b"null")])
updates = st.one_of(
    st.builds(MessageUpdate, kind=st.sampled_from(KINDS), content_index=st.integers(0, 3), delta=texts),
    st.builds(
        MessageUpdate, kind=st.sampled_from(KINDS), content_index=st.integers(0, 3), delta=texts, id=texts, name=texts,
        arguments=st.none() | texts, signature=texts, redacted=st.booleans(), api=texts, block=raws,
    ),
    st.just(StreamUpdate(name="log", item=msgspec.Raw(b"[1]"))),
    st.just(ToolExecutionUpdate(message_seq=3, content_index=0, partial=ToolResult())),
)  # fmt: skip
times = st.integers(-(2**40), 2**40)
contents: st.SearchStrategy[list[AssistantContent]] = st.lists(
    st.one_of(
        st.builds(TextContent, text=texts, signature=texts),
        st.builds(ThinkingContent, thinking=texts, signature=texts, redacted=st.booleans()),
        st.builds(ToolCall, id=texts, name=texts, arguments=texts, signature=texts),
        st.builds(ProviderContent, api=texts, block=st.just(msgspec.Raw(b"null"))),
    ),
    max_size=4,
)


def stored(packs: list[Pack], content: list[AssistantContent]) -> list[Recorded]:
    """Write rows and read them again."""
    found: list[Recorded] = []
    for last, kind, count, body in map(to_row, packs):
        row = from_row("s", last, kind, count, body)
        assert (kind == SEALED) == bool(row.end)
        found += unpack(row, content)
    return found


@given(st.lists(st.tuples(times, updates), min_size=1, max_size=30), contents, st.lists(st.integers(1, 30), max_size=3))
def test_sealed_rows_rebuild_the_same_events(
    events: list[tuple[int, Event]], content: list[AssistantContent], cuts: list[int]
) -> None:
    expected = [Recorded(seq, at_us, event) for seq, (at_us, event) in enumerate(events, 5)]
    edges = [0, *sorted({cut for cut in cuts if cut < len(events)}), len(events)]
    packs = [row for a, b in pairwise(edges) for row in pack(5 + a, events[a:b])]
    assert stored(packs, []) == expected
    sealed = seal(packs, content, 5 + len(events) + 2)
    assert stored(sealed, content) == expected
    assert len(sealed) == 1
    for after in range(4, 5 + len(events), 3):
        assert unpack(sealed[0], content, after=after, upto=after + 2) == expected[after - 4 : after - 2]


def test_a_streamed_message_is_sealed_small() -> None:
    events = timed(streamed("A sentence of ordinary length, said in pieces. " * 10, width=5, call='{"city":"Oslo"}'))
    end = events[-1][1]
    assert isinstance(end, MessageEnd)
    assert end.message is not None
    sealed = seal(pack(2, events[1:-1]), end.message.content, len(events))
    ((last, kind, count, body),) = map(to_row, sealed)
    assert (last, kind, count) == (len(events) - 1, SEALED, len(events) - 2)
    assert len(body) < 3.5 * count
    assert b"sentence" not in body


def test_rows_hold_no_more_than_4096_updates_and_little_text() -> None:
    many: list[tuple[int, Event]] = [
        (n, MessageUpdate(kind="text_delta", content_index=0, delta="x")) for n in range(9_000)
    ]
    packs = pack(1, many)
    assert [row.count for row in packs] == [4096, 4096, 808]
    assert [row.count for row in seal(packs, [TextContent(text="x" * 9_000)], 9_001)] == [4096, 4096, 808]
    large: list[tuple[int, Event]] = [
        (n, MessageUpdate(kind="text_delta", content_index=0, delta="x" * 200_000)) for n in range(6)
    ]
    assert [row.count for row in pack(1, large)] == [2, 2, 2]


def test_rows_that_lie_apart_stay_apart() -> None:
    events = timed(streamed("abcdef", width=1))[1:-1]
    packs = [*pack(1, events[:3]), *pack(5, events[3:])]
    sealed = seal(packs, [TextContent(text="abcdef")], 20)
    assert [(row.first, row.last) for row in sealed] == [(1, 3), (5, 9)]


def test_dropped_updates_keep_their_times_and_leave_the_others() -> None:
    events = timed(streamed("abcdef", width=1))[1:-1]
    (row,) = seal(pack(1, events), [TextContent(text="abcdef")], 20)
    rows = redact(row, [TextContent(text="abcdef")], {3, 4, 8})
    assert [(last, kind, count) for last, kind, count, _ in rows] == [
        (2, PACKED, 2), (4, DROPPED, 2), (7, PACKED, 3), (8, DROPPED, 1),
    ]  # fmt: skip
    assert dropped_times("s", 4, 2, rows[1][3]) == [at_us for at_us, _ in events[2:4]]


def test_a_changed_row_is_refused() -> None:
    events = timed(streamed("abcdef", width=1))[1:-1]
    packed = to_row(pack(1, events)[0])
    sealed = to_row(seal(pack(1, events), [TextContent(text="abcdef")], 20)[0])
    for last, kind, count, body in (packed, sealed):
        for at in range(len(body)):
            damaged = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            with pytest.raises(CorruptLogError, match="s, seq 8"):
                from_row("s", last, kind, count, damaged)
        with pytest.raises(CorruptLogError):
            from_row("s", last, kind, count + 1, body)


@pytest.mark.parametrize("kind", [PACKED, SEALED, DROPPED])
def test_a_changed_bit_of_a_row_is_found_also_where_it_would_say_the_same(kind: int) -> None:
    """A zlib stream has bits that nothing reads, and bytes behind its end are ignored by `zlib.decompress`."""
    events = [(at_us, delta) for at_us, delta in enumerate(deltas("ab" * 40, 2))]
    rows = {
        PACKED: to_row(pack(1, events)[0]),
        SEALED: to_row(seal(pack(1, events), [TextContent(text="ab" * 40)], 60)[0]),
        DROPPED: dropped_row(len(events), [at_us for at_us, _ in events]),
    }
    last, found, count, body = rows[kind]
    assert found == kind
    damaged = [body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :] for at in range(len(body)) for bit in range(8)]
    for other in (*damaged, body[:-1], body[:-4], body[:-5], body[:1], b"", body + b"0"):
        with pytest.raises(CorruptLogError):
            read_row(last, kind, count, other)
    for wrong in ((last + 1, kind, count), (last, 3, count), (last, kind, count - 1)):
        if kind != PACKED or wrong[0] == last:  # a packed row that stands elsewhere is found by the digest
            with pytest.raises(CorruptLogError):
                read_row(*wrong, body)
    read_row(last, kind, count, body)


def read_row(last: int, kind: int, count: int, body: bytes) -> None:
    if kind == DROPPED:
        dropped_times("s", last, count, body)
    else:
        from_row("s", last, kind, count, body)


def deltas(text: str, width: int) -> list[MessageUpdate]:
    cut = [text[at : at + width] for at in range(0, len(text), width)]
    return [MessageUpdate(kind="text_delta", content_index=0, delta=part) for part in cut]


def rows_of_0_1() -> list[tuple[int, int, int, bytes]]:
    folder = Path(__file__).parents[3] / "golden" / "0.1.0"
    with closing(sqlite3.connect(f"file:{folder / 'log.db'}?mode=ro&immutable=1", uri=True)) as file:
        return file.execute("SELECT id & 4294967295, kind, count, body FROM updates WHERE kind > 0").fetchall()


def test_a_changed_bit_of_a_row_that_0_1_wrote_is_found() -> None:
    """Such a row has no CRC-32; what its content is compressed to again is compared."""
    alike = 0
    for last, kind, count, body in rows_of_0_1():
        assert is_as_compressed(body)
        for place in range(8 * len(body)):
            other = body[: place // 8] + bytes([body[place // 8] ^ 1 << place % 8]) + body[place // 8 + 1 :]
            try:
                read_row(last, kind, count, other)
            except CorruptLogError:
                continue
            alike += 1
            assert is_as_compressed(other) is False
        for other in (body + b"0", body[:-1]):
            with pytest.raises(CorruptLogError):
                read_row(last, kind, count, other)
    assert alike, "some bits say the same when they are changed"


def test_a_row_that_another_zlib_compressed_is_no_damage() -> None:
    for last, kind, count, body in rows_of_0_1():
        for level in (0, 9):  # 0: stored as it is
            stream = zlib.compressobj(level, zlib.DEFLATED, 9, 1)
            told = zlib.decompress(body)
            other = b"\x48\x0d" + (stream.compress(told) + stream.flush())[2:]
            if other != body:
                assert is_as_compressed(other) is None
                read_row(last, kind, count, other)

"""What a session's charts and its timeline are drawn from."""

from __future__ import annotations

from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from projections import SpanReader
from projections.timeline import Span
from refold.testing import histories
from refold.views.columns import fed
from refold.views.series import call_series, joined_spans

from .sessions import exchanges


def span(at: int, took: int | None, name: str = "bash", note: str = "") -> Span:
    ended = None if took is None else at + took
    return Span(kind="tool", name=name, start_seq=at, started_at_us=at, end_seq=ended, ended_at_us=ended, note=note)


def test_what_is_narrower_than_a_pixel_is_joined_in_its_lane() -> None:
    spans = [span(0, 2), span(3, 2), span(3, 2, "read"), span(6, 50), span(60, 1), span(62, 1, note="error")]
    found = joined_spans(spans, 9, 0, 1_000, 100)  # 10 us a pixel
    assert [(bar.lane, bar.spans, bar.started_at_us, bar.ended_at_us, bar.note) for bar in found.bars] == [
        ("tool bash", 2, 0, 5, ""),
        ("tool bash", 1, 6, 56, ""),
        ("tool bash", 2, 60, 63, "error"),
        ("tool read", 1, 3, 5, ""),
    ]
    assert (found.began_us, found.ended_us, found.spans_in_all) == (0, 63, 6)


def test_what_lasts_still_stands_alone_and_what_is_outside_is_left_out() -> None:
    spans = [span(0, 5), span(100, None), span(101, 1), span(500, 5)]
    found = joined_spans(spans, 9, 50, 400, 10)
    assert [(bar.start_seq, bar.end_seq) for bar in found.bars] == [(100, None), (101, 102)]


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 30)), max_size=60), st.integers(1, 40))
def test_every_span_is_in_one_bar_and_a_lane_has_few(times: list[tuple[int, int]], px: int) -> None:
    spans = [span(at, took) for at, took in sorted(times)]
    found = joined_spans(spans, 0, None, None, px)
    assert sum(bar.spans for bar in found.bars) == len(spans)
    narrow = [bar for bar in found.bars if bar.spans > 1]
    pixel = max((found.ended_us - found.began_us) / px, 1.0)
    assert all(bar.ended_at_us is not None and bar.ended_at_us - bar.started_at_us < pixel for bar in narrow)


@given(histories())
def test_no_span_is_lost_without_a_zoom(history: tuple[Recorded, ...]) -> None:
    reader = SpanReader()
    for recorded in history:
        reader.feed(recorded)
    found = joined_spans(reader, len(history), None, None, 10**9)
    assert sum(bar.spans for bar in found.bars) == len(reader) == found.spans_in_all


def test_the_figures_of_model_calls_come_by_windows() -> None:
    columns = fed([Recorded(seq, 1_000 * seq, event) for seq, event in enumerate(exchanges(4), 1)])
    whole = call_series(columns, 0, 500)
    assert whole.calls == 8
    assert whole.seq == [2, 4, 6, 8, 10, 12, 14, 16]
    assert whole.input_tokens == [-1, 0, -1, 1, -1, 2, -1, 3]
    assert whole.context_tokens == whole.input_tokens
    assert set(whole.duration_us) == {-1}  # nobody measured them here
    window = call_series(columns, 3, 2)
    assert (window.start, window.seq, window.input_tokens) == (3, [8, 10], [1, -1])
    assert call_series(columns, 100, 5).seq == []

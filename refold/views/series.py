"""What a session's charts are drawn from: a figure for each model call, and what took time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from projections.timeline import Span, SpanKind

from .columns import NONE, Columns


class CallSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The model calls of a session from one on, a list for each field; `calls` is how many there are in all.

    `context_tokens`: what was sent; `cached_tokens`: of that, what the provider had kept. `first_token_us`: from the
    request to the first piece of its answer. -1 where a figure is not known. Times are UTC microseconds, costs
    millionths of a dollar.
    """

    indexed_to: int
    calls: int
    start: int
    models: list[str]
    seq: list[int]
    end_seq: list[int]
    at_us: list[int]
    duration_us: list[int]
    first_token_us: list[int]
    model: list[int]
    input_tokens: list[int]
    cached_tokens: list[int]
    cache_write_tokens: list[int]
    output_tokens: list[int]
    reasoning_tokens: list[int]
    context_tokens: list[int]
    cost_microusd: list[int]


def call_series(columns: Columns, start: int, limit: int) -> CallSeries:
    """List the figures of model calls from one on."""
    calls = columns.calls
    window = range(max(start, 0), min(max(start, 0) + limit, len(calls)))
    usages = [calls.usages[n] for n in window]
    models = list(dict.fromkeys(calls.models[n] for n in window))
    numbers = {name: number for number, name in enumerate(models)}

    def used(field: str) -> list[int]:
        return [getattr(usage, field) if usage is not None else NONE for usage in usages]

    sent = zip(used("input_tokens"), used("cache_read_tokens"), used("cache_write_tokens"), strict=True)
    costs = [usage.cost_microusd if usage is not None else None for usage in usages]
    return CallSeries(
        indexed_to=columns.taken,
        calls=len(calls),
        start=window.start,
        models=models,
        seq=[calls.seqs[n] for n in window],
        end_seq=[calls.lasts[n] for n in window],
        at_us=[calls.at_us[n] for n in window],
        duration_us=[max(calls.ended_us[n] - calls.at_us[n], 0) if calls.ended_us[n] != NONE else NONE for n in window],
        first_token_us=[calls.first_token_us[n] for n in window],
        model=[numbers[calls.models[n]] for n in window],
        input_tokens=used("input_tokens"),
        cached_tokens=used("cache_read_tokens"),
        cache_write_tokens=used("cache_write_tokens"),
        output_tokens=used("output_tokens"),
        reasoning_tokens=used("reasoning_tokens"),
        context_tokens=[sum(three) if three[0] != NONE else NONE for three in sent],
        cost_microusd=[cost if cost is not None else NONE for cost in costs],
    )


class DrawnSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A bar of the timeline, or several of one lane that would be narrower than a pixel: then `spans` says how many.

    `end_seq` and `ended_at_us` are None while it lasts. `first_token_us`: from its start on. `note`: how the last of
    them that did not end well ended. `measured`: see `projections.timeline.Span`.
    """

    lane: str
    kind: SpanKind
    name: str
    spans: int
    start_seq: int
    started_at_us: int
    end_seq: int | None
    ended_at_us: int | None
    first_token_us: int | None
    note: str
    measured: bool


class Timespans(msgspec.Struct, frozen=True, kw_only=True):
    """The bars that lie within two times, by lanes in the order of their first bar; and the times of the whole.

    `first_tokens_left`: of so many bars that are one model call it was not read when the answer began; whoever asks
    again is told of 500 more.
    """

    indexed_to: int
    began_us: int
    ended_us: int
    spans_in_all: int
    bars: tuple[DrawnSpan, ...]
    first_tokens_left: int


def joined_spans(spans: Iterable[Span], indexed_to: int, from_us: int | None, to_us: int | None, px: int) -> Timespans:
    """Lay spans out on so many pixels; what is narrower than one is joined with its neighbours of the same lane."""
    listed = list(spans)
    began = min((span.started_at_us for span in listed), default=0)
    ended = max((span.ended_at_us or span.started_at_us for span in listed), default=0)
    first, last = began if from_us is None else from_us, ended if to_us is None else to_us
    pixel = max((last - first) / max(px, 1), 1.0)
    lanes: dict[str, list[DrawnSpan]] = {}
    for span in listed:
        if span.started_at_us > last or (span.ended_at_us is not None and span.ended_at_us < first):
            continue
        bars = lanes.setdefault(_lane(span), [])
        if bars and _are_narrow(bars[-1], span, pixel):
            bars[-1] = _join(bars[-1], span)
        else:
            bars.append(_bar(span))
    return Timespans(
        indexed_to=indexed_to,
        began_us=began,
        ended_us=ended,
        spans_in_all=len(listed),
        bars=tuple(bar for bars in lanes.values() for bar in bars),
        first_tokens_left=0,
    )


def _lane(span: Span) -> str:
    return f"tool {span.name}" if span.kind == "tool" else span.kind


def _are_narrow(bar: DrawnSpan, span: Span, pixel: float) -> bool:
    """Return whether a bar and the span behind it are narrower than a pixel together."""
    if bar.ended_at_us is None or span.ended_at_us is None:
        return False
    return max(bar.ended_at_us, span.ended_at_us) - bar.started_at_us < pixel


def _bar(span: Span) -> DrawnSpan:
    return DrawnSpan(
        lane=_lane(span),
        kind=span.kind,
        name=span.name,
        spans=1,
        start_seq=span.start_seq,
        started_at_us=span.started_at_us,
        end_seq=span.end_seq,
        ended_at_us=span.ended_at_us,
        first_token_us=span.first_token_us,
        note=span.note,
        measured=span.measured,
    )


def _join(bar: DrawnSpan, span: Span) -> DrawnSpan:
    ends: Sequence[int] = [at for at in (bar.ended_at_us, span.ended_at_us) if at is not None]
    return msgspec.structs.replace(
        bar,
        name=bar.name if bar.name == span.name else "",
        spans=bar.spans + 1,
        end_seq=max(bar.end_seq or 0, span.end_seq or 0),
        ended_at_us=max(ends),
        first_token_us=None,
        note=span.note or bar.note,
        measured=bar.measured and span.measured,
    )

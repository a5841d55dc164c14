"""What must change in one JSON value to get another; so what an event says of a record need not be kept twice."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .jsonl import Fields

_ENCODER = msgspec.json.Encoder(order="sorted")


def same(one: object, other: object) -> bool:
    """Compare two JSON values; unlike `==`, true is not 1, and 1.0 is not 1."""
    if one is other or type(one) is not type(other) or isinstance(one, str):
        return one == other and type(one) is type(other)
    return one == other and _ENCODER.encode(one) == _ENCODER.encode(other)


def difference(wanted: Fields, written: Fields) -> Mapping[str, object]:
    """Compute what must change in what was written to get what is wanted; empty when they are equal.

    Returns: `set`: fields with their values; `absent`: names of fields that are none; `within`: the differences of
        fields that are objects in both, or lists of as many objects (by their place).
    """
    more: dict[str, object] = {}
    within: dict[str, object] = {}
    for name, value in wanted.items():
        if name not in written:
            more[name] = value
        elif not same(value, written[name]):
            inner = _within(value, written[name])
            if inner is None:
                more[name] = value
            else:
                within[name] = inner
    absent = [name for name in written if name not in wanted]
    found = (("set", more), ("absent", absent), ("within", within))
    return {name: value for name, value in found if value}


def _within(value: object, written: object) -> Mapping[str, object] | None:
    """Compare two values that are not the same; None when it takes the whole value to say how they differ."""
    if isinstance(value, dict) and isinstance(written, dict):
        return difference(value, written)
    if isinstance(value, list) and isinstance(written, list) and len(value) == len(written):
        pairs = {str(place): pair for place, pair in enumerate(zip(value, written, strict=True)) if not same(*pair)}
        if all(isinstance(one, dict) and isinstance(other, dict) for one, other in pairs.values()):
            return {place: difference(one, other) for place, (one, other) in pairs.items()}
    return None


def restore(written: Fields, said: Fields) -> dict[str, object]:
    """Undo the difference that `difference` found; what is none of its shapes is passed over."""
    more, absent, within = said.get("set"), said.get("absent"), said.get("within")
    fields = {**written, **(more if isinstance(more, dict) else {})}
    if isinstance(within, dict):
        for name, inner in within.items():
            if isinstance(inner, dict) and name in written:
                fields[name] = _restored(written[name], inner)
    return {name: value for name, value in fields.items() if not (isinstance(absent, list) and name in absent)}


def _restored(written: object, inner: Fields) -> object:
    if isinstance(written, dict):
        return restore(written, inner)
    if isinstance(written, list):
        found = [inner.get(str(place)) for place in range(len(written))]
        return [
            restore(one, said) if isinstance(one, dict) and isinstance(said, dict) else one
            for one, said in zip(written, found, strict=True)
        ]
    return written


def carried_over(received: Fields, written: Fields, wanted: Fields) -> dict[str, object]:
    """Make in what was received the change that turns what was written of it into what is wanted; all else stays."""
    fields = {name: value for name, value in received.items() if name in wanted or name not in written}
    for name, value in wanted.items():
        if name not in written or not same(written[name], value):
            fields[name] = _carried_over(received.get(name), written.get(name), value)
    return fields


def _carried_over(received: object, written: object, wanted: object) -> object:
    match received, written, wanted:
        case dict(), dict(), dict():
            return carried_over(received, written, wanted)
        case list(), list(), list() if len(received) == len(written) == len(wanted):
            three = zip(received, written, wanted, strict=True)
            return [one if same(before, now) else _carried_over(one, before, now) for one, before, now in three]
        case _:
            return wanted

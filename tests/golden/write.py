"""Write a release's golden files: `python -m tests.golden.write 0.1.0`. What a release wrote is never written again.

events.jsonl: every event type, with each field set and with each form a value may take. run.jsonl: a history as the
machine made it, each line [seq, at_us, event]. `unreleased` holds an event with each field that came since the last
release; it may change until the next one, whose files take its place.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shapes

from eventsource.codec import encode
from eventsource.events import EVENT_TYPES
from tests.interpreter import played

JSON = msgspec.Raw('{"kept": [1.50, null, "é🧥\\u2028"]}'.encode())


def forms(shape: shapes.Type, name: str) -> list[Any]:
    """Give a value of each form that a type takes, all fields set."""
    match shape:
        case shapes.StructType():
            return list(_structs(shape))
        case shapes.UnionType():
            return [form for one in shape.types if not isinstance(one, shapes.NoneType) for form in forms(one, name)]
        case shapes.VarTupleType():
            return [tuple(forms(shape.item_type, name))]
        case shapes.LiteralType():
            return list(shape.values)
        case shapes.BoolType():
            return [True, False]
        case shapes.IntType():
            return [len(name) + 2]
        case shapes.RawType():
            return [JSON]
        case _:
            return [f"{name} “é🧥\u2028”"]


def _structs(shape: shapes.StructType) -> Iterator[Any]:
    fields = {field.name: forms(field.type, field.name) for field in shape.fields}
    for number in range(max((len(values) for values in fields.values()), default=1)):
        yield shape.cls(**{name: values[number % len(values)] for name, values in fields.items()})


def main(release: str) -> None:
    """Write both files; one that is there stays."""
    folder = Path(__file__).parent / release
    folder.mkdir()
    types = (shapes.type_info(kind) for kind in EVENT_TYPES)
    every = [encode(event) for shape in types for event in forms(shape, "")]
    (folder / "events.jsonl").write_bytes(b"".join(body + b"\n" for body in every))
    chance = random.Random(release)
    history = played([chance.randrange(2**24) for _ in range(1_200)])
    lines = [b"[%d,%d,%s]\n" % (item.seq, item.at_us, encode(item.event)) for item in history]
    (folder / "run.jsonl").write_bytes(b"".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])

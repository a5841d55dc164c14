"""The page's types in TypeScript are what the server's are: which fields may be missing, and what a stream tells."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec
import pytest

from refold.http.api.page import PAGE
from refold.http.api.routes import Call, Nothing, Route
from refold.http.interface.events import EVENT_STREAM
from tests.page_types import page


def test_every_name_in_them_is_declared_once() -> None:
    text = page()
    declared = re.findall(r"^export (?:interface|type) (\w+)", text, re.MULTILINE)
    code = re.sub(r'/\*\*.*?\*/|//.*?$|"[^"]*"', "", text, flags=re.DOTALL | re.MULTILINE)
    used = set(re.findall(r"\b[A-Z]\w+", code)) - {"Record"}
    assert len(declared) == len(set(declared))
    assert used == set(declared)


def test_a_stream_of_the_page_says_what_it_tells() -> None:
    streams = [route for route in PAGE if set(route.answers[next(iter(route.answers))]) == {EVENT_STREAM}]
    assert len(streams) == 3
    assert all({"end", "reset"} < route.streams.keys() for route in streams)


Colour: TypeAlias = Literal["red", "blue"]


class Inner(msgspec.Struct, frozen=True, omit_defaults=True, tag="inner"):
    text: str = ""


class Told(msgspec.Struct, frozen=True):
    """Two lines.

    The end */ of it.
    """

    colour: Colour
    pair: tuple[int, str | None]
    inner: tuple[Inner | None, ...] = ()
    more: dict[str, list[float]] = msgspec.field(default_factory=dict)
    later: bool | msgspec.UnsetType = msgspec.UNSET


class Asked(msgspec.Struct, frozen=True, rename={"start": "from"}):
    start: int = 0


class Wrong(msgspec.Struct, frozen=True):
    at: bytes


async def ask(call: Call[Asked, Nothing]) -> Told:
    """Ask."""
    raise NotImplementedError


async def ask_wrongly(call: Call[Nothing, Nothing]) -> Wrong:
    """Ask."""
    raise NotImplementedError


def test_what_is_answered_has_its_defaults_and_what_is_taken_may_be_left_out() -> None:
    written = page([Route(method="GET", path="/api/x", does=ask, tag="x", streams={"told": Inner})])
    assert 'export type Colour = "blue" | "red";' in written
    assert "export interface Asked {\n  from?: number;\n}" in written
    assert 'export interface Inner {\n  type: "inner";\n  text?: string;\n}' in written
    assert "/**\n * Two lines.\n *\n * The end * / of it.\n */\nexport interface Told {" in written
    fields = written.partition("export interface Told {\n")[2].partition("}")[0].split("\n")
    assert [field.strip() for field in fields if field] == [
        "colour: Colour;",
        "pair: [number, string | null];",
        "inner: (Inner | null)[];",
        "more: Record<string, number[]>;",
        "later?: boolean;",
    ]
    assert '"GET /api/x": {\n    query: Asked;\n    answer: Told;\n    events: { told: Inner };\n  };' in written


def test_a_type_that_is_not_known_is_named() -> None:
    with pytest.raises(TypeError, match="BytesType"):
        page([Route(method="GET", path="/api/x", does=ask_wrongly, tag="x")])

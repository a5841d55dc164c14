"""A measured row, and the table of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from .measure import Compared

_BOUND = re.compile(r"(<=|>=) ([\d,.]+)(x?)")
_HEADINGS = ("", "value", "unit", "compared with", "ratio", "runs", "goal", "met")
_RATES = ("/s", "per second")  # units of which more is better
_PRECISION = 0.95  # of a ratio: two measurements of the same work on a machine that others use too


class Chart(NamedTuple):
    """A plot of how a cost grows.

    name: of its files. title: what stands above it. grows: what its axis to the right counts.
    """

    name: str
    title: str
    grows: str


class Point(NamedTuple):
    """Where a row stands in a chart: on which line, and how large what it measures was."""

    chart: Chart
    line: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    value: None when it could not be made; the unit then says why. runs: how often it was made; of what is compared, how
    often each. floor: what it is compared with, in the same unit: the same work in raw `sqlite3` and the like, of which
    nothing can be less; or, `beside`, something else. ratio: of value to floor; with several rounds the median of each
    round's ratio, so a slow moment hits both. goal: bounds joined by `and`, `<= 1.4x` for the ratio, `<= 6,600` for
    the value. missed: why the goal is missed, where it is; a goal that is missed without it fails the run.
    """

    name: str
    value: float | None
    unit: str
    runs: int
    floor: float | None = None
    ratio: float | None = None
    beside: bool = False
    goal: str = ""
    missed: str = ""
    point: Point | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when there is no goal, or no value."""
        if not self.goal or self.value is None:
            return None
        return all(self._within(bound) for bound in self.goal.split(" and "))

    @property
    def impossible(self) -> bool:
        """Whether something did better than its floor, so that one of both was not measured."""
        if self.beside or self.ratio is None:
            return False
        return self.ratio > 1 / _PRECISION if self.unit.endswith(_RATES) else self.ratio < _PRECISION

    def _within(self, bound: str) -> bool:
        told = _BOUND.fullmatch(bound)
        if told is None:
            raise ValueError(f"{self.name}: a goal is written `<= 1.4x` or `>= 500,000`, not {bound!r}")
        measured = self.ratio if told[3] else self.value
        if measured is None:
            raise ValueError(f"{self.name}: the goal {bound!r} is for something that was not measured")
        limit = float(told[2].replace(",", ""))
        return measured <= limit if told[1] == "<=" else measured >= limit


def row(
    name: str, values: Sequence[float], unit: str, *, goal: str = "", missed: str = "", point: Point | None = None
) -> Row:
    """Make a row of what is compared with nothing: the median of its figures."""
    return Row(name=name, value=median(values), unit=unit, runs=len(values), goal=goal, missed=missed, point=point)


def ratio_row(
    name: str,
    found: Compared,
    unit: str,
    *,
    beside: bool = False,
    goal: str = "",
    missed: str = "",
    point: Point | None = None,
) -> Row:
    """Make a row of what took turns with its floor, or with something beside it."""
    return Row(
        name=name,
        value=found.value,
        unit=unit,
        runs=found.runs,
        floor=found.floor,
        ratio=found.ratio,
        beside=beside,
        goal=goal,
        missed=missed,
        point=point,
    )


def absent(name: str, why: str) -> Row:
    """Make a row of what cannot be measured here."""
    return Row(name=name, value=None, unit=why, runs=0)


class Section(NamedTuple):
    """The rows of one benchmark; `text` stands below them."""

    title: str
    rows: Sequence[Row]
    text: str = ""


def faults(sections: Sequence[Section]) -> list[str]:
    """Say which rows cannot be as they are, and which goals are missed without a reason."""
    rows = [row for section in sections for row in section.rows]
    impossible = [row for row in rows if row.impossible]
    silent = [row for row in rows if row.met is False and not row.missed]
    return [
        *(f"{row.name}: {row.ratio:.2f} times its floor, which cannot be" for row in impossible),
        *(f"{row.name}: misses its goal, {row.goal}, with {figure(row.value)} {row.unit}" for row in silent),
    ]


def table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table that also reads well on a terminal."""
    return aligned([_HEADINGS, *map(_cells, rows)], right=(1, 3, 4, 5))


def aligned(lines: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Write lines of cells, the headings first, as a Markdown table with columns of one width."""
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(lines[0]))]
    rule = [f"{'-' * (width - 1)}:" if n in right else "-" * width for n, width in enumerate(widths)]
    printed = [
        " | ".join(
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (lines[0], rule, *lines[1:])
    ]
    return "\n".join(f"| {line} |" for line in printed)


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "NO", None: ""}[row.met]
    ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
    runs = f"{row.runs:,}" if row.value is not None else ""
    return row.name, figure(row.value), row.unit, figure(row.floor), ratio, runs, row.goal, met


def figure(value: float | None) -> str:
    """Write a number with three digits that matter, and no digit less than a whole one has."""
    if value is None:
        return ""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"

"""A measured row, and the table of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_BOUND = re.compile(r"(<=|>=) ([\d,.]+)(x?)")
_HEADINGS = ("", "value", "unit", "floor", "ratio", "goal", "met")
_NUMBERS = (1, 3, 4)


class Row(NamedTuple):
    """One measurement.

    value: None when it could not be made; the unit then says why. floor: the same work in raw `sqlite3`, in the same
    unit. ratio: of value to floor; with several rounds the median of each round's ratio, so a slow moment hits both.
    goal: bounds joined by `and`, `<= 1.4x` for the ratio, `<= 6,600` for the value.
    """

    name: str
    value: float | None
    unit: str
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when there is no goal, or no value."""
        if not self.goal or self.value is None:
            return None
        return all(self._within(bound) for bound in self.goal.split(" and "))

    def _within(self, bound: str) -> bool:
        told = _BOUND.fullmatch(bound)
        if told is None:
            raise ValueError(f"{self.name}: a goal is written `<= 1.4x` or `>= 500,000`, not {bound!r}")
        measured = self.ratio if told[3] else self.value
        if measured is None:
            raise ValueError(f"{self.name}: the goal {bound!r} is for something that was not measured")
        limit = float(told[2].replace(",", ""))
        return measured <= limit if told[1] == "<=" else measured >= limit


class Section(NamedTuple):
    """The rows of one benchmark."""

    title: str
    rows: Sequence[Row]


def table(sections: Sequence[Section]) -> str:
    """Write rows as a Markdown table that also reads well on a terminal."""
    lines: list[tuple[str, ...]] = [_HEADINGS]
    for title, rows in sections:
        lines.append((f"**{title}**", *[""] * 6))
        lines += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    rule = [
        "-" * widths[0],
        *(f"{'-' * (width - 1)}:" if n in (0, 2, 3) else "-" * width for n, width in enumerate(widths[1:])),
    ]
    printed = [
        " | ".join(
            _pad(cell, width, right=n in (1, 3, 4)) for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (lines[0], tuple(rule), *lines[1:])
    ]
    return "\n".join(f"| {line} |" for line in printed)


def _pad(cell: str, width: int, *, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "NO", None: ""}[row.met]
    ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
    return row.name, figure(row.value), row.unit, figure(row.floor), ratio, row.goal, met


def figure(value: float | None) -> str:
    """Write a number with three digits that matter, and no digit less than a whole one has."""
    if value is None:
        return ""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"

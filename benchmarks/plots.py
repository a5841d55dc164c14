"""Plots of how costs grow, from the rows that say where they stand in a chart; light and dark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from .rows import Chart, Row

THEMES = {"light": ("#1f2328", "#0969da", "#8c959f"), "dark": ("#e6edf3", "#4493f8", "#7d8590")}
"""Colours of the text, of what is measured and of what it is compared with."""
_COLOURED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")


class Plot(NamedTuple):
    """A chart and its pictures, by theme."""

    chart: Chart
    svg: dict[str, bytes]


def can_draw() -> bool:
    """Return whether the plotting package is here."""
    return find_spec("matplotlib") is not None


def plots(rows: Sequence[Row]) -> list[Plot]:
    """Draw every chart that has two points at least; the same figures give the same bytes."""
    charts = dict.fromkeys(row.point.chart for row in rows if row.point is not None)
    found = [(chart, [row for row in rows if row.point is not None and row.point.chart == chart]) for chart in charts]
    return [Plot(chart, {theme: _draw(chart, theme, of) for theme in THEMES}) for chart, of in found if len(of) > 1]


def _draw(chart: Chart, theme: str, rows: Sequence[Row]) -> bytes:
    mpl = import_module("matplotlib")
    mpl.use("svg")
    plt = import_module("matplotlib.pyplot")
    text, ours, other = THEMES[theme]
    style = {"svg.hashsalt": "refold", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    colours = dict.fromkeys(_COLOURED, text)
    with mpl.rc_context({**style, **colours}):
        figure, axes = plt.subplots(figsize=(4.2, 2.6), layout="constrained")
        lines = dict.fromkeys(row.point.line for row in rows if row.point is not None)
        marks = iter("osD^v")
        for line in lines:
            points = [(row.point.size, row) for row in rows if row.point is not None and row.point.line == line]
            sizes, values = [size for size, _ in points], [row.value or 0 for _, row in points]
            axes.plot(sizes, values, color=ours, marker=next(marks), markersize=4, label=line)
            floors = [(size, row.floor) for size, row in points if row.floor is not None and not row.beside]
            if floors:
                axes.plot(*zip(*floors, strict=True), color=other, linestyle="--", marker=".", label="floor")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(*_decades([row.value or 0 for row in rows] + [row.floor or 0 for row in rows if not row.beside]))
        axes.set_title(chart.title, fontsize=10)
        axes.set_xlabel(chart.grows)
        axes.set_ylabel(rows[0].unit)
        axes.spines[["top", "right"]].set_visible(False)
        if len(axes.get_lines()) > 1:
            axes.legend(frameon=False)
        written = io.BytesIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return b"\n".join(line.rstrip() for line in written.getvalue().splitlines()) + b"\n"


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Return whole powers of ten about the values, so that a flat line looks flat."""
    least, most = 1e-3, 1e-3
    some = [value for value in values if value > 0]
    while least * 10 <= min(some):
        least *= 10
    while most < max(some):
        most *= 10
    return least, most

"""The page that the benchmarks write: `docs/benchmarks.md`, with its plots beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from .plots import THEMES, Plot, plots
from .rows import Row, Section, figure, table

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """
# Benchmarks

    make bench

measures everything, prints the tables and writes this page and its plots; nothing here is written by hand. `python -m
benchmarks --quick` runs everything with small numbers, and `python -m benchmarks appending` one benchmark (in an
environment that has the peers: `.venv/bench/bin/python`).

**The floor** is raw `sqlite3` doing the same work in the same run: the same facts as the same JSON, one row each, the
same pages, journal and synchronous level, the same commits, each in one call into a thread; where Refold's appends
share commits, the floor's do too. It keeps a message's deltas coalesced in one row, or none at all where the row says
so. It has no digests, no checks, no sessions and no locks between processes. A row that does better than its floor
fails the run, since one of both was then not measured; what is compared with something that is no floor says
`beside`.

**What is compared takes turns** (A B, B A, A B ...), `runs` says how often; figures are medians, and the ratio is the
median of each round's ratio. What only computes is timed by the processor's clock, everything else by the wall's.
Child processes keep their bytecode.

**An exchange** is a user's message of about 200 characters, an answer of 100 deltas with one tool call, a result of 2
kB, and a final answer of 100 deltas: 19 facts and 216 updates. Deltas come 8 to 32 ms apart.
"""
GONE = """
## Goals that were given up

Each was measured, and not worth what it would take.

- **Append at most 1.5 times the floor.** What is above the floor is the digest chain, the sealing of deltas and the
  session's row; the slower the disk, the closer the two.
- **Reopening a session of 10 or 100 exchanges at most 1.2 times the floor.** It is 1 ms: a second connection and the
  schema. Opening the writing connection only when it is needed was tried, and made each fork slower.
- **A fork in at most 205 bytes.** The bytes grow with the numbers in its row, and format 2 says more of a fork in it:
  what it inherited, so that `ls` and `tree` need not read the parent.
"""
PEERS = """
The peers store whole messages only, and the OpenAI SDK's session neither syncs as often nor folds anything when it is
reopened: it gives back a list. LangGraph's checkpointer writes the whole state after every step, so its figures grow
with the square of the session; at 1,000 exchanges it would write ten gigabytes, so it is measured at 200.
"""


def write(sections: Sequence[Section], told: str, docs: Path = DOCS) -> None:
    """Write the page and its plots, in place of those that are there."""
    drawn = plots([row for section in sections for row in section.rows])
    for old in docs.glob("benchmarks-*.svg"):
        old.unlink()
    for plot in drawn:
        for theme, svg in plot.svg.items():
            (docs / _file(plot, theme)).write_bytes(svg)
    (docs / "benchmarks.md").write_text(page(sections, told, drawn), encoding="utf-8")


def page(sections: Sequence[Section], told: str, drawn: Sequence[Plot]) -> str:
    """Put the page together from what was measured and on what."""
    parts = [
        HEAD.strip(),
        "## The machine",
        told,
        *(["## Growth", "Both axes are logarithmic.", *map(_picture, drawn)] if drawn else []),
        "## Figures",
        *map(written, sections),
        missed([row for section in sections for row in section.rows]),
        GONE.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def written(section: Section) -> str:
    """Write a section with its heading."""
    rows = table(section.rows) if section.rows else ""
    text = "" if section.title != "Peers" else PEERS.strip()
    return "\n\n".join(part for part in (f"### {section.title}", rows, section.text, text) if part)


def missed(rows: Sequence[Row]) -> str:
    """Say of each goal that is missed by how much, and why."""
    found = [row for row in rows if row.met is False]
    if not found:
        return "## Goals that are missed\n\nNone."
    reasons: dict[str, list[str]] = {}
    for row in found:
        value = (
            f"{row.ratio:.2f}x"
            if row.goal.endswith("x") and row.ratio is not None
            else f"{figure(row.value)} {row.unit}"
        )
        reasons.setdefault(row.missed or "Not explained.", []).append(f"{row.name}: {value} (goal {row.goal})")
    lines = [
        textwrap.fill(f"- {'; '.join(those)}. {why}", 138, subsequent_indent="  ") for why, those in reasons.items()
    ]
    return "\n".join(["## Goals that are missed, and why", "", *lines])


def _picture(plot: Plot) -> str:
    light, dark = (_file(plot, theme) for theme in THEMES)
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="{plot.chart.title}, by {plot.chart.grows}" src="{light}">\n'
        "</picture>"
    )


def _file(plot: Plot, theme: str) -> str:
    return f"benchmarks-{plot.chart.name}-{theme}.svg"

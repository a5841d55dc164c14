"""The page that draws the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from eventsource.machine.diagram import inputs_sentence, page, render
from eventsource.machine.state import INPUTS, ROWS

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == page()


def test_every_row_of_the_table_is_drawn_once() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+): (.*)$", render(), re.MULTILINE)
    drawn = [(start, end, kind) for start, end, kinds in arrows for kind in kinds.split(", ")]
    table = [
        (phase.value, following.value, re.sub(r":(\w+)", r" (\1)", kind.value))
        for phase, row in ROWS.items()
        for kind, following in row.items()
    ]
    assert sorted(drawn) == sorted(table)


def test_every_input_is_named() -> None:
    assert sorted(re.findall(r"`(\w+)`", inputs_sentence())) == sorted(kind.value for kind in INPUTS)


@pytest.mark.slow
def test_the_command_prints_the_page() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "eventsource.machine.diagram"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == page()

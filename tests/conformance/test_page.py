"""The page about conformance says what the table says."""

from __future__ import annotations

from pathlib import Path

from .differences import ALL, DIFFERENCES
from .exchanges import STREAMS

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def rows() -> list[str]:
    return [
        f"| {d.scenario} | {'all' if d.variants == ALL else ', '.join(d.variants)} | {d.reason} |" for d in DIFFERENCES
    ]


def test_the_page_lists_every_difference_and_no_other() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ") and line[2:3].isdigit()]
    assert table == rows()


def test_no_recorded_exchange_is_excepted_by_its_name() -> None:
    names = {path.stem for path in STREAMS.glob("*/*.json")}
    for path in Path(__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path.name

"""Finding text in what was said."""

from __future__ import annotations

import pytest

from eventsource.envelope import Recorded
from projections import CONTEXT, find_text, project


@pytest.mark.parametrize(
    ("text", "seqs"),
    [("COAT", [7, 15, 28]), ("-5", [21]), ("oslo", [15]), ("overloaded", [10]), (".", [2, 28]), ("nowhere", [])],
)
def test_a_text_is_found_in_any_case_in_everything_a_message_holds(
    run: tuple[Recorded, ...], text: str, seqs: list[int]
) -> None:
    assert [found.seq for found in find_text(project(CONTEXT, run), text)] == seqs


def test_an_excerpt_shows_the_text_around_on_one_line(run: tuple[Recorded, ...]) -> None:
    view = project(CONTEXT, run)
    assert find_text(view, "warm", around=4)[0].excerpt == "…the warm coa…"
    assert find_text(view, "weather", around=10)[0].excerpt == '…ich coat? weather {"city":"…'

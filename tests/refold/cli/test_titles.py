"""A title begins with a person's words."""

from __future__ import annotations

import pytest

from eventsource.first_words import title_of
from tests.refold.shell import Shell

REMINDER = '<system-reminder kind="x">\nBe brief. <b>Always</b>.\n</system-reminder>'


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Do I need a coat?", "Do I need a coat?"),
        (f"{REMINDER}\nDo I need\na coat?", "Do I need a coat?"),
        (f"{REMINDER}{REMINDER} Coat? {REMINDER}", "Coat?"),
        ('<file path="a.py">\nx = 1\n</file>\nWhy does this fail?', "Why does this fail?"),
        ("```python\nx = 1\n```\nWhy does this fail?", "Why does this fail?"),
        ("<command-name>ask</command-name><command-args>a coat?</command-args>", "a coat?"),
        ("is 1 < 2 and 3 > 2?", "is 1 < 2 and 3 > 2?"),
        ("What does <br> do?", "What does <br> do?"),
        ("```\nx\n```", "``` x ```"),
        ("", ""),
    ],
)
def test_a_title_is_made_of_what_a_person_said(prompt: str, title: str) -> None:
    assert title_of(prompt) == title


def test_a_long_prompt_makes_a_short_title_quickly() -> None:
    assert len(title_of("<a>" * 100_000)) <= 60
    assert title_of("word " * 100_000).endswith("…")


def test_the_session_of_a_prompt_has_that_title(shell: Shell) -> None:
    session = shell.said(f"{REMINDER}\nOslo?")
    rows = shell.json("ls")
    assert isinstance(rows, list)
    assert [row["title"] for row in rows if row["id"] == session] == ["Oslo?"]

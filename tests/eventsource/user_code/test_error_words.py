"""What was raised, in words that say what happened."""

from __future__ import annotations

import pytest

from eventsource.errors import ToolFailure
from eventsource.user_code.error_words import TRACE_LIMIT, WORDS_LIMIT, trace, words


class Mute(Exception):  # noqa: N818  # what people call theirs
    def __str__(self) -> str:
        raise SystemExit("in its text")


class Wrong(Exception):  # noqa: N818  # as above
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307 - what somebody without a checker writes


def nested(error: Exception, depth: int = 60) -> BaseException:
    for _ in range(depth):
        error = ExceptionGroup("unhandled errors in a TaskGroup", [error])
    return error


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("no such city"), "no such city"),
        (ValueError(), "ValueError"),
        (ValueError("  \n"), "ValueError"),
        (ValueError("42"), "ValueError: 42"),
        (KeyError("k"), "KeyError: 'k'"),
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        (AssertionError(), "AssertionError"),
        (SystemExit(2), "SystemExit: 2"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ToolFailure("closed on Sundays"), "closed on Sundays"),
        (Mute(), "Mute (its text cannot be made: SystemExit)"),
        (Wrong(), "Wrong (its text cannot be made: TypeError)"),
        (ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("503")]), "ValueError: 503"),
        (
            ExceptionGroup("g", [ExceptionGroup("h", [KeyError("k"), OSError()]), TypeError()]),
            "KeyError: 'k' (and 2 more)",
        ),
        (ExceptionGroup("g", [ToolFailure("closed")]), "closed"),
        (ValueError("\ud800 half"), "\ufffd half"),
    ],
)
def test_words_say_what_was_raised_with_its_type_where_the_text_says_too_little(
    error: BaseException, shown: str
) -> None:
    assert words(error) == shown


def test_words_name_the_type_always_when_asked() -> None:
    assert words(ValueError("no such city"), typed=True) == "ValueError: no such city"


def test_groups_within_groups_beyond_any_measure_are_no_recursion() -> None:
    assert words(nested(ValueError("deep")))


def test_a_huge_text_is_cut_and_says_so() -> None:
    assert words(ValueError("x" * (WORDS_LIMIT + 7))).endswith("… (7 more characters)")


def test_a_traceback_begins_in_code_that_is_not_ours_and_is_bounded() -> None:
    def deeper(n: int) -> None:
        if n == 0:
            raise ValueError("x" * TRACE_LIMIT)
        deeper(n - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deeper(3)
    written = trace(caught.value)
    assert "in deeper" in written
    assert "characters left out" in written
    assert len(written) < TRACE_LIMIT + 100
    assert trace(Mute())

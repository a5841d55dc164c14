"""What was changed in a text, word by word."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from replay.word_diff import Piece, word_diff

TEXTS = st.lists(st.sampled_from(["the ", "cat", "\n", "sat", " on", "\r\n", "é", "1.5", " ", "  "]), max_size=12).map(
    "".join
)


def sides(pieces: tuple[Piece, ...]) -> tuple[str, str]:
    before = "".join(piece.text for piece in pieces if piece.kind != "added")
    return before, "".join(piece.text for piece in pieces if piece.kind != "removed")


@given(TEXTS, TEXTS)
def test_the_pieces_are_both_texts(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert sides(pieces) == (before, after)
    assert all(piece.text for piece in pieces)
    assert all(one.kind != other.kind for one, other in pairwise(pieces))


@given(TEXTS)
def test_a_text_differs_from_itself_in_nothing(text: str) -> None:
    assert [piece.kind for piece in word_diff(text, text)] in ([], ["same"])


def test_one_word_is_found_within_a_line() -> None:
    found = word_diff("one\nthe cat sat\ntwo", "one\nthe dog sat\ntwo")
    assert [(piece.kind, piece.text) for piece in found] == [
        ("same", "one\nthe"),
        ("removed", " cat"),
        ("added", " dog"),
        ("same", " sat\ntwo"),
    ]


@pytest.mark.parametrize("most", [0, 1, 3])
def test_texts_too_long_to_align_still_keep_what_both_begin_and_end_with(most: int) -> None:
    before, after = "a\nb c d e f\ng\nh", "a\nx c y e z\nq\nh"
    pieces = word_diff(before, after, most)
    assert sides(pieces) == (before, after)
    assert (pieces[0].kind, pieces[-1].kind) == ("same", "same")

"""What was changed in a text, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

import msgspec

MOST = 1_000
"""So many lines, and words of lines that differ, are aligned, for that takes their square; of more, only how both begin
and end is the same."""
_WORD = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a text: of both, only of the one before, or only of the one after."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_diff(before: str, after: str, most: int = MOST) -> tuple[Piece, ...]:
    """Compare two texts. Returns: pieces in order; those that are not added are the one before."""
    if before == after:
        return (Piece(kind="same", text=before),) if before else ()
    one, other = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return tuple(_joined(_by_lines(one, other, most)))


def _by_lines(before: Sequence[str], after: Sequence[str], most: int) -> Iterator[Piece]:
    for kind, old, new in _hunks(before, after, most):
        if kind == "same":
            yield Piece(kind="same", text="".join(old))
        else:
            yield from _by_words("".join(old), "".join(new), most)


def _by_words(before: str, after: str, most: int) -> Iterator[Piece]:
    one, other = _WORD.findall(before), _WORD.findall(after)
    for kind, old, new in _hunks(one, other, most):
        if kind == "same":
            yield Piece(kind="same", text="".join(old))
            continue
        if old:
            yield Piece(kind="removed", text="".join(old))
        if new:
            yield Piece(kind="added", text="".join(new))


def _hunks(
    before: Sequence[str], after: Sequence[str], most: int
) -> Iterator[tuple[Literal["same", "other"], Sequence[str], Sequence[str]]]:
    """Align two lists: what is the same, and between that what is not; too long ones by their beginnings and ends."""
    start = _same(before, after)
    end = _same(before[: start - 1 if start else None : -1], after[: start - 1 if start else None : -1])
    if start:
        yield "same", before[:start], before[:start]
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if len(old) > most or len(new) > most or not old or not new:
        if old or new:
            yield "other", old, new
    else:
        for tag, at, to, begin, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            yield "same" if tag == "equal" else "other", old[at:to], new[begin:stop]
    if end:
        yield "same", before[len(before) - end :], before[len(before) - end :]


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """Count with how many equal items two lists begin."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join pieces of one kind that stand side by side."""
    held: Piece | None = None
    for piece in pieces:
        if held is not None and held.kind == piece.kind:
            held = Piece(kind=held.kind, text=held.text + piece.text)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held

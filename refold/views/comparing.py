"""Two sessions beside each other: the head of a comparison, then its pairs by pages, equal ones counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from eventsource.session import SessionHandle
from projections.transcript import TranscriptMessage
from replay.diff import ConfigPair, Pair, Side, diff
from replay.word_diff import Piece, word_diff

from .cutting import CutText, cut_text

SIDE_CHARACTERS = 8_000
"""What is shown of a message that stands beside another."""


class ComparedSaid(msgspec.Struct, frozen=True, kw_only=True):
    """A message of one side. `calls`: tool and arguments of each call, cut."""

    seq: int
    role: str
    tool: str
    text: CutText
    calls: tuple[tuple[str, CutText], ...]
    note: str
    is_error: bool


class ComparedPair(msgspec.Struct, frozen=True, kw_only=True):
    """Two messages that belong together, one that only one side has, or a run of `count` equal ones.

    Of a run the first message of either side stands for all. `pieces`: the words that were changed, in their texts.
    `lines`: the difference of all that they say and of what came of their calls.
    """

    kind: Literal["same", "changed", "left", "right"]
    count: int
    left: ComparedSaid | None
    right: ComparedSaid | None
    pieces: tuple[Piece, ...]
    lines: tuple[str, ...]


class ComparedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the configuration that differs at the two heads."""

    field: str
    left: CutText
    right: CutText
    pieces: tuple[Piece, ...]


class ComparisonHead(msgspec.Struct, frozen=True, kw_only=True):
    """What tells two sessions apart, but for the messages; see `replay.SessionDiff`.

    `own_messages`: how many messages either side has behind what both share.
    """

    left: Side
    right: Side
    shared_seq: int
    same_messages: int
    own_messages: tuple[int, int]
    differs: bool
    config: tuple[ComparedConfig, ...]


class ComparisonPage(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs in order. `next`: behind which seqs of either side the next page begins; None: there is none.

    `left_out`: how many messages of either side come behind.
    """

    pairs: tuple[ComparedPair, ...]
    next: tuple[int, int] | None
    left_out: tuple[int, int]


async def comparison_head(left: SessionHandle, right: SessionHandle) -> ComparisonHead:
    """Compare two sessions but for their messages, and add up what both came to."""
    found = await diff(left, right, limit=0, totals=True)
    return ComparisonHead(
        left=found.left,
        right=found.right,
        shared_seq=found.shared_seq,
        same_messages=found.same_messages,
        own_messages=(found.left.messages, found.right.messages),
        differs=found.differs,
        config=tuple(map(_config, found.config)),
    )


async def comparison_page(
    left: SessionHandle, right: SessionHandle, after: tuple[int, int], limit: int
) -> ComparisonPage:
    """Compare the messages of two sessions from two seqs on."""
    found = await diff(left, right, limit=limit, after=after)
    return ComparisonPage(pairs=tuple(_runs(found.pairs)), next=found.next, left_out=found.left_out)


def _config(pair: ConfigPair) -> ComparedConfig:
    left, right = cut_text(pair.left, SIDE_CHARACTERS), cut_text(pair.right, SIDE_CHARACTERS)
    return ComparedConfig(field=pair.field, left=left, right=right, pieces=word_diff(left.text, right.text))


def _runs(pairs: Sequence[Pair]) -> Iterator[ComparedPair]:
    """Write equal pairs that follow one another as one."""
    same: list[Pair] = []
    for pair in pairs:
        if pair.kind == "same":
            same.append(pair)
            continue
        if same:
            yield _pair(same[0], len(same))
            same = []
        yield _pair(pair, 1)
    if same:
        yield _pair(same[0], len(same))


def _pair(pair: Pair, count: int) -> ComparedPair:
    left, right = _said(pair.left), _said(pair.right)
    changed = pair.kind == "changed" and left is not None and right is not None
    return ComparedPair(
        kind=pair.kind,
        count=count,
        left=left,
        right=right,
        pieces=word_diff(left.text.text, right.text.text) if changed and left and right else (),
        lines=tuple(line[:SIDE_CHARACTERS] for line in pair.lines[:SIDE_CHARACTERS]),
    )


def _said(one: TranscriptMessage | None) -> ComparedSaid | None:
    if one is None:
        return None
    return ComparedSaid(
        seq=one.seq,
        role=one.role,
        tool=one.tool,
        text=cut_text(one.text, SIDE_CHARACTERS),
        calls=tuple((name, cut_text(arguments, SIDE_CHARACTERS)) for _, name, arguments in one.calls),
        note=one.note,
        is_error=one.is_error,
    )

"""What a projection is: a name, a version, an initial value, a step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from eventsource.envelope import Recorded

View = TypeVar("View")
Item = TypeVar("Item")


class Projection(msgspec.Struct, Generic[View], frozen=True, kw_only=True):
    """A fold of events into a view; `step` is pure, and a view never changes once it was given out."""

    name: str
    version: int
    initial: View
    step: Callable[[View, Recorded], View]


def project(projection: Projection[View], recorded: Iterable[Recorded]) -> View:
    """Fold events, in order, from the beginning of a session."""
    view, step = projection.initial, projection.step
    for one in recorded:
        view = step(view, one)
    return view


class AppendOnlyList(Generic[Item]):  # noqa: PLW1641  # what it holds may be unhashable
    """An append-only list that snapshots share, each with its own length.

    Appending to the newest snapshot copies nothing, so a fold stays linear; to an older one it copies what that sees.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[Item] | None = None, length: int = 0) -> None:
        self._items, self._length = items or [], length

    def append(self, item: Item) -> AppendOnlyList[Item]:
        """Make a snapshot with one more item."""
        items = self._items
        if not self._length or len(items) != self._length:
            items = items[: self._length]
        items.append(item)
        return AppendOnlyList(items, self._length + 1)

    def first(self, length: int) -> AppendOnlyList[Item]:
        """Return the snapshot that had so many items; the same items, and nothing is copied."""
        return AppendOnlyList(self._items, min(length, self._length))

    def find(self, key: int, seq_of: Callable[[Item], int]) -> int:
        """Return the place of the first item whose seq is `key` or later; items are in the order of their seqs."""
        return bisect_left(self._items, key, hi=self._length, key=seq_of)

    def between(self, start: int, stop: int | None = None) -> list[Item]:
        """List the items from one place up to, not including, another."""
        return self._items[start : self._length if stop is None else min(stop, self._length)]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> Item:
        if not 0 <= place < self._length:
            raise IndexError(place)
        return self._items[place]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.between(0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppendOnlyList) and self.between(0) == other.between(0)

    def __repr__(self) -> str:
        return f"AppendOnlyList({self.between(0)!r})"

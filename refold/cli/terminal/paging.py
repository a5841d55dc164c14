"""Which part of a long list is printed, and how to see the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from .formatting import count
from .screen import Screen

T = TypeVar("T")

PAGE = 50
"""Messages or events that a terminal gets at once."""


class Window(NamedTuple):
    """Which part of a long list is shown: `last` from the end, `limit` from the beginning, None: all."""

    after: int
    last: int | None
    limit: int | None

    @staticmethod
    def of(screen: Screen, *, after: int, last: int | None, limit: int | None) -> Window:
        """Choose: a terminal gets a page where nobody says how much, everything else the whole."""
        if last is None and limit is None and screen.out.is_terminal and not screen.as_json:
            return Window(after, None if after else PAGE, PAGE if after else None)
        return Window(after, last, limit)

    def select(self, listed: Sequence[T]) -> tuple[int, Sequence[T], int]:
        """Select it from a list. Returns: how many are left out before it, the part itself, how many behind it."""
        if self.last is not None:
            return max(len(listed) - self.last, 0), listed[-self.last :], 0
        shown = listed if self.limit is None else listed[: self.limit]
        return 0, shown, len(listed) - len(shown)


def print_rest(screen: Screen, session: str, what: str, number: int, *, after: int = 0) -> None:
    """Print how many are not shown, and the command that shows them."""
    if number:
        how = ("--after", str(after)) if after else ("--limit", str(PAGE))
        begins = "go on" if after else "from the beginning"
        screen.note((f"({count(number, what)} not shown; {begins}: {screen.command('show', session, *how)})", "dim"))

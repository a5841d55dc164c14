"""Where the messages of one session stand in a database: their order, times and parents, and the usage of turns."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping

from eventsource.codec import to_json
from eventsource.messages import Usage

from ..fields import fields_of
from ..numbers import read_count


class Rows:
    """The rows of a session. A message that stands on several branches follows the same one on all of them.

    `created`: when the session began (empty: that is not told). `usage`: by the last message of the model's in a turn.
    """

    def __init__(self, name: str, created: str) -> None:
        self.name, self.created = name, created
        self.ids = array("q")
        self._times = array("q")
        self._parents: dict[int, int] = {}
        self._last: tuple[str, int] = ("", 0)
        self.usage: dict[int, Usage] = {}

    def add(self, number: int, at_us: int | None) -> None:
        """Take the next row."""
        self.ids.append(number)
        self._times.append(-1 if at_us is None else at_us)

    def follow(self, branch: str, message: int) -> None:
        """Take the next message of a branch."""
        before = self._last[1] if self._last[0] == branch else 0
        self._parents.setdefault(message, before)
        self._last = (branch, message)

    @property
    def branched(self) -> bool:
        """Whether the database tells branches."""
        return bool(self._parents)

    def id(self, place: int) -> int:
        """Return the id of a row, by its place from 1."""
        return self.ids[place - 1]

    def time(self, place: int) -> int | None:
        """Return when a row was written."""
        at_us = self._times[place - 1]
        return None if at_us < 0 else at_us

    def parent(self, place: int) -> int | None:
        """Return the id of the message that a row follows (0: none); None: the one before it in the table."""
        return self._parents.get(self.id(place))


def read_usage(row: Mapping[str, object]) -> Usage:
    """Read what a turn used."""
    taken, given = (_details(row.get(name)) for name in ("input_tokens_details", "output_tokens_details"))
    cached, written = read_count(taken.get("cached_tokens")), read_count(taken.get("cache_write_tokens"))
    return Usage(
        input_tokens=max(0, read_count(row.get("input_tokens")) - cached - written),
        output_tokens=read_count(row.get("output_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=read_count(given.get("reasoning_tokens")),
        raw=to_json({"input_tokens_details": taken, "output_tokens_details": given}),
    )


def _details(text: object) -> Mapping[str, object]:
    try:
        return fields_of(json.loads(text)) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}

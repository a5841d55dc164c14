"""Requests told apart by what they say: one that goes on from an earlier one belongs to its conversation. Pure.

A request joins a conversation if it begins with the whole of one of its requests; it goes on from where it parts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import msgspec

from ..jsonl import Fields
from .exchanges import Exchange, chained

_SYSTEM = ("system", "developer")
_RECORDS = 1 << 40  # of one conversation at the most


class Piece(msgspec.Struct, frozen=True):
    """A record of a file as a part of its conversation: which it is, and how many of its messages were there before."""

    place: int
    shared: int


class Conversation:
    """One conversation: its pieces, in order, and which record each of its records follows (-1: none).

    Its records are, for each piece: its new messages, the request without them, and its answers.
    """

    def __init__(self) -> None:
        self.name = ""
        self.pieces: list[Piece] = []
        self.parents = array("q")
        self.times: dict[int, int] = {}
        """When what stands on a line was said."""
        self.repeated: set[int] = set()
        """Records of answers that say what an earlier one said."""


class Conversations:
    """Takes the exchanges of a file in order."""

    def __init__(self) -> None:
        self.found: list[Conversation] = []
        self._known: dict[int, int] = {}  # by the digest of a message with all before it: conversation and record
        self._ends: set[int] = set()  # digests of whole requests
        self._names: set[str] = set()

    def add(self, place: int, line: int, exchange: Exchange) -> None:
        """Take the next exchange; `place` is its number in the file."""
        chain = _chain(exchange)
        shared = self._shared(chain, exchange)
        last = self._known[chain[shared - 1]] if shared else -1
        if shared:
            number, last = divmod(last, _RECORDS)
            own = self.found[number]
        else:
            number, own = len(self.found), Conversation()
            self.found.append(own)
            own.name = self._name(chain, exchange)
        own.pieces.append(Piece(place, shared))
        if exchange.at_us is not None:
            own.times[line] = exchange.at_us
        for digest in chain[shared:]:
            last = self._record(own, number, last, digest)
        begins = chain[-1] not in self._ends
        if has_rest(exchange):
            last = self._record(own, number, last, chain[-1] if begins or shared < len(chain) else None)
        self._ends.add(chain[-1])
        for answer in exchange.answers:
            digest = chained(chain[-1], answer.message)
            if digest in self._known:
                own.repeated.add(len(own.parents))
            self._record(own, number, last, None if digest in self._known else digest)
            self._ends.add(digest)

    def _record(self, own: Conversation, number: int, parent: int, digest: int | None) -> int:
        """Take note of a record; what says the same as its digest goes on from it."""
        own.parents.append(parent)
        record = len(own.parents) - 1
        if digest is not None:
            self._known[digest] = number * _RECORDS + record
        return record

    def _shared(self, chain: list[int], exchange: Exchange) -> int:
        """Count the messages that are there already, if they hold the whole of an earlier request."""
        shared = next((n for n, digest in enumerate(chain) if digest not in self._known), len(chain))
        spoken = next((n for n, one in enumerate(exchange.messages) if one.get("role") not in _SYSTEM), shared)
        return shared if any(digest in self._ends for digest in chain[spoken:shared]) else 0

    def _name(self, chain: list[int], exchange: Exchange) -> str:
        """Name a conversation by how it begins; of several that begin alike the others by their whole first request."""
        first = next((n for n, one in enumerate(exchange.messages) if one.get("role") == "user"), -1)
        answered = chained(chain[-1], exchange.answers[0].message) if exchange.answers else chain[-1]
        for digest in (chain[first], chain[-1], answered):
            name = f"{digest:016x}"
            if name not in self._names:
                break
        self._names.add(name)
        return name


def has_rest(exchange: Exchange) -> bool:
    """Return whether a record says more than its messages and answers."""
    return any(value not in ({}, None) for value in exchange.rest.values())


def records_of(exchange: Exchange, piece: Piece) -> Iterator[Fields]:
    """Give the records of a piece; see `Conversation`."""
    yield from exchange.messages[piece.shared :]
    if has_rest(exchange):
        yield {"request": exchange.rest, "body": list(exchange.body)}
    for answer in exchange.answers:
        yield {"answer": answer.message, **answer.rest}


def _chain(exchange: Exchange) -> list[int]:
    found: list[int] = []
    digest = 0
    for message in exchange.messages:
        digest = chained(digest, message)
        found.append(digest)
    return found

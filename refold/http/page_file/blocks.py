"""Long lists of a file, cut into blocks: each is JSON, packed alone, and unpacked when something of it is asked for."""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Iterable

import msgspec

BLOCK_BYTES = 256 * 1024
"""Of JSON, from which on a block is full: read in a few milliseconds, and packed as well as longer ones."""
_TURN = 50  # things
_LEVEL = 9
_AS_GZIP = 31


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A list that stands in blocks: how many things, which blocks, and the place of the first thing of each."""

    many: int
    blocks: tuple[int, ...]
    begins: tuple[int, ...]


class Blocks:
    """The blocks of a file, in the order in which they were filled."""

    def __init__(self) -> None:
        self.packed: list[bytes] = []

    def pack(self, text: bytes) -> int:
        """Pack a text. Returns: the number of its block."""
        self.packed.append(packed(text))
        return len(self.packed) - 1

    async def of(self, things: Iterable[object]) -> Listed:
        """List things that are all there already; others have their turn meanwhile."""
        listing = Listing(self)
        for one in things:
            listing.append(one)
            if len(listing) % _TURN == 0:
                await asyncio.sleep(0)
        return listing.end()

    async def of_one(self, thing: object) -> Listed:
        """List a thing that may be long, packed in a thread."""
        self.packed.append(await asyncio.to_thread(packed, msgspec.json.encode([thing])))
        return Listed(many=1, blocks=(len(self.packed) - 1,), begins=(0,))


class Listing:
    """A list that is written: what was appended last is not packed yet."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._open: list[bytes] = []
        self._bytes, self._begin = 0, 0
        self._numbers: list[int] = []
        self._begins: list[int] = []

    def __len__(self) -> int:
        return self._begin + len(self._open)

    def append(self, one: object) -> None:
        """Write one thing more."""
        encoded = msgspec.json.encode(one)
        self._open.append(encoded)
        self._bytes += len(encoded)
        if self._bytes >= BLOCK_BYTES:
            self._close()

    def end(self) -> Listed:
        """Pack the rest. Returns: where everything stands."""
        if self._open:
            self._close()
        return Listed(many=self._begin, blocks=tuple(self._numbers), begins=tuple(self._begins))

    def _close(self) -> None:
        self._numbers.append(self._blocks.pack(b"[" + b",".join(self._open) + b"]"))
        self._begins.append(self._begin)
        self._begin += len(self._open)
        self._open, self._bytes = [], 0


def packed(text: bytes) -> bytes:
    """Write a text as letters: gzip, in base64."""
    pressing = zlib.compressobj(_LEVEL, zlib.DEFLATED, _AS_GZIP)
    return b64encode(pressing.compress(text) + pressing.flush())


def steps(numbers: Iterable[int]) -> tuple[int, ...]:
    """Write numbers as what each is more than the one before it: most of them are the same then."""
    before, found = 0, list[int]()
    for one in numbers:
        found.append(one - before)
        before = one
    return tuple(found)

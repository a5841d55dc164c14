"""Numbers by digests: what a dict of a million would take 100 MB for."""

from __future__ import annotations

from array import array

_FIRST = 1 << 10


class DigestTable:
    """Numbers from 0 by 64-bit digests, which are spread evenly already; open addressing. A million take 25 MB."""

    def __init__(self) -> None:
        self._count = 0
        self._make(_FIRST)

    def __len__(self) -> int:
        return self._count

    def get(self, digest: int) -> int:
        """Return the number of a digest; -1: there is none."""
        return self._numbers[self._slot(digest)]

    def put(self, digest: int, number: int) -> None:
        """Give a digest a number, in place of the one it has."""
        slot = self._slot(digest)
        if self._numbers[slot] < 0:
            if 2 * self._count >= len(self._numbers):
                self._grow()
                slot = self._slot(digest)
            self._digests[slot] = digest
            self._count += 1
        self._numbers[slot] = number

    def _slot(self, digest: int) -> int:
        """Find where a digest stands, or would."""
        digests, numbers, mask = self._digests, self._numbers, self._mask
        slot = digest & mask
        while numbers[slot] >= 0 and digests[slot] != digest:
            slot = (slot + 1) & mask
        return slot

    def _make(self, size: int) -> None:
        self._mask = size - 1
        self._digests = array("Q", bytes(8)) * size
        self._numbers = array("i", [-1]) * size

    def _grow(self) -> None:
        digests, numbers = self._digests, self._numbers
        self._make(2 * len(numbers))
        for digest, number in zip(digests, numbers, strict=True):
            if number >= 0:
                slot = self._slot(digest)
                self._digests[slot], self._numbers[slot] = digest, number

"""Which three letters in a row a text has, in any case, kept in few bits: what surely is not there is known at once."""

from __future__ import annotations

import zlib
from collections.abc import Collection

_BITS_EACH = 4
_SHIFTS = (0, 16, 32)
_SPREAD, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def in_one_case(text: str) -> str:
    """Return what is the same of texts that match each other in any case."""
    return text.replace("İ", "i").lower().upper()  # the one letter of which `lower` makes two


def letters_of(text: str) -> set[str]:
    """Return each three letters in a row; texts that match each other in any case have the same."""
    folded = in_one_case(text)
    return {folded[at : at + 3] for at in range(len(folded) - 2)}


def letter_filter(letters: Collection[str]) -> bytes:
    """Make a Bloom filter: 4 bits for each three letters, of which 3 are looked at."""
    size = -(-max(len(letters), 16) * _BITS_EACH // 8)
    bits = bytearray(size)
    for one in letters:
        for place in _places(one, 8 * size):
            bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def may_have(bits: bytes, letters: Collection[str]) -> bool:
    """Return False when a text with these letters was surely not among those the filter was made of."""
    size = 8 * len(bits)
    return bool(size) and all(bits[place >> 3] >> (place & 7) & 1 for one in letters for place in _places(one, size))


def _places(letters: str, size: int) -> tuple[int, ...]:
    spread = zlib.crc32(letters.encode("utf-8", "surrogatepass")) * _SPREAD & _MASK
    return tuple((spread >> shift) % size for shift in _SHIFTS)

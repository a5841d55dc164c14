"""The digest chain: one link per fact, so that a changed, missing, swapped or added byte shows."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct
from zlib import crc32

import msgspec

from ..admission import Admitted
from ..errors import ArgumentError, InvalidTextError
from ..events import Event

ZERO = bytes(32)
_AT = Struct(">q")
_ENCODER = msgspec.json.Encoder()


def row_crc(*values: object) -> int:
    """CRC-32 of a row's values as a JSON array, for rows that no event tells of."""
    return crc32(_ENCODER.encode(values))


def link(previous: bytes, updates: bytes, at_us: int, body: bytes) -> bytes:
    """Chain a fact to what came before it: SHA-256(previous link | U | at_us | B)."""
    return sha256(previous + updates + _AT.pack(at_us) + body).digest()


def link_at_update(previous: bytes, updates: bytes) -> bytes:
    """Digest of a place among updates: SHA-256(last link | U so far)."""
    return sha256(previous + updates).digest()


def admitted_lines(updates: Iterable[Admitted]) -> bytes:
    """Write updates that have been admitted as `update_lines` does, of the bytes that they have."""
    return b"".join([b"[%d,%b]\n" % (one[0], one.body) for one in updates])


def update_lines(updates: Iterable[tuple[int, Event]]) -> bytes:
    """Write updates as the JSON lines `[at,update]` whose SHA-256 is U.

    Raises: InvalidTextError when a text holds a lone surrogate.
    """
    try:
        return _ENCODER.encode_lines(updates)
    except UnicodeEncodeError as error:
        raise InvalidTextError("update", "a text holds a lone surrogate; repair it before appending") from error


def read_base(text: str) -> bytes:
    """Read the digest that a fork keeps of its parent (`Removed.base`). Raises: ArgumentError."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ArgumentError("fork", "base", "hexadecimal digits", repr(text)) from None

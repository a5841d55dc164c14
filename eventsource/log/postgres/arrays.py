"""Arrays in PostgreSQL's binary form, written by hand: a library's writer costs more than what it writes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

BOOL, BYTEA, INT8, TEXT = 16, 17, 20, 25
ARRAY_OF = {BYTEA: 1001, INT8: 1016, TEXT: 1009}
_HEAD = struct.Struct(">5i")
_LENGTH = struct.Struct(">i")
_INT8 = struct.Struct(">iq")
_NULL = _LENGTH.pack(-1)
_ESCAPE, _NUL = "\x1a", "\x1a0"


def array_of_int8(values: Sequence[int | None]) -> bytes:
    """Write an array of integers."""
    count = len(values)
    if None not in values:
        flat: list[int] = [8] * (2 * count)
        flat[1::2] = values  # type: ignore[assignment]  # none of them is None
        return struct.pack(f">5i{'iq' * count}", 1, 0, INT8, count, 1, *flat)
    pieces = [_NULL if value is None else _INT8.pack(8, value) for value in values]
    return _HEAD.pack(1, 1, INT8, count, 1) + b"".join(pieces)


def array_of_bytea(values: Sequence[bytes | None]) -> bytes:
    """Write an array of bytes."""
    return _of_bytes(BYTEA, values)


def array_of_text(values: Sequence[str | None]) -> bytes:
    """Write an array of texts."""
    return _of_bytes(TEXT, [None if value is None else text_bytes(value) for value in values])


def text_bytes(text: str) -> bytes:
    """Write a text; a NUL, which PostgreSQL does not keep, as two other signs."""
    if "\0" in text or _ESCAPE in text:
        text = text.replace(_ESCAPE, 2 * _ESCAPE).replace("\0", _NUL)
    return text.encode()


def text_read(data: bytes) -> bytes:
    """Undo `text_bytes`, but for the last step: texts stay bytes."""
    if _ESCAPE.encode() not in data:
        return data
    return re.sub(b"\x1a(.)", lambda found: b"\0" if found[1] == b"0" else found[1], data)


def _of_bytes(kind: int, values: Sequence[bytes | None]) -> bytes:
    pieces = [_HEAD.pack(1, int(None in values), kind, len(values), 1)]
    for value in values:
        if value is None:
            pieces.append(_NULL)
        else:
            pieces += (_LENGTH.pack(len(value)), value)
    return b"".join(pieces)


WRITERS: dict[int, Callable[..., bytes]] = {BYTEA: array_of_bytea, INT8: array_of_int8, TEXT: array_of_text}

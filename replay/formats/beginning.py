"""How a file began when it was read, to tell one that was only added to from one that was written anew."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from eventsource.errors import TranscriptError

_MARK = 1_024  # bytes at the beginning of a file, and before the place up to which it was read
_AT_ONCE = 1 << 20
_State = tuple[int, int]


class Beginning:
    """The first bytes of a file, up to a place: how many they are, and how many lines.

    Kept of them: the first and the last ones, and (`whole`) a digest of all.
    """

    def __init__(self, path: Path, *, whole: bool = True) -> None:
        self.size_bytes = self.lines = 0
        self._whole = whole
        self._path = path
        self._file: _State = (0, 0)
        self._first = self._last = b""
        self._digest = blake2b(digest_size=16)

    @classmethod
    def of(cls, path: Path, size_bytes: int) -> Beginning:
        """Take note of how a file begins. Raises: TranscriptError when it cannot be read."""
        begins = cls(path)
        begins.go_on(size_bytes)
        return begins

    @property
    def ends_a_line(self) -> bool:
        """Whether the next line begins behind them."""
        return not self._last or self._last.endswith(b"\n")

    def go_on(self, size_bytes: int) -> None:
        """Take note of more of it (lines: of a `whole` one). Raises: TranscriptError when it cannot be read."""
        try:
            with self._path.open("rb") as file:
                self._file = _state(file)
                self._first = file.read(min(_MARK, size_bytes))
                if self._whole:
                    self._count(file, size_bytes)
                self.size_bytes = size_bytes
                file.seek(max(0, size_bytes - _MARK))
                self._last = file.read(min(_MARK, size_bytes))
        except OSError as error:
            raise TranscriptError(str(self._path), f"cannot be read: {error.strerror or error}") from error

    def _count(self, file: BinaryIO, size_bytes: int) -> None:
        left = size_bytes - file.seek(self.size_bytes)
        while left > 0 and (data := file.read(min(_AT_ONCE, left))):
            left -= len(data)
            self.lines += data.count(b"\n")
            self._digest.update(data)

    def holds(self, *, wholly: bool) -> bool:
        """Return whether the file still begins so: by what is at both ends of it, or (`wholly`) by every byte."""
        try:
            with self._path.open("rb") as file:
                if _state(file) != self._file or file.read(len(self._first)) != self._first:
                    return False
                file.seek(self.size_bytes - len(self._last))
                if file.read(len(self._last)) != self._last:
                    return False
                return not wholly or self._digest_of(file) == self._digest.digest()
        except OSError:
            return False

    def _digest_of(self, file: BinaryIO) -> bytes:
        digest, left = blake2b(digest_size=16), self.size_bytes
        file.seek(0)
        while left and (data := file.read(min(_AT_ONCE, left))):
            digest.update(data)
            left -= len(data)
        return digest.digest()


def _state(file: BinaryIO) -> _State:
    """Return which file that is."""
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino

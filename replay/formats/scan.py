"""Looking through files that grow, for lines that tell of other files: each line once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from .beginning import Beginning

T = TypeVar("T")
_LIMIT = 5_000  # files of which it is remembered what they told


class Scan(Generic[T]):
    """What lines of files tell, in their order. Of a file that was only added to, only what is new is read.

    `tells`: what a line tells (None: nothing). A last line without an end is looked at again.
    """

    def __init__(self, tells: Callable[[bytes], T | None]) -> None:
        self._tells = tells
        self._known: OrderedDict[Path, _Scanned[T]] = OrderedDict()

    def of(self, path: Path) -> Sequence[T]:
        """Return what the lines of a file tell. Raises: OSError, TranscriptError when it cannot be read."""
        stat = path.stat()
        scanned = self._known.pop(path, None)
        if scanned is None or not scanned.goes_on(stat.st_mtime_ns, stat.st_size):
            scanned = _Scanned(path)
        if scanned.state != (stat.st_mtime_ns, stat.st_size):
            self._read_on(path, scanned)
            scanned.state = (stat.st_mtime_ns, stat.st_size)
        self._known[path] = scanned
        if len(self._known) > _LIMIT:
            self._known.popitem(last=False)
        return [*scanned.told, *scanned.last]

    def _read_on(self, path: Path, scanned: _Scanned[T]) -> None:
        size, scanned.last = scanned.begins.size_bytes, []
        with path.open("rb") as file:
            file.seek(size)
            for line in file:
                told = self._tells(line)
                ended = line.endswith(b"\n")
                if told is not None:
                    (scanned.told if ended else scanned.last).append(told)
                size += len(line) if ended else 0
        scanned.begins.go_on(size)


class _Scanned(Generic[T]):
    """What a file told when it was read, whole lines and the last one; and how it began."""

    def __init__(self, path: Path) -> None:
        self.begins = Beginning(path, whole=False)
        self.state = (0, -1)
        self.told: list[T] = []
        self.last: list[T] = []

    def goes_on(self, changed_ns: int, size_bytes: int) -> bool:
        """Return whether what was read is still there: the file is as it was, or more was added to it."""
        if self.state == (changed_ns, size_bytes):
            return True
        return size_bytes > self.state[1] and self.begins.holds(wholly=False)

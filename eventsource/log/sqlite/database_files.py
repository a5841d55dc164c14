"""The files of a log by what they are, device and inode, not by what they are called.

SQLite finds the write-ahead file by the database's name. So a database that is moved, replaced, or reached by a second
name while it is open has two write-ahead files, and what is written to one is not there for who reads the other. Here
that is noticed before anything is written, and again before it is acknowledged.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from pathlib import Path

from ...errors import StoreError
from ..sql.thread import leak

_File = tuple[int, int]
_AGAIN = "close this log everywhere and open it again"
_KEPT: list[DatabaseFiles] = []
_OPENED: weakref.WeakSet[DatabaseFiles] = weakref.WeakSet()
_of_parent: set[_File] = set()


class DatabaseFiles:
    """Where an opened log lies: a path made real once, and the files found there when it was opened."""

    def __init__(self, path: str | Path) -> None:
        """Take a path as what it leads to now. Raises: StoreError."""
        try:
            self.path = Path(os.path.realpath(path))
        except (OSError, ValueError) as error:
            raise StoreError(repr(str(path)), f"it is no path ({error})", "name a file") from error
        self._name = str(self.path)
        self._wal_name, self._index_name = f"{self._name}-wal", f"{self._name}-shm"
        self._database: _File | None = None
        self._wal: _File | None = None
        self._index: _File | None = None
        self.is_forked = False

    @property
    def is_settled(self) -> bool:
        """True once the database was opened: from then on it is that file or none."""
        return self._database is not None

    @property
    def note(self) -> str:
        """What is noted for the next who opens the log: which database and write-ahead file belong together."""
        return f"{identity_text(self._database)} {identity_text(self._wal)}"

    def wal_identity_text(self) -> str:
        """Write the identity of the write-ahead file that is there now, as in a note."""
        return identity_text(_identity(self._wal_name))

    def look(self) -> _File | None:
        """Look at the database before it is opened; None when there is none. Raises: StoreError if it must not be."""
        try:
            found = os.stat(self._name)
        except FileNotFoundError:
            return None
        here = (found.st_dev, found.st_ino)
        if here in _of_parent:
            raise self.error(
                "it was open when this process was forked from another, which SQLite cannot bear",
                "start processes with `spawn`, or open the log only after the fork",
            )
        if found.st_nlink > 1:
            raise self._linked(found.st_nlink)
        if self._name in _mounts():
            raise self.error(
                "the file itself is mounted here, without its folder, where SQLite keeps further files of it",
                "mount the folder",
            )
        if os.path.exists(self._index_name) and not os.path.exists(self._wal_name):
            raise self.error(
                f"its write-ahead file ({self.path.name}-wal) was removed while a program had it open",
                f"end the programs that use it, then remove {self.path.name}-shm",
            )
        return here

    def settle(self, before: _File | None) -> None:
        """Take the files that a connection has opened and holds for those of this log.

        Args:
            before: what `look` found before the connection was made.

        Raises: StoreError when they were exchanged meanwhile, or when this process has opened others of that name.
        """
        database, wal, index = map(_identity, (self._name, self._wal_name, self._index_name))
        if database is None or (before or database) != database or self._database not in (None, database):
            raise self.removed_error()
        for other in list(_OPENED):
            if other is not self and other._database == database and (other._wal, other._index) != (wal, index):
                raise self._exchanged("end this program and start it again" if other in _KEPT else _AGAIN)
        self._database, self._wal, self._index = database, wal, index
        _watch_forks()
        _OPENED.add(self)

    def check(self) -> None:
        """Check that every name still leads to the opened file. Raises: StoreError."""
        self.check_database()
        if _identity(self._wal_name) != self._wal or _identity(self._index_name) != self._index:
            raise self._exchanged()

    def check_database(self) -> None:
        """Check that the path still leads to the opened database, and no other path does. Raises: StoreError."""
        try:
            found = os.stat(self._name)
        except OSError:
            raise self.removed_error() from None
        if (found.st_dev, found.st_ino) != self._database:
            raise self.removed_error()
        if found.st_nlink > 1:
            raise self._linked(found.st_nlink)

    def has_lost_wal(self) -> bool:
        """Return whether the write-ahead file was removed and nothing stands in its place."""
        return not os.path.exists(self._wal_name) and _identity(self._index_name) in (None, self._index)

    def is_wal_here(self) -> bool:
        """Return whether the write-ahead file's name still leads to the opened one."""
        return _identity(self._wal_name) == self._wal

    def wal_bytes(self) -> int:
        """Size of the write-ahead file."""
        try:
            return os.stat(self._wal_name).st_size
        except OSError:
            return 0

    @property
    def wal_name(self) -> str:
        """Path of the write-ahead file."""
        return self._wal_name

    def wal_touched(self) -> tuple[int, int] | None:
        """Size of the write-ahead file, and when it was last written to; None when there is none."""
        try:
            found = os.stat(self._wal_name)
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def end(self, connection: sqlite3.Connection) -> None:
        """Close a connection, unless that could remove a file of another: the last one goes by the names."""
        if self._database is None or self._is_ours_or_gone():
            connection.close()
        else:
            _KEPT.append(self)
            leak(connection)

    def _is_ours_or_gone(self) -> bool:
        """Return whether no name leads to a file of another."""
        mine = zip(
            (self._name, self._wal_name, self._index_name), (self._database, self._wal, self._index), strict=True
        )
        return all(_identity(name) == file or (name != self._name and not os.path.exists(name)) for name, file in mine)

    def close(self) -> None:
        """Forget the files, once every connection was closed."""
        if self not in _KEPT:
            _OPENED.discard(self)

    def error(self, problem: str, advice: str) -> StoreError:
        """Make an error about this log."""
        return StoreError(self._name, problem, advice)

    def removed_error(self) -> StoreError:
        """Make the error about a database that is not there any more."""
        return self.error(
            "this file was removed, moved or replaced while it was open; nothing more is written", "open the log again"
        )

    def _linked(self, names: int) -> StoreError:
        return self.error(
            f"this file has {names} names (hard links), and SQLite keeps a write-ahead file for each name",
            "remove the other names; for a copy use `refold backup`",
        )

    def _exchanged(self, advice: str = _AGAIN) -> StoreError:
        name = self.path.name
        return self.error(f"{name}-wal or {name}-shm was removed or replaced while the log was open", advice)


def identity_text(file: _File | None) -> str:
    """Write a file's identity in one word."""
    return "none" if file is None else f"{file[0]}:{file[1]}"


def _identity(name: str) -> _File | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mounts() -> frozenset[str]:
    """Read what is mounted, where the system says so in a file."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            points = [line.split(" ", 5)[4] for line in file]
    except (OSError, IndexError):
        return frozenset()
    escapes = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}
    for sign, plain in escapes.items():
        points = [point.replace(sign, plain) for point in points]
    return frozenset(points)


def _leave() -> None:
    for one in list(_OPENED):
        one.is_forked = True
        if one._database is not None:
            _of_parent.add(one._database)
    _OPENED.clear()


_watching = False


def _watch_forks() -> None:
    global _watching  # noqa: PLW0603 - a hook can be registered, but never taken back
    if not _watching:
        _watching = True
        os.register_at_fork(after_in_child=_leave)

"""The files beside a database: one lock that writers take in turn, one per owner that says its process lives."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
import weakref
from pathlib import Path

from ..errors import StoreError

_OPEN: weakref.WeakSet[FileLock] = weakref.WeakSet()
_WAIT_S = 0.0002
_MAX_WAIT_S = 0.02


class FileLock:
    """An exclusive `flock` on a file of its own; a forked child never holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _OPEN:
            _watch_forks()
        _OPEN.add(self)

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock. Returns: whether it was free within the time."""
        deadline, pause_s = 0.0, _WAIT_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + timeout_s
                if now >= deadline:
                    return False
                time.sleep(min(pause_s, deadline - now))
                pause_s = min(pause_s * 1.5, _MAX_WAIT_S)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_file(self) -> bool:
        """Say whether the path still names the locked file."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        _OPEN.discard(self)


def _watch_forks() -> None:
    global _watching  # noqa: PLW0603 - a hook can be registered, but never taken back
    if not _watching:
        _watching = True
        os.register_at_fork(after_in_child=_close_in_child)


_watching = False


def _close_in_child() -> None:
    for lock in list(_OPEN):
        lock.close()


class Owner:
    """This opened log as an owner of leases: a locked file beside the database, made with the first claim."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._lock: FileLock | None = None
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"

    @property
    def is_held(self) -> bool:
        """True once a lease was claimed."""
        return self._lock is not None

    def hold(self) -> None:
        """Make the file and lock it, once."""
        while self._lock is None:
            lock = FileLock(_owner_path(self._database, self.name))
            if lock.acquire(0) and lock.is_file():
                self._lock = lock
            else:
                lock.close()

    def close(self) -> None:
        """Remove the file."""
        if self._lock is not None:
            _owner_path(self._database, self.name).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


def owner_lives(database: Path, name: str) -> bool:
    """Say whether an owner's process still holds its file; one that is left over is removed."""
    path = _owner_path(database, name)
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        if not lock.acquire(0):
            return True
        path.unlink(missing_ok=True)
        return False
    finally:
        lock.close()


def _owner_path(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}-owner-{name}")


class Turn:
    """The writers' turn: whoever appends or checkpoints holds it."""

    def __init__(self, database: Path, timeout_s: float) -> None:
        self._database = database
        self._timeout_s = timeout_s
        self._lock: FileLock | None = None

    def __enter__(self) -> None:
        if self._lock is None:
            self._lock = FileLock(self._database.with_name(f"{self._database.name}-lock"))
        if not self._lock.acquire(self._timeout_s):
            problem = f"another program has been writing for more than {self._timeout_s:g} seconds"
            raise StoreError(
                str(self._database), problem, "let it finish or stop it, then try again; nothing was stored"
            )

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def close(self) -> None:
        """Close the lock's file; it stays, for the next one."""
        if self._lock is not None:
            self._lock.close()

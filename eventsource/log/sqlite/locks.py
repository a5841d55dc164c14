"""The files beside a database: one lock that writers take in turn, one per owner that says its process lives."""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import time
import weakref
from pathlib import Path

from ...errors import StoreError
from .database_files import DatabaseFiles, identity_text

_OPEN: weakref.WeakSet[FileLock] = weakref.WeakSet()
_WAIT_S = 0.0002
_MAX_WAIT_S = 0.02


class FileLock:
    """An exclusive `flock` on a file of its own; a forked child never holds it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises: StoreError."""
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            problem = f"it cannot be opened for locking ({error.strerror or error})"
            raise StoreError(str(path), problem, "check that its folder is there and may be written") from error
        if not _OPEN:
            _watch_forks()
        _OPEN.add(self)

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock. Returns: whether it was free within the time. Raises: StoreError."""
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
            except OSError as error:
                problem = f"its file system does not lock files ({error.strerror or error})"
                advice = "put the log on a local disk; without locks two programs could write at once"
                raise StoreError(str(self._path), problem, advice) from error

    def release(self) -> None:
        """Release the lock."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    @property
    def is_closed(self) -> bool:
        """True once the file was closed, as it is in a forked child."""
        return self._fd < 0

    def read(self) -> str:
        """Read what the file says."""
        return os.pread(self._fd, 200, 0).decode("utf-8", "replace")

    def write(self, text: str) -> None:
        """Let the file say something else."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)

    @property
    def identity(self) -> str:
        """Device and inode of the file, in one word."""
        mine = os.fstat(self._fd)
        return identity_text((mine.st_dev, mine.st_ino))

    def is_file(self) -> bool:
        """Return whether the path still names the locked file."""
        try:
            there = os.stat(self._path)
        except OSError:
            return False
        mine = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        _OPEN.discard(self)

    def __del__(self) -> None:
        """Close the file of a log that was never closed."""
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


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
        return self._lock is not None and not self._lock.is_closed

    def hold(self) -> None:
        """Make the file and lock it, once; made again if somebody has removed it. Raises: StoreError."""
        while self._lock is None or not self._lock.is_file():
            lock = FileLock(_owner_path(self._database, self.name))
            try:
                if lock.acquire(0) and lock.is_file():
                    lock, self._lock = self._lock or lock, lock
            finally:
                if lock is not self._lock:
                    lock.close()
        _HELD.add(self)
        _watch_exit()

    def close(self) -> None:
        """Remove the file; in a forked child it is another's, and stays."""
        lock, self._lock = self._lock, None
        _HELD.discard(self)
        if lock is not None and not lock.is_closed:
            if lock.is_file():
                _owner_path(self._database, self.name).unlink(missing_ok=True)
            lock.close()


_HELD: weakref.WeakSet[Owner] = weakref.WeakSet()
_watching_exit = False


def _watch_exit() -> None:
    global _watching_exit  # noqa: PLW0603 - registered once, with the first owner
    if not _watching_exit:
        _watching_exit = True
        atexit.register(_close_owners)


def _close_owners() -> None:
    for owner in list(_HELD):
        owner.close()


def owner_lives(database: Path, name: str) -> bool:
    """Return whether an owner's process still holds its file; one that is left over is removed."""
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


class WriterLock:
    """The writers' lock: whoever appends or checkpoints holds it."""

    def __init__(self, files: DatabaseFiles, timeout_s: float) -> None:
        self._files = files
        self._timeout_s = timeout_s
        self._lock: FileLock | None = None

    def __enter__(self) -> None:
        """Take the lock. Raises: StoreError when another program keeps it, or nothing can be locked."""
        while True:
            lock = self._open()
            if not lock.acquire(self._timeout_s):
                problem = f"another program has been writing for more than {self._timeout_s:g} seconds"
                raise self._files.error(problem, "let it finish or stop it, then try again; nothing was stored")
            if lock.is_file():
                return
            self.close()  # somebody has removed the file: others lock another one by now

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _open(self) -> FileLock:
        if self._lock is None:
            if self._files.is_settled:
                self._files.check_database()  # nothing is made in the place of a database that has gone
            self._lock = FileLock(self._files.path.with_name(f"{self._files.path.name}-lock"))
        return self._lock

    def read(self) -> str:
        """Read the note that the last writer has left in the lock's file; empty where this is a copy of that file."""
        lock = self._open()
        database, wal, own = (*lock.read().split(), "", "", "")[:3]
        return f"{database} {wal}" if database and own in ("", lock.identity) else ""  # 0.1 did not say whose it is

    def write(self, note: str) -> None:
        """Leave a note for the next who opens the log."""
        lock = self._open()
        lock.write(f"{note} {lock.identity}")

    def close(self) -> None:
        """Close the lock's file; it stays, for the next one."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

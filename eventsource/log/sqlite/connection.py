"""A connection to SQLite that answers what the shared statements ask beside rows (`sql.connection.Sql`)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..sql.frames import put_rows
from ..sql.lending import Lending
from ..sql.reading import span_of
from .database_format import FORMAT, schema_of
from .locks import owner_lives
from .search_index import change_text, has_index, remove_session

UNPACKED_BYTES = 64 * 2**20
"""How much a connection keeps of archived sessions, beside those that are read just now."""
_UNPACKED = """
CREATE TEMP TABLE unpacked (number INTEGER PRIMARY KEY, state TEXT NOT NULL, size INTEGER NOT NULL);
CREATE TEMP TABLE unpacked_events (id INTEGER PRIMARY KEY, at_us INTEGER, body TEXT, u BLOB, link BLOB, b BLOB);
CREATE TEMP TABLE unpacked_updates (id INTEGER PRIMARY KEY, kind INTEGER, count INTEGER, body BLOB);
CREATE TEMP TABLE unpacked_bodies (sha256 BLOB PRIMARY KEY, body BLOB);
CREATE TEMP TABLE unpacked_refs (sha256 BLOB, id INTEGER, PRIMARY KEY (id, sha256)) WITHOUT ROWID;
CREATE TEMP VIEW events AS SELECT id, at_us, body, u, link, b FROM main.events
    UNION ALL SELECT id, at_us, body, u, link, b FROM unpacked_events;
CREATE TEMP VIEW updates AS SELECT id, kind, count, body FROM main.updates
    UNION ALL SELECT id, kind, count, body FROM unpacked_updates;
CREATE TEMP VIEW bodies AS SELECT sha256, body FROM main.bodies UNION ALL SELECT sha256, body FROM unpacked_bodies;
CREATE TEMP VIEW refs AS SELECT sha256, id FROM main.refs UNION ALL SELECT sha256, id FROM unpacked_refs;
"""
_STATE = "SELECT archived_at_us || ' ' || head || ' ' || removals FROM sessions WHERE number = ?"
_CHANGED = f"SELECT number FROM unpacked u WHERE state IS NOT ({_STATE.replace('?', 'u.number')})"


class ArchivedError(Exception):
    """What is read lies in the archive, which another connection reads."""


class SqliteConnection(sqlite3.Connection):
    """SQLite's own connection, which knows its file, the clock and the owners of leases. It reads no archive."""

    fault: type[Exception] = sqlite3.DatabaseError
    lock_found = ""
    _path = Path()
    _clock: Callable[[], int] = staticmethod(lambda: time.time_ns() // 1000)

    def belong(self, path: Path, clock: Callable[[], int]) -> None:
        """Say which log this is a connection to, and by which clock."""
        self._path, self._clock = path, clock
        self.text_factory = bytes

    def now_us(self) -> int:
        """Read the clock, one for all processes of this computer."""
        return self._clock()

    def lives(self, owner: str) -> bool:
        """Return whether an owner's process still holds its file."""
        return owner_lives(self._path, owner)

    def hold(self, session: str) -> None:
        """Nothing: who writes has the whole file to himself."""

    def hold_line(self, session: str) -> None:
        """Nothing, as `hold`."""

    def hold_forks(self, number: int) -> None:
        """Nothing, as `hold`."""

    def hold_title(self, title: str) -> None:
        """Nothing, as `hold`."""

    def hold_queues(self) -> None:
        """Nothing, as `hold`."""

    def next_number(self) -> int:
        """Return the number behind the last that was given."""
        last = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sessions'").fetchone()
        return (int(last[0]) if last else 0) + 1

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Overwrite what is deleted."""
        self.execute("PRAGMA secure_delete=ON")
        try:
            yield
        finally:
            self.execute("PRAGMA secure_delete=OFF")

    def change_text(self, key: int, before: str, after: str) -> None:
        """Put a text in another's place in the index."""
        change_text(self, key, before, after)

    def remove_texts(self, number: int, *, for_good: bool = True) -> None:
        """Take a session out of the index."""
        remove_session(self, number, for_good=for_good)

    def has_called_tools(self) -> bool:
        """Return whether there is an index, of which the table is a part."""
        return has_index(self)

    def unpack(self, numbers: Sequence[int]) -> None:
        """Say that another connection must read these sessions."""
        raise ArchivedError(numbers)

    def unarchive(self, number: int) -> None:
        """Nothing: only a connection that writes does it."""

    def put_back(self) -> None:
        """Nothing: only a connection that writes does it."""

    def begin_reading(self) -> None:
        """Begin a transaction that only reads."""
        self.execute("BEGIN")

    def end_reading(self) -> None:
        """End the transaction that reads."""
        if self.in_transaction:
            self.execute("ROLLBACK")

    def look_anew(self) -> None:
        """End the transaction that reads, and begin another."""
        if self.in_transaction:
            self.end_reading()
            self.begin_reading()

    def file_problems(self) -> list[str]:
        """Let SQLite check its file, and compare what it consists of."""
        made = last = 0
        try:
            rows = self.execute("PRAGMA integrity_check(20)").fetchall()
            (made,) = self.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
            (last,) = self.execute("SELECT coalesce(max(number), 0) FROM sessions").fetchone()
        except sqlite3.DatabaseError as error:
            rows = [(str(error).encode(),)]
        problems = [row[0].decode("utf-8", "replace").partition("\n")[0] for row in rows]
        problems = [f"the database file is damaged: {line}" for line in problems if line != "ok"]
        (number,) = self.execute("PRAGMA user_version").fetchone()
        if schema_of(self) != schema_of(1 if number == 1 else FORMAT):
            problems.append("the tables, views or triggers are not those of a log")
        if last > made:
            problems.append(f"sqlite_sequence says that the last session made is number {made}, there is number {last}")
        return problems


class ArchiveConnection(SqliteConnection):
    """A connection that only reads, archived sessions too: it unpacks them into tables of its own, and keeps some.

    Its views `events`, `updates`, `bodies` and `refs` stand before the tables and show the rows of both.
    """

    def prepare(self) -> None:
        """Make the tables and views."""
        self.executescript(_UNPACKED)

    def begin_reading(self) -> None:
        """Begin a transaction, and forget what is no longer so."""
        self.execute("BEGIN")
        for (number,) in self.execute(_CHANGED).fetchall():
            self._forget(number)

    def end_reading(self) -> None:
        """End the transaction and keep what was unpacked."""
        if self.in_transaction:
            self.execute("COMMIT")

    def unpack(self, numbers: Sequence[int]) -> None:
        """Unpack what is not there yet."""
        for number in numbers:
            if self.execute("SELECT 1 FROM unpacked WHERE number = ?", (number,)).fetchone() is None:
                self._make_room(numbers)
                try:
                    size = put_rows(self, number, "unpacked_")
                except BaseException:
                    self._forget(number)
                    raise
                sql = f"INSERT INTO unpacked (number, state, size) SELECT ?, ({_STATE}), ?"
                self.execute(sql, (number, number, size))

    def _make_room(self, needed: Sequence[int]) -> None:
        (size,) = self.execute("SELECT coalesce(sum(size), 0) FROM unpacked").fetchone()
        if size > UNPACKED_BYTES:
            for (number,) in self.execute("SELECT number FROM unpacked").fetchall():
                if number not in needed:
                    self._forget(number)

    def _forget(self, number: int) -> None:
        self.execute("DELETE FROM unpacked WHERE number = ?", (number,))
        for table in ("events", "updates", "refs"):
            self.execute(f"DELETE FROM unpacked_{table} WHERE id BETWEEN ? AND ?", span_of(number))
        self.execute("DELETE FROM unpacked_bodies WHERE sha256 NOT IN (SELECT sha256 FROM unpacked_refs)")


class WritingConnection(SqliteConnection):
    """The connection that writes. What it must read of the archive it unpacks for the time of a transaction."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # whatever `sqlite3.connect` is given
        self._lending = Lending()

    def unpack(self, numbers: Sequence[int]) -> None:
        """Put the rows in their tables again, until `put_back`."""
        self._lending.unpack(self, numbers)

    def unarchive(self, number: int) -> None:
        """Take a session out of the archive for good."""
        self._lending.unarchive(self, number)

    def put_back(self) -> None:
        """Remove the rows that were unpacked for this transaction."""
        self._lending.put_back(self)

    def forget_lent(self) -> None:
        """Note that the transaction was undone, and with it what was unpacked."""
        self._lending.forget()

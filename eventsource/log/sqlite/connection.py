"""A connection to SQLite that answers what the shared statements ask beside rows (`sql.connection.Sql`)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .database_format import FORMAT, schema_of
from .locks import owner_lives
from .search_index import change_text, remove_session


class SqliteConnection(sqlite3.Connection):
    """SQLite's own connection, which knows its file, the clock and the owners of leases."""

    fault: type[Exception] = sqlite3.DatabaseError
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

    def remove_texts(self, number: int) -> None:
        """Take a session out of the index."""
        remove_session(self, number)

    def look_anew(self) -> None:
        """End the transaction that reads, and begin another."""
        if self.in_transaction:
            self.execute("ROLLBACK")
            self.execute("BEGIN")

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

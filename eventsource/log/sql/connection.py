"""What the statements in this folder need of a database: a connection, within a transaction that somebody else ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Rows(Protocol):
    """The answer to a statement."""

    def fetchone(self) -> Any:  # noqa: ANN401 - of the columns that were asked for
        """Return the next row as a tuple, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""
        ...


class Sql(Protocol):
    """A connection. Statements are in the words that SQLite and PostgreSQL share, with `?` for values.

    Texts come back as bytes: a damaged database may hold anything. `fault` is what a statement raises that cannot be
    done, and whoever finds a row that no log can hold. `lock_found` stands behind a query whose rows are kept for the
    transaction, and passes over those that others keep; it is empty where who writes has everything to himself.
    """

    fault: type[Exception]
    lock_found: str

    def execute(self, sql: str, values: Sequence[object] = ..., /) -> Rows:
        """Run a statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> object:
        """Run a statement for each of some rows."""
        ...

    def now_us(self) -> int:
        """Read the store's clock, which is the same for all who use the log: UTC in microseconds."""
        ...

    def lives(self, owner: str) -> bool:
        """Return whether the opened log of that name is still open; its process may have ended without a word."""
        ...

    def hold(self, session: str) -> None:
        """Let nobody else change a session until the transaction ends, before it is looked at."""
        ...

    def hold_line(self, session: str) -> None:
        """Let nobody else change a session, or whatever it inherits from, until the transaction ends."""
        ...

    def hold_forks(self, number: int) -> None:
        """Let nobody else change what inherits from a session, until the transaction ends; its line is held."""
        ...

    def hold_title(self, title: str) -> None:
        """Let nobody else look for a session of a title, to make one, until the transaction ends."""
        ...

    def hold_queues(self) -> None:
        """Let nobody else claim sessions under a limit until the transaction ends, before what runs is counted."""
        ...

    def next_number(self) -> int:
        """Return a number that no session ever had."""
        ...

    def erasing(self) -> AbstractContextManager[None]:
        """Let what is deleted or written over meanwhile be overwritten, where the database can."""
        ...

    def change_text(self, key: int, before: str, after: str) -> None:
        """Let the search find another text in a fact, and nothing any more of the one before."""
        ...

    def remove_texts(self, number: int, *, for_good: bool = True) -> None:
        """Let the index of the search have nothing any more of what a session says, whose facts are still there.

        Args:
            for_good: nor may anything of it be left in the file.
        """
        ...

    def has_called_tools(self) -> bool:
        """Return whether there is a table of which tools sessions call."""
        ...

    def unpack(self, numbers: Sequence[int]) -> None:
        """Let the rows of archived sessions be read, within this transaction. Raises: CorruptLogError."""
        ...

    def unarchive(self, number: int) -> None:
        """Take a session out of the archive before it is changed, if it is there. Raises: CorruptLogError."""
        ...

    def put_back(self) -> None:
        """Remove the rows that were unpacked in this transaction and belong to sessions that stay in the archive."""
        ...

    def look_anew(self) -> None:
        """Let reading go on with what is there now."""
        ...

    def file_problems(self) -> list[str]:
        """Check what is not rows: the file or server, tables, triggers, views. Returns: what is wrong, in words."""
        ...

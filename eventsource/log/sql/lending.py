"""What a transaction that writes must read of the archive: its rows, put into their tables for as long as it lasts."""

from __future__ import annotations

from collections.abc import Sequence

from .connection import Sql
from .frames import delete_rows, put_rows
from .reading import span_of


class Lending:
    """The archived sessions whose rows are in their tables for the time of a transaction."""

    def __init__(self) -> None:
        self._lent: set[int] = set()

    def unpack(self, connection: Sql, numbers: Sequence[int]) -> None:
        """Put the rows in their tables again, until `put_back`."""
        for number in numbers:
            if number not in self._lent:
                put_rows(connection, number)
                self._lent.add(number)

    def unarchive(self, connection: Sql, number: int) -> None:
        """Put the rows in their tables again, remove the frames, and let the search take the session in."""
        sql = "SELECT 1 FROM sessions WHERE number = ? AND archived_at_us IS NOT NULL"
        if connection.execute(sql, (number,)).fetchone() is None:
            return
        self.unpack(connection, [number])
        self._lent.discard(number)
        with connection.erasing():
            connection.execute("DELETE FROM frames WHERE id BETWEEN ? AND ?", span_of(number))
        connection.execute("UPDATE sessions SET archived_at_us = NULL, searched = 0 WHERE number = ?", (number,))

    def put_back(self, connection: Sql) -> None:
        """Remove the rows that were unpacked for this transaction."""
        for number in self._lent:
            delete_rows(connection, number)
        self.forget()

    def forget(self) -> None:
        """Note that the transaction has ended, and with it what was unpacked."""
        self._lent.clear()

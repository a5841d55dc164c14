"""The server keeps the log's rules itself, whoever writes to it; and a role may use a log and change no event."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import LiteralString
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from eventsource.errors import StoreError
from eventsource.events import Event, Label
from eventsource.log import open_store
from eventsource.log.contract.histories import exchange, read_all, timed
from eventsource.log.postgres.schema import make_log, renew_log
from eventsource.log.postgres.server import Server
from tests.postgres import empty_log, empty_schema

LABEL: list[tuple[int, Event]] = [(1, Label(text="x"))]
FORBIDDEN: tuple[tuple[LiteralString, str], ...] = (
    ("UPDATE events SET body = '{}'", "an event never changes"),
    ("UPDATE events SET at_us = 1", "an event never changes"),
    ("DELETE FROM events", "an event is deleted with its whole session only"),
    ("TRUNCATE events CASCADE", "not emptied at once"),
    ("TRUNCATE sessions CASCADE", "not emptied at once"),
    ("UPDATE sessions SET id = 'other'", "a session keeps its id"),
    ("UPDATE sessions SET parent = NULL", "a session keeps its id"),
    ("UPDATE sessions SET crc = 1", "a session keeps its id"),
    ("DELETE FROM sessions", "is deleted by `refold rm` only"),
)


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with empty_log(postgres) as place:
        yield place


async def test_no_statement_changes_an_event_or_a_sessions_place(url: str) -> None:
    async with open_store(url) as log:
        session = (await log.create()).id
        await log.append(session, timed(exchange()))
        await log.fork(session, 3, at_us=1)
        events = await read_all(log, session)
        with psycopg.connect(url, autocommit=True) as server:
            for statement, problem in FORBIDDEN:
                with pytest.raises(psycopg.errors.RaiseException, match=problem):
                    server.execute(statement)
        assert await read_all(log, session) == events
        assert (await log.verify()).findings == ()


async def test_the_views_show_facts_in_psql(url: str) -> None:
    async with open_store(url) as log:
        session = (await log.create()).id
        head = await log.append(session, timed(exchange()))
        fork = (await log.fork(session, head, at_us=1)).id
        facts = await log.read(session, updates=False)
        with psycopg.connect(url, autocommit=True) as server:
            own = server.execute("SELECT seq, type FROM event WHERE session = %s ORDER BY seq", (session,)).fetchall()
            shared = server.execute("SELECT seq FROM history WHERE session = %s ORDER BY seq", (fork,)).fetchall()
        assert [seq for seq, _ in own] == [one.seq for one in facts]
        assert own[0][1] == facts[0].event.__struct_config__.tag
        assert [seq for (seq,) in shared] == [*(one.seq for one in facts), head + 1]


@pytest.fixture
def role(postgres: str) -> Iterator[str]:
    """Make a role that may log in and nothing else."""
    name = f"refold_role_{secrets.token_hex(4)}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        yield name
        server.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def as_role(url: str, role: str) -> str:
    """Return the URL of a log for another user, who needs no password."""
    told = {**conninfo_to_dict(url), "user": role}
    return "postgresql:///?" + "&".join(f"{name}={quote(str(value))}" for name, value in told.items() if value)


async def test_a_role_uses_the_log_and_may_change_no_event(postgres: str, role: str) -> None:
    """All that a log does, erasing and deleting too; and no statement of its own."""
    with empty_schema(postgres) as url:
        make_log(Server(url), role)
        place = as_role(url, role)
        async with open_store(place) as log:
            session = (await log.create(title="Oslo")).id
            head = await log.append(session, timed(exchange()))
            fork = (await log.fork(session, head, at_us=1)).id
            await log.release(await log.claim(fork))
            await log.erase(session, 1, at_us=2)
            assert await log.drop_updates(session) > 0
            assert len(await log.search("warm")) + len(await log.search("two kb")) == 1
            await log.archive(session, at_us=3)
            assert await log.append(session, LABEL) > head
            await log.delete(fork)
            assert (await log.verify()).ok
        with psycopg.connect(place, autocommit=True) as server:
            for statement, _ in FORBIDDEN[:5]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    server.execute(statement)
            for statement in ("DROP TABLE events", "ALTER TABLE events DISABLE TRIGGER ALL", "DROP SCHEMA public"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    server.execute(statement)


async def test_a_role_without_rights_is_told_how_to_get_them(url: str, role: str) -> None:
    place = as_role(url, role)
    with pytest.raises(StoreError, match=r"no log in this schema|may not do that"):
        async with open_store(place):
            pass
    renew_log(Server(url), role)
    async with open_store(place) as log:
        await log.create()

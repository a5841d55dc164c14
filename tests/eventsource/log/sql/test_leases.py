"""Claiming what is due: a session once, whatever of it is due, and whoever lives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventsource.events import TaskStart
from eventsource.log import open_store
from eventsource.log.sql import leases
from eventsource.log.sql.tails import Tails
from eventsource.log.sqlite.connection import WritingConnection


class NobodyLives(WritingConnection):
    """A connection to which no owner lives: a server that was restarted just now has lost their locks."""

    def lives(self, owner: str) -> bool:
        return False


async def test_a_session_of_which_much_is_due_is_claimed_once(tmp_path: Path) -> None:
    """Its children are run by its runner: the first that is found is enough, also where the claim is free again."""
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        await log.create("parent")
        await log.append("parent", [(1, TaskStart(task="t"))])
        for name in ("one", "two", "three"):
            await log.create(name, started_by="parent")
            await log.append(name, [(1, TaskStart(task="t"))])
    with closing(sqlite3.connect(path, isolation_level=None, factory=NobodyLives)) as connection:
        connection.belong(path, lambda: 10)
        taken = leases.take_due(
            connection,
            Tails(),
            owner="gone",
            limit=9,
            ttl_us=1_000_000,
            tasks=None,
            queues=None,
            but=(),
            limits={},
        )
    assert [(lease.session, lease.epoch) for lease in taken] == [("parent", 1)]

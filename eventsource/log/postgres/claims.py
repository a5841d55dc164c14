"""Claiming what is due, many sessions by one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...envelope import Lease
from ..sql import leases
from ..sql.connection import Sql
from ..sql.sessions import due
from ..sql.tails import Tails

_OWN = "SELECT id, task FROM sessions WHERE id IN ({}) AND (parent IS NOT NULL OR started_by = '')"
_TAKE = """
UPDATE sessions SET owner = ?, epoch = epoch + 1, expires_at_us = ?, due_at_us = ? WHERE id IN ({})
RETURNING id, epoch"""


def take_due(
    connection: Sql,
    tails: Tails,
    *,
    owner: str,
    limit: int,
    ttl_us: int,
    tasks: Collection[str] | None,
    queues: Collection[str] | None,
    but: Collection[str],
    limits: Mapping[str, int],
) -> tuple[Lease, ...]:
    """Claim what is due: at once what its own runner runs, one by one what a parent may run, and under limits."""
    names = () if limits else due(connection, limit, queues, lock=connection.lock_found)
    own = list[str]()
    if names:
        for name, task in connection.execute(_OWN.format(_marks(names)), names):
            if name.decode() not in but and (tasks is None or task.decode("utf-8", "replace") in tasks):
                own.append(name.decode())
    if len(own) < len(names) or not own:
        return leases.take_due(
            connection,
            tails,
            owner=owner,
            limit=limit,
            ttl_us=ttl_us,
            tasks=tasks,
            queues=queues,
            but=but,
            limits=limits,
        )
    until_us = connection.now_us() + ttl_us
    taken = connection.execute(_TAKE.format(_marks(own)), (owner, until_us, until_us, *own)).fetchall()
    epochs = {name.decode(): epoch for name, epoch in taken}
    for name, epoch in epochs.items():
        if (tail := tails.known(name)) is not None:
            tail.epoch = epoch
    return tuple(Lease(name, owner, epochs[name], until_us) for name in names)


def _marks(names: Collection[str]) -> str:
    return ", ".join("?" * len(names))

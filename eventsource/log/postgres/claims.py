"""Claiming what is due, many sessions by one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...envelope import Lease
from ..sql import leases
from ..sql.connection import Sql
from ..sql.sessions import queues_with_due
from ..sql.tails import Tails

_TAKE = """
WITH found AS (
    SELECT f.* FROM (VALUES {queues}) AS q (queue) CROSS JOIN LATERAL (
        SELECT number, id, task, due_at_us, parent IS NOT NULL OR started_by = '' AS runs_itself FROM sessions
        WHERE queue = q.queue AND due_at_us <= ? ORDER BY due_at_us LIMIT ? FOR NO KEY UPDATE SKIP LOCKED
    ) f ORDER BY f.due_at_us LIMIT ?
)
UPDATE sessions s SET owner = ?, epoch = epoch + 1, expires_at_us = ?, due_at_us = ? FROM found f
WHERE s.number = f.number AND NOT EXISTS (SELECT 1 FROM found WHERE NOT (runs_itself AND {wanted}))
RETURNING s.id, s.epoch, f.due_at_us"""


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
    among = queues_with_due(connection) if queues is None else queues
    if among and not limits:
        wanted, chosen = ["true"], list[str]()
        for condition, names in (("task IN", tasks), ("id NOT IN", but or None)):
            if names is not None:
                wanted.append(f"{condition} ({_marks(names)})" if names else "false")
                chosen += names
        sql = _TAKE.format(queues=", ".join(["(CAST(? AS VARCHAR))"] * len(among)), wanted=" AND ".join(wanted))
        now_us = connection.now_us()
        until_us = now_us + ttl_us
        rows = connection.execute(sql, (*among, now_us, limit, limit, owner, until_us, until_us, *chosen)).fetchall()
        if rows:
            taken = [(name.decode(), epoch) for name, epoch, _ in sorted(rows, key=lambda row: int(row[2]))]
            for name, epoch in taken:
                if (tail := tails.known(name)) is not None:
                    tail.epoch = epoch
            return tuple(Lease(name, owner, epoch, until_us) for name, epoch in taken)
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


def _marks(names: Collection[str]) -> str:
    return ", ".join("?" * len(names))

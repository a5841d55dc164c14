"""The queues of tasks: what is due and what runs in each, and how much more may run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from ...envelope import QueueInfo
from .connection import Sql
from .sessions import queues_with_due

_RUNNING = """
SELECT s.queue, s.owner, count(*) FROM sessions s
WHERE s.owner IS NOT NULL AND s.due_at_us IS NOT NULL AND s.expires_at_us > ? AND NOT EXISTS (
    SELECT 1 FROM sessions p WHERE p.id = s.started_by AND p.owner = s.owner AND p.queue = s.queue)
GROUP BY s.queue, s.owner ORDER BY s.queue, s.owner"""
_DUE = "SELECT count(*), min(due_at_us) FROM sessions WHERE queue = ? AND due_at_us <= ?"


def _running(connection: Sql) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Count what is held with an open task. Returns: of each queue by living owner; of each what the dead left."""
    held, left, lives = dict[str, Counter[str]](), Counter[str](), dict[bytes, bool]()
    for queue, owner, count in connection.execute(_RUNNING, (connection.now_us(),)).fetchall():
        if owner not in lives:
            lives[owner] = connection.lives(owner.decode("utf-8", "replace"))
        name = queue.decode("utf-8", "replace")
        if lives[owner]:
            held.setdefault(name, Counter())[owner.decode("utf-8", "replace")] += count
        else:
            left[name] += count
    return held, left


def count_queues(connection: Sql) -> tuple[QueueInfo, ...]:
    """Count what is due and what runs, of each queue."""
    held, left = _running(connection)
    found, now_us = list[QueueInfo](), connection.now_us()
    for queue in sorted({*queues_with_due(connection), *held, *left}):
        due, since_us = connection.execute(_DUE, (queue, now_us)).fetchone()
        runs = held.get(queue, Counter())
        if due or left[queue] or runs:
            waited_us = now_us - since_us if due else 0
            waiting = QueueInfo(queue=queue, due=due + left[queue], waited_us=waited_us)
            found.append(replace(waiting, running=runs.total(), owners=tuple(runs)))
    return tuple(found)


class Room:
    """How much more may run in the queues that have a limit, for as long as a transaction lasts."""

    def __init__(self, connection: Sql, queues: Collection[str] | None, limits: Mapping[str, int]) -> None:
        """Count what runs; nobody else claims under a limit until the transaction ends."""
        self._queues, self._left = queues, dict[str, int]()
        if limits:
            connection.hold_queues()
            held = _running(connection)[0]
            self._left = {queue: limit - held.get(queue, Counter()).total() for queue, limit in limits.items()}

    def queues(self, connection: Sql) -> Collection[str] | None:
        """Return the queues in which something may be claimed; None: in all."""
        full = [queue for queue, left in self._left.items() if left <= 0]
        if not full:
            return self._queues
        among = queues_with_due(connection) if self._queues is None else self._queues
        return [queue for queue in among if queue not in full]

    def has(self, queue: str) -> bool:
        """Return whether one more may run in a queue."""
        return self._left.get(queue, 1) > 0

    def take(self, queue: str) -> None:
        """Note that one more does."""
        if queue in self._left:
            self._left[queue] -= 1

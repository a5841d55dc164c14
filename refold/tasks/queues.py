"""Names of queues: which workers a task is for."""

from __future__ import annotations

DEFAULT = "default"
"""What people call the queue of the tasks that name none; in the log it is empty."""
_MOST = 200


def stored_queue(name: str, where: str) -> str:
    """Return a queue's name as the log has it. Raises: ValueError."""
    if not 0 < len(name) <= _MOST or not name.isprintable() or any(map(str.isspace, name)):
        shown = repr(name)[:_MOST]
        raise ValueError(
            f"{where}: a queue is called by 1 to {_MOST} printable characters without spaces; found {shown}"
        )
    return "" if name == DEFAULT else name


def shown_queue(queue: str) -> str:
    """Return a queue's name as people call it."""
    return queue or DEFAULT

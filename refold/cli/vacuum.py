"""The command `vacuum`: give back the room that nothing uses any more."""

from __future__ import annotations

from pathlib import Path

from ..log import Log
from .command import command
from .terminal.formatting import size
from .terminal.screen import Screen


@command(
    "vacuum",
    ("refold vacuum", "after sessions were archived or deleted"),
    local=True,
)
async def vacuum(screen: Screen, log: Log) -> None:
    """Give back the room that archived, deleted and erased content took, by writing the log's file again.

    For a while it takes twice as much. Others may go on reading; whoever writes waits. A log on a server needs none of
    it: PostgreSQL gives room back by itself.
    """
    path, shown = screen.log.path, screen.log.shown
    before = _size_of(path)
    with screen.busy("writing the log again"):
        await log.vacuum()
    after = _size_of(path)
    if screen.as_json:
        screen.json({"path": shown, "before_bytes": before, "after_bytes": after})
    elif before is None or after is None:
        screen.line(f"{shown}: nothing was done: the server gives room back by itself (autovacuum).")
    else:
        screen.line(f"{shown}: {size(after)}, before {size(before)}.")


def _size_of(path: Path | None) -> int | None:
    """Return the size of a log's file, with what waits beside it to be copied into it; None on a server."""
    if path is None:
        return None
    beside = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)

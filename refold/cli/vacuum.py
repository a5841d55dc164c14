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
)
async def vacuum(screen: Screen, log: Log) -> None:
    """Give back the room that archived, deleted and erased content took, by writing the log's file again.

    For a while it takes twice as much. Others may go on reading; whoever writes waits.
    """
    before = _size_of(screen.log.path)
    with screen.busy("writing the log again"):
        await log.vacuum()
    after = _size_of(screen.log.path)
    if screen.as_json:
        screen.json({"path": str(screen.log.path), "before_bytes": before, "after_bytes": after})
    else:
        screen.line(f"{screen.log.path}: {size(after)}, before {size(before)}.")


def _size_of(path: Path) -> int:
    """Return the size of a log's file, with what waits beside it to be copied into it."""
    beside = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)

"""The command `backup`: copy the whole log to a new file while it is in use."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..log import Log
from .arguments.files import check_target
from .command import command
from .terminal.formatting import size
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "backup",
    ("refold backup refold-2026-01-31.db", "a log of its own: refold ls --db refold-2026-01-31.db"),
    local=True,
)
@click.argument("file")
async def backup(screen: Screen, log: Log, file: str) -> None:
    """Write a consistent copy of the whole log to a new file, while it is in use."""
    check_target(file)
    with screen.busy("copying"):
        await log.backup(file)
    size_bytes = _size_of(file)
    if screen.as_json:
        screen.json({"path": file, "size_bytes": size_bytes})
    else:
        screen.note((f"{file}: {size(size_bytes)}", "dim"))
        print_next(screen, f"refold ls --db {shlex.quote(file)}")


def _size_of(file: str) -> int:
    return Path(file).stat().st_size

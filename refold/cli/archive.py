"""The command `archive`: compress closed sessions where they lie."""

from __future__ import annotations

import click

from eventsource.errors import CorruptLogError, LeaseHeldError, SessionOpenError

from ..log import Log
from ..session_tree import session_rows
from .arguments.options import since
from .command import command
from .terminal.formatting import count, size
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "archive",
    ("refold archive ID", "one session; every command still reads it"),
    ("refold archive --older-than 30d", "all closed ones in which nothing has happened since"),
    local=True,
)
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option(
    "--older-than", metavar="WHEN", callback=since, help="Closed sessions not updated since: `30d`, `2026-11-20`."
)
async def archive(screen: Screen, log: Log, sessions: tuple[str, ...], older_than: int) -> None:
    """Compress closed sessions where they lie, to about a sixth of what they export.

    They are listed, read, searched, verified and forked as before. What changes one takes it out of the archive again:
    a message, a run, an erase. A session is closed when none of its runs, waits or queued messages is open.
    """
    if bool(sessions) == bool(older_than):
        raise click.UsageError("Name sessions, or say --older-than WHEN.")
    found = [(await log.find(name)).id for name in sessions]
    if older_than:
        rows = [info for info in await session_rows(log.store) if info.updated_at_us < older_than]
        found = [info.id for info in rows if info.head and info.archived_at_us is None]
    done, kept = list[tuple[str, int]](), list[str]()
    damaged: CorruptLogError | None = None
    for session in found:
        try:
            with screen.busy(f"compressing {session}"):
                done.append((session, await log.archive(session)))
        except (SessionOpenError, LeaseHeldError):  # it has gone on
            if not older_than:
                raise
            kept.append(session)
            continue
        except CorruptLogError as error:
            damaged = damaged or error
            continue
        if not done[-1][1]:
            done.pop()
            screen.note((f"{session} holds nothing.", "dim"))
        elif not screen.as_json:
            screen.line(f"{session}  {size(done[-1][1])}")
    if screen.as_json:
        screen.json({"archived": [{"id": one, "size_bytes": taken} for one, taken in done], "open": kept})
    else:
        screen.note((f"{count(len(done), 'session')} archived.", "dim"))
        if kept:
            screen.note(f"{count(len(kept), 'session')} not closed: {', '.join(kept[:5])}{', …' * (len(kept) > 5)}.")
        if done:
            print_next(screen, screen.command("vacuum"))
    if damaged is not None:
        raise damaged

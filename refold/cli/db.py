"""The command `db`: what is done to a log as a whole."""

from __future__ import annotations

import click

from eventsource.log.sqlite.database_format import FORMAT

from ..log import Log
from .command import command
from .terminal.formatting import count
from .terminal.screen import Screen


@command(
    "db",
    ("refold db upgrade --db old.db", "to this release's format, when nothing else uses it"),
    ("refold db rebuild", "after `refold verify` has found rows that are wrong"),
)
@click.argument("what", type=click.Choice(("upgrade", "rebuild")))
async def db(screen: Screen, log: Log, what: str) -> None:
    """Look after a log as a whole.

    `upgrade` brings a log that an earlier release wrote to this one's format, as every command does that may write to
    it. No event changes, and no digest. It is refused while another program has the log open.

    `rebuild` computes again what follows from the events: the rows that `ls` shows, and the index that `search` asks.
    """
    if what == "upgrade":
        if screen.as_json:
            screen.json({"path": str(screen.log.path), "format": FORMAT})
        else:
            screen.line(f"{screen.log.path} has format {FORMAT}.")
        return
    with screen.busy("reading every session"):
        wrong = await log.store.rebuild()
    if screen.as_json:
        screen.json({"wrong": wrong})
    else:
        screen.line(f"{count(wrong, 'row')} of sessions said something else.")

"""The command `db`: what is done to a log as a whole."""

from __future__ import annotations

import asyncio

import click

from eventsource.log.sqlite.database_format import FORMAT, format_of

from ..log import Log
from .arguments.log_file import log_file
from .arguments.options import SETTINGS, SharedOptions, shared_options
from .command import RefoldCommand, command, opened, upgraded_words
from .terminal.formatting import count
from .terminal.screen import Screen


@click.group("db", invoke_without_command=True, **SETTINGS)
@click.pass_context
def db(context: click.Context) -> None:
    """Look after a log as a whole."""
    if context.invoked_subcommand is None:
        raise click.UsageError("say what to do: upgrade or rebuild", context)


@click.command("upgrade", cls=RefoldCommand, **SETTINGS)
def upgrade() -> None:
    """Bring a log that an earlier release wrote to this one's format; whoever opens it to write does the same.

    No event changes, and no digest. It is refused while another program has the log open.
    """
    choices = click.get_current_context().ensure_object(SharedOptions)
    file = log_file(choices.db)
    screen = Screen(file, as_json=choices.json)
    before = format_of(file.path)

    async def work() -> None:
        async with opened(file, creates=False):
            pass

    asyncio.run(work())
    if screen.as_json:
        screen.json({"path": str(file.path), "before": before, "format": FORMAT})
    elif before == FORMAT:
        screen.note((f"{file.path} has format {FORMAT} already.", "dim"))
    else:
        screen.note((upgraded_words(file.path, before), "dim"))


@command("rebuild", ("refold db rebuild", "after `refold verify` has found rows that are wrong"))
async def rebuild(screen: Screen, log: Log) -> None:
    """Compute again what follows from the events: the rows that `ls` shows, and the index that `search` asks."""
    with screen.busy("reading every session"):
        wrong = await log.store.rebuild()
    if screen.as_json:
        screen.json({"wrong": wrong})
    else:
        screen.note((f"{count(wrong, 'row')} of sessions said something else.", "dim"))


upgrade.params += shared_options()
upgrade.examples = (("refold db upgrade --db old.db", "when nothing else uses it"),)
db.add_command(upgrade)
db.add_command(rebuild)

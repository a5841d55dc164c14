"""The command `db`: what is done to a log as a whole."""

from __future__ import annotations

from collections.abc import Mapping

import click

from eventsource.errors import StoreError
from eventsource.log.copying import copy_log
from eventsource.log.place import is_server, shown
from eventsource.log.sql.connection import Sql
from eventsource.log.sql.log import SqlLog
from eventsource.log.sqlite.database_format import FORMAT

from ..log import Log
from .command import command
from .exit_codes import NO
from .terminal.formatting import count
from .terminal.next_steps import print_next
from .terminal.screen import Screen

_LETTERS = "no index of three letters: the server has no pg_trgm, or this user may not add it; `search` reads all texts"


def _opens(values: Mapping[str, object]) -> bool:
    return values["what"] != "init" and not (values["what"] == "upgrade" and is_server(values["to"]))


@command(
    "db",
    ("refold db init postgresql://host/database", "make an empty log on a server"),
    ("refold db copy postgresql://host/database", "copy the log there, and compare"),
    ("refold db copy runs.db --db postgresql://host/database", "and back, into a file"),
    ("refold db check", "is it in this release's format, and complete?"),
    ("refold db upgrade --db old.db", "to this release's format, when nothing else uses it"),
    ("refold db rebuild", "after `refold verify` has found rows that are wrong"),
    opens=_opens,
    local=True,
)
@click.argument("what", type=click.Choice(("init", "check", "upgrade", "rebuild", "copy")))
@click.argument("to", metavar="[PLACE]", required=False)
@click.option(
    "--role", metavar="NAME", default="", help="With init and upgrade: who may use the log, and change no event."
)
async def db(screen: Screen, log: Log, what: str, to: str | None, role: str) -> int | None:
    """Look after a log as a whole.

    `init` makes the tables of a log in a PostgreSQL database; nothing else does. The schema is the one of the URL
    (?options=-csearch_path=NAME), else `public`. `copy` writes every row into a new file or an empty log on a server,
    verifies the copy and compares each session's digest; the log stays as it is.

    `check` says the format, and what of tables, functions and triggers is missing. `upgrade` brings a log that an
    earlier release wrote to this one's format, as every command does that may write to a file; on a server it makes the
    functions and triggers those of this release, and tables and indexes that are missing. No event changes, and no
    digest.

    `rebuild` computes again what follows from the events: the rows that `ls` shows, and what `search` asks.
    """
    if to is not None and what not in ("init", "copy", "upgrade"):
        raise click.UsageError(f"`refold db {what}` takes no PLACE: name the log by --db")
    if role and what not in ("init", "upgrade"):
        raise click.UsageError("--role belongs to `refold db init` and `refold db upgrade`")
    match what:
        case "init":
            _init(screen, to, role)
        case "copy":
            await _copy(screen, log, to)
        case "check":
            return await _check(screen, log)
        case "upgrade":
            _upgrade(screen, to, role)
        case _:
            await _rebuild(screen, log)
    return None


def _init(screen: Screen, to: str | None, role: str) -> None:
    place = screen.log.place if to is None else to
    if not is_server(place):
        raise StoreError(shown(place), "a log in a file is made by the first command that writes", "name a server")
    from eventsource.log.postgres.schema import make_log
    from eventsource.log.postgres.server import Server

    _made(screen, place, f"{shown(place)} is an empty log of format {FORMAT}.", make_log(Server(place), role))
    if not screen.as_json:
        print_next(screen, "export REFOLD_DB=URL, or refold db copy URL (which brings a log that is there)")


def _upgrade(screen: Screen, to: str | None, role: str) -> None:
    place = screen.log.place if to is None else to
    if is_server(place):
        from eventsource.log.postgres.schema import renew_log
        from eventsource.log.postgres.server import Server

        _made(screen, place, f"{shown(place)} has format {FORMAT}.", renew_log(Server(place), role))
    elif to is not None or role:
        raise click.UsageError("a file is named by --db, and knows no roles")
    elif screen.as_json:
        screen.json({"path": screen.log.shown, "format": FORMAT})
    else:
        screen.line(f"{screen.log.shown} has format {FORMAT}.")


def _made(screen: Screen, place: str, said: str, has_index: bool) -> None:
    if screen.as_json:
        screen.json({"path": shown(place), "format": FORMAT, "search_index": has_index})
        return
    screen.line(said)
    if not has_index:
        screen.note((_LETTERS, "dim"))


async def _copy(screen: Screen, log: Log, to: str | None) -> None:
    if to is None:
        raise click.UsageError("name the file or server to copy to: refold db copy PLACE")
    with screen.busy("copying"):
        copied = await copy_log(log.store, to)
    if screen.as_json:
        screen.json({"path": shown(to), "sessions": copied})
    else:
        screen.line(f"{count(copied, 'session')} copied to {shown(to)}; each verifies, with the same digest.")


async def _check(screen: Screen, log: Log) -> int | None:
    if not isinstance(log.store, SqlLog):
        problems = list[str]()
    else:
        problems = await log.store.beside(_problems)
    if screen.as_json:
        screen.json({"path": screen.log.shown, "format": FORMAT, "problems": problems})
    else:
        screen.line(f"{screen.log.shown} has format {FORMAT}.")
        for problem in problems:
            screen.line(("defect  ", "bold red"), problem)
    return NO if problems else None


def _problems(connection: Sql) -> list[str]:
    return connection.file_problems()


async def _rebuild(screen: Screen, log: Log) -> None:
    with screen.busy("reading every session"):
        wrong = await log.store.rebuild()
    if screen.as_json:
        screen.json({"wrong": wrong})
    else:
        screen.line(f"{count(wrong, 'row')} of sessions said something else.")

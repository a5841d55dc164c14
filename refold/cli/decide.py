"""The command `decide`: answer what a session waits for."""

from __future__ import annotations

from collections.abc import Mapping

import click

from eventsource.errors import UnknownSessionError

from ..log import Log
from ..session import Session
from ..waits import Waiting
from .arguments.values import json_or_text
from .arguments.waits import decided_by, decided_by_option, parse_token
from .command import command
from .terminal.formatting import shorten
from .terminal.next_steps import print_next_steps
from .terminal.screen import Screen


@command(
    "decide",
    ("refold decide ID:KEY --approve", "the call is made; with --arguments JSON, with these"),
    ('refold decide ID KEY --deny --reason "Too much."', "it is not, and the model reads why"),
    ("refold decide ID deploy true", "a value: any JSON, else a text"),
    ("refold decide ID deploy --cancel", "the run goes on without one"),
)
@click.argument("session", metavar="SESSION:KEY|SESSION")
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--approve", is_flag=True, help="Let a call be made.")
@click.option("--deny", is_flag=True, help="Do not let it be made.")
@click.option("--reason", default="", metavar="TEXT", help="Why it is denied.")
@click.option("--arguments", metavar="JSON", help="What the call is made with, in place of the model's arguments.")
@click.option("--cancel", is_flag=True, help="Cancel the wait.")
@decided_by_option
async def decide(
    screen: Screen,
    log: Log,
    session: str,
    key: str | None,
    value: str | None,
    approve: bool,
    deny: bool,
    reason: str,
    arguments: str | None,
    cancel: bool,
    by: str | None,
) -> None:
    """Answer what a session waits for: a wait is named SESSION:KEY, or by both as two words; the first answer counts.

    Who decided is on record: the name you are logged in as, or --by.
    """
    found, wait, left = await _find_wait(log, session, key, value)
    if [left is not None, approve, deny, cancel].count(True) != 1:
        raise click.UsageError("say one of: a value, --approve, --deny, --cancel")
    if arguments is not None and not approve:
        raise click.UsageError("--arguments goes with --approve")
    if reason and not (approve or deny):
        raise click.UsageError("--reason goes with --deny or --approve")
    head = await found.decide(
        wait,
        None if left is None else json_or_text(left),
        approve=approve if approve or deny else None,
        reason=reason,
        arguments=None if arguments is None else _object(arguments),
        outcome="cancelled" if cancel else "completed",
        decided_by=decided_by(by),
    )
    if screen.as_json:
        screen.json({"id": found.id, "key": wait.key, "head": head})
    else:
        await print_next_steps(screen, found)


async def _find_wait(log: Log, session: str, key: str | None, value: str | None) -> tuple[Session, Waiting, str | None]:
    """Find the wait that is named: a session and its key, or both in one word.

    Returns: the session, its wait, and the value, which moves up where one word is the name.
    """
    try:
        found = await log.find(session)
    except UnknownSessionError as error:
        if error.candidates or ":" not in session:
            raise
        if value is not None:
            raise click.UsageError(f"{session} names a wait: expected one value behind it, found 2") from error
        found, named = await parse_token(log, session)
        return found, await _open_wait(found, named), key
    if key is None:
        waits = [wait.token for wait in await found.waits()]
        known = f"; it waits for {', '.join(waits)}" if waits else "; it waits for nothing"
        raise click.UsageError(f"say which wait of session {found.id} is meant: its key{known}")
    return found, await _open_wait(found, key.removeprefix(f"{found.id}:")), value


async def _open_wait(session: Session, key: str) -> Waiting:
    found = await session.waits()
    named = [wait for wait in found if key in (wait.key, wait.token)]
    if len({wait.token for wait in named}) > 1:
        raise click.UsageError(f"{key!r} names several waits: {', '.join(wait.token for wait in named)}; name one so")
    if named:
        return named[0]
    if (await session.state()).token(key) is not None:  # nobody waits for it yet, or it was decided: the log says which
        return Waiting(session=session.id, key=key)
    known = f"it waits for {', '.join(wait.key for wait in found)}" if found else "it waits for nothing"
    raise click.UsageError(f"session {session.id} does not wait for {key!r}; {known}")


def _object(given: str) -> Mapping[str, object]:
    value = json_or_text(given)
    if not isinstance(value, dict):
        raise click.UsageError(f"--arguments: expected a JSON object, found {shorten(given)}")
    return value

"""Commands that answer what sessions wait for: waits, decide, complete, send, cancel.

A wait is named by its session and its key, or by both in one word, `SESSION:KEY`, as `waits` prints it.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from typing import TypeVar

import click
import msgspec

from eventsource.codec import from_json
from eventsource.errors import UnknownSessionError

from ..log import Log
from ..session import Session
from ..waits import Waiting
from .command import command
from .ending import answer, going_on, next_note, tell_next
from .exits import NO
from .screen import Screen
from .wording import moment, short

F = TypeVar("F", bound=Callable[..., object])


def _by_option(function: F) -> F:
    """Add the option that says who decides."""
    return click.option("--by", metavar="NAME", help="Who decides.  [default: the name you are logged in as]")(function)


@command(
    "waits",
    ("refold waits ID", "what it waits for, and the agents and tasks it waits for"),
    ("refold waits", "of every session that waits"),
)
@click.argument("session", required=False)
@click.option("--tag", metavar="TAG", help="Tokens with this tag only.")
async def waits(screen: Screen, log: Log, session: str | None, tag: str | None) -> int | None:
    """List what sessions wait for, and how each is answered. The exit code is 1 when they wait for nothing."""
    if session is not None:
        found = [await log.find(session)]
    else:
        found = [await log.find(info.id) for info in await log.list(status="waiting", limit=1000)]
    everything = {(one.session, one.key): one for held in found for one in await held.waits()}
    listed = [one for one in everything.values() if tag is None or tag in one.tags]
    if screen.as_json:
        screen.json([{**msgspec.to_builtins(one), "token": one.token} for one in listed])
    elif listed:
        screen.table(("token", "until", "what"), [(one.token, _until(one), _what(one)) for one in listed])
        for one in listed:
            next_note(screen, answer(screen, one, await going_on(screen, await log.find(one.session))))
    else:
        screen.note("Nothing waits.")
    return None if listed else NO


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
@_by_option
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
        decided_by=_decider(by),
    )
    if screen.as_json:
        screen.json({"id": found.id, "key": wait.key, "head": head})
    else:
        await tell_next(screen, found)


@command(
    "complete",
    ("refold complete ID:KEY true", "any JSON, else a text; the session that waits for it goes on"),
    ("refold complete ID KEY true", "the same"),
)
@click.argument("token", metavar="SESSION:KEY|SESSION")
@click.argument("words", nargs=-1, required=True, metavar="[KEY] VALUE")
@_by_option
async def complete(screen: Screen, log: Log, token: str, words: tuple[str, ...], by: str | None) -> None:
    """Complete a token, by the name its task gave it, waited for or not yet; the first completion counts."""
    if len(words) > 2:
        raise click.UsageError(f"expected KEY VALUE or a VALUE, found {len(words)} words; quote a value with spaces")
    if len(words) == 2:
        found, key = await log.find(token), words[0]
    else:
        found, key = await _split(log, token)
    head = await found.decide(f"{found.id}:{key}", json_or_text(words[-1]), decided_by=_decider(by))
    if screen.as_json:
        screen.json({"token": f"{found.id}:{key}", "head": head})
    else:
        await tell_next(screen, found)


@command(
    "send",
    ('refold send ID "Anything else?"', "into the inbox of its task"),
    ("refold send ID '{\"vote\": 3}' --key v3", "any JSON; with a key it arrives once, however often it is sent"),
)
@click.argument("session")
@click.argument("message")
@click.option("--key", metavar="KEY", help="Send it once.")
async def send(screen: Screen, log: Log, session: str, message: str, key: str | None) -> None:
    """Send a message to a task: it gets it when it waits for the next one."""
    found = await log.find(session)
    head = await found.send(json_or_text(message), key=key)
    if screen.as_json:
        screen.json({"id": found.id, "head": head})
    else:
        next_note(screen, await going_on(screen, found))


@command("cancel", ("refold cancel ID", "the task ends, and its children with it; the session is kept"))
@click.argument("session")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
async def cancel(screen: Screen, log: Log, session: str, reason: str) -> int | None:
    """Cancel a session's task; whoever runs it sees to that. The exit code is 1 when none is open."""
    found = await log.find(session)
    is_open = bool((await found.state()).task)
    if is_open:
        await found.cancel(reason)
        screen.note(f"Session {found.id} is cancelled; whoever runs it, or the next worker, ends it and its children.")
        next_note(screen, await going_on(screen, found))
    else:
        screen.note(f"Session {found.id} has no open task.")
    if screen.as_json:
        screen.json({"id": found.id, "cancelled": is_open})
    return None if is_open else NO


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
        found, named = await _split(log, session)
        return found, await _open_wait(found, named), key
    if key is None:
        waits = [wait.token for wait in await found.waits()]
        known = f"; it waits for {', '.join(waits)}" if waits else "; it waits for nothing"
        raise click.UsageError(f"say which wait of session {found.id} is meant: its key{known}")
    return found, await _open_wait(found, key.removeprefix(f"{found.id}:")), value


async def _split(log: Log, token: str) -> tuple[Session, str]:
    """Read SESSION:KEY. Raises: UsageError; UnknownSessionError."""
    name, _, key = token.partition(":")
    if not name or not key:
        raise click.UsageError(f"{token}: expected SESSION:KEY, as `refold waits` prints it, or SESSION KEY")
    return await log.find(name), key


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


def _decider(by: str | None) -> str:
    """Say who decides: whom the command line names, else whose terminal this is."""
    if by is not None:
        if not by.strip() or by == "machine":
            raise click.UsageError(f"--by {by!r}: expected the name of whoever decides")
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nobody is logged in, as in some containers
        return ""


def _until(wait: Waiting) -> str:
    return moment(wait.deadline_us) if wait.deadline_us is not None else ""


def _what(wait: Waiting) -> str:
    if not wait.tool:
        return wait.reason or "token"
    return short(f"{wait.reason}: {wait.tool} {msgspec.json.encode(wait.arguments).decode()}", 200)


def _object(given: str) -> Mapping[str, object]:
    value = json_or_text(given)
    if not isinstance(value, dict):
        raise click.UsageError(f"--arguments: expected a JSON object, found {short(given)}")
    return value


def json_or_text(given: str) -> object:
    """Read JSON; what is none is a text."""
    try:
        return from_json(given)
    except ValueError:
        return given

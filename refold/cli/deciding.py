"""Commands that answer what sessions wait for: waits, decide, complete, send, cancel."""

from __future__ import annotations

from collections.abc import Mapping

import click
import msgspec

from eventsource.codec import from_json

from ..log import Log
from ..session import Session
from ..waiting import Waiting
from .command import command
from .exits import NO
from .screen import Screen
from .wording import moment, short


@command(
    "waits",
    ("refold waits ID", "what it waits for, and the agents and tasks it waits for"),
    ("refold waits", "of every session that waits"),
)
@click.argument("session", required=False)
@click.option("--tag", metavar="TAG", help="Tokens with this tag only.")
async def waits(screen: Screen, log: Log, session: str | None, tag: str | None) -> int | None:
    """List what sessions wait for. The exit code is 1 when they wait for nothing."""
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
    else:
        screen.note("Nothing waits.")
    return None if listed else NO


@command(
    "decide",
    ("refold decide ID KEY --approve", "the call is made; with --arguments JSON, with these"),
    ('refold decide ID KEY --deny --reason "Too much."', "it is not, and the model reads why"),
    ("refold decide ID deploy true", "a value: any JSON, else a text"),
    ("refold decide ID deploy --cancel", "the run goes on without one"),
)
@click.argument("session")
@click.argument("key")
@click.argument("value", required=False)
@click.option("--approve", is_flag=True, help="Let a call be made.")
@click.option("--deny", is_flag=True, help="Do not let it be made.")
@click.option("--reason", default="", metavar="TEXT", help="Why it is denied.")
@click.option("--arguments", metavar="JSON", help="What the call is made with, in place of the model's arguments.")
@click.option("--cancel", is_flag=True, help="Cancel the wait.")
async def decide(
    screen: Screen,
    log: Log,
    session: str,
    key: str,
    value: str | None,
    approve: bool,
    deny: bool,
    reason: str,
    arguments: str | None,
    cancel: bool,
) -> None:
    """Answer what a session waits for, by the wait's key; the first answer counts."""
    if [value is not None, approve, deny, cancel].count(True) != 1:
        raise click.UsageError("say one of: a value, --approve, --deny, --cancel")
    if arguments is not None and not approve:
        raise click.UsageError("--arguments goes with --approve")
    found = await log.find(session)
    wait = await _open_wait(found, key)
    head = await found.decide(
        wait,
        None if value is None else json_or_text(value),
        approve=approve if approve or deny else None,
        reason=reason,
        arguments=None if arguments is None else _object(arguments),
        outcome="cancelled" if cancel else "completed",
    )
    if screen.as_json:
        screen.json({"id": found.id, "key": key, "head": head})
    elif not (await found.info()).task:
        screen.note(("Next: ", "dim"), screen.command("continue", found.id))


@command("complete", ("refold complete TOKEN true", "any JSON, else a text; the session that waits for it goes on"))
@click.argument("token")
@click.argument("value")
async def complete(screen: Screen, log: Log, token: str, value: str) -> None:
    """Complete a token, by the name its task gave it; the first completion counts."""
    head = await log.complete(token, json_or_text(value))
    if screen.as_json:
        screen.json({"token": token, "head": head})


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
    else:
        screen.note(f"Session {found.id} has no open task.")
    if screen.as_json:
        screen.json({"id": found.id, "cancelled": is_open})
    return None if is_open else NO


async def _open_wait(session: Session, key: str) -> Waiting:
    found = await session.waits()
    wait = next((wait for wait in found if wait.key == key), None)
    if wait is None:
        known = f"it waits for {', '.join(wait.key for wait in found)}" if found else "it waits for nothing"
        raise click.UsageError(f"session {session.id} does not wait for {key!r}; {known}")
    return wait


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

"""Commands that keep a log sound, and remove things from it: verify, backup, erase, delete."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from eventsource.envelope import Finding

from ..log import Log
from .command import command
from .ending import next_note
from .exits import NO
from .files import check_target
from .screen import Screen, confirm
from .wording import count, size


@command(
    "verify",
    ("refold verify", "the whole log"),
    ("refold verify ID", "one session"),
)
@click.argument("session", required=False)
async def verify(screen: Screen, log: Log, session: str | None) -> int | None:
    """Read everything again and find any changed, missing, swapped or added byte. The exit code is 1 if there is one.

    What was dropped or erased on purpose is named too, and is no defect. `replay` finds a changed decision.
    """
    found = await log.find(session) if session is not None else None
    with screen.busy("verifying"):
        report = await (log.verify() if found is None else found.verify())
    if screen.as_json:
        screen.json(
            {
                "ok": report.ok,
                "sessions": report.sessions,
                "facts": report.facts,
                "updates": report.updates,
                "findings": report.findings,
            }
        )
        return None if report.ok else NO
    for finding in report.findings:
        screen.line(*_line(finding))
    defects = sum(not finding.note for finding in report.findings)
    read = ", ".join(map(count, (report.sessions, report.facts, report.updates), ("session", "fact", "update")))
    screen.line(f"{read}: ", (count(defects, "defect"), "bold red") if defects else ("no defect", "green"))
    return None if report.ok else NO


def _line(finding: Finding) -> tuple[tuple[str, str], str]:
    kind = ("note    ", "dim") if finding.note else ("defect  ", "bold red")
    return kind, f"session {finding.session}, seq {finding.seq}: {finding.problem}"


@command(
    "backup",
    ("refold backup refold-2026-01-31.db", "a log of its own: refold ls --db refold-2026-01-31.db"),
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
        next_note(screen, f"refold ls --db {shlex.quote(file)}")


@command(
    "erase",
    ("refold erase ID 42", "asks first"),
    ("refold erase ID 42 --reason 'a password' --yes", "does not"),
)
@click.argument("session")
@click.argument("seq", type=click.IntRange(min=1), metavar="N")
@click.option("--reason", default="", metavar="TEXT", help="Why; this is kept.")
@click.option("--yes", is_flag=True, help="Do not ask.")
async def erase(screen: Screen, log: Log, session: str, seq: int, reason: str, yes: bool) -> None:
    """Remove what the event at a seq says, for ever, with its streamed pieces, here and in every fork that shares it.

    That it happened stays: its time, kind, place and token counts, and a digest so that the rest can be verified.
    """
    found = await log.find(session)
    _ask(f"Erase what event {seq} of session {found.id} says, for ever?", yes=yes)
    head = await log.store.erase(found.id, seq, at_us=log.clock(), reason=reason)
    if screen.as_json:
        screen.json({"id": found.id, "seq": seq, "head": head})
    else:
        screen.note(("Erased. Copies still hold it (backups, exports), and other messages may.", "dim"))
        next_note(screen, screen.command("search", "TEXT"))


@command(
    "delete",
    ("refold delete ID", "asks first"),
    ("refold delete ID --yes", "does not"),
)
@click.argument("session")
@click.option("--yes", is_flag=True, help="Do not ask.")
async def delete(screen: Screen, log: Log, session: str, yes: bool) -> None:
    """Delete a session and its events, for ever. One with forks is not deleted: they begin in it."""
    found = await log.find(session)
    info = await found.info()
    named = f" ({info.title})" if info.title else ""
    _ask(f"Delete session {found.id}{named} and its {count(info.head - info.fork_seq, 'event')}, for ever?", yes=yes)
    await log.delete(found.id)
    if screen.as_json:
        screen.json({"id": found.id, "deleted": True})
    else:
        screen.note((f"Deleted {found.id}.", "dim"))


def _size_of(file: str) -> int:
    return Path(file).stat().st_size


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask here; --yes says that it is meant")
    if not confirm(question):
        raise click.Abort

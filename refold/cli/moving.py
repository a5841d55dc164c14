"""Commands that bring sessions in and out: import, export."""

from __future__ import annotations

import click
import msgspec

from eventsource.errors import RefoldError
from replay.formats import ImportReport, LineNote, import_file
from replay.formats.pi.write import export_pi
from replay.formats.refold.write import export_session

from ..log import Log
from .command import command
from .ending import next_note
from .exits import OK, code_of, sentence
from .files import check_target, write_file
from .screen import Screen
from .wording import count, short, size


@command(
    "import",
    ("refold import oslo.refold.jsonl", "what `refold export` wrote"),
    ("refold import session.jsonl", "a session file of pi, version 1, 2 or 3"),
    ("refold import ~/.pi/agent/sessions/*/*.jsonl", "many"),
    ('refold import session.jsonl --title "Oslo"', "named, if the file has no name for it"),
    creates=True,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--title", default="", metavar="TEXT", help="What a session is called if its file does not say.")
async def import_(screen: Screen, log: Log, files: tuple[str, ...], title: str) -> int:
    """Read session files into the log: messages with their own times, branches as forks; nothing is lost.

    Damaged lines are recovered where possible and named. A file that cannot be read is skipped and named.
    """
    code = OK
    done: list[object] = []
    for file in files:
        try:
            with screen.busy(f"reading {file}"):
                report = await import_file(log.store, file, title=title)
        except (RefoldError, OSError) as error:
            if len(files) == 1:
                raise
            code = code or code_of(error)
            done.append({"path": file, "error": sentence(error)})
            screen.note(("not imported: ", "red"), sentence(error))
            continue
        done.append({"id": report.session, **_fields(report)})
        _say(screen, report)
    if screen.as_json:
        screen.json(done)
    return code


def _fields(report: ImportReport) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(report)
    return fields


def _say(screen: Screen, report: ImportReport) -> None:
    if not screen.as_json:
        screen.line((report.session, "bold"), f"  {report.title}")
    forks = len(report.branches) - 1
    held = [count(report.messages, "message")] + ([count(forks, "branch")] if forks else [])
    screen.note((f"{report.path}: {report.format} version {report.version}, {', '.join(held)}", "dim"))
    for what, notes in (("recovered", report.recovered), ("lost", report.lost)):
        for note in notes:
            screen.note(*_noted(what, note))
    next_note(screen, screen.command("show", report.session))


def _noted(what: str, note: LineNote) -> tuple[tuple[str, str], str]:
    text = f": {short(note.text)}" if note.text else ""
    return (f"  {what}, line {note.number}: ", "yellow" if what == "recovered" else "red"), f"{note.problem}{text}"


@command(
    "export",
    ("refold export ID > oslo.refold.jsonl", "the session and what it inherits: an import hashes the same"),
    ("refold export ID --at 42 -o oslo.jsonl", "up to a seq, to a file that must not exist yet"),
    ("refold export ID --format pi -o oslo.jsonl", "as a session file of pi, with all its branches"),
)
@click.argument("session")
@click.option("-o", "--output", metavar="FILE", help="Write a file instead of stdout; with --json, stdout says what.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--format", "form", type=click.Choice(["refold", "pi"]), default="refold", show_default=True)
@click.option("--at", "at", type=click.IntRange(min=0), metavar="N", help="Only up to this seq (Refold's own format).")
async def export(
    screen: Screen, log: Log, session: str, output: str | None, force: bool, form: str, at: int | None
) -> None:
    """Write a session to a file. What was read from a session file of pi is written to one as it was read."""
    if screen.as_json and output is None:
        raise click.UsageError("--json needs -o FILE: the export itself is not one JSON document")
    if form == "pi" and at is not None:
        raise click.UsageError("--at goes with Refold's own format: a file of pi holds all branches")
    if output is not None:
        check_target(output)
    found = await log.find(session)
    with screen.busy("exporting"):
        data = await (export_pi(log.store, found.id) if form == "pi" else export_session(log.store, found.id, upto=at))
    if output is None:
        screen.raw_json(data, end="")
        return
    write_file(output, data, replace=force)
    if screen.as_json:
        screen.json({"id": found.id, "path": output, "size_bytes": len(data), "lines": data.count(b"\n")})
    else:
        screen.note((f"{output}: {count(data.count(10), 'line')}, {size(len(data))}", "dim"))

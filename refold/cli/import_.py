"""The command `import`: read session files, of other agents too, into the log."""

from __future__ import annotations

import click
import msgspec

from eventsource.errors import RefoldError
from replay.formats import ImportReport, import_file

from ..log import Log
from .command import command
from .exit_codes import OK, error_text, exit_code_of
from .terminal.formatting import count, shorten
from .terminal.next_steps import print_next
from .terminal.screen import Screen


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
            code = code or exit_code_of(error)
            done.append({"path": file, "error": error_text(error)})
            screen.note(("not imported: ", "red"), error_text(error))
            continue
        done.append({"id": report.session, **msgspec.to_builtins(report)})
        _print_report(screen, report)
    if screen.as_json:
        screen.json(done)
    return code


def _print_report(screen: Screen, report: ImportReport) -> None:
    if not screen.as_json:
        screen.line((report.session, "bold"), f"  {report.title}")
    forks = len(report.branches) - 1
    held = [count(report.messages, "message")] + ([count(forks, "branch")] if forks else [])
    screen.note((f"{report.path}: {report.format} version {report.version}, {', '.join(held)}", "dim"))
    for what, notes in (("recovered", report.recovered), ("lost", report.lost)):
        for note in notes:
            text = f": {shorten(note.text)}" if note.text else ""
            place = (f"  {what}, line {note.number}: ", "yellow" if what == "recovered" else "red")
            screen.note(place, f"{note.problem}{text}")
    print_next(screen, screen.command("show", report.session))

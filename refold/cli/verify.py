"""The command `verify`: find any changed, missing, swapped or added byte."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .exit_codes import NO
from .terminal.formatting import count
from .terminal.screen import Screen


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
        kind = ("note    ", "dim") if finding.note else ("defect  ", "bold red")
        screen.line(kind, f"session {finding.session}, seq {finding.seq}: {finding.problem}")
    defects = sum(not finding.note for finding in report.findings)
    read = ", ".join(map(count, (report.sessions, report.facts, report.updates), ("session", "fact", "update")))
    screen.line(f"{read}: ", (count(defects, "defect"), "bold red") if defects else ("no defect", "green"))
    return None if report.ok else NO

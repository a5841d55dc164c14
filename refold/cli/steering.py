"""Commands that reach into a run under way from outside it: steer, abort."""

from __future__ import annotations

import click

from eventsource.envelope import SessionInfo

from ..log import Log
from .command import command
from .ending import going_on, next_note
from .exits import NO
from .screen import Screen


@command(
    "steer",
    ('refold steer ID "In Celsius, please."', "heard before the next model call"),
    ('refold steer ID "And tomorrow?" --later', "heard when the run would otherwise end"),
)
@click.argument("session")
@click.argument("text")
@click.option("--later", is_flag=True, help="Only when the run would otherwise end.")
async def steer(screen: Screen, log: Log, session: str, text: str, later: bool) -> None:
    """Say something to a run under way. A session that does not run hears it when it runs next."""
    if not text.strip():
        raise click.UsageError("say something")
    found = await log.find(session)
    head = await (found.follow_up(text) if later else found.steer(text))
    info = await found.info()
    if screen.as_json:
        screen.json({"id": found.id, "seq": head, "status": info.status})
    elif not _runs(log, info):
        screen.note(f"Session {found.id} does not run now; this is queued for its next run.")
        next_note(screen, await going_on(screen, found))


@command("abort", ("refold abort ID", "the run ends within a quarter of a second; the session is kept"))
@click.argument("session")
async def abort(screen: Screen, log: Log, session: str) -> int | None:
    """End a run under way, in whatever terminal it runs. The exit code is 1 when no run is unfinished."""
    found = await log.find(session)
    info = await found.info()
    if not info.open:
        screen.note(f"Session {found.id} has no unfinished run.")
    elif await found.abort(by="`refold abort`") and _runs(log, info):
        screen.note(f"Asked the run of session {found.id} to end.")
        next_note(screen, await going_on(screen, found))
    else:
        screen.note(f"Nobody runs session {found.id} now; its run ends as aborted when it goes on.")
        next_note(screen, await going_on(screen, found))
    if screen.as_json:
        screen.json({"id": found.id, "aborted": info.open})
    return None if info.open else NO


def _runs(log: Log, info: SessionInfo) -> bool:
    return bool(info.owner) and info.expires_at_us > log.clock()

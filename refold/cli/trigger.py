"""The command `trigger`: start a run of a task."""

from __future__ import annotations

import click
import msgspec

from ..log import Log
from .arguments.tasks import find_tasks
from .arguments.values import json_or_text
from .command import command
from .exit_codes import NO, OK
from .terminal.next_steps import print_next
from .terminal.screen import Screen
from .terminal.task import run_fields


@command(
    "trigger",
    ('refold trigger my_tasks:report \'{"city": "Oslo"}\'', "start a run; a worker runs it"),
    ("refold trigger my_tasks:report Oslo --key order-17", "at most once"),
    ("refold trigger my_tasks:report Oslo --wait", "and work on it here, until it ends"),
    creates=True,
)
@click.argument("task", metavar="MODULE:NAME")
@click.argument("payload", required=False)
@click.option("--key", metavar="KEY", help="The same key starts the same run, once.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Mark the run; may be repeated.")
@click.option("--wait", is_flag=True, help="Work on it in this process, through all its waits.")
async def trigger(
    screen: Screen, log: Log, task: str, payload: str | None, key: str | None, tags: tuple[str, ...], wait: bool
) -> int:
    """Start a run of a task and print its session's id. The payload is JSON, else a text."""
    found = find_tasks(task)
    if len(found) != 1:
        raise click.UsageError(f"{task}: name one task, such as {task.partition(':')[0]}:{found[0].id}")
    given = None if payload is None else json_or_text(payload)
    start = found[0].trigger_and_wait if wait else found[0].trigger
    run = await start(log, given, key=key, tags=tags)
    if screen.as_json:
        screen.json(run_fields(run))
    else:
        screen.line(run.id)
        if wait:
            screen.note(f"{run.status}: {run.error or msgspec.json.encode(run.result).decode()}")
        print_next(screen, screen.command("show", run.id) if wait else screen.command("worker", task.partition(":")[0]))
    return NO if run.status in ("error", "cancelled") else OK

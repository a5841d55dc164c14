"""The command `runs`: list runs of tasks, or look into one."""

from __future__ import annotations

import click
import msgspec

from ..log import Log
from ..tasks.run_fields import STATUSES, TaskRunStatus
from ..tasks.runs import TaskRun, load_run, runs
from .command import command
from .terminal.screen import Screen
from .terminal.task import run_fields


@command(
    "runs",
    ("refold runs", "the latest first"),
    ("refold runs --task report --json", "those of one task"),
    ("refold runs --status stuck", "those that nobody could go on with, and why"),
    ("refold runs ID", "one of them: its payload, steps, children, waits and result"),
)
@click.argument("session", required=False)
@click.option("--task", metavar="ID", help="Of this task only.")
@click.option("--tag", metavar="TAG", help="Those with this tag only.")
@click.option("--status", type=click.Choice(STATUSES), help="Those that stand so only.")
@click.option("--limit", default=50, type=click.IntRange(1), help="How many to look at; 50 by default.")
async def runs_(
    screen: Screen,
    log: Log,
    session: str | None,
    task: str | None,
    tag: str | None,
    status: TaskRunStatus | None,
    limit: int,
) -> None:
    """List runs of tasks: how each stands, and what came of it. Or look into one."""
    if session is not None:
        _inspect(screen, run_fields(await load_run(await log.find(session))))
        return
    found = await runs(log, task=task, tag=tag, status=status, limit=limit)
    if screen.as_json:
        screen.json([run_fields(run) for run in found])
    elif found:
        rows = [(run.id, run.task, run.status, str(run.attempt), _outcome(run)) for run in found]
        screen.table(("session", "task", "status", "attempt", "outcome"), rows, right=("attempt",))
    else:
        screen.note("No task was run." if status is None and tag is None and task is None else "There is no such run.")


def _inspect(screen: Screen, run: dict[str, object]) -> None:
    if screen.as_json:
        screen.json(run)
        return
    for name, value in run.items():
        if value not in (None, "", [], {}, ()):
            said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            screen.line((f"{name:9}", "dim"), said)


def _outcome(run: TaskRun) -> str:
    if run.status == "waiting":
        return "; ".join(wait.words for wait in run.waits)
    return run.error or (msgspec.json.encode(run.result).decode() if run.status == "done" else "")

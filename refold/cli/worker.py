"""The command `worker`: run the tasks that are due, until stopped."""

from __future__ import annotations

import signal

import click
import msgspec

from ..log import Log
from ..signals import on_signal
from ..tasks.worker import Worker, WorkerReport
from .arguments.tasks import find_tasks
from .command import command
from .exit_codes import OK, STUCK
from .terminal.formatting import count, duration, shorten, time_of_day
from .terminal.screen import Screen


@command(
    "worker",
    ("refold worker my_tasks", "run every task of a module that can be imported from here"),
    ("refold worker my_tasks:report --concurrency 2", "one of them, two sessions at once"),
    creates=True,
)
@click.argument("app", metavar="MODULE[:NAME]")
@click.option("--concurrency", default=10, type=click.IntRange(1), help="How many sessions at once; 10 by default.")
@click.option("--lease", default="30s", help="How long a session is held without being heard of; 30s by default.")
@click.option("--until-idle", is_flag=True, help="End when nothing is due.")
async def worker(screen: Screen, log: Log, app: str, concurrency: int, lease: str, until_idle: bool) -> int:
    """Run what is due, until SIGTERM or Ctrl-C: then finish what is under way, or hand it back.

    Several workers may share a log. A session is due when it was triggered, when what it waits for has come, and when
    the worker that ran it is gone. Each time it lets one go it says when, which, the step that began last, the attempt,
    how long it took, and what came of it; in JSON, an object a line. With --until-idle the exit code is 8 when runs are
    left that it could not go on with.
    """
    tasks = find_tasks(app)

    def tell(report: WorkerReport) -> None:
        if screen.as_json:
            screen.raw_json(msgspec.json.encode(report))
            return
        parts = [time_of_day(report.at_us), report.session, report.task, report.step]
        parts += [f"attempt {report.attempt}" if report.attempt > 1 else "", duration(report.duration_us)]
        what = "  ".join(filter(None, [*parts, report.status]))
        screen.note(f"{what}: {shorten(report.error, 200)}" if report.error else what)

    working = Worker(log, tasks, concurrency=concurrency, lease=lease, tell=tell)
    on_signal(signal.SIGTERM, signal.SIGINT, call=working.stop)
    screen.note(f"Working on {', '.join(task.id for task in tasks)}", ("; Ctrl-C ends it", "dim"))
    await (working.drain() if until_idle else working.run())
    if not until_idle or not working.stuck:
        return OK
    screen.note(f"{count(len(working.stuck), 'run')} left stuck: {screen.command('runs', '--status', 'stuck')}")
    return STUCK

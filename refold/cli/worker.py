"""The command `worker`: run the tasks that are due, until stopped; or say how the queues stand."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

import click
import msgspec
from click.core import ParameterSource

from eventsource.durations import duration_us
from eventsource.envelope import QueueInfo

from ..engines.worker import EngineWorker
from ..log import Log
from ..signals import on_signal
from ..tasks.queues import DEFAULT, shown_queue, stored_queue
from ..tasks.runner import AnyTask
from ..tasks.ticker import WorkerReport
from ..tasks.worker import Worker
from .arguments.tasks import find_tasks
from .command import command
from .exit_codes import NO, OK, STUCK
from .terminal.formatting import count, duration, shorten, time_of_day
from .terminal.screen import Screen


@command(
    "worker",
    ("refold worker my_tasks", "run every task of a module that can be imported from here"),
    ("refold worker my_tasks:report --concurrency 2", "one of them, two sessions at once"),
    ("refold worker my_tasks --queue gpu --limit gpu=4", "of a queue, four at once in all workers together"),
    ("refold worker my_tasks --engine temporal://localhost:7233/default", "what Temporal tells it to"),
    ("refold worker --check --late 5m", "are there workers enough?"),
    creates=lambda values: not values["check"],
    local=True,
)
@click.argument("app", metavar="MODULE[:NAME]", required=False)
@click.option(
    "--queue", "queues", multiple=True, metavar="NAME", help="Take what is for this queue only; may be repeated."
)
@click.option("--concurrency", default=10, type=click.IntRange(1), help="How many sessions at once; 10 by default.")
@click.option(
    "--limit", "limits", multiple=True, metavar="QUEUE=N", help="Of a queue, how many at once in all workers together."
)
@click.option("--lease", default="30s", help="How long a session is held without being heard of; 30s by default.")
@click.option("--until-idle", is_flag=True, help="End when nothing is due.")
@click.option(
    "--engine", metavar="URL", help="What says when and where a session is run: temporal://HOST:7233/NAMESPACE."
)
@click.option("--check", is_flag=True, help="Run nothing: say of each queue what is due, what runs, and who runs it.")
@click.option("--late", metavar="TIME", help="With --check: how long something may be due; 1m by default.")
async def worker(
    screen: Screen,
    log: Log,
    app: str | None,
    queues: tuple[str, ...],
    concurrency: int,
    limits: tuple[str, ...],
    lease: str,
    until_idle: bool,
    engine: str | None,
    check: bool,
    late: str | None,
) -> int:
    """Run what is due, until SIGTERM or Ctrl-C: then finish what is under way, or hand it back.

    Several workers may share a log. A session is due when it was triggered, when what it waits for has come, and when
    the worker that ran it is gone. Each time it lets one go it says when, which, the step that began last, the attempt,
    how long it took, and what came of it; in JSON, an object a line. With --until-idle the exit code is 8 when runs are
    left that it could not go on with.

    With --engine an engine says what is run here, and the worker tells the engine what is due: it keeps ids and times,
    the log the rest. Its queues are those of --queue and of `?queue=NAME` in the URL, or `default`; --concurrency is of
    each. `rate=5` is how many sessions the engine begins in a second of each, `heartbeat=15s` after how long without a
    sign of life it gives a worker up, `tls=true` and TEMPORAL_API_KEY how it is reached.

    A task is for a queue (`@task(queue=)`), or for the one called `default`; without --queue a worker takes from all.

    With --check it tells a line of each queue, from the log alone. The exit code is 1 when something has been due for
    longer than --late: then no worker takes from that queue, or too few do.
    """
    if check:
        _check_alone("app", "concurrency", "limits", "lease", "until_idle", "engine")
        return _check(screen, await log.store.queues(), queues, duration_us(late or "1m"))
    if late is not None:
        raise click.UsageError("--late goes with --check")
    if app is None:
        raise click.UsageError("name a module of tasks, such as `refold worker my_tasks`; or --check")
    tasks = find_tasks(app)

    def tell(report: WorkerReport) -> None:
        if screen.as_json:
            screen.raw_json(msgspec.json.encode(report))
            return
        parts = [time_of_day(report.at_us), report.session, report.task, report.step]
        parts += [f"attempt {report.attempt}" if report.attempt > 1 else "", duration(report.duration_us)]
        what = "  ".join(filter(None, [*parts, report.status]))
        screen.note(f"{what}: {shorten(report.error, 200)}" if report.error else what)

    most = dict(map(_limit, limits))
    if engine is not None:
        if until_idle or most:
            left_out = "--until-idle" if until_idle else "--limit"
            raise click.UsageError(f"{left_out} goes without --engine, which has ways of its own")
        return await _work_with(screen, log, tasks, engine, queues, concurrency=concurrency, lease=lease, tell=tell)
    try:
        working = Worker(
            log, tasks, queues=queues or None, concurrency=concurrency, limits=most, lease=lease, tell=tell
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    on_signal(signal.SIGTERM, signal.SIGINT, call=working.stop)
    screen.note(f"Working on {', '.join(task.id for task in tasks)}", ("; Ctrl-C ends it", "dim"))
    await (working.drain() if until_idle else working.run())
    if not until_idle or not working.stuck:
        return OK
    screen.note(f"{count(len(working.stuck), 'run')} left stuck: {screen.command('runs', '--status', 'stuck')}")
    return STUCK


async def _work_with(
    screen: Screen,
    log: Log,
    tasks: Sequence[AnyTask],
    engine: str,
    queues: Sequence[str],
    *,
    concurrency: int,
    lease: str,
    tell: Callable[[WorkerReport], None],
) -> int:
    """Run what an engine says, until stopped. Returns: the exit code."""
    from ..engines.temporal import connect, read_address

    place = read_address(engine)
    wanted = tuple(dict.fromkeys((*queues, *place.queues))) or (DEFAULT,)
    try:
        working = EngineWorker(
            log, tasks, await connect(engine), queues=wanted, concurrency=concurrency, lease=lease, tell=tell
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    on_signal(signal.SIGTERM, signal.SIGINT, call=working.stop)
    told = f"Working on {', '.join(task.id for task in tasks)} of {', '.join(wanted)} for {place.shown}"
    screen.note(told, ("; Ctrl-C ends it", "dim"))
    await working.run()
    return OK


def _limit(given: str) -> tuple[str, int]:
    """Read a limit of a queue. Raises: UsageError."""
    name, _, number = given.rpartition("=")
    if not name or not number.isdecimal():
        raise click.UsageError(f"--limit: expected QUEUE=N, such as gpu=4; found {given!r}")
    return name, int(number)


def _check_alone(*names: str) -> None:
    """Check that none of some parameters was given. Raises: UsageError."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            shown = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.human_readable_name
            raise click.UsageError(f"--check runs nothing; leave out {shown}")


def _check(screen: Screen, found: Sequence[QueueInfo], wanted: Sequence[str], late_us: int) -> int:
    """Say how the queues stand, or some of them. Returns: the exit code."""
    if wanted:
        known = {one.queue: one for one in found}
        try:
            names = dict.fromkeys(stored_queue(name, "--queue") for name in wanted)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        found = [known.get(name, QueueInfo(queue=name)) for name in names]
    late = [one for one in found if one.due and one.waited_us > late_us]
    if screen.as_json:
        screen.json(
            [{**msgspec.to_builtins(one), "queue": shown_queue(one.queue), "late": one in late} for one in found]
        )
    elif found:
        screen.table(("queue", "due", "running", "workers", "first due for"), [_line(one) for one in found])
    else:
        screen.note("Nothing is due, and nothing runs.")
    for one in late:
        what = f"{shown_queue(one.queue)}: something has been due for {duration(one.waited_us)}"
        screen.note(f"{what}, and {count(len(one.owners), 'worker')} of it at work")
    return NO if late else OK


def _line(one: QueueInfo) -> tuple[str, ...]:
    waited = duration(one.waited_us) if one.due else ""
    return shown_queue(one.queue), str(one.due), str(one.running), str(len(one.owners)), waited

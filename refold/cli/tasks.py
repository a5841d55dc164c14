"""Commands for tasks: worker, trigger, runs."""

from __future__ import annotations

import signal

import click
import msgspec

from ..log import Log
from ..signals import on_signal
from ..tasks.runs import STATES, RunState, TaskRun, load_run, runs
from ..tasks.task import Task
from ..tasks.worker import Report, Worker
from .agents import load_module
from .command import command
from .deciding import json_or_text
from .ending import next_note
from .exits import NO, OK, STUCK
from .screen import Screen
from .wording import clock, count, duration, short


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
    tasks = _tasks(app)

    def tell(report: Report) -> None:
        if screen.as_json:
            screen.raw_json(msgspec.json.encode(report))
            return
        parts = [clock(report.at_us), report.session, report.task, report.step]
        parts += [f"attempt {report.attempt}" if report.attempt > 1 else "", duration(report.duration_us)]
        what = "  ".join(filter(None, [*parts, report.status]))
        screen.note(f"{what}: {short(report.error, 200)}" if report.error else what)

    working = Worker(log, tasks, concurrency=concurrency, lease=lease, tell=tell)
    on_signal(signal.SIGTERM, signal.SIGINT, call=working.stop)
    screen.note(f"Working on {', '.join(task.id for task in tasks)}", ("; Ctrl-C ends it", "dim"))
    await (working.drain() if until_idle else working.run())
    if not until_idle or not working.stuck:
        return OK
    screen.note(f"{count(len(working.stuck), 'run')} left stuck: {screen.command('runs', '--status', 'stuck')}")
    return STUCK


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
    found = _tasks(task)
    if len(found) != 1:
        raise click.UsageError(f"{task}: name one task, such as {task.partition(':')[0]}:{found[0].id}")
    given = None if payload is None else json_or_text(payload)
    start = found[0].trigger_and_wait if wait else found[0].trigger
    run = await start(log, given, key=key, tags=tags)
    if screen.as_json:
        screen.json(_told(run))
    else:
        screen.line(run.id)
        if wait:
            screen.note(f"{run.status}: {run.error or msgspec.json.encode(run.result).decode()}")
        next_note(screen, screen.command("show", run.id) if wait else screen.command("worker", task.partition(":")[0]))
    return NO if run.status in ("error", "cancelled") else OK


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
@click.option("--status", type=click.Choice(STATES), help="Those that stand so only.")
@click.option("--limit", default=50, type=click.IntRange(1), help="How many to look at; 50 by default.")
async def runs_(
    screen: Screen,
    log: Log,
    session: str | None,
    task: str | None,
    tag: str | None,
    status: RunState | None,
    limit: int,
) -> None:
    """List runs of tasks: how each stands, and what came of it. Or look into one."""
    if session is not None:
        _inspect(screen, _told(await load_run(await log.find(session))))
        return
    found = await runs(log, task=task, tag=tag, status=status, limit=limit)
    if screen.as_json:
        screen.json([_told(run) for run in found])
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


def _told(run: TaskRun) -> dict[str, object]:
    told: dict[str, object] = {"id": run.id}
    names = ("task", "status", "attempt", "payload", "result", "error", "tags", "metadata", "steps", "children")
    told |= {name: getattr(run, name) for name in names}
    told["waits"] = [{**msgspec.to_builtins(wait), "token": wait.token} for wait in run.waits]
    return told


def _outcome(run: TaskRun) -> str:
    if run.status == "waiting":
        return "; ".join(wait.words for wait in run.waits)
    return run.error or (msgspec.json.encode(run.result).decode() if run.status == "done" else "")


def _tasks(name: str) -> list[Task[object, object]]:
    """Find the tasks of `module`, or the one of `module:name`. Raises: UsageError."""
    module_name, _, attribute = name.partition(":")
    module = load_module(name, module_name)
    if attribute:
        one = getattr(module, attribute, None)
        if not isinstance(one, Task):
            what = f"is a {type(one).__name__}" if hasattr(module, attribute) else "is not there"
            raise click.UsageError(f"{name}: expected a task; {attribute} {what}")
        return [one]
    found = list({id(thing): thing for thing in vars(module).values() if isinstance(thing, Task)}.values())
    if not found:
        raise click.UsageError(f"{name}: there is no task in it; make one with @task(id=...)")
    return found

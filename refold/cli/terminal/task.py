"""A run of a task: what it was begun with, its steps and waits, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eventsource.log.load import read_all

from ...session import Session
from ...tasks.runs import TaskRun, load_run
from ...tasks.view import TaskOperation, TaskView, view_task
from .formatting import count, date_time, duration, shorten
from .screen import Screen

_KEY_WIDTH = 28

_LONG = 400

_OPEN: Mapping[str, str] = {
    "inbox": "waits for a message",
    "sleep": "sleeps",
}


async def load_view(session: Session, upto: int) -> TaskView:
    """Read what a session's task did, up to a seq."""
    return view_task([one async for one in read_all(session.core.log, session.id, upto=upto)])


def task_fields(view: TaskView) -> dict[str, object]:
    """Return a task as data."""
    found: dict[str, object] = msgspec.to_builtins(view)
    return found


async def print_task(screen: Screen, session: Session, view: TaskView, *, now: bool, full: bool) -> None:
    """Print a task; `now`: as it stands, not as it was at a seq."""
    run = await load_run(session) if now else None
    screen.line(", ".join(task_summary(view, run)))
    for name, value in (("payload", view.payload), ("tags", ", ".join(view.tags)), ("parent", view.parent)):
        if value not in (None, ""):
            _field(screen, name, _value(value), full=full)
    for name, value in view.metadata.items():
        _field(screen, "metadata", f"{name}: {_value(value)}", full=full)
    if view.did:
        screen.line()
        rows = [(str(operation.seq), _what(operation), _how(operation), _came_to(operation)) for operation in view.did]
        screen.table(("seq", "what", "how", "came to"), rows, right=("seq",))
        screen.line()
    stuck = run.error if run is not None and run.status == "stuck" else view.stuck if run is None else ""
    if stuck:
        _field(screen, "stuck", stuck, full=True, style="red")
    if view.error:
        _field(screen, "error", view.error, full=full, style="red")
    elif view.ended and not view.cancelled:
        _field(screen, "result", _value(view.result), full=full)


def task_summary(view: TaskView, run: TaskRun | None) -> list[str]:
    """List which task it is, its status, and what it used, each in a few words."""
    words = [f"task {view.task}"]
    if run is not None:
        words.append(run.status + (f" ({run.error})" if run.status == "cancelled" and run.error else ""))
    if view.attempt > 1 or view.retries:
        words.append(f"attempt {view.attempt}" + (f" of {view.retries + 1}" if view.retries is not None else ""))
    if run is not None and (run.tokens or view.token_limit is not None):
        words.append(
            f"{run.tokens:,}"
            + (f" of {view.token_limit:,}" if view.token_limit is not None else "")
            + " tokens"
            + (f" ({run.over_limit:,} over its limit)" if run.over_limit else "")
        )
    if view.sent:
        words.append(f"{count(view.sent, 'message')} sent to it")
    words.append(f"began {date_time(view.began_us)}")
    if view.ended_us is not None:
        words.append(f"took {duration(view.ended_us - view.began_us)}")
    return words


def _what(operation: TaskOperation) -> str:
    return shorten(
        f"{operation.kind} {operation.key}" if not operation.key.startswith(operation.kind) else operation.key,
        _KEY_WIDTH,
    )


def _how(operation: TaskOperation) -> str:
    """Return the state of a step, and until when it waits."""
    until = f"until {date_time(operation.until_us)}" if operation.until_us is not None else ""
    took = duration(operation.ended_us - operation.at_us) if operation.ended_us is not None else ""
    tries = f"{operation.attempts} attempts" if operation.attempts > 1 else ""
    match operation.kind, operation.state:
        case _, "again":
            words = [
                f"again {date_time(operation.until_us)}" if operation.until_us is not None else "again",
                f"failed {operation.attempts}x",
            ]
        case "stream", _:
            words = [count(operation.items, "item")]
        case "loop", _:
            words = [count(operation.items, "iteration")]
        case _, "lost":
            words = ["is the parent's"]
        case (("wait" | "token"), "open"):
            words = [_OPEN.get(operation.reason, "waits"), until]
        case _, "open":
            words = ["under way", tries]
        case (("wait" | "token"), _):
            words = [operation.state.replace("_", " ") + (f" by {operation.by}" if operation.by else "")]
        case _:
            words = [operation.state, tries, took, f"{operation.tokens:,} tokens" if operation.tokens else ""]
    return ", ".join(word for word in words if word)


def _came_to(operation: TaskOperation) -> str:
    said = operation.error or (_value(operation.result) if operation.result is not None else "")
    return f"{operation.session}  {said}".strip() if operation.kind == "child" else said


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _field(screen: Screen, name: str, value: str, *, full: bool, style: str = "") -> None:
    screen.line((f"{name:9}", "dim"), (value if full else shorten(value, _LONG), style))


def run_fields(run: TaskRun) -> dict[str, object]:
    """Return a run as data."""
    fields: dict[str, object] = {"id": run.id}
    names = ("task", "status", "attempt", "payload", "result", "error", "tags", "metadata", "steps", "children")
    fields |= {name: getattr(run, name) for name in names}
    fields["waits"] = [{**msgspec.to_builtins(wait), "token": wait.token} for wait in run.waits]
    return fields

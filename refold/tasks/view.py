"""What a task did and waits for, in the order in which it came to it: a fold for people who look at a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import Recorded
from eventsource.events import (
    ChildEnd,
    ChildStart,
    Event,
    Fork,
    LoopContext,
    MetadataSet,
    QueuePush,
    Resume,
    StepEnd,
    StepStart,
    StreamUpdate,
    TaskEnd,
    TaskStart,
    TokenCreate,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.approvals import is_question
from eventsource.machine.state import CHILD

OperationState = Literal["open", "done", "failed", "again", "completed", "timed_out", "cancelled", "lost"]


class TaskOperation(msgspec.Struct, kw_only=True):
    """An operation of a task: a step, wait, token, child, loop or stream, done or open.

    kind: step (a turn and a model too), wait, token, child, loop or stream. seq, at_us: where it began, first.
    state: open, or how it ended; `again`: it failed, and is tried again at `until_us`. attempts: how often it began.
    until_us: when an open wait ends by itself. by: who decided it, if that is known. session, tokens: of a child.
    items: of a stream, iterations of a loop.
    """

    kind: Literal["step", "wait", "token", "child", "loop", "stream"]
    key: str
    seq: int
    at_us: int
    state: OperationState = "open"
    attempts: int = 0
    ended_us: int | None = None
    until_us: int | None = None
    reason: str = ""
    by: str = ""
    session: str = ""
    tokens: int = 0
    items: int = 0
    result: object = None
    error: str = ""


class TaskView(msgspec.Struct, kw_only=True):
    """A task as its log has it: with what it was begun, what it did, and how it ended or why it does not go on."""

    task: str = ""
    attempt: int = 0
    payload: object = None
    tags: tuple[str, ...] = ()
    parent: str = ""
    token_limit: int | None = None
    retries: int | None = None
    began_us: int = 0
    ended_us: int | None = None
    metadata: dict[str, object] = {}
    did: list[TaskOperation] = []
    sent: int = 0
    result: object = None
    error: str = ""
    cancelled: bool = False
    stuck: str = ""
    ended: bool = False


def view_task(history: Iterable[Recorded]) -> TaskView:
    """Fold a session's events, updates included, from its first one on."""
    reader = _TaskFold()
    for recorded in history:
        reader.feed(recorded)
    return reader.view


class _TaskFold:
    def __init__(self) -> None:
        self.view = TaskView(metadata={}, did=[])
        self._known: dict[tuple[str, str], TaskOperation] = {}
        self._attempts: dict[str, TaskOperation] = {}

    def feed(self, recorded: Recorded) -> None:
        event, view = recorded.event, self.view
        match event:
            case TaskStart():
                self._start(recorded, event)
            case TaskEnd(retry_at_us=None):
                view.result, view.error, view.cancelled = from_json(event.result), event.error, event.cancelled
                view.ended, view.ended_us = True, recorded.at_us
            case TaskEnd():
                view.error = event.error
            case Resume(why="stuck", problem=problem):
                view.stuck = problem
            case MetadataSet(name=name, value=value):
                view.metadata.pop(name, None)
                if not isinstance(value, msgspec.UnsetType):
                    view.metadata[name] = from_json(value)
            case QueuePush(queue="inbox"):
                view.sent += 1
            case StreamUpdate(name=name, item=item):
                stream = self._find("stream", name, recorded)
                stream.items, stream.result, stream.ended_us = stream.items + 1, from_json(item), recorded.at_us
            case Fork():
                self._fork()
            case _:
                self._work(recorded, event)

    def _start(self, recorded: Recorded, event: TaskStart) -> None:
        view = self.view
        if event.attempt == 1:
            view.task, view.payload, view.tags = event.task, from_json(event.payload), event.tags
            view.parent, view.began_us = event.parent, recorded.at_us
        view.attempt, view.token_limit, view.retries = event.attempt, event.token_limit, event.retries
        view.result, view.error, view.ended, view.ended_us, view.stuck = None, "", False, None, ""

    def _work(self, recorded: Recorded, event: Event) -> None:
        match event:
            case StepStart(key=key):
                step = self._find("step", key, recorded)
                step.state, step.error, step.until_us, step.ended_us = "open", "", None, None
                step.attempts += 1
                self.view.stuck = ""
            case StepEnd(key=key, error=error):
                step = self._find("step", key, recorded)
                step.state, step.error = ("failed" if error else "done"), error
                step.result, step.ended_us = from_json(event.result), recorded.at_us
                step.tokens += event.usage.total_tokens if event.usage is not None else 0
            case TokenCreate(key=key, deadline_us=deadline) if not is_question(event):
                self._find("token", key, recorded).until_us = deadline
            case WaitStart(step=step_key) if step_key:
                step = self._find("step", step_key, recorded)
                step.state, step.until_us = "again", event.deadline_us
                self._attempts[event.key] = step
            case WaitStart(call=None, key=key) if event.reason != CHILD and ("token", key) not in self._known:
                wait = self._find("wait", key, recorded)
                wait.until_us, wait.reason = event.deadline_us, event.reason
            case WaitEnd(key=key):
                self._wait_end(recorded, key, event)
            case ChildStart(key=key):
                self._find("child", key, recorded).session = event.child
            case ChildEnd(key=key):
                child = self._find("child", key, recorded)
                child.state, child.tokens, child.ended_us = (
                    ("failed" if event.is_error else "done"),
                    event.tokens,
                    recorded.at_us,
                )
                result = from_json(event.result)
                child.result, child.error = (None, str(result or "")) if event.is_error else (result, "")
            case LoopContext(key=key, iteration=iteration):
                loop = self._find("loop", key or "loop", recorded)
                loop.items, loop.ended_us = iteration, recorded.at_us
            case _:
                pass

    def _wait_end(self, recorded: Recorded, key: str, event: WaitEnd) -> None:
        step = self._attempts.pop(key, None)
        if step is not None:
            step.until_us, step.state = None, "failed" if event.outcome == "cancelled" else "open"
            return
        wait = self._known.get(("token", key)) or self._known.get(("wait", key))
        if wait is not None:
            wait.state, wait.result, wait.ended_us = event.outcome, from_json(event.value), recorded.at_us
            wait.by = "" if event.decided_by == "machine" else event.decided_by

    def _fork(self) -> None:
        """What was open in the parent is its own, but for the next attempts of steps."""
        for operation in self._known.values():
            if operation.state == "open" and operation.kind in ("wait", "token", "child"):
                operation.state = "lost"

    def _find(
        self, kind: Literal["step", "wait", "token", "child", "loop", "stream"], key: str, at: Recorded
    ) -> TaskOperation:
        known = self._known.get((kind, key))
        if known is None or (known.state == "lost" and kind != "child"):
            known = self._known[kind, key] = TaskOperation(kind=kind, key=key, seq=at.seq, at_us=at.at_us)
            self.view.did.append(known)
        return known

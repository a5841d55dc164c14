"""Children of a task: other tasks and agents, each in a session of its own that is started at most once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from eventsource.codec import to_json
from eventsource.errors import SessionExistsError, UnknownSessionError
from eventsource.events import ChildEnd, ChildStart, WaitEnd, WaitStart
from eventsource.log.admitted import admitted, append_admitted, until_known
from eventsource.machine.state import CHILD
from eventsource.messages import Json
from eventsource.user_code.calls import UserCall

from ..child_sessions import child_id, child_wait
from ..runtime import Runtime
from ..typed_json import Shape
from .errors import ChildError
from .execution import TaskExecution
from .runner import AnyTask, TaskOutcome, how_it_ended, run_when_free, task_start
from .steps import digest, run_step

P = TypeVar("P")
R = TypeVar("R")
P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
_LOOK_US = 30_000_000
_MOST_LOOK_US = 3_600_000_000
"""The first time and the longest after which a child that others run is looked at, though nobody told of its end."""


class ChildTask(AnyTask, Protocol[P_contra, R_co]):
    """What is needed of a task to run it as a child: `refold.tasks.Task` has it."""

    def checked(self, payload: P_contra) -> msgspec.Raw:
        """Write a payload as JSON. Raises: TaskPayloadError."""
        ...

    def read(self, raw: Json) -> R_co:
        """Read a result."""
        ...


async def open_child(
    runtime: Runtime, session: str, task: ChildTask[P, R], payload: P, *, parent: str = "", tags: Sequence[str] = ()
) -> None:
    """Make a task's session if it is not there; a child whose task names no queue is in its parent's.

    Raises: TaskPayloadError before anything is made.
    """
    start = replace(task_start(task), payload=task.checked(payload), parent=parent, tags=tuple(tags))
    try:
        if (await runtime.log.info(session)).head:
            return
    except UnknownSessionError:
        with suppress(SessionExistsError):
            await until_known(partial(runtime.log.create, session, title=task.id, started_by=parent))
    if parent and not start.queue:
        start = replace(start, queue=(await runtime.log.info(parent)).queue)
    await append_admitted(runtime.log, session, admitted([(runtime.clock(), start)]), key="task")


async def run_child(execution: TaskExecution, key: str, task: ChildTask[P, R], payload: P) -> R:
    """Run a task as a child, or return its recorded result. Raises: ChildError; TaskPayloadError."""
    child = child_id(execution.session, key)
    record = execution.journal.children.get(key)
    if record is not None:
        execution.visit("child", key)
        if record.end is not None:
            return _result(task, key, child, record.end)
        if record.lost:
            raise ChildError(key, record.session, "it runs on in the session this one was forked from")
    task.checked(payload)
    async with execution.at_work():
        if record is None:
            await execution.new(key)
            await execution.idle(ChildStart(key=key, child=child))
        while True:
            await _woken(execution, key)
            async with execution.asking_the_log():
                await open_child(execution.runtime, child, task, payload, parent=execution.session)
                look_at_us = await _next_look_us(execution, child)
                if look_at_us is None:
                    outcome = await run_when_free(
                        execution.runtime,
                        child,
                        lambda name: task,
                        root=execution.root or execution.session,
                        budget=execution.budget,
                        above=execution.writer.lease,
                    )
                else:
                    outcome = await how_it_ended(execution.runtime, child)
            if outcome.status != "waiting":
                end = _end(key, outcome)
                await execution.append(end)
                execution.budget.has_ended(child)
                return _result(task, key, child, end)
            await execution.idle(WaitStart(key=child_wait(key), reason=CHILD, deadline_us=look_at_us))


async def _next_look_us(execution: TaskExecution, child: str) -> int | None:
    """Return when to look again at a child that is in another queue; None: it is in this one, and is run here.

    Whoever ends it wakes this session. A process that is killed just then does not, so it is looked at in any case:
    again after as long as it is there already.
    """
    info = await execution.runtime.log.info(child)
    if execution.journal.start is None or info.queue == execution.journal.start.queue:
        return None
    now_us = execution.now_us()
    return now_us + min(max(now_us - info.created_at_us, _LOOK_US), _MOST_LOOK_US)


async def _woken(execution: TaskExecution, key: str) -> None:
    """Wait until a suspended child has something to do, or is to be looked at.

    In a process that is to stop, for good: it would not do it.
    """

    def is_open() -> bool:
        return any(wait.key == child_wait(key) for wait in execution.state.waits)

    def found() -> bool | None:
        is_due = execution.child_is_due(key) or not is_open()
        return (is_due and not execution.runtime.stopping.is_set()) or None

    if is_open():
        await execution.wait_for(found)
        if is_open():
            await execution.append(WaitEnd(key=child_wait(key), outcome="completed"))


def _end(key: str, outcome: TaskOutcome) -> ChildEnd:
    failed = outcome.status != "done"
    result: Json = outcome.result
    if failed:
        result = to_json(outcome.error or f"it was {outcome.status}")
    return ChildEnd(key=key, result=result, is_error=failed, tokens=outcome.tokens)


def _result(task: ChildTask[P, R], key: str, child: str, end: ChildEnd) -> R:
    if end.is_error:
        raise ChildError(key, child, str(Shape[object](None).load(end.result)))
    return task.read(end.result)


async def start_task(
    execution: TaskExecution, name: str, task: ChildTask[P, R], payload: P, tags: Sequence[str]
) -> str:
    """Start a task that goes its own way, once. Returns: its session."""
    child = child_id(execution.session, name)
    raw = task.checked(payload)

    async def work() -> str:
        async with execution.asking_the_log():
            await open_child(execution.runtime, child, task, payload, tags=tags)
        return child

    return await run_step(
        execution,
        name,
        digest([task.id, bytes(raw).decode(), list(tags)], name),
        Shape[str](None),
        lambda: UserCall(work),
    )

"""Tasks: functions whose work is recorded, so that it survives the process, waits for days, and is never done twice."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec

from eventsource import session as core
from eventsource.durations import Duration, duration_us
from eventsource.errors import InvalidTextError
from eventsource.log import random_id
from eventsource.log.erased import is_erased
from eventsource.messages import Json
from eventsource.user_code.argument_checks import checked
from eventsource.user_code.argument_types import check_key

from ..child_sessions import child_id, wait_until_due
from ..local_types import AnyType, local_names
from ..log import Log
from ..runtime import Runtime
from ..session import Session
from ..typed_json import Shape, ShapeError
from .children import open_child
from .context import TaskContext
from .errors import (
    PathError,
    TaskPayloadError,
)
from .execution import TaskExecution
from .queues import DEFAULT, stored_queue
from .runner import run_task_session
from .runs import TaskRun, load_run
from .steps import check_retries

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Task(Generic[P, R]):
    """A function, its id, and how it is run; made by `task`.

    A run of it is a session: its payload, steps, waits and result are events, and nothing else is kept anywhere.
    """

    id: str
    function: Callable[[TaskContext, P], Awaitable[R]]
    payload: type[P] | None = None
    result: type[R] | None = None
    retries: int = 0
    backoff_us: int = 1_000_000
    max_duration_us: int | None = None
    token_limit: int | None = None
    queue: str = ""

    HOW_TO_GET: ClassVar[str] = "@task(id=...) on an async function makes one"

    def __post_init__(self) -> None:
        """Read types that are defined inside functions while what they name is in reach."""
        if local_names(self.payload):
            self._payload  # noqa: B018 - it is kept
        if local_names(self.result):
            self._result  # noqa: B018 - as above

    @checked()
    async def trigger(
        self, log: Log, payload: P | None = None, *, key: str | None = None, tags: Sequence[str] = ()
    ) -> TaskRun:
        """Start a run, for a worker to run; the same key starts the same run, once.

        Raises: TaskPayloadError, before a session exists.
        """
        check_key(key, "Task.trigger")
        raw = self.checked(payload)
        session = child_id(f"task {self.id}", key) if key is not None else random_id()
        await open_child(Runtime(log=log.store, clock=log.clock), session, self, self.read_payload(raw), tags=tags)
        return await load_run(Session(core.SessionHandle(log.store, session, clock=log.clock)))

    @checked()
    async def batch_trigger(self, log: Log, payloads: Sequence[P], *, tags: Sequence[str] = ()) -> list[TaskRun]:
        """Start a run for each payload; none is started if one is no payload. Raises: TaskPayloadError."""
        for payload in payloads:
            self.checked(payload)
        return [await self.trigger(log, payload, tags=tags) for payload in payloads]

    @checked()
    async def run(
        self, log: Log, payload: P | None = None, *, key: str | None = None, tags: Sequence[str] = ()
    ) -> TaskRun:
        """Start a run and work on it in this process, until it ends or waits for something."""
        return await self.resume((await self.trigger(log, payload, key=key, tags=tags)).session)

    @checked()
    async def resume(self, session: Session) -> TaskRun:
        """Go on with a run in this process, from wherever its log stops, until it ends or waits for something.

        Raises: LeaseHeldError when somebody else works on it; PathError when this is not the code it began with.
        """
        runtime = Runtime(log=session.core.log, clock=session.core.clock)
        await run_task_session(runtime, session.id, lambda name: self if name == self.id else None)
        return await load_run(session)

    @checked()
    async def trigger_and_wait(
        self, log: Log, payload: P | None = None, *, key: str | None = None, tags: Sequence[str] = ()
    ) -> TaskRun:
        """Start a run and work on it in this process until it ends, through all its waits."""
        run = await self.run(log, payload, key=key, tags=tags)
        while run.status in ("waiting", "due"):
            await wait_until_due(log.store, run.session.id, log.clock)
            run = await self.resume(run.session)
        return run

    def checked(self, payload: object) -> msgspec.Raw:
        """Write a payload as JSON. Raises: TaskPayloadError."""
        try:
            return self._payload.checked(payload, where=f"the payload of task {self.id}")[0]
        except (ShapeError, InvalidTextError) as error:
            raise TaskPayloadError(self.id, str(error)) from error

    def read_payload(self, raw: Json) -> P:
        """Read a payload. Raises: TaskPayloadError."""
        try:
            return self._payload.load(raw)
        except ShapeError as error:
            raise TaskPayloadError(self.id, str(error)) from error

    def read(self, raw: Json) -> R:
        """Read a result of its JSON. Raises: ShapeError when it does not fit the task's type."""
        return self._result.load(raw)

    async def call(self, execution: TaskExecution) -> R:
        """Call the function with what its session was given.

        Raises: PathError when this code does not take it; TaskPayloadError when it was erased.
        """
        start = execution.journal.start
        raw = start.payload if start is not None else msgspec.UNSET
        try:
            payload = self.read_payload(raw)
        except TaskPayloadError as error:
            if isinstance(raw, msgspec.Raw) and is_erased(raw):
                raise
            problem = f"the payload on record does not fit this code: {error.problem}"
            raise PathError(execution.session, "payload", problem) from error
        return await self.function(TaskContext(execution, self), payload)

    @cached_property
    def _payload(self) -> Shape[P]:
        return Shape(self.payload)

    @cached_property
    def _result(self) -> Shape[R]:
        return Shape(self.result)


class TaskMaker(Protocol):
    """What `task` returns: it makes a task of a function."""

    def __call__(self, function: Callable[[TaskContext, P], Awaitable[R]]) -> Task[P, R]:
        """Make a task of an async function. Raises: TypeError for another one."""
        ...


@checked()
def task(
    *,
    id: str,  # noqa: A002 - the word everybody uses
    payload: AnyType | None = None,
    result: AnyType | None = None,
    retries: int = 0,
    backoff: Duration = "1s",
    max_duration: Duration | None = None,
    token_limit: int | None = None,
    queue: str = DEFAULT,
) -> TaskMaker:
    """Make an async function of a context and a payload a task.

    Args:
        id: its name for ever; whoever runs it finds it by this.
        payload: its type (pydantic, dataclass, struct, ...); what does not fit is refused before a session exists.
        result: the type of what it returns; without it the result is plain JSON to others.
        retries: how often it is tried again after it failed; steps that are done stay done.
        backoff: how long after the first failure; after each further one twice as long.
        max_duration: how long an attempt may work, the time it waits apart.
        token_limit: how many tokens its turns and models may use, and its children, all together.
        queue: of the workers it is for (`refold worker --queue`). As a child it then runs on one of those; the child
            that names none runs where its parent does.
    """
    check_retries(retries, f"task {id}")
    if token_limit is not None and (type(token_limit) is not int or token_limit < 0):
        raise ValueError(f"task {id}: token_limit must be a whole number, 0 or more, or None; found {token_limit!r}")

    stored = stored_queue(queue, f"task {id}")

    def make(function: Callable[[TaskContext, P], Awaitable[R]]) -> Task[P, R]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"task {id}: its function must be async")
        return Task(
            id=id,
            function=function,
            payload=payload,  # type: ignore[arg-type]  # the one thing no signature can tie to the function's
            result=result,  # type: ignore[arg-type]  # as above
            retries=retries,
            backoff_us=duration_us(backoff),
            max_duration_us=None if max_duration is None else duration_us(max_duration),
            token_limit=token_limit,
            queue=stored,
        )

    return make

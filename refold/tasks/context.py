"""What a task's code is given: everything it asks here is recorded, so that it can run again from the top."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from eventsource.durations import Duration, duration_us
from eventsource.events import TokenCreate, WaitStart
from eventsource.messages import AssistantMessage
from eventsource.models.protocol import Model
from eventsource.prompts import Prompt, as_messages
from eventsource.user_code.argument_checks import checked
from eventsource.user_code.argument_types import check_key

from ..inbox_message import InboxMessage
from ..local_types import AnyType, as_type
from ..typed_json import Shape, dump
from .children import run_child, start_task
from .errors import WaitEndedError
from .execution import SCOPE, TaskExecution
from .inbox import Inbox, run_loop
from .model_calls import ask_model
from .steps import call, digest, recorded_number, run_step, run_wait
from .streams import Metadata, stream_items
from .turns import Turn, TurnAgent, run_turn

if TYPE_CHECKING:
    from .task import Task

T = TypeVar("T")
C = TypeVar("C")
M = TypeVar("M")
P = TypeVar("P")


class Token(Generic[T]):
    """Something that is completed from outside, once: `refold complete TOKEN VALUE`, or `log.complete`."""

    def __init__(self, session: str, created: TokenCreate, shape: Shape[T]) -> None:
        self.key, self.deadline_us, self.session, self.shape = created.key, created.deadline_us, session, shape

    def __str__(self) -> str:
        return f"{self.session}:{self.key}"

    def __repr__(self) -> str:
        return f"Token({str(self)!r})"


class WaitResult(msgspec.Struct, Generic[T], frozen=True):
    """How a wait ended; `value` is what completed it, or the default that counts at its deadline."""

    key: str
    outcome: str
    ok: bool
    value: T | None = None

    def unwrap(self) -> T:
        """Return the value. Raises: WaitEndedError when there is none."""
        if not self.ok:
            raise WaitEndedError(self.key, self.outcome)
        return self.value  # type: ignore[return-value]  # ok: there is one, which may be a recorded null


class TaskContext:
    """The recorder of a task's code; each of its operations happens once, however often the code runs.

    Operations are named by keys: the one given, or the kind and how often it was asked. What code in an inbox's body or
    a loop's step asks is named within that. Code must come to what is recorded again, whatever it did outside of this.
    """

    def __init__(self, execution: TaskExecution, task: Task[P, T]) -> None:
        self._execution, self._task = execution, task
        self.metadata = Metadata(execution)
        self._randoms: dict[str, Random] = {}

    @property
    def session(self) -> str:
        """The id of the task's session."""
        return self._execution.session

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._execution.journal.attempt

    @property
    def tags(self) -> tuple[str, ...]:
        """What the task was triggered with."""
        return self._execution.journal.start.tags if self._execution.journal.start is not None else ()

    @checked()
    def idempotency_key(self, key: str) -> str:
        """Return a key that is the same at every attempt, for a service that does the same thing only once."""
        check_key(key, "TaskContext.idempotency_key")
        return f"{self._execution.session}:{SCOPE.get()}{key}"

    @overload
    async def step(
        self,
        key: str,
        function: Callable[..., Awaitable[T]],
        *arguments: object,
        retries: int = 0,
        backoff: Duration = "1s",
        returns: type[T] | None = None,
        **named: object,
    ) -> T: ...

    @overload
    async def step(
        self,
        key: str,
        function: Callable[..., T],
        *arguments: object,
        retries: int = 0,
        backoff: Duration = "1s",
        returns: type[T] | None = None,
        **named: object,
    ) -> T: ...

    @overload
    async def step(
        self,
        key: str,
        function: Callable[..., Awaitable[T]],
        *arguments: object,
        retries: int = 0,
        backoff: Duration = "1s",
        returns: AnyType,
        **named: object,
    ) -> T: ...

    @overload
    async def step(
        self,
        key: str,
        function: Callable[..., T],
        *arguments: object,
        retries: int = 0,
        backoff: Duration = "1s",
        returns: AnyType,
        **named: object,
    ) -> T: ...

    @checked()
    async def step(
        self,
        key: str,
        function: Callable[..., object],
        *arguments: object,
        retries: int = 0,
        backoff: Duration = "1s",
        returns: AnyType | None = None,
        **named: object,
    ) -> object:
        """Call a function once (sync ones in a thread), and record what it returns.

        A process that ends meanwhile leaves it undone: it is called again, so it must be safe to repeat, or use
        `idempotency_key`. `returns` is the result's type; without it the result is plain JSON, in every process alike.

        Raises: StepError when it failed one time more than `retries`; PathError for a key with other arguments.
        """
        execution, name = self._execution, self._execution.key("step", key)
        return await run_step(
            execution,
            name,
            digest([arguments, named], name),
            Shape(as_type(returns)),
            lambda: call(function, arguments, named),
            retries=retries,
            backoff_us=duration_us(backoff),
        )

    @overload
    async def create_token(
        self,
        *,
        timeout: Duration | None = None,
        key: str | None = None,
        tags: Sequence[str] = (),
        default: object = None,
    ) -> Token[object]: ...

    @overload
    async def create_token(
        self,
        *,
        timeout: Duration | None = None,
        key: str | None = None,
        tags: Sequence[str] = (),
        type: type[T],
        default: T | None = None,
    ) -> Token[T]: ...

    @overload
    async def create_token(
        self,
        *,
        timeout: Duration | None = None,
        key: str | None = None,
        tags: Sequence[str] = (),
        type: AnyType,
        default: object = None,
    ) -> Token[Any]: ...

    @checked()  # type: ignore[misc]  # the overloads say it better
    async def create_token(
        self,
        *,
        timeout: Duration | None = None,
        key: str | None = None,
        tags: Sequence[str] = (),
        type: AnyType | None = None,  # noqa: A002 - as above
        default: object = None,
    ) -> Token[object]:
        """Make something that is completed from outside, within a time if given, with a value of a type if given.

        `default` counts when the time is over.
        """
        execution, name = self._execution, self._execution.key("token", key)
        shape = Shape(as_type(type))
        created = execution.journal.tokens.get(name)
        if created is None:
            async with execution.at_work():
                await execution.new(name)
                created = TokenCreate(
                    key=name,
                    tags=tuple(tags),
                    value_schema=shape.schema,
                    deadline_us=None if timeout is None else execution.now_us() + duration_us(timeout),
                    default=msgspec.UNSET if default is None else dump(default, where=f"token {name}"),
                )
                await execution.append(created)
        execution.visit("token", name)
        return Token(execution.session, created, shape)

    @checked()
    async def wait(self, token: Token[T]) -> WaitResult[T]:
        """Wait until a token is completed, its time is over, or it is cancelled; meanwhile nothing runs."""
        end = await run_wait(self._execution, WaitStart(key=token.key))
        ok = end.outcome != "cancelled" and not isinstance(end.value, msgspec.UnsetType)
        return WaitResult(token.key, end.outcome, ok, token.shape.load(end.value) if ok else None)

    @checked()
    async def sleep(self, duration: Duration, *, key: str | None = None) -> None:
        """Wait for a while; meanwhile nothing runs."""
        length_us = duration_us(duration)
        await run_wait(
            self._execution,
            WaitStart(
                key=self._execution.key("sleep", key), reason="sleep", deadline_us=self._execution.now_us() + length_us
            ),
        )

    @checked()
    async def sleep_until(self, when: datetime, *, key: str | None = None) -> None:
        """Wait until a time (one without a zone is UTC)."""
        aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        deadline_us = round(aware.timestamp() * 1_000_000)
        await run_wait(
            self._execution, WaitStart(key=self._execution.key("sleep", key), reason="sleep", deadline_us=deadline_us)
        )

    def now(self) -> datetime:
        """Read the clock: the same answer in every process."""
        at_us = recorded_number(self._execution, self._execution.key("now", None), self._execution.now_us)
        return datetime.fromtimestamp(at_us / 1_000_000, UTC)

    @property
    def random(self) -> Random:
        """Random numbers: the same ones in every process."""
        scope = SCOPE.get()
        if scope not in self._randoms:
            self._randoms[scope] = Random(
                recorded_number(self._execution, self._execution.key("random", None), self._execution.runtime.seed)
            )
        return self._randoms[scope]

    @checked("prompt")
    async def model(
        self,
        model: str | Model,
        prompt: Prompt,
        *,
        system: str = "",
        key: str | None = None,
        stream: str = "",
        retries: int = 0,
    ) -> AssistantMessage:
        """Ask a model outside of an agent's turn; `stream` names the stream that shows its text as it comes.

        Raises: StepError with the provider's words.
        """
        return await ask_model(
            self._execution, self._execution.key("model", key), model, prompt, system, stream, retries
        )

    @checked()
    async def stream(
        self, name: str, items: AsyncIterable[T] | Callable[[], AsyncIterable[T]], *, root: bool = False
    ) -> list[T]:
        """Show what comes, item by item, to everybody who follows the task (or, with `root`, the task at the root).

        Returns: the items, all of them.
        """
        return await stream_items(self._execution, self._execution.key(f"stream {name}", None), name, items, root=root)

    @checked("prompt")
    async def turn(
        self,
        agent: TurnAgent[T],
        prompt: Prompt | InboxMessage,
        *,
        key: str | None = None,
        deps: object = None,
    ) -> Turn[T]:
        """Run an agent in this session on a prompt or a message of the inbox, with its tools, until the run ends."""
        return await run_turn(self._execution, self._execution.key("turn", key), agent, prompt, deps)

    @checked()
    def inbox(self, *, timeout: Duration | None = None, key: str | None = None) -> Inbox:
        """Iterate over the messages that are sent to the task, until none has come for so long."""
        return Inbox(self._execution, self._execution.key("inbox", key), timeout)

    @checked()
    async def loop(
        self,
        initial: C,
        step: Callable[[C, int], Awaitable[C]],
        on_message: Callable[[C, M], C | Awaitable[C]],
        *,
        timeout: Duration | None = None,
        message: type[M] | AnyType | None = None,
        key: str | None = None,
    ) -> C:
        """Repeat a step and a wait for a message, which is applied to the context, until none has come for so long.

        Each step's context is recorded as what changed in it. Another process begins with the last one.

        Args:
            step: makes the next context of one; iterations count from 1.
            on_message: makes a context of one and a message; it must record nothing.
            message: the type of messages; without it, the text of one, or its JSON.

        Returns: the last context.
        """
        name = self._execution.key("loop", key)
        return await run_loop(
            self._execution, name, initial, step, on_message, timeout=timeout, message=as_type(message)
        )

    @overload
    async def spawn(self, key: str, agent: TurnAgent[None], prompt: Prompt, *, deps: object = None) -> str: ...

    @overload
    async def spawn(self, key: str, agent: TurnAgent[T], prompt: Prompt, *, deps: object = None) -> T: ...

    @checked("prompt")
    async def spawn(self, key: str, agent: TurnAgent[T], prompt: Prompt, *, deps: object = None) -> T | str:
        """Run an agent as a child, in a session of its own that is started at most once, and wait for its answer.

        Returns: its output, or its text. Raises: ChildError.
        """
        from .agents import agent_task  # an agent as a task is made of this class

        agent.check_deps(deps)
        messages = as_messages(prompt, where="TaskContext.spawn")
        said = prompt if isinstance(prompt, str) else messages  # a text alone is its own JSON
        return await run_child(self._execution, self._execution.key("child", key), agent_task(agent, deps), said)

    @checked()
    async def trigger_and_wait(self, task: Task[P, T], payload: P, *, key: str | None = None) -> T:
        """Run another task as a child, and wait for its result. Raises: ChildError; TaskPayloadError."""
        return await run_child(self._execution, self._execution.key(task.id, key), task, payload)

    @checked()
    async def batch_trigger_and_wait(
        self, task: Task[P, T], payloads: Sequence[P], *, key: str | None = None
    ) -> list[T]:
        """Run children side by side, one for each payload, and wait for all. Raises: ChildError of the first."""
        check_key(key, "TaskContext.batch_trigger_and_wait")
        name = key or task.id
        runs = [self.trigger_and_wait(task, payload, key=f"{name}[{n}]") for n, payload in enumerate(payloads)]
        return await asyncio.gather(*runs)

    @checked()
    async def trigger(self, task: Task[P, T], payload: P, *, key: str | None = None, tags: Sequence[str] = ()) -> str:
        """Start another task, which goes its own way. Returns: its session's id."""
        name = self._execution.key(f"trigger {task.id}", key)
        return await start_task(self._execution, name, task, payload, tags)

    @checked()
    async def batch_trigger(self, task: Task[P, T], payloads: Sequence[P], *, tags: Sequence[str] = ()) -> list[str]:
        """Start other tasks, one for each payload. Returns: their sessions' ids."""
        return [await self.trigger(task, payload, tags=tags) for payload in payloads]

"""Messages sent to a task, one by one, each with keys of its own; and the loop that works them into a context."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventsource.codec import from_json
from eventsource.durations import Duration, duration_us
from eventsource.events import LoopContext, WaitStart
from eventsource.machine.state import INBOX

from ..inbox_message import InboxMessage
from ..typed_json import Shape, dump
from .execution import SCOPE, TaskExecution
from .json_patch import diff
from .steps import run_wait

C = TypeVar("C")
M = TypeVar("M")


class Inbox:
    """Iterates over messages; the code in its body names what it asks within the message."""

    def __init__(self, execution: TaskExecution, name: str, timeout: Duration | None) -> None:
        self._execution, self._name, self._count, self._outer = execution, name, 0, SCOPE.get()
        self._timeout_us = None if timeout is None else duration_us(timeout)

    def __aiter__(self) -> Inbox:
        """Iterate from where this is."""
        return self

    async def __anext__(self) -> InboxMessage:
        """Wait for the next message."""
        SCOPE.set(self._outer)
        self._count += 1
        key = f"{self._name}/{self._count}"
        found = await next_message(self._execution, key, self._timeout_us)
        if found is None:
            raise StopAsyncIteration
        SCOPE.set(f"{key}/")
        return found


async def next_message(execution: TaskExecution, key: str, timeout_us: int | None) -> InboxMessage | None:
    """Wait for the next message; None when none came in time."""
    deadline_us = None if timeout_us is None else execution.now_us() + timeout_us
    end = await run_wait(execution, WaitStart(key=key, reason=INBOX, deadline_us=deadline_us))
    return InboxMessage(end.push_seq, execution.journal.inbox[end.push_seq]) if end.push_seq else None


async def run_loop(
    execution: TaskExecution,
    name: str,
    initial: C,
    step: Callable[[C, int], Awaitable[C]],
    on_message: Callable[[C, M], C | Awaitable[C]],
    *,
    timeout: Duration | None,
    message: type[M] | None,
) -> C:
    """Run a loop from its last recorded context on; see `TaskContext.loop`."""
    outer, timeout_us = SCOPE.get(), None if timeout is None else duration_us(timeout)
    shape: Shape[C] = Shape(None if isinstance(initial, dict | list) else type(initial))
    messages: Shape[M] = Shape(message)
    iteration, recorded = execution.journal.loops.get(name, (0, None))
    execution.visit("loop", name)
    execution.skip(lambda key: _is_before(key, name, iteration))
    context = shape.load(dump(recorded, where=name)) if iteration else initial
    while True:
        if iteration:
            found = await next_message(execution, f"{name}/{iteration}", timeout_us)
            if found is None:
                return context
            worked = on_message(context, messages.load(dump(found.value, where="message")))
            context = await worked if inspect.isawaitable(worked) else worked
        iteration += 1
        SCOPE.set(f"{name}/{iteration}/")
        context = await step(context, iteration)
        SCOPE.set(outer)
        raw, context = shape.checked(context, where=name)
        before, recorded = recorded, from_json(raw)
        patch = dump(diff(before, recorded), where=name)
        async with execution.at_work():
            await execution.new(name)
            await execution.idle(LoopContext(iteration=iteration, patch=patch, key=name))


def _is_before(key: str, name: str, iteration: int) -> bool:
    """Return whether a key belongs to an iteration whose context is recorded; the last one's message does not."""
    if not key.startswith(f"{name}/"):
        return False
    number, _, within = key.removeprefix(f"{name}/").partition("/")
    return int(number) < iteration or (int(number) == iteration and bool(within))

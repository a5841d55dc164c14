"""What a task shows while it works: named values and named streams."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import TypeVar

from eventsource.codec import from_json
from eventsource.events import MetadataSet, StreamUpdate
from eventsource.log.load import read_all
from eventsource.user_code.calls import UserCall

from ..typed_json import Shape, dump
from .execution import WITHIN, TaskExecution
from .steps import InputDigest, run_step

T = TypeVar("T")


class Metadata:
    """Named values of a task, for everybody who looks at it."""

    def __init__(self, execution: TaskExecution) -> None:
        self._execution = execution
        self._counts: dict[str, int] = {}

    def get(self, name: str) -> object:
        """Return the current value of a name; None when it is not set."""
        return self._execution.journal.metadata.get(name)

    def set(self, name: str, value: object, *, root: bool = False) -> None:
        """Set a value; with `root`, also that of the task at the root of the tree."""
        execution = self._execution
        if not WITHIN.get():
            self._counts[name] = count = self._counts.get(name, 0) + 1
            if count <= execution.journal.metadata_count.get(name, 0):
                return
        event = MetadataSet(name=name, value=dump(value, where=f"metadata {name}"))
        execution.writer.outcome(event)
        if root:
            execution.append_to_root(event)
        execution.notify()


async def stream_items(
    execution: TaskExecution,
    key: str,
    name: str,
    items: AsyncIterable[T] | Callable[[], AsyncIterable[T]],
    *,
    root: bool,
) -> list[T]:
    """Record a stream's items as they come; see `TaskContext.stream`."""

    async def work() -> int:
        count = 0
        async for item in items() if callable(items) else items:
            event = StreamUpdate(name=name, item=dump(item, where=f"stream {name}"))
            execution.writer.outcome(event)
            if root:
                execution.append_to_root(event)
            execution.notify()
            count += 1
        return count

    await run_step(execution, key, InputDigest(), Shape(None), lambda: UserCall(work))
    record = execution.journal.steps[key]
    reading = read_all(execution.runtime.log, execution.session, after=record.start_seq, upto=record.end_seq)
    async with execution.asking_the_log():
        found = [recorded.event async for recorded in reading]
    shown = [from_json(event.item) for event in found if isinstance(event, StreamUpdate) and event.name == name]
    return shown  # type: ignore[return-value]  # the items as JSON has them

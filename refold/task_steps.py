"""Recording what a task's code does, once: steps, waits, and values that never change again."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from eventsource.codec import to_json
from eventsource.events import StepEnd, StepStart, WaitEnd, WaitStart

from .execution import WITHIN, Execution
from .journal import StepRecord
from .shapes import Shape, dump
from .task_errors import StepError

T = TypeVar("T")


def digest(value: object, where: str) -> str:
    """Digest a step's input. Raises: InvalidTextError when it has no JSON form."""
    return hashlib.sha256(bytes(dump(value, where=f"the input of {where}"))).hexdigest()


async def known_step(x: Execution, name: str, input_sha256: str) -> StepRecord | None:
    """Find what is recorded of a step; the same key with another input is another path."""
    record = x.journal.steps.get(name)
    if record is not None:
        x.visit("step", name)
        if record.input_sha256 != input_sha256:
            await x.diverge(name, "this step is recorded with other input; give what differs a key of its own")
    return record


async def run_step(
    x: Execution,
    name: str,
    input_sha256: str,
    shape: Shape[T],
    work: Callable[[], Awaitable[object]],
    *,
    retries: int = 0,
    backoff_us: int = 0,
) -> T:
    """Do a step, or give what is recorded of it. Raises: StepError when it has failed one time more than `retries`."""
    record = await known_step(x, name, input_sha256)
    if record is not None and record.done and not (record.error and record.failures <= retries):
        if record.error:
            raise StepError(name, record.error)
        return shape.load(record.result)
    async with x.at_work():
        if record is None:
            await x.new(name)
        attempt, failures = (record.attempts, record.failures) if record is not None else (0, 0)
        while True:
            attempt += 1
            try:
                return await _attempt(x, StepStart(key=name, input_sha256=input_sha256, attempt=attempt), shape, work)
            except StepError:
                failures += 1
                if failures > retries:
                    raise
            await asyncio.sleep(backoff_us / 1_000_000 * 2 ** (failures - 1))


async def _attempt(x: Execution, start: StepStart, shape: Shape[T], work: Callable[[], Awaitable[object]]) -> T:
    await x.park(lambda: None if x.turn_key else True)
    x.steps += 1
    try:
        await x.append(start)
        within = WITHIN.set(start.key)
        try:
            raw, value = shape.checked(await work(), where=f"the result of {start.key}")
        except Exception as error:
            problem = str(error) or type(error).__name__
            await x.append(StepEnd(key=start.key, error=problem))
            raise StepError(start.key, problem) from error
        finally:
            WITHIN.reset(within)
        await x.append(StepEnd(key=start.key, result=raw))
        return value
    finally:
        x.steps -= 1
        x.notify()


async def call(function: Callable[..., object], arguments: Sequence[object], named: Mapping[str, object]) -> object:
    """Call a function: one that is not async in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments, **named)
    value = await asyncio.to_thread(function, *arguments, **named)
    return await value if inspect.isawaitable(value) else value


async def run_wait(x: Execution, start: WaitStart) -> WaitEnd:
    """Wait, or give how the wait ended."""
    key = start.key
    if key in x.journal.waits:
        x.visit("wait", key)
    elif key not in x.journal.ends:
        async with x.at_work():
            await x.new(key)
            await x.idle(start)
    end = x.journal.ends.get(key)
    if end is not None:
        return end
    async with x.at_work():
        return await x.park(lambda: x.journal.ends.get(key))


def once(x: Execution, name: str, make: Callable[[], int]) -> int:
    """Give a number that is made once."""
    record = x.journal.steps.get(name)
    if record is None:
        record = StepRecord(result=to_json(make()), attempts=1, end_seq=1)
        x.writer.outcome(StepStart(key=name), StepEnd(key=name, result=record.result))
        x.journal.steps[name] = record
        x.notify()
    x.visit("step", name)
    return int(bytes(record.result or b"0"))

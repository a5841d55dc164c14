"""Recording what a task's code does, once: steps, waits, and values that never change again."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from eventsource.codec import from_json, to_json
from eventsource.events import ModelRef, StepEnd, StepStart, WaitEnd, WaitStart
from eventsource.messages import Usage
from eventsource.user_code.calls import UserCall, attempt
from eventsource.user_code.error_words import words

from ..typed_json import Shape, dump, write_result
from .errors import StepError
from .execution import WITHIN, TaskExecution
from .journal import StepRecord

T = TypeVar("T")


@dataclass
class AskedModel:
    """The model that a step asks, and the usage of its last attempt."""

    model: ModelRef
    usage: Usage | None = None


class InputDigest(msgspec.Struct, frozen=True):
    """The digest of a step's input; `before`: what release 0.1 made of it, which minded the order of keys."""

    sha256: str = ""
    before: str = ""


def digest(value: object, where: str) -> InputDigest:
    """Digest a step's input: the same in every process, whatever the order of sets and of the keys of dicts.

    Raises: InvalidTextError when it has no JSON form.
    """
    raw = bytes(dump(value, where=f"the input of {where}"))
    ordered = json.dumps(from_json(raw), ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    return InputDigest(hashlib.sha256(ordered).hexdigest(), hashlib.sha256(raw).hexdigest())


async def known_step(execution: TaskExecution, name: str, input_digest: InputDigest) -> StepRecord | None:
    """Find what is recorded of a step; the same key with another input is another path."""
    record = execution.journal.steps.get(name)
    if record is not None:
        execution.visit("step", name)
        if record.input_sha256 not in (input_digest.sha256, input_digest.before):
            await execution.diverge(name, "this step is recorded with other input; give what differs a key of its own")
    return record


async def run_step(
    execution: TaskExecution,
    name: str,
    input_digest: InputDigest,
    shape: Shape[T],
    begin: Callable[[], UserCall],
    *,
    retries: int = 0,
    backoff_us: int = 0,
    asks: AskedModel | None = None,
) -> T:
    """Run a step, or return its recorded result; `asks` is the model that it asks.

    Raises: StepError when it has failed one time more than `retries`, and when it may ask no model any more.
    """
    check_retries(retries, f"step {name}")
    record = await known_step(execution, name, input_digest)
    if record is not None and record.done and not _is_retried(execution, name, record, retries):
        if record.error:
            raise StepError(name, record.error)
        return shape.load(record.result)
    async with execution.at_work():
        if record is None:
            await execution.new(name)
        while True:
            await _until_due(execution, name)
            record = execution.journal.steps.get(name)
            if (
                record is not None
                and record.error
                and record.done
                and not _is_retried(execution, name, record, retries)
            ):
                raise StepError(name, record.error)  # somebody cancelled the wait for its next attempt
            number = record.attempts + 1 if record is not None else 1
            if asks is not None and (problem := execution.budget.problem()):
                raise StepError(name, problem)
            start = StepStart(
                key=name,
                input_sha256=input_digest.sha256,
                attempt=number,
                retries=retries,
                backoff_us=backoff_us,
                asks=asks is not None,
            )
            try:
                return await _attempt(execution, start, shape, begin, asks)
            except StepError:
                tried = execution.state.step(name)
                if tried is None or tried.over:
                    raise


def _is_retried(execution: TaskExecution, name: str, record: StepRecord, retries: int) -> bool:
    """Return whether a failed step is tried again: as the machine decides, in a log of 0.1 as the code does."""
    tried = execution.state.step(name)
    return bool(record.error) and (record.failures <= retries if tried is None else not tried.over)


async def _until_due(execution: TaskExecution, name: str) -> None:
    """Wait until the next attempt of a step may be made; meanwhile nothing runs for it."""
    record = execution.journal.steps.get(name)
    if record is not None and record.waiting:
        await execution.wait_for(lambda: None if record.waiting else True)
    await execution.begin()


async def _attempt(
    execution: TaskExecution, start: StepStart, shape: Shape[T], begin: Callable[[], UserCall], asks: AskedModel | None
) -> T:
    await execution.wait_for(lambda: None if execution.turn_key else True)
    execution.steps += 1
    try:
        await execution.intend(start)
        within = WITHIN.set(start.key)
        try:
            ended = await begin().run()
        finally:
            WITHIN.reset(within)
        made = list[tuple[msgspec.Raw, T]]()
        if ended.error is None:
            ended = attempt(lambda: made.append(write_result(shape, ended.value, f"the result of {start.key}")))
        if ended.error is not None:
            problem, jitter_ppm = words(ended.error), execution.runtime.jitter_ppm() if start.retries else 0
            await execution.fail(_answered(StepEnd(key=start.key, error=problem, jitter_ppm=jitter_ppm), asks))
            raise StepError(start.key, problem) from ended.error
        raw, value = made[0]
        await execution.append(_answered(StepEnd(key=start.key, result=raw), asks))
        return value
    finally:
        execution.steps -= 1
        execution.notify()


def _answered(end: StepEnd, asks: AskedModel | None) -> StepEnd:
    """Add which model was asked, and what that used, if it said so."""
    if asks is None or asks.usage is None:
        return end
    return msgspec.structs.replace(end, model=asks.model, usage=asks.usage)


def check_retries(retries: object, where: str) -> None:
    """Check that a number of retries is a whole number, 0 or more. Raises: ValueError."""
    if type(retries) is not int or retries < 0:
        raise ValueError(f"{where}: retries must be a whole number, 0 or more; found {retries!r}")


def call(function: Callable[..., object], arguments: Sequence[object], named: Mapping[str, object]) -> UserCall:
    """Prepare a call of a function; one that is not async is called in a thread that no process waits for."""
    thread = "" if inspect.iscoroutinefunction(function) else f"step {getattr(function, '__name__', '')}"
    return UserCall(lambda: function(*arguments, **named), thread=thread)


async def run_wait(execution: TaskExecution, start: WaitStart) -> WaitEnd:
    """Wait, or return the recorded end of the wait."""
    key = start.key
    if key in execution.journal.waits:
        execution.visit("wait", key)
    elif key not in execution.journal.ends:
        async with execution.at_work():
            await execution.new(key)
            await execution.idle(start)
    end = execution.journal.ends.get(key)
    if end is not None:
        return end
    async with execution.at_work():
        return await execution.wait_for(lambda: execution.journal.ends.get(key))


def recorded_number(execution: TaskExecution, name: str, make: Callable[[], int]) -> int:
    """Return a number that is made once, and recorded."""
    record = execution.journal.steps.get(name)
    if record is None:
        record = StepRecord(result=to_json(make()), attempts=1, end_seq=1)
        if not execution.state.closing:
            execution.writer.outcome(StepStart(key=name), StepEnd(key=name, result=record.result))
        execution.journal.steps[name] = record
        execution.notify()
    execution.visit("step", name)
    return int(bytes(record.result or b"0"))

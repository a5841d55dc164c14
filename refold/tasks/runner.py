"""Running a session whose task is open: under a lease, from wherever its log stops, to its end or its next wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, Protocol

import msgspec
from msgspec.structs import replace

from eventsource.codec import to_json
from eventsource.durations import duration_text
from eventsource.envelope import Lease
from eventsource.errors import LeaseHeldError, UnknownSessionError
from eventsource.events import AbortRequest, ChildEnd, Resume, StepEnd, TaskEnd, TaskStart, WaitEnd
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.load import load_state
from eventsource.machine.backoff import retry_at_us
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import children_to_end, expired, next_step
from eventsource.messages import Json
from eventsource.runner.advance import perform
from eventsource.runner.lease import check_held, hold
from eventsource.runner.loop import Loop, Program
from eventsource.runner.writer import Writer
from eventsource.user_code.calls import attempt
from eventsource.user_code.error_words import words
from projections.context import ContextView

from ..budget import Budget
from ..child_sessions import child_id, waits_for, waits_for_run
from ..context_fold import CONTEXT
from ..runtime import Runtime
from ..typed_json import Shape, write_result
from .errors import NoTaskError, PathError
from .execution import Finished, TaskExecution

_HELD_S = 0.2


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a task's session stands: how its task ended, or that it waits; and the tokens it used.

    error: what it ended with; of one that is due and waits all the same, why. step: the one that began last. attempt:
    the task's.
    """

    status: Literal["done", "error", "cancelled", "waiting"]
    result: Json = msgspec.UNSET
    error: str = ""
    tokens: int = 0
    step: str = ""
    attempt: int = 0


class AnyTask(Protocol):
    """A task, whatever it takes and returns."""

    @property
    def id(self) -> str:
        """Its name for ever."""
        ...

    @property
    def retries(self) -> int:
        """How often it is tried again."""
        ...

    @property
    def backoff_us(self) -> int:
        """How long after the first failure."""
        ...

    @property
    def max_duration_us(self) -> int | None:
        """How long an attempt may work."""
        ...

    @property
    def token_limit(self) -> int | None:
        """How many tokens it may use."""
        ...

    @property
    def queue(self) -> str:
        """Which workers it is for, as the log has it."""
        ...

    async def call(self, execution: TaskExecution) -> object:
        """Call its function with what its session was given."""
        ...


FindTask = Callable[[str], AnyTask | None]


async def run_task_session(
    runtime: Runtime,
    session: str,
    find: FindTask,
    *,
    root: str = "",
    budget: Budget | None = None,
    lease: Lease | None = None,
    above: Lease | None = None,
) -> TaskOutcome:
    """Run a task's session until the task ends, nothing is left but waiting, or the process is to stop.

    `budget`: its parent's, which counts what it uses. `lease`: the session's, if it was claimed already. `above`: its
    parent's. Who has lost that when it claims the child is not the one who may run it: the parent, which another owner
    may have left waiting for it meanwhile, would never hear of its end.

    Raises: LeaseHeldError when somebody else runs it; NoTaskError; PathError when its code is not what it was recorded
        with; FencedError when another owner took over; what the store raises.
    """
    execution = TaskExecution(runtime, session, root=root, outer=budget)
    async with hold(runtime.log, session, ttl_us=runtime.lease_us, lost=execution.lose, lease=lease) as held:
        if above is not None:
            await check_held(runtime.log, above)
        execution.writer.lease = held.lease
        await execution.load()
        start = execution.journal.start
        is_apart = start is not None and bool(start.parent) and not root
        if is_apart:
            await _join_tree(execution)
        if execution.budget.outer is not None:
            execution.budget.outer.count(session, execution.budget.used)
        try:
            outcome = await _run(execution, find)
        except PathError as error:
            await note_stuck(runtime, session, execution.state, str(error), epoch=held.lease.epoch)
            raise
        if not runtime.stopping.is_set():
            held.seen = execution.writer.head
    if outcome.status != "waiting" and start is not None and is_apart:
        await _wake_parent(runtime, start.parent, session)
    return outcome


async def _join_tree(execution: TaskExecution) -> None:
    """Find the root above a child that runs by itself, and count what those above it and beside it have used so far."""
    log, info = execution.runtime.log, await execution.runtime.log.info(execution.session)
    inner, found = execution.budget, list[tuple[Budget, str, State]]()
    while (above := await waits_for(log, info)) is not None:
        state = (await load_state(log, above.id))[1]
        limit = None if state.policy is None else state.policy.token_limit
        inner.outer = _as_it_stood(f"task {above.task}", limit, state.spent_tokens)
        found.append((inner.outer, above.id, state))
        inner, info, execution.root = inner.outer, above, above.id
    for budget, session, state in found:
        await budget.read(log, session, state.children)


def _as_it_stood(name: str, limit: int | None, spent: int) -> Budget:
    return Budget(name, lambda: limit, lambda: spent)


async def how_it_ended(runtime: Runtime, child: str) -> TaskOutcome:
    """Read how the task of a child ended that others run; while it has not, it is waited for."""
    execution = TaskExecution(runtime, child)
    await execution.load()
    return _outcome(execution)


async def _run(execution: TaskExecution, find: FindTask) -> TaskOutcome:
    start, now_us = execution.journal.start, execution.now_us()
    if start is None:
        raise NoTaskError(execution.session, "")
    if not execution.state.task:
        return _outcome(execution)
    if _is_cancelled(execution):
        return await _cancel(execution)
    await execution.decide_attempts()
    next_at_us = execution.state.retry_at_us
    if next_at_us is not None and now_us < next_at_us:
        execution.writer.outcome(*_expired_waits(execution.state, now_us))
        await execution.writer.flush()
        return _outcome(execution)
    if waits_for_run(execution.state, now_us):
        waited = ", ".join(wait.key for wait in execution.state.waits)
        problem = f"its next attempt comes after the run that was begun in its session, which waits for {waited}"
        return _outcome(execution, problem)
    task = find(start.task)
    if task is None:
        raise NoTaskError(execution.session, start.task)
    execution.token_limit = task.token_limit if execution.state.policy is None else execution.state.policy.token_limit
    execution.budget.name = f"task {start.task}"
    await execution.budget.read(execution.runtime.log, execution.session, execution.state.children)
    if execution.journal.last_step not in execution.state.steps:  # no turn of the task's code
        await _end_run(execution, f"it was left open in a session whose task {start.task} is to go on")
    if next_at_us is not None:
        begun = replace(task_start(task, attempt=execution.state.attempt + 1), queue=start.queue)
        while not (_is_cancelled(execution) or await execution.writer.intend(begun)):
            pass
        execution.token_limit = task.token_limit
    elif not execution.state.stuck and not execution.journal.is_new:
        execution.writer.outcome(_taken_up(execution))
    await execution.writer.flush()
    if not _is_cancelled(execution):
        await _work(execution, task)
    if execution.state.stuck:  # it waits as before: nothing else says that it can be gone on with
        execution.writer.outcome(_taken_up(execution))
        await execution.writer.flush()
    return await _cancel(execution) if _is_cancelled(execution) else _outcome(execution)


def _taken_up(execution: TaskExecution) -> Resume:
    runner = execution.writer.lease.owner if execution.writer.lease is not None else ""
    return Resume(why="wait" if execution.journal.woken or execution.state.waits else "crash", runner=runner)


async def note_stuck(runtime: Runtime, session: str, state: State, problem: str, *, epoch: int | None = None) -> None:
    """Record that nobody can go on with a task's session, once for each reason."""
    if state.task and state.stuck != problem:
        event = Resume(why="stuck", problem=problem)
        await append_admitted(runtime.log, session, admitted([(runtime.clock(), event)]), epoch=epoch)


def _is_cancelled(execution: TaskExecution) -> bool:
    return execution.state.cancelled is not None and bool(execution.state.task)


async def _work(execution: TaskExecution, task: AnyTask) -> None:
    """Run the code, and record how it ended if it did."""
    limit_us = task.max_duration_us
    left_s = None if limit_us is None else (limit_us - execution.journal.worked_us(execution.now_us())) / 1_000_000
    clock = asyncio.timeout(left_s)
    try:
        async with clock:
            finished = await execution.run(lambda: task.call(execution))
            if finished is None:
                return
            ended = words(finished.error) if finished.error is not None else _end(execution, task, finished)
    except TimeoutError:
        if not clock.expired():
            raise
        ended = f"it worked longer than {duration_text(limit_us or 0)}"
    if execution.lost is not None:
        raise execution.lost
    if execution.state.cancelled is None:
        await _end_run(
            execution, f"its task {task.id} ended meanwhile" + (f": {ended}" if isinstance(ended, str) else "")
        )
    if execution.state.cancelled is not None:
        return
    final = clock.expired() or bool(execution.budget.problem())  # another attempt would have nothing left either
    execution.writer.outcome(_failed(execution, task, ended, final=final) if isinstance(ended, str) else ended)
    await execution.decide_attempts()


def task_start(task: AnyTask, attempt: int = 1) -> TaskStart:
    """Build the event that begins an attempt of a task, with how it is to be run."""
    return TaskStart(
        task=task.id,
        attempt=attempt,
        retries=task.retries,
        backoff_us=task.backoff_us,
        token_limit=task.token_limit,
        rules=1,
        queue=task.queue,
    )


def _failed(execution: TaskExecution, task: AnyTask, problem: str, *, final: bool) -> TaskEnd:
    """Build the end of a failed attempt; the machine decides on the next one, or in a log of 0.1 the code."""
    number, jitter_ppm = execution.state.attempt, execution.runtime.jitter_ppm()
    if execution.state.policy is not None:
        again = not final and number <= execution.state.policy.retries
        return TaskEnd(error=problem, final=final, jitter_ppm=jitter_ppm if again else 0)
    if final or number > task.retries:
        return TaskEnd(error=problem)
    at_us = retry_at_us(execution.now_us(), task.backoff_us, failures=number, jitter_ppm=jitter_ppm)
    return TaskEnd(error=problem, retry_at_us=at_us)


def _expired_waits(state: State, now_us: int) -> tuple[WaitEnd, ...]:
    """Build the ends of the expired waits of a failed attempt, so that the session is not due before the next one."""
    return expired(state, now_us) if state.phase is Phase.IDLE else ()


def _end(execution: TaskExecution, task: AnyTask, finished: Finished) -> TaskEnd | str:
    """Make the task's end of its result, or say why that cannot be kept. Raises: PathError."""
    missing = execution.unvisited()
    if missing is not None:
        raise PathError(
            execution.session, missing, "the code ended without coming to this: it took another path than recorded"
        )
    where = f"the result of task {task.id}"
    ended = attempt(lambda: write_result(Shape[object](None), finished.value, where)[0])
    if isinstance(ended.value, msgspec.Raw):
        return TaskEnd(result=ended.value)
    return words(ended.error) if ended.error is not None else "it has no result"


def _outcome(execution: TaskExecution, problem: str = "") -> TaskOutcome:
    end, journal = execution.journal.end, execution.journal
    made = TaskOutcome(
        status="waiting",
        error=problem,
        tokens=execution.state.spent_tokens,
        step=journal.last_step,
        attempt=journal.attempt,
    )
    if end is None or execution.state.task:
        return made
    status: Literal["done", "error", "cancelled"] = "cancelled" if end.cancelled else "error" if end.error else "done"
    return replace(made, status=status, result=end.result, error=end.error)


async def _cancel(execution: TaskExecution) -> TaskOutcome:
    """End a cancelled task as the machine decides: its session's run, its waits, its children, then itself."""
    await _end_run(execution, "its task was cancelled")
    while execution.state.task:
        await end_children(execution.runtime, execution.writer, root=execution.root)
        if not await perform(execution.writer, next_step(execution.state)):
            break
        await execution.writer.flush()
    return _outcome(execution)


async def _end_run(execution: TaskExecution, problem: str) -> None:
    """End the run that is open, or asked for, since nobody goes on with it; its turn fails with it.

    The machine says the steps: calls get a result, an answer is closed. No model is asked, and no tool runs.
    """
    if execution.state.run is None and not execution.state.wanted:
        return
    loop = Loop(execution.writer, Program(model=None, context=CONTEXT, clock=execution.runtime.clock))
    loop.end(AbortRequest(reason="error", cause="callback", error=problem))
    await loop.run(until_agent_end=True)
    if execution.state.cancelled is None:
        await end_children(execution.runtime, execution.writer, root=execution.root)
        if execution.journal.last_step in execution.state.steps:
            execution.writer.outcome(StepEnd(key=execution.journal.last_step, error=problem))
    execution.turn_key = ""


async def end_children(runtime: Runtime, writer: Writer[ContextView], *, root: str = "") -> None:
    """Cancel the children that the machine names, see them end, and put on record that they have."""
    for key in children_to_end(writer.state):
        child = child_id(writer.session, key)
        ended = await cancel_child(runtime, child, root=root or writer.session, above=writer.lease)
        if key in writer.state.children:
            error = to_json(ended.error or "it was cancelled with its parent")
            writer.outcome(ChildEnd(key=key, result=error, is_error=True, tokens=ended.tokens))
    await writer.flush()


async def cancel_child(runtime: Runtime, child: str, *, root: str, above: Lease | None) -> TaskOutcome:
    """Cancel a child and see it end."""
    request = AbortRequest(cause="cancel", error="its parent was cancelled")
    try:
        await append_admitted(runtime.log, child, admitted([(runtime.clock(), request)]), key="cancelled by parent")
    except UnknownSessionError:  # it was to be started when its parent's process ended
        return TaskOutcome(status="cancelled", error="it was cancelled before it began")
    with suppress(NoTaskError):  # its session was made, and no more
        return await run_when_free(runtime, child, lambda task: None, root=root, above=above)
    return TaskOutcome(status="cancelled", error="it was cancelled before it began")


async def run_when_free(
    runtime: Runtime, session: str, find: FindTask, *, root: str, above: Lease | None, budget: Budget | None = None
) -> TaskOutcome:
    """Run a child's session as soon as nobody else holds it; `above` is its parent's lease."""
    while True:
        try:
            return await run_task_session(runtime, session, find, root=root, budget=budget, above=above)
        except LeaseHeldError:
            await asyncio.sleep(_HELD_S)


async def _wake_parent(runtime: Runtime, parent: str, child: str) -> None:
    """Wake a parent whose child was ended by another process, once."""
    woken = admitted([(runtime.clock(), Resume(why="wait"))])
    with suppress(UnknownSessionError):
        await append_admitted(runtime.log, parent, woken, key=f"child {child} ended")


def first_task(tasks: Sequence[AnyTask]) -> FindTask:
    """Find tasks by id among some."""
    known = {task.id: task for task in tasks}
    return known.get

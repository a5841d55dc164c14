"""Running a session under a lease: load it, bring the configuration in, run the loop, hand the session back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from eventsource.background import outlast, stop
from eventsource.envelope import Lease, Recorded
from eventsource.errors import FencedError
from eventsource.events import Event, Resume, Retry, WaitEnd
from eventsource.log.encode import UPDATES
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.machine.config_diff import difference
from eventsource.machine.state import Config, Phase, State
from eventsource.machine.steps import Stop, Suspend, can_continue, children_to_end, resume_reason
from eventsource.runner.lease import hold
from eventsource.runner.loop import Loop, Program
from eventsource.runner.writer import Writer
from projections.context import ContextView, pushed
from projections.lifecycle import Lifecycle, LifecycleEvent

from .budget import Budget
from .child_sessions import due_children
from .context_fold import CONTEXT
from .runtime import CHILD_CONTEXT, ChildContext, Runtime
from .tasks.runner import end_children
from .waits import Waiting, waiting

T = TypeVar("T")

SHIELD_S = 10.0
"""How long a cancelled run may take to give its open calls their results."""
_HAND_BACK = "hand back"


@dataclass(frozen=True)
class SessionRun:
    """How a session stands after it was run: why it stopped, what it waits for, its state, context and new facts."""

    end: Stop | Suspend
    state: State
    view: ContextView
    head: int
    recorded: tuple[Recorded, ...]
    waiting: tuple[Waiting, ...] = ()


async def run_session(
    log: EventLog,
    session: str,
    program: Program[ContextView],
    *,
    wanted: Config | None,
    opening: Sequence[Event] = (),
    resume: bool = False,
    signal: asyncio.Event | None = None,
    listen: Callable[[Recorded], None] | None = None,
    show: Callable[[LifecycleEvent], None] | None = None,
) -> SessionRun:
    """Run a session until nothing is left to do.

    `wanted`: the process's configuration, None to keep the log's. `opening`: inputs appended first, in the same append
    as what differs in the configuration. `resume`: an idle session is to be answered if its last message waits for it.
    `listen` is given each event that comes, `show` what the stream shows of it.

    Raises: LeaseHeldError when somebody else runs it; CancelledError when cancelled, after the run was aborted; see
        `hand_back`.
    """
    recorded: list[Recorded] = []
    stream: Lifecycle | None = None

    def note(events: Sequence[Recorded]) -> None:
        recorded.extend([item for item in events if type(item.event) not in UPDATES])
        if listen is None and show is None:
            return
        for item in events:
            if listen is not None:
                listen(item)
            if stream is not None and show is not None:
                for shown in _shown(stream, item):
                    show(shown)

    writer = Writer(log, session, context=CONTEXT, clock=program.clock, on_commit=note, redact=program.secrets.redact)
    loops: list[Loop[ContextView]] = []

    def lose(error: FencedError) -> None:
        for loop in loops:
            loop.abort()  # what is under way ends at once, and the next append says why

    async with hold(log, session, lost=lose) as held:
        writer.lease = lease = held.lease
        await writer.load()
        stream = await lifecycle_of(writer) if show is not None else None
        woken = await due_children(log, session, writer.state, program.clock())
        ends = [WaitEnd(key=key, outcome="completed") for key in woken]
        change = difference(writer.state.config, wanted) if wanted is not None else None
        changes = [] if change is None else [change]
        writer.outcome(*_resuming(writer.state, lease, idle=resume), *changes, *opening, *ends)
        loop = Loop(writer, program, signal)
        loops.append(loop)
        held.check()
        task = asyncio.create_task(_run(loop, log, program))
        try:
            end = await asyncio.shield(task)
        except asyncio.CancelledError as error:
            await (stop(task, timeout_s=SHIELD_S) if error.args == (_HAND_BACK,) else _abort(loop, task))
            raise
    waits = await waiting(log, session, writer.state, writer.view) if isinstance(end, Suspend) else ()
    return SessionRun(end, writer.state, writer.view, writer.head, tuple(recorded), waits)


def hand_back(task: asyncio.Task[T]) -> None:
    """Cancel a task that awaits a run, and do not end the run: as after a crash, whoever resumes it goes on."""
    task.cancel(_HAND_BACK)


async def lifecycle_of(writer: Writer[ContextView]) -> Lifecycle:
    """Begin the stream of a session where it stands; only what its open run has on record is read."""
    state, view = writer.state, writer.view
    stream = Lifecycle(lambda seq: pushed(view, seq))
    if state.run is not None:
        begun = state.run.start_seq - 1
        async for recorded in read_all(writer.log, writer.session, after=begun, upto=writer.head, updates=False):
            stream.feed(recorded)
    return stream


def _shown(stream: Lifecycle, recorded: Recorded) -> Iterator[LifecycleEvent]:
    if isinstance(recorded.event, Retry):
        yield LifecycleEvent(seq=recorded.seq, at_us=recorded.at_us, event=recorded.event)
    yield from stream.feed(recorded)


async def _run(loop: Loop[ContextView], log: EventLog, program: Program[ContextView]) -> Stop | Suspend:
    """Run the loop, its tools being able to start children; an abort ends those whose call was given up."""
    writer, runtime = loop.writer, Runtime(log=log, clock=program.clock)
    budget = Budget(
        "the run",
        limit=lambda: writer.state.in_force.policies.token_limit or None,
        spent=lambda: writer.state.run.tokens if writer.state.run is not None else 0,
    )
    if writer.state.children:
        await budget.read(log, writer.session, writer.state.children)
    children = ChildContext(runtime, writer, budget)
    CHILD_CONTEXT.set(children)
    end = await loop.run()
    if children.errors:
        raise children.errors[0]
    if children_to_end(writer.state):
        await end_children(runtime, writer)
        if writer.state.closing:
            return await loop.run()
    return end


def _resuming(state: State, lease: Lease, *, idle: bool) -> Sequence[Event]:
    if state.phase is not Phase.IDLE:
        return [Resume(why=resume_reason(state), runner=lease.owner)]
    return [Resume(why="continue", runner=lease.owner)] if idle and can_continue(state) else []


async def _abort(loop: Loop[ContextView], task: asyncio.Task[Stop | Suspend]) -> None:
    """Wait until a cancelled run has settled what is open, for at most `SHIELD_S`, however often it is cancelled."""
    loop.abort()
    with suppress(asyncio.CancelledError):
        await outlast(task, timeout_s=SHIELD_S)
    await stop(task, timeout_s=SHIELD_S)

"""An agent's turns within a task: a whole run of it in the task's session, and agents as tasks of their own."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Protocol, TypeVar

from eventsource import session as core
from eventsource.errors import RefoldError
from eventsource.events import AbortRequest, Event, QueuePush, RepeatedTools, Resume, StepEnd, StepStart, WaitEnd
from eventsource.machine.config_diff import difference
from eventsource.machine.state import Config, State
from eventsource.machine.steps import Suspend, expired, next_step
from eventsource.prompts import Prompt, as_pushes
from eventsource.runner.loop import Loop, Program
from eventsource.runner.writer import Writer
from projections.context import ContextView

from ..inbox_message import InboxMessage
from ..output import Output
from ..run_result import RunResult
from ..runtime import CHILD_CONTEXT, ChildContext
from ..session import Session
from .errors import StepError
from .execution import WITHIN, TaskExecution
from .journal import StepRecord
from .runner import end_children
from .steps import digest, known_step

T = TypeVar("T")


class TurnAgent(Protocol[T]):
    """What a turn needs of an agent: `refold.Agent` has it."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def output(self) -> type[T] | None:
        """The type of its last answer; None: its text."""
        ...

    @property
    def typed_output(self) -> Output[T] | None:
        """How its last answer is read, if it declares a type."""
        ...

    def config(self) -> Config:
        """Return its configuration, as the log records it."""
        ...

    def program(self, session: Session, deps: object, *, tools: RepeatedTools | None = None) -> Program[ContextView]:
        """Return what a run of it in a session needs."""
        ...

    def check_deps(self, deps: object) -> None:
        """Check what its tools are handed. Raises: ArgumentError."""
        ...


class Turn(RunResult[T]):
    """What an agent's turn within a task came to: its answers, and how it ended; `key` names it in the task."""

    def __init__(self, key: str, record: StepRecord, output: Output[T] | None) -> None:
        super().__init__(record.answers, record.ending, record.retried, output)
        self.key = key


async def run_turn(
    execution: TaskExecution, name: str, agent: TurnAgent[T], prompt: Prompt | InboxMessage, deps: object
) -> Turn[T]:
    """Run an agent in the task's session, or return its recorded turn; see `TaskContext.turn`."""
    said = prompt.seq if isinstance(prompt, InboxMessage) else prompt
    input_digest = digest([type(said).__name__, said], name)
    record = await known_step(execution, name, input_digest)
    if record is None or not record.done:
        async with execution.at_work():
            if record is None:
                await execution.new(name)
            await execution.wait_for(lambda: True if execution.turn_key in ("", name) and not execution.steps else None)
            execution.turn_key, execution.turn = name, asyncio.current_task()
            begun = name in execution.state.steps
            try:
                await _run(
                    execution,
                    name,
                    agent,
                    deps,
                    [] if begun else _opening(execution.state, name, input_digest.sha256, prompt),
                )
            finally:
                execution.turn_key, execution.turn = "", None
                execution.notify()
    return Turn(name, execution.journal.steps[name], agent.typed_output)


def _opening(state: State, name: str, input_sha256: str, prompt: Prompt | InboxMessage) -> list[Event]:
    """Build the events that begin a turn; an inbox message that an earlier attempt has answered is asked again."""
    start = StepStart(key=name, input_sha256=input_sha256)
    if isinstance(prompt, InboxMessage) and state.taken is not None and state.taken.seq == prompt.seq:
        return [start, Resume(why="continue", push_seq=prompt.seq)]
    if isinstance(prompt, InboxMessage):
        return [start, QueuePush(queue="prompt", message=prompt.message), Resume(why="continue")]
    return [start, *as_pushes(prompt, where="TaskContext.turn"), Resume(why="continue")]


async def _run(execution: TaskExecution, name: str, agent: TurnAgent[T], deps: object, opening: list[Event]) -> None:
    session = Session(core.SessionHandle(execution.runtime.log, execution.session, clock=execution.runtime.clock))
    program = _within_budget(execution, agent.program(session, deps, tools=execution.state.repeated_tools or "live"))
    if problem := execution.budget.problem():
        raise StepError(name, problem)
    execution.redactors.append(program.secrets.redact)
    change = difference(execution.state.config, agent.config())
    if begins := [*([change] if change is not None else []), *opening]:
        await execution.intend(*begins)
    children = ChildContext(execution.runtime, execution.writer, execution.budget, execution.root)
    parent = CHILD_CONTEXT.set(children)
    within = WITHIN.set(name)
    try:
        while execution.state.run is not None or execution.state.wanted:
            end = await Loop(execution.writer, program).run(until_agent_end=True)
            if children.errors:
                await execution.give_up(children.errors[0])
            if isinstance(end, Suspend):
                await execution.wait_for(lambda: True if _can_go_on(execution) else None)
                await execution.append(*(WaitEnd(key=key, outcome="completed") for key in execution.due_calls()))
        await end_children(execution.runtime, execution.writer, root=execution.root)
    except RefoldError as error:
        await execution.give_up(error)
    finally:
        CHILD_CONTEXT.reset(parent)
        WITHIN.reset(within)
    await execution.append(StepEnd(key=name))


def _can_go_on(execution: TaskExecution) -> bool:
    waits = isinstance(next_step(execution.state), Suspend)
    return not waits or bool(expired(execution.state, execution.now_us())) or bool(execution.due_calls())


def _within_budget(execution: TaskExecution, program: Program[ContextView]) -> Program[ContextView]:
    """Make a turn end before a model call when the budget of the task, or of one further up, is used up."""
    before = program.before_request

    async def ask(writer: Writer[ContextView], aborting: asyncio.Event) -> None:
        if before is not None:
            await before(writer, aborting)
        if problem := execution.budget.problem():
            writer.outcome(AbortRequest(reason="limit", cause="budget", error=problem))

    return dataclasses.replace(program, before_request=ask)

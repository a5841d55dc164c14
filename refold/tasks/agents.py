"""Agents as tasks, and as tools of other agents: each call works in a child session, started at most once."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from eventsource.background import beside
from eventsource.codec import from_json
from eventsource.errors import RefoldError, ToolFailure
from eventsource.events import AbortRequest, ChildEnd, ChildStart
from eventsource.log.admitted import admitted, append_admitted
from eventsource.machine.state import CHILD
from eventsource.prompts import Prompt
from eventsource.tools.context import CallHeld, ToolContext
from eventsource.tools.tool import Tool, tool

from ..child_sessions import child_id, child_wait
from ..runtime import CHILD_CONTEXT, Runtime
from .children import open_child
from .context import TaskContext
from .runner import run_when_free
from .task import Task
from .turns import TurnAgent

T = TypeVar("T")


async def call_child(task: Task[Prompt, T], payload: str, context: ToolContext[object]) -> object:
    """Run a task as the child of a tool call.

    Raises: CallHeld when the child waits; ToolFailure with the child's error.
    """
    parent = CHILD_CONTEXT.get()
    runtime, writer, place = parent.runtime, parent.writer, context.call.place
    key = f"call:{place.message_seq}:{place.content_index}"
    child = child_id(writer.session, key)
    while key not in writer.state.children:
        if writer.state.closing:
            raise ToolFailure("The task was cancelled: it begins nothing more")
        await writer.intend(ChildStart(key=key, child=child, call=place))
    await open_child(runtime, child, task, payload, parent=writer.session)
    root = parent.root or writer.session
    try:
        async with beside(_pass_on(runtime, child, context.signal)):
            outcome = await run_when_free(
                runtime, child, lambda name: task, root=root, budget=parent.budget, above=writer.lease
            )
    except RefoldError as error:
        parent.errors.append(error)
        raise CallHeld(child_wait(key), CHILD) from error
    if outcome.status == "waiting":
        raise CallHeld(child_wait(key), CHILD)
    failed = outcome.status != "done"
    writer.outcome(ChildEnd(key=key, result=outcome.result, is_error=failed, tokens=outcome.tokens))
    parent.budget.has_ended(child)
    if failed:
        raise ToolFailure(outcome.error or f"The agent's work was {outcome.status}")
    return from_json(outcome.result)


async def _pass_on(runtime: Runtime, child: str, signal: asyncio.Event) -> None:
    """Cancel the child when its call is aborted."""
    await signal.wait()
    request = AbortRequest(cause="cancel", error="its call was aborted")
    await append_admitted(runtime.log, child, admitted([(runtime.clock(), request)]))


def agent_tool(agent: TurnAgent[T], name: str, description: str, deps: object) -> Tool:
    """Make a tool of an agent; see `Agent.as_tool`."""
    task = agent_task(agent, deps)

    async def work(prompt: str, context: ToolContext[object]) -> object:
        return await call_child(task, prompt, context)

    return tool(work, name=name, description=description, effect="idempotent")


def agent_task(agent: TurnAgent[T], deps: object = None) -> Task[Prompt, T]:
    """Make a task of an agent: its payload is a prompt in JSON, its result the output or the text."""

    async def run(context: TaskContext, prompt: Prompt) -> T:
        turn = await context.turn(agent, prompt, deps=deps)
        if turn.status != "done":
            raise RuntimeError(f"the agent's run ended as {turn.status}: {turn.error}")
        return turn.output if agent.output is not None else turn.text  # type: ignore[return-value]  # T is str then

    return Task(id=f"agent:{agent.name or 'agent'}", function=run, result=agent.output)

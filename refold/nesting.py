"""Agents as tools of other agents: each call works in a child session, started at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventsource.codec import from_json
from eventsource.errors import ToolFailure
from eventsource.events import AbortRequest, ChildEnd, ChildStart
from eventsource.tool_context import CallHeld, ToolContext
from eventsource.writer import Writer
from projections.context import ContextView

from .children import CHILD, child_id, child_wait
from .execution import Host
from .task_sessions import run_when_free

if TYPE_CHECKING:
    from .tasks import Task


@dataclass(frozen=True)
class Nest:
    """What a tool needs to start children: the process, its session's writer, and how many tokens are left."""

    host: Host
    writer: Writer[ContextView]
    remaining_tokens: Callable[[], int | None]
    root: str = ""


NEST: ContextVar[Nest] = ContextVar("nest")


async def call_child(task: Task[str, object], payload: str, context: ToolContext[object]) -> object:
    """Run a task as the child of a tool call.

    Raises: CallHeld when the child waits; ToolFailure with the child's error.
    """
    from .task_children import open_child

    nest = NEST.get()
    writer, place = nest.writer, context.call.place
    key = f"call:{place.message_seq}:{place.content_index}"
    child = child_id(writer.session, key)
    if key not in writer.state.children:
        writer.outcome(ChildStart(key=key, child=child, call=place))
        await writer.flush()
    await open_child(nest.host, child, task, payload, parent=writer.session)
    passing = asyncio.create_task(_pass_on(nest.host, child, context.signal))
    try:
        root = nest.root or writer.session
        outcome = await run_when_free(
            nest.host, child, lambda name: task, root=root, token_limit=nest.remaining_tokens()
        )
    finally:
        passing.cancel()
        with suppress(asyncio.CancelledError):
            await passing
    if outcome.status == "waiting":
        raise CallHeld(child_wait(key), CHILD)
    failed = outcome.status != "done"
    writer.outcome(ChildEnd(key=key, result=outcome.result, is_error=failed, tokens=outcome.tokens))
    if failed:
        raise ToolFailure(outcome.error or f"The agent's work was {outcome.status}")
    return from_json(outcome.result)


async def _pass_on(host: Host, child: str, signal: asyncio.Event) -> None:
    """Cancel the child when its call is aborted."""
    await signal.wait()
    await host.log.append(child, [(host.clock(), AbortRequest(cause="cancel", error="its call was aborted"))])

"""What a running tool needs to start children of its call; whoever drives a session puts it in place."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from eventsource.errors import RefoldError
from eventsource.runner.writer import Writer
from projections.context import ContextView

from .budget import Budget
from .runtime import Runtime


@dataclass(frozen=True)
class ChildContext:
    """The process, the writer of the parent's session, what it may use, the root session if it is another.

    `errors`: what kept children from going on, which is no result of theirs; for whoever drives the session.
    """

    runtime: Runtime
    writer: Writer[ContextView]
    budget: Budget
    root: str = ""
    errors: list[RefoldError] = field(default_factory=list)


CHILD_CONTEXT: ContextVar[ChildContext] = ContextVar("child_context")

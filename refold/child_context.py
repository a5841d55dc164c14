"""What a running tool needs to start children of its call; whoever drives a session puts it in place."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from eventsource.errors import RefoldError
from eventsource.runner.writer import Writer
from projections.context import ContextView

from .budget import Budget
from .host import Host


@dataclass(frozen=True)
class Nest:
    """The process, the session's writer, what it may use, the root if it is another.

    `broken`: what kept children from going on, which is no result of theirs; for whoever drives the session.
    """

    host: Callable[[], Host]
    writer: Writer[ContextView]
    budget: Budget
    root: str = ""
    broken: list[RefoldError] = field(default_factory=list)


NEST: ContextVar[Nest] = ContextVar("nest")

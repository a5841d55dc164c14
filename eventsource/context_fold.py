"""What the loop needs of the context projection, given to it from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .envelope import Recorded
from .events import Inserted, SeqRange
from .messages import Message
from .request import Request

V = TypeVar("V")
U = TypeVar("U", contravariant=True)


class RequestBuilder(Protocol[U]):
    """Builds the requests of views that follow one another, each at the cost of what came since the one before."""

    def build(self, view: U, selection: Sequence[SeqRange | Inserted] | None = None) -> Request:
        """Build the next request, or the one that a selection describes."""
        ...


@dataclass(frozen=True)
class ContextFold(Generic[V]):
    """The fold of events into what a model is sent.

    `step`: takes one fact; updates are not given to it. `messages`: the context as agent messages. `requests`: begins
    to build requests. `settle`: what is sent of a hook's messages: none but a model's kinds, every call with its
    result. `select`: what those are in terms of the log; None when they are the default request's.
    """

    initial: V
    step: Callable[[V, Recorded], V]
    messages: Callable[[V], tuple[Message, ...]]
    requests: Callable[[], RequestBuilder[V]]
    settle: Callable[[Sequence[Message]], tuple[Message, ...]]
    select: Callable[[V, Sequence[Message]], tuple[SeqRange | Inserted, ...] | None]

"""What the loop needs of the context projection, given to it from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .envelope import Recorded
from .events import Inserted, SeqRange
from .messages import AssistantMessage, Message
from .request import Request

V = TypeVar("V")
U = TypeVar("U", contravariant=True)


class RequestBuilder(Protocol[U]):
    """Builds the requests of views that follow one another, each at the cost of what came since the one before.

    `source`: a list that is only appended to, whose beginning the messages of the last request are; None when there is
    none. Of two requests from one source, whoever hashes them looks at the rest of the second only.
    """

    @property
    def source(self) -> Sequence[Message] | None:
        """Where the last request's messages come from."""
        ...

    def build(self, view: U, selection: Sequence[SeqRange | Inserted] | None = None) -> Request:
        """Build the next request, or the one that a selection describes."""
        ...


@dataclass(frozen=True)
class ContextFold(Generic[V]):
    """The fold of events into what a model is sent.

    `step`: takes one fact; updates are not given to it. `messages`: the context as agent messages. `answer`: the last
    answer among these, at no cost that grows. `requests`: begins to build requests. `settle`: what is sent of a hook's
    messages: none but a model's kinds, every call with its result. `select`: what those are in terms of the log; None
    when they are the default request's.
    """

    initial: V
    step: Callable[[V, Recorded], V]
    messages: Callable[[V], tuple[Message, ...]]
    answer: Callable[[V], AssistantMessage | None]
    requests: Callable[[], RequestBuilder[V]]
    settle: Callable[[Sequence[Message]], tuple[Message, ...]]
    select: Callable[[V, Sequence[Message]], tuple[SeqRange | Inserted, ...] | None]

"""What folds over a session's log answer."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventsource.events import ModelRef, Place, QueueName
from eventsource.request import Request
from projections.calls import CallView
from projections.pairing import ContextMessage

from ...status import SessionStatus
from ...waits import Waiting
from .links import LONGEST_S
from .values import Anything, PageSize, Seq


class QueuedMessage(msgspec.Struct, frozen=True):
    """A message that waits to be delivered: the seq of its push."""

    seq: int
    queue: QueueName
    role: str


class OpenCall(msgspec.Struct, frozen=True):
    """A call of the batch under way: its tool, whether it was begun and has ended, and the wait that holds it back."""

    place: Place
    name: str
    started: bool
    ended: bool
    waits_for: str


class StateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stands at a seq.

    `phase` is the machine's; `standing` says it in words. `waits_for`: keys of the waits that are open.
    """

    session: str
    at: int
    phase: str
    standing: str
    stands: SessionStatus
    model: ModelRef | None
    system_prompt: str
    tools: tuple[str, ...]
    queue: tuple[QueuedMessage, ...]
    calls: tuple[OpenCall, ...]
    waits_for: tuple[str, ...]
    task: str
    attempt: int


class RequestAnswer(msgspec.Struct, frozen=True):
    """What a model was, or would next be, sent: model, system prompt, tools, options and messages."""

    session: str
    request: Request


class WhyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`at`: a seq; the head by default. `limit`: only the last so many messages, and so many changes."""

    at: Seq | None = None
    limit: PageSize = 50


class MessagesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`at`: a seq; the head by default. `start`: how many messages are passed over, the `next` of the page before."""

    at: Seq | None = None
    start: Seq = 0
    limit: PageSize = 1000


class MessageList(msgspec.Struct, frozen=True):
    """Messages of the context at a seq, in order, each with its name (`seq`), by which it is hidden or replaced.

    `in_all`: how many there are. `next`: the `start` of the page behind it, with this `at`, if there is one.
    """

    session: str
    at: int
    messages: tuple[ContextMessage, ...]
    in_all: int
    next: int | None


class CallList(msgspec.Struct, frozen=True):
    """Tool calls, in the order in which they were made."""

    session: str
    calls: tuple[CallView, ...]


class WaitsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`expires_s`: for how many seconds the links can be used; a week by default."""

    expires_s: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_S)] = 7 * 24 * 3600


class WaitLink(msgspec.Struct, frozen=True):
    """A wait or an open token, in words, and a link with which whoever has it decides it, once, until it expires.

    One that ends by itself, or by a message, has no link.
    """

    wait: Waiting
    token: str
    words: str
    url: str = ""
    expires_at_us: int | None = None


class WaitList(msgspec.Struct, frozen=True):
    """What a session waits for, and what the agents and tasks it waits for do."""

    session: str
    waits: tuple[WaitLink, ...]


class MetadataAnswer(msgspec.Struct, frozen=True):
    """Named values of a task: the last of each."""

    session: str
    metadata: dict[str, Anything]


class StreamQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the seq of the last item of the page before."""

    after: Seq = 0
    limit: PageSize = 1000


class StreamItem(msgspec.Struct, frozen=True):
    """An item of a named stream, with the seq and the time (UTC microseconds) of its event."""

    seq: int
    at_us: int
    item: Anything


class StreamPage(msgspec.Struct, frozen=True):
    """Items of a named stream, in order; `next`: the `after` of the page behind it, if there may be one."""

    session: str
    name: str
    items: tuple[StreamItem, ...]
    next: int | None = None

"""What is done to a session: say something, decide, label, fork, end it. Each is one verb of `refold.Session`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import SessionInfo
from eventsource.prompts import as_messages

from ..problems import ProblemError
from ..routes import Call, Nothing, Route
from .parameters import Anything, Head, Seq, Text, session_of


class MessageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message, and where it waits: before the next model call, at the end of the run, or for a task's code.

    `message`: a text, or a message as JSON; in the inbox any JSON. `key`: as the header Idempotency-Key.
    """

    queue: Literal["steering", "follow_up", "inbox"]
    message: Anything
    key: Text | None = None


class AbortBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the run under way is to end, and who says so."""

    error: Text = ""
    by: Text = ""


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the task is to end."""

    reason: Text = ""


class LabelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bookmark at a seq (an empty text removes it); without a seq, the session's title."""

    text: Text
    seq: Seq | None = None


class DecisionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a wait ends: a call is approved or not, with other arguments if given; a token gets its value.

    `wait`: its key, or `session:key` (also a child's). `outcome`: `cancelled` lets the run go on without an answer.
    """

    wait: Text
    value: Anything | msgspec.UnsetType = msgspec.UNSET
    approve: bool | None = None
    reason: Text = ""
    arguments: dict[str, msgspec.Raw] | None = None
    outcome: Literal["completed", "cancelled"] = "completed"
    decided_by: Text = ""


class ForkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fork begins: at a seq or bookmark (else the head), or before a message, named by its seq.

    `edit`: with `before`, what is said in that message's place; it is queued in the fork, and a run delivers it.
    """

    at: Seq | Text | None = None
    before: Seq | None = None
    edit: Anything | msgspec.UnsetType = msgspec.UNSET
    title: Text = ""


async def push_message(call: Call[Nothing, MessageBody]) -> Head:
    """Queue a message for a run under way, or for the code of a task; a repeated key changes nothing."""
    session, body = await session_of(call), call.body
    message, key = from_json(body.message), call.key or body.key
    match body.queue:
        case "steering":
            head = await session.core.steer(list(as_messages(message, where="message")), key=key)
        case "follow_up":
            head = await session.core.follow_up(list(as_messages(message, where="message")), key=key)
        case "inbox":
            head = await session.send(message, key=key)
    return Head(session.id, head)


async def abort(call: Call[Nothing, AbortBody]) -> Head:
    """Ask the run under way to end; it reaches a runner in any process. In an idle session it has no effect."""
    session = await session_of(call)
    return Head(session.id, await session.abort(error=call.body.error, by=call.body.by))


async def cancel(call: Call[Nothing, CancelBody]) -> Head:
    """Ask the session's task to end, and its children."""
    session = await session_of(call)
    return Head(session.id, await session.cancel(call.body.reason))


async def label(call: Call[Nothing, LabelBody]) -> Head:
    """Set a bookmark, or the session's title."""
    session = await session_of(call)
    return Head(session.id, await session.label(call.body.text, call.body.seq))


async def decide(call: Call[Nothing, DecisionBody]) -> Head:
    """End a wait; the first decision counts. What does not fit is refused, and the wait stays open."""
    session, body = await session_of(call), call.body
    arguments: Mapping[str, object] | None = None
    if body.arguments is not None:
        arguments = {name: from_json(value) for name, value in body.arguments.items()}
    head = await session.decide(
        body.wait,
        from_json(body.value),
        approve=body.approve,
        reason=body.reason,
        arguments=arguments,
        outcome=body.outcome,
        decided_by=body.decided_by,
    )
    return Head(session.id, head)


async def fork(call: Call[Nothing, ForkBody]) -> SessionInfo:
    """Create a session that shares this one's events up to a seq or bookmark, or before a message."""
    session, body = await session_of(call), call.body
    if body.at is not None and body.before is not None:
        raise ProblemError(422, "the body: a fork begins at a seq or before a message: give one of at and before")
    if isinstance(body.edit, msgspec.UnsetType):
        forked = await session.fork(at=body.at, before=body.before, title=body.title, key=call.key)
    elif body.before is None:
        raise ProblemError(422, "the body: edit goes with before: it is said in that message's place")
    else:
        said = list(as_messages(from_json(body.edit), where="edit"))
        forked = await session.edit(body.before, said, title=body.title, key=call.key)
    return await forked.info()


def _verb(name: str, does: Callable[..., Awaitable[msgspec.Struct]], *, status: int = 200, key: bool = False) -> Route:
    return Route(
        method="POST",
        path=f"/v1/sessions/{{session}}/{name}",
        does=does,
        tag="verbs",
        status=status,
        errors=(404, 409),
        writes=True,
        takes_key=key,
        takes_match=True,
    )


VERBS = (
    _verb("messages", push_message, key=True),
    _verb("abort", abort),
    _verb("cancel", cancel),
    _verb("labels", label),
    _verb("decisions", decide),
    _verb("forks", fork, status=201, key=True),
)

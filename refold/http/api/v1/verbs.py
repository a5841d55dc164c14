"""What is done to a session: say something, decide, label, fork, end it. Each is one verb of `refold.Session`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import SessionInfo
from eventsource.errors import ConflictError, SessionExistsError
from eventsource.messages import Message
from eventsource.prompts import as_message, as_messages

from ....child_sessions import child_id
from ....session import Session
from ...interface.values import Head
from ...interface.verbs import (
    AbortBody,
    AdoptBody,
    Adopted,
    CancelBody,
    DecisionBody,
    ForkBody,
    LabelBody,
    MessageBody,
    NamedMessage,
    ReplacedMessage,
)
from ..problems import ProblemError
from ..routes import Call, Nothing, Route
from .parameters import session_of


async def push_message(call: Call[Nothing, MessageBody]) -> Head:
    """Queue a message for a run under way, or for the code of a task; a repeated key changes nothing."""
    session, body = await session_of(call), call.body
    message, key = from_json(body.message), call.key or body.key
    match body.queue:
        case "steering":
            head = await session.core.steer(list(as_messages(message, where="message")), key=key)
        case "follow_up":
            head = await session.core.follow_up(list(as_messages(message, where="message")), key=key)
        case "prompt":
            head = await session.core.push("prompt", *as_messages(message, where="message"), key=key)
        case "inbox":
            head = await session.send(message, key=key)
    return Head(session.id, head)


async def abort(call: Call[Nothing, AbortBody]) -> Head:
    """Ask the run under way to end; it reaches a runner in any process. In an idle session it has no effect."""
    session = await session_of(call)
    return Head(session.id, await session.abort(call.body.reason, error=call.body.error, by=call.body.by))


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


async def hide(call: Call[Nothing, NamedMessage]) -> Head:
    """Keep a message from the model from now on, with its calls' results; it stays in the history."""
    session = await session_of(call)
    return Head(session.id, await session.hide(call.body.message))


async def replace(call: Call[Nothing, ReplacedMessage]) -> Head:
    """Replace a message by another for the model, from now on; a text keeps its role and calls."""
    session = await session_of(call)
    return Head(session.id, await session.replace(call.body.message, instead_of(call.body)))


def instead_of(one: ReplacedMessage) -> str | Message:
    """Return what the model reads in a message's place. Raises: ArgumentError."""
    new = from_json(one.new)
    return new if isinstance(new, str) else as_message(new, where="replace")


async def adopt(call: Call[Nothing, AdoptBody]) -> Adopted:
    """Copy messages of another session into this idle one, calls together with their results."""
    session, body = await session_of(call), call.body
    if bool(body.messages) == (body.between is not None):
        raise ProblemError(422, "the body: messages are adopted by their names or between two: give one of both")
    source = await call.served.log.store.resolve(body.source, prefix=False)
    chosen = list(body.messages) if body.between is None else range(*body.between)
    seqs = await session.adopt(chosen, from_=await call.served.log.find(source))
    return Adopted(session.id, (await session.info()).head, seqs)


async def fork(call: Call[Nothing, ForkBody]) -> SessionInfo:
    """Create a session that shares this one's events up to a seq or bookmark, or before a message."""
    session, body = await session_of(call), call.body
    if body.at is not None and body.before is not None:
        raise ProblemError(422, "the body: a fork begins at a seq or before a message: give one of at and before")
    if body.name is not None or body.keeps is not None:
        return await _fork_named(call, session)
    if isinstance(body.edit, msgspec.UnsetType):
        forked = await session.fork(at=body.at, before=body.before, title=body.title, key=call.key, tools=body.tools)
    elif body.before is None:
        raise ProblemError(422, "the body: edit goes with before: it is said in that message's place")
    else:
        said = list(as_messages(from_json(body.edit), where="edit"))
        forked = await session.edit(body.before, said, title=body.title, key=call.key, tools=body.tools)
    return await forked.info()


async def _fork_named(call: Call[Nothing, ForkBody], session: Session) -> SessionInfo:
    """Fork as a store does: at a seq, under an id of its own, keeping what it is told to."""
    body, handle = call.body, session.core
    head = (await handle.info()).head
    at = head if body.at is None else body.at
    if not isinstance(at, int) or body.before is not None or not isinstance(body.edit, msgspec.UnsetType):
        raise ProblemError(422, "the body: name and keeps go with a fork at a seq, without before and edit")
    if call.key is not None and body.name is not None:
        raise ProblemError(422, "the body: a fork has a name, or a key that makes one: give one of them")
    if handle.expected not in (None, head):
        raise ConflictError(session.id, handle.expected, head)
    name = child_id(f"fork {session.id}", call.key) if call.key is not None else body.name
    log = handle.log
    try:
        return await log.fork(
            session.id,
            at,
            at_us=handle.clock(),
            session=name,
            title=body.title,
            keeps=body.keeps,
            repeated_tools=body.tools,
        )
    except SessionExistsError as error:
        if call.key is None:
            raise
        return await log.info(error.session)


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
    _verb("hide", hide),
    _verb("replace", replace),
    _verb("adopt", adopt),
    _verb("forks", fork, status=201, key=True),
)

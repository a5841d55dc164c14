"""What the page does to a session, each by one verb of `refold.Session`; a fork is looked at before it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.responses import Response

from eventsource.codec import from_json
from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSeqError
from eventsource.events import ConfigChange, RepeatedTools
from eventsource.messages import UserMessage
from eventsource.prompts import as_messages
from projections.context import entry_of
from replay.repeated_calls import calls_behind

from ....models import recorded_ref
from ....session import Session
from ....views.forking import ForkChange, ForkPreview, edits, fork_preview
from ....views.index import At
from ...interface.beginnings import PromptBody, RunAnswer, WaitQuery
from ...interface.values import Anything, Head, Seq, Text
from ...interface.verbs import (
    MOST_EDITS,
    AbortBody,
    AdoptBody,
    Adopted,
    DecisionBody,
    LabelBody,
    NamedMessage,
    ReplacedMessage,
)
from ..problems import ProblemError
from ..routes import Call, Nothing, Route, json_response
from ..v1 import beginnings, verbs
from ..v1.parameters import session_of
from .parameters import at_in


class ForkQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`dry_run`: makes nothing, and answers what the fork would be."""

    dry_run: bool = False


class PageFork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fork begins, at a seq (else the head) or before a message, and what is otherwise in it.

    `edit`: with `before`, what is said in that message's place; it is queued, and a run delivers it. `replace`, `hide`:
    messages of the context there. `tools`: what becomes of calls with an effect that the original made behind that
    place, when the fork makes them again: made (`live`), answered with what is on record (`recorded`), or asked about.
    `system_prompt`, `model` (`vendor:model`), `options`, `without_tools`: hold until an
    agent that runs the fork wants it otherwise.
    """

    at: Seq | None = None
    before: Seq | None = None
    edit: Anything | msgspec.UnsetType = msgspec.UNSET
    title: Text = ""
    replace: Annotated[tuple[ReplacedMessage, ...], msgspec.Meta(max_length=MOST_EDITS)] = ()
    hide: Annotated[tuple[Seq, ...], msgspec.Meta(max_length=MOST_EDITS)] = ()
    system_prompt: str | None = None
    model: Text | None = None
    options: Anything | msgspec.UnsetType = msgspec.UNSET
    without_tools: bool = False
    tools: RepeatedTools | None = None


class SaidBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text, or a message as JSON (for a task: any JSON). `key`: as the header Idempotency-Key."""

    message: Anything
    key: Text | None = None


async def fork_session(call: Call[ForkQuery, PageFork]) -> Response:
    """Make a fork with what is otherwise in it, or, as a dry run, answer what it would be.

    The preview says what the fork's next request is otherwise than the original's, which calls it might make again, and
    what then becomes of each. The original is never written.
    """
    session, body = await session_of(call), call.body
    if body.at is not None and body.before is not None:
        raise ProblemError(422, "the body: a fork begins at a seq or before a message: give one of at and before")
    if not isinstance(body.edit, msgspec.UnsetType) and body.before is None:
        raise ProblemError(422, "the body: edit goes with before: it is said in that message's place")
    place = await _place(call, session)
    change = _change(body)
    events = tuple(edits(place, change))  # what cannot be done is refused before anything is made
    if call.query.dry_run:
        made = await calls_behind(session.core.log, session.id, place.seq)
        return json_response(fork_preview(place, change, await _behind(call, place), made))
    if change.said and body.before is not None:
        forked = await session.edit(body.before, list(change.said), title=body.title, tools=body.tools)
    else:
        forked = await session.fork(at=body.at, before=body.before, title=body.title, tools=body.tools)
    if events:
        await forked.append(events)
    return json_response(await forked.info(), 201)


async def _place(call: Call[ForkQuery, PageFork], session: Session) -> At:
    """Return the session where the fork begins. Raises: UnknownSeqError."""
    body = call.body
    if body.before is None:
        return await at_in(call, session.id, body.at)
    at, _ = await session.core.place_before(body.before)
    if not isinstance(body.edit, msgspec.UnsetType):
        said = entry_of((await at_in(call, session.id, body.before)).view, body.before)
        if said is None or not isinstance(said.message, UserMessage):
            raise UnknownSeqError(session.id, body.before, (await session.info()).head, "no user message of this name")
    return await at_in(call, session.id, at)


async def _behind(call: Call[ForkQuery, PageFork], place: At) -> At:
    """Return the original at its first request behind a seq, or at its head."""
    calls = place.whole.columns.calls
    first = calls.place(place.seq + 1)
    return await at_in(call, place.info.id, calls.seqs[first] if first < len(calls) else None)


def _change(body: PageFork) -> ForkChange:
    said = () if isinstance(body.edit, msgspec.UnsetType) else as_messages(from_json(body.edit), where="edit")
    config = ConfigChange(
        model=recorded_ref(body.model) if body.model is not None else None,
        system_prompt=body.system_prompt,
        options=body.options,
        tools=() if body.without_tools else None,
    )
    if body.model is not None and ":" not in body.model:
        raise ProblemError(422, f"the body: model: expected vendor:model, found {body.model[:100]!r}")
    if not isinstance(body.options, msgspec.UnsetType) and not isinstance(from_json(body.options), dict):
        raise ProblemError(422, "the body: options: expected a JSON object")
    replaced = {one.message: verbs.instead_of(one) for one in body.replace}
    return ForkChange(
        said=said, replaced=replaced, hidden=body.hide, config=config if config != ConfigChange() else None
    )


async def say(call: Call[Nothing, SaidBody], queue: str) -> Head:
    """Queue a message."""
    session, body = await session_of(call), call.body
    message, key = from_json(body.message), call.key or body.key
    if queue == "inbox":
        return Head(session.id, await session.send(message, key=key))
    said = list(as_messages(message, where="message"))
    verb = session.core.steer if queue == "steering" else session.core.follow_up
    return Head(session.id, await verb(said, key=key))


async def steer_session(call: Call[Nothing, SaidBody]) -> Head:
    """Queue a message for a run under way: it is delivered before the next model call."""
    return await say(call, "steering")


async def follow_up_session(call: Call[Nothing, SaidBody]) -> Head:
    """Queue a message that is delivered when the run would otherwise end."""
    return await say(call, "follow_up")


async def send_session(call: Call[Nothing, SaidBody]) -> Head:
    """Send a message to the inbox of a task."""
    return await say(call, "inbox")


async def label_session(call: Call[Nothing, LabelBody]) -> Head:
    """Set a bookmark, or the session's title."""
    return await verbs.label(call)


async def decide_session(call: Call[Nothing, DecisionBody]) -> Head:
    """End a wait; the first decision counts. What does not fit is refused, and the wait stays open."""
    return await verbs.decide(call)


async def abort_session(call: Call[Nothing, AbortBody]) -> Head:
    """Ask the run under way to end."""
    return await verbs.abort(call)


async def adopt_messages(call: Call[Nothing, AdoptBody]) -> Adopted:
    """Copy messages of another session into this idle one, calls together with their results."""
    return await verbs.adopt(call)


async def hide_message(call: Call[Nothing, NamedMessage]) -> Head:
    """Keep a message from the model from now on; it stays in the history."""
    return await verbs.hide(call)


async def replace_message(call: Call[Nothing, ReplacedMessage]) -> Head:
    """Replace a message by another for the model, from now on; a text keeps its role and calls."""
    return await verbs.replace(call)


async def run_session(call: Call[WaitQuery, PromptBody]) -> Response:
    """Say something to the session's agent, and run until nothing is left to do."""
    return await beginnings.run(call)


async def resume_session(call: Call[WaitQuery, Nothing]) -> Response:
    """Go on with a session from wherever its log stops."""
    return await beginnings.resume(call)


def _verb(name: str, does: Callable[..., Awaitable[msgspec.Struct]], *, key: bool = False) -> Route:
    return Route(
        method="POST",
        path=f"/api/sessions/{{session}}/{name}",
        does=does,
        tag="page",
        errors=(404, 409),
        writes=True,
        is_marked=True,
        takes_key=key,
        takes_match=True,
    )


def _run(name: str, does: Callable[..., Awaitable[Response]], *, key: bool = False) -> Route:
    return Route(
        method="POST",
        path=f"/api/sessions/{{session}}/{name}",
        does=does,
        tag="page",
        also={200: (RunAnswer,), 202: (Head,)},
        errors=(404, 409),
        writes=True,
        runs=True,
        is_marked=True,
        takes_key=key,
        takes_match=key,
    )


WRITING = (
    Route(
        method="POST",
        path="/api/sessions/{session}/forks",
        does=fork_session,
        tag="page",
        also={200: (ForkPreview,), 201: (SessionInfo,)},
        errors=(404, 409),
        writes=True,
        is_marked=True,
        takes_match=True,
    ),
    _verb("labels", label_session),
    _verb("adopt", adopt_messages),
    _verb("hide", hide_message),
    _verb("replace", replace_message),
    _verb("decide", decide_session),
    _verb("steer", steer_session, key=True),
    _verb("follow-up", follow_up_session, key=True),
    _verb("send", send_session, key=True),
    _verb("abort", abort_session),
    _run("run", run_session, key=True),
    _run("resume", resume_session),
)

"""Deciding by a link: whoever has it sees the question, and answers it, once."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from eventsource import session as core
from eventsource.codec import from_json, read_object
from eventsource.errors import RefoldError, UnknownSessionError, WaitOverError
from eventsource.events import WaitEnd
from eventsource.log.load import read_all
from eventsource.machine.approvals import REASON, verdict
from eventsource.machine.state import State

from ....waits import Waiting, load_waiting
from ...interface.links import Decided, LinkBody
from ..link_page import decided_page, missing_page, outcome_words, question_page, typed_value
from ..links import Link, no_link, read_link
from ..problems import ProblemError, problem_of
from ..routes import Call, Nothing, Route, json_response, problem_response

FORM = "application/x-www-form-urlencoded"
PAGE = "text/html"
ANSWERED = ("", REASON, "in_doubt", "repeat")
"""The reasons of waits that a link decides; others end by themselves, or by a message."""


async def show_question(call: Call[Nothing, Nothing]) -> Response:
    """Show the question, and buttons that answer it, on a page for a browser."""
    try:
        link = read_link(call.served.token, call.path["signed"], call.served.log.clock())
        wait, state, end = await _look(call, link)
        if end is not None:
            return decided_page(outcome_words(end.outcome, from_json(end.value)), again=True)
        info = await call.served.log.store.info(link.session)
        token = state.token(link.key)
        schema = read_object(token.value_schema) if token is not None else {}
        return question_page(info.title or info.first_words, wait, schema)
    except (RefoldError, ProblemError) as error:
        said = problem_of(error)
        return missing_page(said.status, said.detail)


async def answer(call: Call[Nothing, LinkBody]) -> Response:
    """Decide the wait, once: the same answer again is told that it was taken, another one (409) that it was not.

    A link that is wrong, expired or another session's is answered 404, whatever it names. What does not fit the wait
    is refused (422), and the wait stays open.
    """
    is_form = call.headers.get("content-type", "").startswith(FORM)
    try:
        link = read_link(call.served.token, call.path["signed"], call.served.log.clock())
        done = await _decide(call, link)
        return decided_page(done.outcome) if is_form else json_response(done)
    except (RefoldError, ProblemError) as error:
        if not is_form:
            return problem_response(error)
        said = problem_of(error)
        return missing_page(said.status, said.detail)


async def _decide(call: Call[Nothing, LinkBody], link: Link) -> Decided:
    log, body = call.served.log, call.body
    wait, _, end = await _look(call, link)
    value = _value(body, wait if end is None else None)
    if end is None:
        handle = core.SessionHandle(log.store, link.session, clock=log.clock)
        try:
            head = await handle.decide(link.key, value, outcome=body.outcome, decided_by=body.by or "link")
            return Decided(link.session, head, outcome_words(body.outcome, value))
        except WaitOverError:  # somebody else was quicker
            _, _, end = await _look(call, link)
            if end is None:
                raise
    if end.outcome != body.outcome or (end.outcome == "completed" and from_json(end.value) != value):
        raise ProblemError(409, f"it was decided before: {outcome_words(end.outcome, from_json(end.value))}")
    head = (await log.store.info(link.session)).head
    return Decided(link.session, head, outcome_words(end.outcome, value))


def _value(body: LinkBody, wait: Waiting | None) -> object:
    """Return what a wait is decided with. Raises: ProblemError when nothing, or more than one thing, was said."""
    if body.outcome == "cancelled":
        return None
    said = [body.approve is not None, not isinstance(body.value, msgspec.UnsetType), body.text is not None]
    if said.count(True) != 1:
        raise ProblemError(422, "say one of: approve, value, text; or the outcome cancelled")
    if body.approve is not None:
        return from_json(verdict(approve=body.approve, reason=body.reason))
    if body.text is not None:
        return typed_value(body.text)
    return from_json(body.value)


async def _look(call: Call[Nothing, msgspec.Struct], link: Link) -> tuple[Waiting, State, WaitEnd | None]:
    """Find what a link decides: it is open, or it has ended. Raises: ProblemError when it is in the log no more."""
    log = call.served.log
    try:
        state = await core.SessionHandle(log.store, link.session, clock=log.clock).state()
        found = next((one for one in await load_waiting(log.store, link.session) if one.key == link.key), None)
    except UnknownSessionError as error:
        raise no_link() from error
    named = Waiting(session=link.session, key=link.key)
    if found is not None and found.session == link.session and found.reason in ANSWERED:
        return found, state, None
    token = state.token(link.key)
    if token is not None and token.end is None:
        return named, state, None
    ended = [
        one.event
        async for one in read_all(log.store, link.session, updates=False)
        if isinstance(one.event, WaitEnd) and one.event.key == link.key
    ]
    if not ended:
        raise no_link()
    return named, state, ended[-1]


LINKS = (
    Route(
        method="GET",
        path="/v1/tokens/{signed}",
        does=show_question,
        tag="links",
        also={200: (PAGE,), 404: (PAGE,), 409: (PAGE,)},
        is_open=True,
    ),
    Route(
        method="POST",
        path="/v1/tokens/{signed}",
        does=answer,
        tag="links",
        also={200: (Decided, PAGE), 404: (PAGE,), 409: (PAGE,), 422: (PAGE,)},
        errors=(404, 409),
        writes=True,
        is_open=True,
        takes_forms=True,
    ),
)

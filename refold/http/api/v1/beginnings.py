"""Making sessions and runs: an empty session, a run of a task for a worker, and runs of an agent in this process."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from eventsource.codec import from_json
from eventsource.envelope import SessionInfo
from eventsource.errors import SessionExistsError
from eventsource.messages import Message
from eventsource.prompts import as_messages

from ....child_sessions import child_id
from ....run import Run
from ....session import Session
from ...interface.beginnings import NewSession, PromptBody, RunAnswer, WaitQuery
from ...interface.values import Head
from ..problems import ProblemError
from ..routes import B, Call, Nothing, Route, json_response
from .parameters import session_of


async def create(call: Call[Nothing, NewSession]) -> SessionInfo:
    """Create a session, or start a run of a task, which a worker then runs."""
    body, log = call.body, call.served.log
    key = call.key or body.key
    if body.task is not None:
        if body.name is not None or body.named is not None or body.title:
            raise ProblemError(422, "the body: a run of a task has no name and title of its own; give a key")
        task = call.served.tasks.get(body.task)
        if task is None:
            known = ", ".join(sorted(call.served.tasks)) or "none; `refold serve --tasks MODULE` names some"
            raise ProblemError(422, f"the body: no task {body.task!r} is known here, but {known}")
        run = await task.trigger(log, from_json(body.payload), key=key, tags=body.tags)
        return await run.session.info()
    if not isinstance(body.payload, msgspec.UnsetType) or body.tags:
        raise ProblemError(422, "the body: payload and tags go with a task")
    if body.named is not None:
        if body.name is not None or body.title or key is not None:
            raise ProblemError(422, "the body: named goes without name, title and key: it finds, or makes one")
        return await log.store.info(await log.store.named(body.named))
    name = body.name if body.name is not None or key is None else child_id("session", key)
    try:
        return await log.store.create(name, title=body.title)
    except SessionExistsError as error:
        if key is None:
            raise
        return await log.store.info(error.session)


async def run(call: Call[WaitQuery, PromptBody]) -> Response:
    """Say something to the session's agent, and run until nothing is left to do.

    202: the prompt is on record, and the run goes on here. With `wait`, 200 when it has ended meanwhile.
    """
    said = as_messages(from_json(call.body.prompt), where="prompt")
    return await _run(call, await session_of(call), said, call.key or call.body.key)


async def resume(call: Call[WaitQuery, Nothing]) -> Response:
    """Go on with a session from wherever its log stops: after a crash, a wait, a failed answer, or in a fork."""
    return await _run(call, await session_of(call), (), None)


async def _run(call: Call[WaitQuery, B], session: Session, said: tuple[Message, ...], key: str | None) -> Response:
    runs = call.served.runs
    if runs is None:
        raise ProblemError(404, "this server runs nothing")
    head = await runs.begin(session, said, key)
    if call.query.wait:
        done = await runs.wait(session.id, call.query.wait)
        if done is not None:
            return json_response(_answer(done))
    return json_response(Head(session.id, head), 202)


def _answer(done: Run[object]) -> RunAnswer:
    return RunAnswer(done.session.id, done.head, done.status, done.text, done.error, done.usage)


BEGINNINGS = (
    Route(
        method="POST",
        path="/v1/sessions",
        does=create,
        tag="sessions",
        status=201,
        errors=(409,),
        writes=True,
        takes_key=True,
    ),
    Route(
        method="POST",
        path="/v1/sessions/{session}/run",
        does=run,
        tag="runs",
        also={200: (RunAnswer,), 202: (Head,)},
        errors=(404, 409),
        writes=True,
        runs=True,
        takes_key=True,
        takes_match=True,
    ),
    Route(
        method="POST",
        path="/v1/sessions/{session}/resume",
        does=resume,
        tag="runs",
        also={200: (RunAnswer,), 202: (Head,)},
        errors=(404, 409),
        writes=True,
        runs=True,
    ),
)

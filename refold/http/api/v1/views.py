"""Views of a session: folds over its log at the head, or at a seq."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from eventsource.events import MetadataSet, StreamUpdate
from eventsource.log.load import load, read_pages
from projections import CALLS, tool_calls
from replay.why import Why
from replay.why_text import standing_text

from ....spending import Spending, spending
from ....status import find_status, status_at
from ....waits import Waiting, load_waiting
from ...interface.values import AtQuery
from ...interface.views import (
    CallList,
    MessageList,
    MessagesQuery,
    MetadataAnswer,
    OpenCall,
    QueuedMessage,
    RequestAnswer,
    StateAnswer,
    StreamItem,
    StreamPage,
    StreamQuery,
    WaitLink,
    WaitList,
    WaitsQuery,
    WhyQuery,
)
from ..links import signed_url
from ..routes import Call, Nothing, Route
from .links import ANSWERED
from .parameters import session_of


async def read_state(call: Call[AtQuery, Nothing]) -> StateAnswer:
    """Read where the session stands, or stood at a seq."""
    session = await session_of(call)
    state, info = await session.state(call.query.at), await session.info()
    at = info.head if call.query.at is None else call.query.at
    config, batch = state.config, state.batch
    return StateAnswer(
        session=session.id,
        at=at,
        phase=state.phase.value,
        standing=standing_text(state),
        stands=await find_status(session.core.log, info) if at == info.head else status_at(state),
        model=config.model,
        system_prompt=config.system_prompt,
        tools=tuple(tool.name for tool in config.tools),
        queue=tuple(QueuedMessage(push.seq, push.queue, push.role) for push in state.queue),
        calls=()
        if batch is None
        else tuple(OpenCall(batch.place(one), one.name, one.started, one.ended, one.waiting) for one in batch.calls),
        waits_for=tuple(wait.key for wait in state.waits),
        task=state.task,
        attempt=state.attempt,
    )


async def read_request(call: Call[AtQuery, Nothing]) -> RequestAnswer:
    """Build the request that would be sent at the head; at a seq, the one of that `model_request`, or the next one."""
    session = await session_of(call)
    request = await session.request(call.query.at)
    return RequestAnswer(session.id, request)


async def read_why(call: Call[WhyQuery, Nothing]) -> Why:
    """Explain where the run stood at a seq, and which event put each part of the request there."""
    session = await session_of(call)
    at = call.query.at if call.query.at is not None else (await session.info()).head
    return await session.why(at, limit=call.query.limit)


async def read_usage(call: Call[Nothing, Nothing]) -> Spending:
    """Count what answers used, each once, in the session that recorded it; what counts elsewhere stands beside it."""
    return await spending(call.served.log.store, (await session_of(call)).id)


async def read_messages(call: Call[MessagesQuery, Nothing]) -> MessageList:
    """List the messages that a model would be sent at a seq, page by page, each with its name."""
    session, asked = await session_of(call), call.query
    at = asked.at if asked.at is not None else (await session.info()).head
    found = await session.messages(at)
    stop = asked.start + asked.limit
    return MessageList(session.id, at, found[asked.start : stop], len(found), stop if stop < len(found) else None)


async def read_calls(call: Call[AtQuery, Nothing]) -> CallList:
    """List tool calls and what came of them."""
    session = await session_of(call)
    _, _, trail = await load(call.served.log.store, session.id, context=CALLS, upto=call.query.at)
    return CallList(session.id, tool_calls(trail))


async def read_waits(call: Call[WaitsQuery, Nothing]) -> WaitList:
    """List what the session waits for, each with a link by which whoever has it decides it."""
    session, served = await session_of(call), call.served
    expires_at_us = served.log.clock() + call.query.expires_s * 1_000_000
    base = served.link_base(call.headers.get("host", ""))
    waits = list(await load_waiting(served.log.store, session.id))
    known = {(one.session, one.key) for one in waits}
    waits += [
        Waiting(session=session.id, key=token.key, deadline_us=token.deadline_us, tags=token.tags)
        for token in (await session.state()).tokens
        if token.end is None and (session.id, token.key) not in known
    ]

    def link(one: Waiting) -> WaitLink:
        if one.reason not in ANSWERED:
            return WaitLink(one, one.token, one.words)
        url = signed_url(served.token, base, one.session, one.key, expires_at_us)
        return WaitLink(one, one.token, one.words, url, expires_at_us)

    return WaitList(session.id, tuple(link(one) for one in waits))


async def read_metadata(call: Call[Nothing, Nothing]) -> MetadataAnswer:
    """Read the named values of a task."""
    session = await session_of(call)
    found: dict[str, msgspec.Raw] = {}
    async for page in read_pages(call.served.log.store, session.id, updates=False):
        for event in (one.event for one in page):
            if isinstance(event, MetadataSet):
                found.pop(event.name, None)
                if isinstance(event.value, msgspec.Raw):
                    found[event.name] = event.value
    return MetadataAnswer(session.id, found)


async def read_stream(call: Call[StreamQuery, Nothing]) -> StreamPage:
    """Read the items of a named stream of a task; what is to come of it is in its events."""
    session, asked, name = await session_of(call), call.query, call.path["name"]
    items: list[StreamItem] = []
    async for page in read_pages(call.served.log.store, session.id, after=asked.after):
        for one in page:
            event = one.event
            if isinstance(event, StreamUpdate) and event.name == name and isinstance(event.item, msgspec.Raw):
                items.append(StreamItem(one.seq, one.at_us, event.item))
        if len(items) >= asked.limit:
            break
    chosen = items[: asked.limit]
    return StreamPage(session.id, name, tuple(chosen), chosen[-1].seq if len(items) >= asked.limit else None)


def _view(name: str, does: Callable[..., Awaitable[msgspec.Struct]]) -> Route:
    return Route(method="GET", path=f"/v1/sessions/{{session}}/{name}", does=does, tag="views", errors=(404,))


VIEWS = (
    _view("state", read_state),
    _view("request", read_request),
    _view("why", read_why),
    _view("usage", read_usage),
    _view("calls", read_calls),
    _view("messages", read_messages),
    _view("waits", read_waits),
    _view("metadata", read_metadata),
    _view("streams/{name}", read_stream),
)

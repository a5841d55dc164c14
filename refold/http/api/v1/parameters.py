"""What routes take alike: which session is meant."""

from __future__ import annotations

from eventsource import session as core

from ....session import Session
from ...interface.values import IDS, NAMES_HEADER
from ..routes import B, Call, Q


async def session_of(call: Call[Q, B]) -> Session:
    """Find the session that a path names, by its whole id or title, or by its id alone if that is asked for.

    Raises: UnknownSessionError.
    """
    store, named = call.served.log.store, call.path["session"]
    if call.headers.get(NAMES_HEADER) == IDS:
        name = (await store.info(named)).id
    else:
        name = await store.resolve(named, prefix=False)
    return Session(core.SessionHandle(store, name, clock=call.served.log.clock, expected=call.expected))

"""Sessions on a server (`refold serve`), asked for over HTTP: read, followed, steered, answered, run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from ..http.interface.beginnings import RunAnswer
    from ..http.interface.links import Decided
    from ..http.interface.sessions import SearchPage, SessionPage, SessionRow
    from ..http.interface.values import Head
    from ..http.interface.views import StateAnswer, WaitLink
    from .client import Client
    from .errors import ClientError
    from .session import ClientSession

__all__ = [
    "Client",
    "ClientError",
    "ClientSession",
    "Decided",
    "Head",
    "RunAnswer",
    "SearchPage",
    "SessionPage",
    "SessionRow",
    "StateAnswer",
    "WaitLink",
]

load_when_asked(
    __name__,
    {
        "..http.interface.beginnings": "RunAnswer",
        "..http.interface.links": "Decided",
        "..http.interface.sessions": "SearchPage SessionPage SessionRow",
        "..http.interface.values": "Head",
        "..http.interface.views": "StateAnswer WaitLink",
        ".client": "Client",
        ".errors": "ClientError",
        ".session": "ClientSession",
    },
)

"""A client of a server of sessions (`refold serve`): what `refold.Log` does with a log, asked for over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

import httpx
import msgspec

from eventsource.codec import to_json
from eventsource.envelope import SessionInfo
from eventsource.errors import ArgumentError, UnknownSessionError
from eventsource.log import random_id
from eventsource.user_code.argument_checks import checked

from ..http.interface.beginnings import NewSession
from ..http.interface.links import PATH, Decided, LinkBody
from ..http.interface.sessions import FindQuery, Found, ListQuery, SearchPage, SearchQuery, SessionPage
from .address import read_address
from .connection import Connection
from .session import ClientSession

LAST = "last"
"""The name of the session that was updated last."""


class Client:
    """A client of a server: `async with Client("http://127.0.0.1:8799") as client`.

    Args:
        url: `http://HOST:PORT`, `https://...`, or `unix:///SOCKET`.
        token: what the server asks for; else the one in the URL's fragment (`#token=...`), else REFOLD_TOKEN's.
        tell: hears in a sentence when a stream was lost and is asked for again.
        pause: waits between two tries, given seconds.
        transport: another way to the server than a network, such as `httpx.ASGITransport`.

    Raises: ArgumentError when the URL is no such address.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        tell: Callable[[str], None] = lambda what: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address = read_address(url, where="Client", token=token)
        self.connection = Connection(address, tell=tell, pause=pause, transport=transport)

    def __repr__(self) -> str:
        return f"Client({self.connection.address.shown!r})"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open; streams end."""
        await self.connection.close()

    @checked()
    async def session(self, name: str | None = None) -> ClientSession:
        """Open a session by its title or its whole id; create one of that title when there is none.

        Raises: UnknownSessionError when the name fits several.
        """
        if name is None:
            return await self.create()
        try:
            return await self.find(name, prefix=False)
        except UnknownSessionError as error:
            if error.candidates:
                raise
        made = await self.connection.post("/v1/sessions", SessionInfo, NewSession(named=name))
        return ClientSession(self.connection, made.id)

    @checked()
    async def find(self, name: str, *, prefix: bool = True) -> ClientSession:
        """Look a session up by id, by title, or by the beginning of an id; `last` is the one that was updated last.

        Raises: UnknownSessionError.
        """
        query = FindQuery(name, prefix and name != LAST)
        try:
            found = (await self.connection.get("/v1/find", Found, query)).session
        except UnknownSessionError as error:
            newest = (await self.sessions(limit=1)).sessions if name == LAST and prefix else ()
            if error.candidates or not newest:
                raise
            found = newest[0].id
        return ClientSession(self.connection, found)

    @checked()
    async def create(self, name: str | None = None, *, title: str = "", key: str | None = None) -> ClientSession:
        """Create an empty session; without a name, an id is made. With the same key it is created once.

        Raises: SessionExistsError when there is one of that id.
        """
        body = NewSession(name=name, title=title)
        made = await self.connection.post(
            "/v1/sessions", SessionInfo, body, key=key or (random_id() if name is None else None)
        )
        return ClientSession(self.connection, made.id)

    @checked()
    async def trigger(
        self, task: str, payload: object = None, *, key: str | None = None, tags: Sequence[str] = ()
    ) -> ClientSession:
        """Start a run of a task that the server knows, which a worker then runs; with the same key, once.

        Returns: its session. Raises: TaskPayloadError when the task does not take the payload.
        """
        body = NewSession(task=task, payload=to_json(payload, where="payload"), tags=tuple(tags))
        made = await self.connection.post("/v1/sessions", SessionInfo, body, key=key or random_id())
        return ClientSession(self.connection, made.id)

    @checked()
    async def sessions(
        self,
        *,
        unfinished: bool | None = None,
        status: str | None = None,
        title: str | None = None,
        agent: str | None = None,
        folder: str | None = None,
        branch: str | None = None,
        model: str | None = None,
        tool: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """List sessions' rows and how they stand, latest updated first; `after` is the `next` of the page before.

        `title` and `model` match a part; `folder` is where an agent worked, or a folder above; `tool` is the name, in
        any case, of one that was called. `limit`: 1,000 at most.
        """
        query = ListQuery(
            open=unfinished,
            status=status,
            title=title,
            agent=agent,
            folder=folder,
            branch=branch,
            model=model,
            tool=tool,
            after=after,
            limit=limit,
        )
        return await self.connection.get("/v1/sessions", SessionPage, query)

    @checked()
    async def search(
        self, text: str, *, session: str | None = None, after: str | None = None, limit: int = 100
    ) -> SearchPage:
        """Find a text, in any case, in what was said; `after` is the `next` of the page before."""
        return await self.connection.get("/v1/search", SearchPage, SearchQuery(text, session, after, limit))

    @checked()
    async def complete(
        self,
        link: str,
        value: object = msgspec.UNSET,
        *,
        approve: bool | None = None,
        reason: str = "",
        by: str = "",
        outcome: Literal["completed", "cancelled"] = "completed",
    ) -> Decided:
        """Decide a wait by its link, once: approve a call or not, or give a token its value. No token is sent along.

        Raises: TokenValueError when the wait does not take this, and stays open; ClientError with status 404 for a
            link that is none or none any more, and with 409 when it was decided otherwise before.
        """
        at = urlsplit(link).path
        if PATH not in at:
            raise ArgumentError("Client.complete", "link", f"the address of a wait, ...{PATH}...", "another text")
        body = LinkBody(
            approve=approve,
            reason=reason,
            value=msgspec.UNSET if value is msgspec.UNSET else to_json(value, where="value"),
            by=by,
            outcome=outcome,
        )
        signed = at.partition(PATH)[2]
        return await self.connection.post(f"{PATH}{signed}", Decided, body, has_token=False)

"""A connection of the server, bounded in time: uvicorn waits for a request's head as long as it takes."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .guard import HEAD_S, RefusedError, too_slow


class Connection(H11Protocol):
    """Reads requests; a head that takes too long is refused, and what is no HTTP never raises."""

    _head: asyncio.TimerHandle | None = None
    _has_asked = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come; wait on if that is not all of a head."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._has_asked = True
            self._wait_no_more()
        elif self._head is None and not self.transport.is_closing() and self._begins:
            self._wait_for_head()

    @property
    def _begins(self) -> bool:
        """Whether a head is expected soon: the first one, or one that has begun; between two uvicorn waits, longer."""
        return bool(self.conn.trailing_data[0]) or not self._has_asked

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; in the middle of an answer nothing can be said any more."""
        self._refuse(RefusedError(400, msg))

    def _refuse(self, refused: RefusedError) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = refused.problem.encode()
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            response = h11.Response(status_code=refused.status, headers=headers)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self._late)

    def _wait_no_more(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _late(self) -> None:
        self._head = None
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            return
        if self.conn.trailing_data[0]:
            self._refuse(too_slow())
        else:  # it never began to ask
            self.transport.close()

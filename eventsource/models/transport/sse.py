"""Server-sent events, read from bytes as they come (the WHATWG rules)."""

from __future__ import annotations

import re

import msgspec

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class ServerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `event` and `id` are its own, None when it has none; `last_id` is the last one given so far."""

    data: str
    event: str | None = None
    id: str | None = None
    last_id: str | None = None


class SseParser:
    """Takes a body in pieces of any size and says which events are complete.

    Only CR, LF and CRLF end a line, also when CRLF lies in two pieces; a line is decoded when it is whole.
    `comments` counts comment lines, `retry_ms` is the last reconnection time sent.
    """

    def __init__(self) -> None:
        self.comments = 0
        self.retry_ms: int | None = None
        self._partial: list[bytes] = []
        self._after_cr = False
        self._at_start = True
        self._data: list[str] = []
        self._event: str | None = None
        self._id: str | None = None
        self._last_id: str | None = None

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take a piece of the body; return the events it completes."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        events: list[ServerEvent] = []
        for line in lines:
            if self._partial:
                line = b"".join((*self._partial, line))
                self._partial.clear()
            done = self._line(line)
            if done is not None:
                events.append(done)
        if rest:
            self._partial.append(rest)
        return events

    def close(self) -> ServerEvent | None:
        """Take the end of the body; return the event that still lacks its empty line, which the rules discard."""
        if self._partial:
            self._line(b"".join(self._partial))
            self._partial.clear()
        return self._dispatch()

    def _line(self, line: bytes) -> ServerEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            self.comments += 1
            return None
        name, _, value = line.decode("utf-8", "replace").partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value or None
        elif name == "id" and "\0" not in value:
            self._id = self._last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> ServerEvent | None:
        done = None
        if self._data:
            done = ServerEvent(data="\n".join(self._data), event=self._event, id=self._id, last_id=self._last_id)
        self._data, self._event, self._id = [], None, None
        return done

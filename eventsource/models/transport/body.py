"""A response body of either kind, server-sent events or JSON values, read from bytes as they come."""

from __future__ import annotations

import json
import re

from .sse import ServerEvent, SseParser

_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'["\\{}\[\]]')


class JsonValues:
    """Splits a JSON array into the objects in it, or several JSON objects in a row into each."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._partial: list[bytes] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take a piece of the body; return the objects it completes, each as the data of an event."""
        events: list[ServerEvent] = []
        begin = 0
        skip = 1 if self._escaped and chunk else 0
        if skip:
            self._escaped = False
        while match := _TOKEN.search(chunk, skip):
            at, token = match.start(), match.group()
            skip = at + 1
            if self._in_string:
                if token == b"\\":
                    self._escaped = skip == len(chunk)
                    skip += 1
                elif token == b'"':
                    self._in_string = False
            elif token == b'"':
                self._in_string = True
            elif token == b"{":
                if self._depth == 0:
                    begin = at
                self._depth += 1
            elif token == b"}" and self._depth:
                self._depth -= 1
                if self._depth == 0:
                    whole = b"".join((*self._partial, chunk[begin:skip]))
                    self._partial.clear()
                    events.append(ServerEvent(data=whole.decode("utf-8", "replace")))
        if self._depth:
            self._partial.append(chunk[begin:])
        return events


class BodyParser:
    """Reads a streamed body; its first character says whether it is JSON or server-sent events.

    Content types cannot be trusted for that: proxies and compatible servers send any.
    """

    def __init__(self) -> None:
        self._head = b""
        self._parser: SseParser | JsonValues | None = None

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take a piece of the body; return the events it completes."""
        if self._parser is None:
            self._head += chunk
            visible = self._head.removeprefix(_BOM).lstrip()
            if not visible or _BOM.startswith(visible):
                return []
            chunk = self._head
            self._parser = JsonValues() if visible[:1] in (b"{", b"[") else SseParser()
        return self._parser.feed(chunk)

    def close(self) -> list[ServerEvent]:
        """Take the end of the body; return a last event that lacks its empty line if its data is a whole JSON object.

        Real bodies end so: their last event counts, half an event does not.
        """
        last = self._parser.close() if isinstance(self._parser, SseParser) else None
        if last is None:
            return []
        try:
            whole = last.data == "[DONE]" or isinstance(json.loads(last.data), dict)
        except ValueError:
            whole = False
        return [last] if whole else []

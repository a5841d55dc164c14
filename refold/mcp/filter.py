"""What a server writes, filtered before the client reads it: odd tools are left out, unreadable answers are errors.

What a server asks for or tells without being asked is dealt with here: the client would begin a task for each of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import mcp.types as types
from mcp.client import Transport
from mcp.client._transport import TransportStreams  # public in no other place
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types.methods import validate_server_result
from pydantic import ValidationError

from eventsource.background import running

from .stdio import TOO_LONG

_ID = re.compile(r'"id"\s*:\s*(?:(\d+)|"((?:[^"\\]|\\.)*)")')
_PARSE_ERROR = -32700
_UNREADABLE = "its answer cannot be read: it is no JSON-RPC message"


@asynccontextmanager
async def filtered(transport: Transport, odd: list[str], closed: asyncio.Event) -> AsyncIterator[TransportStreams]:
    """Wrap a transport. `odd`: gets a line for each tool that is none; `closed`: set when nothing more comes."""
    async with transport as (read, write):
        into, out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        filter_ = _Filter(odd)

        async def pump() -> None:
            try:
                async with into:
                    async for item in read:
                        if (answer := _answer(item)) is not None:
                            await write.send(answer)
                        elif not _is_needless(item):
                            await into.send(filter_.pass_on(item))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the client has left
            finally:
                closed.set()

        try:
            async with running(pump()):
                yield out, write
        finally:
            out.close()


def _is_needless(item: SessionMessage | Exception) -> bool:
    """Return whether a message is a notification that is not used here: all but progress."""
    if isinstance(item, Exception) or not isinstance(item.message, types.JSONRPCNotification):
        return False
    return item.message.method != "notifications/progress"


def _answer(item: SessionMessage | Exception) -> SessionMessage | None:
    """Answer a server's request: a ping is answered, everything else is refused."""
    if isinstance(item, Exception) or not isinstance(asked := item.message, types.JSONRPCRequest):
        return None
    related = ServerMessageMetadata(related_request_id=asked.id)
    if asked.method == "ping":
        return SessionMessage(types.JSONRPCResponse(jsonrpc="2.0", id=asked.id, result={}), related)
    problem = types.ErrorData(code=types.METHOD_NOT_FOUND, message="not offered")
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=asked.id, error=problem), related)


class _Filter:
    """Filters what comes over one connection."""

    def __init__(self, odd: list[str]) -> None:
        self._odd, self._version = odd, ""

    def pass_on(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        """Forward a message, or what is to be read in its place."""
        if isinstance(item, Exception):
            number = _id_of(item)
            if number is None:  # a line that somebody prints
                return item
            problem = types.ErrorData(code=_PARSE_ERROR, message=_UNREADABLE)
            return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=number, error=problem))
        message = item.message
        if isinstance(message, types.JSONRPCError) and message.error.code == _PARSE_ERROR:
            # What the package says of an answer by HTTP: its text is a page about types.
            said = TOO_LONG if TOO_LONG in message.error.message else _UNREADABLE
            if message.error.message.startswith("Failed to parse"):
                message.error.message = said
        if isinstance(message, types.JSONRPCResponse):
            version, listed = message.result.get("protocolVersion"), message.result.get("tools")
            self._version = version if isinstance(version, str) else self._version
            if isinstance(listed, list):
                message.result["tools"] = [one for one in listed if self._is_tool(one)]
        return item

    def _is_tool(self, one: object) -> bool:
        try:
            tool = types.Tool.model_validate(one, by_name=False)
            kind = tool.input_schema.get("type")
            if kind != "object":
                self._odd.append(
                    f"{tool.name!r}: the schema of its arguments must be of type object, not {kind!r:.100}"
                )
                return False
            self._check(one)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"] if part not in ("tools", 0))
            name = one.get("name") if isinstance(one, dict) else None
            called = name if isinstance(name, str) else f"{one!r:.100}"
            self._odd.append(f"{called!r}: {where or 'it'}: {first['msg'].lower()}")
            return False
        return True

    def _check(self, one: object) -> None:
        """Check a tool by the rules of the version that is spoken, as the client will. Raises: ValidationError."""
        try:
            validate_server_result("tools/list", self._version, {"tools": [one]})
        except ValidationError:
            raise
        except (KeyError, ValueError):  # a version without such rules
            pass


def _id_of(error: Exception) -> int | str | None:
    """Find which request a line that cannot be read answers, if it looks like an answer."""
    if not isinstance(error, ValidationError):
        return None
    for one in error.errors(include_url=False):
        given = one["input"]
        if isinstance(given, dict) and isinstance(number := given.get("id"), int | str) and "method" not in given:
            return number
        if isinstance(given, str | bytes):
            text = given if isinstance(given, str) else given.decode("utf-8", "replace")
            found = _ID.search(text)
            if found is not None and '"jsonrpc"' in text and '"method"' not in text:
                return int(found[1]) if found[1] else found[2]
    return None

"""A provider's chunks as its own client library hands them out, read by the protocol's codec."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .protocol import StreamEvent
from .transport.sse import ServerEvent
from .wire import Reader


class ClientChunks:
    """Reads chunks one by one: mappings, JSON text, or objects with `model_dump_json` (as pydantic's)."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def chunk(self, chunk: object) -> list[StreamEvent]:
        """Read one chunk."""
        return self._reader.feed(ServerEvent(data=_text(chunk)))

    def end(self) -> list[StreamEvent]:
        """Read the end of the stream."""
        return self._reader.finish()


def _text(chunk: object) -> str:
    if isinstance(chunk, str):
        return chunk
    if isinstance(chunk, bytes):
        return chunk.decode("utf-8", "replace")
    if isinstance(chunk, Mapping):
        return json.dumps(chunk, default=str)
    dump = getattr(chunk, "model_dump_json", None)
    return str(dump(by_alias=True, exclude_none=True)) if callable(dump) else json.dumps(chunk, default=str)

"""What an MCP server says, in the words of this program: effects, the digest of its tool list, results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from eventsource.codec import to_json
from eventsource.events import EffectKind
from eventsource.messages import ImageContent
from eventsource.models.redact import redact_json
from eventsource.tool_results import Piece, ToolOutcome, tool_result

if TYPE_CHECKING:
    import mcp
    from mcp.types import CallToolResult, ContentBlock

_COUNTS = {"name", "title", "description", "input_schema", "output_schema", "annotations"}


def effect_of(tool: mcp.Tool) -> EffectKind:
    """Say whether a call that may have been made may be made again, as the server's hints have it."""
    hints = tool.annotations
    return "idempotent" if hints is not None and (hints.read_only_hint or hints.idempotent_hint) else "once"


def list_digest(tools: Sequence[mcp.Tool]) -> str:
    """Give the digest of a tool list, whatever its order."""
    told = [tool.model_dump(mode="json", include=_COUNTS, exclude_none=True) for tool in tools]
    told.sort(key=lambda one: str(one["name"]))
    return f"sha256:{hashlib.sha256(msgspec.json.encode(told, order='sorted')).hexdigest()}"


def outcome_of(result: CallToolResult, redact: Callable[[str], str]) -> ToolOutcome:
    """Turn a server's result into an outcome; the structured part is the details, and the text if there is no other."""
    pieces: list[Piece] = [
        redact(one) if isinstance(one, str) else one for block in result.content for one in _pieces(block)
    ]
    structured: object = result.structured_content
    if structured is None:
        return ToolOutcome(tool_result(*pieces), is_error=result.is_error)
    kept = msgspec.Raw(redact_json(bytes(to_json(structured)).decode(), redact).encode())
    whole = tool_result(*(pieces or [bytes(kept).decode()]))
    return ToolOutcome(msgspec.structs.replace(whole, details=kept), is_error=result.is_error)


def _pieces(block: ContentBlock) -> Iterator[str | ImageContent]:
    """Give what a model can read of a block; of the rest, what it is."""
    match block.type:
        case "text":
            yield block.text
        case "image":
            yield ImageContent(data=block.data, media_type=block.mime_type)
        case "audio":
            yield f"[audio, {block.mime_type}: not shown]"
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            yield f"[resource {block.name}, {block.uri}{about}]"
        case "resource":
            resource = block.resource
            text, media_type = getattr(resource, "text", None), resource.mime_type or ""
            if isinstance(text, str):
                yield f"[{resource.uri}]\n{text}"
            elif media_type.startswith("image/"):
                yield ImageContent(data=str(getattr(resource, "blob", "")), media_type=media_type)
            else:
                yield f"[{resource.uri}, {media_type or 'of no known type'}: not shown]"

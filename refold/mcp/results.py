"""What an MCP server says, in the words of this program: effects, the digest of its tool list, results."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from eventsource.events import EffectKind
from eventsource.messages import ImageContent
from eventsource.models.secrets import redact_json
from eventsource.tools.results import Piece, ToolOutcome, tool_result

if TYPE_CHECKING:
    import mcp
    from mcp.types import CallToolResult, ContentBlock

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_NAME_CHARS = 64  # the least that a provider takes: OpenAI
_SIGNATURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_COUNTS = {"name", "title", "description", "input_schema", "output_schema", "annotations"}


def effect_of(tool: mcp.Tool) -> EffectKind:
    """Return the effect of a tool by the server's hints: `idempotent` if a call may be made again, else `once`."""
    hints = tool.annotations
    return "idempotent" if hints is not None and (hints.read_only_hint or hints.idempotent_hint) else "once"


def names_of(listed: Sequence[mcp.Tool], prefix: str, odd: list[str]) -> list[tuple[str, mcp.Tool]]:
    """Name tools such that every provider takes them. Two that would be the same get a number, whatever their order.

    A tool without a name, or one that is listed twice, is noted in `odd`.
    """
    kept: dict[str, mcp.Tool] = {}
    for tool in listed:
        if not tool.name.strip() or tool.name in kept:
            odd.append(f"{tool.name!r}: {'it is listed twice' if tool.name in kept else 'it has no name'}")
        else:
            kept[tool.name] = tool
    wanted = {name: _NOT_IN_A_NAME.sub("_", prefix + name)[:_NAME_CHARS] for name in kept}
    named: dict[str, str] = {}
    for name in sorted(kept, key=lambda name: (wanted[name] != prefix + name, name)):  # what stays as it is comes first
        called, number = wanted[name], 1
        while called in named.values():
            number += 1
            called = f"{wanted[name][: _NAME_CHARS - len(str(number)) - 1]}_{number}"
        named[name] = called
    return [(named[name], tool) for name, tool in kept.items()]


def printable(text: str) -> str:
    """Replace what a terminal would obey: control characters, those that turn text around, ends of lines."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def list_digest(tools: Sequence[mcp.Tool]) -> str:
    """Compute the digest of a tool list, independent of its order."""
    fields = [tool.model_dump(mode="json", include=_COUNTS, exclude_none=True) for tool in tools]
    fields.sort(key=lambda one: str(one["name"]))
    return f"sha256:{hashlib.sha256(msgspec.json.encode(fields, order='sorted')).hexdigest()}"


def outcome_of(result: CallToolResult, redact: Callable[[str], str]) -> ToolOutcome:
    """Convert a server's result; the structured part becomes the details, and the text if there is no other."""
    pieces: list[Piece] = []
    is_error = bool(result.is_error)
    for block in result.content:
        try:
            pieces += [redact(one) if isinstance(one, str) else one for one in _pieces(block)]
        except _NoneError as error:  # the rest of what it said is kept
            pieces.append(redact(f"[the server sent {error}]"))
            is_error = True
    structured: object = result.structured_content
    if structured is None:
        return ToolOutcome(tool_result(*pieces), is_error=is_error)
    sound = tool_result(details=structured).details  # NaN and the like are repaired as in any tool's result
    assert isinstance(sound, msgspec.Raw)  # it is not None
    kept = msgspec.Raw(redact_json(bytes(sound).decode(), redact).encode())
    whole = tool_result(*(pieces or [bytes(kept).decode()]))
    return ToolOutcome(msgspec.structs.replace(whole, details=kept), is_error=is_error)


def _pieces(block: ContentBlock) -> Iterator[str | ImageContent]:
    """Convert a block to what a model can read; of any other, describe what it is."""
    match block.type:
        case "text":
            yield block.text
        case "image":
            yield _image(block.data, block.mime_type)
        case "audio":
            _decoded(block.data, f"audio ({block.mime_type})")
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
                yield _image(str(getattr(resource, "blob", "")), media_type)
            else:
                _decoded(str(getattr(resource, "blob", "")), f"a resource ({resource.uri})")
                yield f"[{resource.uri}, {media_type or 'of no known type'}: not shown]"


class _NoneError(Exception):
    """Raised for content that is not what it says it is."""


def _image(data: str, media_type: str) -> ImageContent:
    """Check that an image is one: no provider takes a request that holds one that is none, nor any later one."""
    decoded = _decoded(data, f"an image ({media_type})")
    found = next((kind for kind, begins in _SIGNATURES.items() if decoded.startswith(begins)), None)
    if found == "image/webp" and decoded[8:12] != b"WEBP":
        found = None
    if not media_type.startswith("image/") or (found is None and media_type in {*_SIGNATURES, "image/jpg"}):
        raise _NoneError(f"an image ({media_type}) that is none")
    return ImageContent(data=data, media_type=found or media_type)


def _decoded(data: str, what: str) -> bytes:
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _NoneError(f"{what} that is none: it is no base64") from error
    if not decoded:
        raise _NoneError(f"{what} that is none: it is empty")
    return decoded

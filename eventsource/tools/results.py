"""Whatever a tool gives back, as the result that is kept and the model reads."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from ..codec import clean_text, from_json, to_json, to_plain
from ..errors import InvalidTextError, ToolFailure
from ..events import ToolResult
from ..messages import ImageContent, Json, TextContent, UserContent
from ..user_code.error_words import trace, words
from ..user_code.mistaken_calls import CheckedStructMeta

# Text of one result that the model gets to see; about 25,000 tokens, a tenth or more of most context windows.
RESULT_LIMIT_BYTES = 100_000
# Everything of one result: text, details and images as JSON. A result beyond it belongs in a file.
WHOLE_LIMIT_BYTES = 8_000_000
# The key under which the details keep the text that was cut.
WHOLE_TEXT = "whole_text"
# The key under which a failed call's details keep the traceback.
TRACEBACK = "traceback"

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


class Image(msgspec.Struct, frozen=True, metaclass=CheckedStructMeta):
    """An image as bytes, for a tool to return alone or among texts."""

    data: bytes
    media_type: str


class ToolOutcome(msgspec.Struct, frozen=True, metaclass=CheckedStructMeta):
    """What a call came to: its result, and whether that is an error. A tool may return one itself."""

    result: ToolResult
    is_error: bool = False


Piece: TypeAlias = str | TextContent | ImageContent | Image


def tool_result(*content: Piece, details: object = msgspec.UNSET, terminate: bool = False) -> ToolResult:
    """Put a result together: what the model reads, details for the program, and whether the run may end here.

    Raises: InvalidTextError when the details are not JSON.
    """
    kept: Json = msgspec.UNSET if isinstance(details, msgspec.UnsetType) else _json(details)
    return ToolResult(content=tuple(map(_content, content)), details=kept, terminate=terminate)


def to_result(value: object) -> ToolResult:
    """Turn what a tool returned (or reported) into a result, its text cut at `RESULT_LIMIT_BYTES`.

    Text stays text, None says nothing; bytes are an image or UTF-8 text; a list or tuple that holds an image or a
    content block is content, part by part. Everything else is JSON (also dataclasses, pydantic models, dates, sets,
    mappings): its text is the content, and the same JSON the details. NaN and infinities become the strings "NaN",
    "Infinity" and "-Infinity", lone surrogates U+FFFD.

    Raises: InvalidTextError when the value is none of these, or larger than `WHOLE_LIMIT_BYTES`.
    """
    _refuse_huge(value)
    match value:
        case ToolResult():
            content = tuple(map(_content, value.content))
            result = ToolResult(content=content, details=_checked(value.details), terminate=value.terminate)
        case None:
            result = ToolResult()
        case str() | TextContent() | ImageContent() | Image():
            result = ToolResult(content=(_content(value),))
        case bytes() | bytearray():
            result = ToolResult(content=(_from_bytes(bytes(value)),))
        case list() | tuple() if any(isinstance(part, TextContent | ImageContent | Image) for part in value):
            result = ToolResult(content=tuple(map(_content, value)))
        case _:
            kept = _json(value)
            result = ToolResult(content=(TextContent(text=bytes(kept).decode()),), details=kept)
    return _fit(result)


def to_outcome(value: object, *, tool: str) -> ToolOutcome:
    """Turn what a tool returned into its outcome; what cannot be kept is an error that says the tool did run."""
    try:
        if isinstance(value, ToolOutcome):
            return ToolOutcome(to_result(value.result), bool(value.is_error))
        return ToolOutcome(to_result(value))
    except InvalidTextError as error:
        return _error(f'Tool "{tool}" ran, but what it returned cannot be kept: {error.problem}')


def failure(error: BaseException) -> ToolOutcome:
    """Turn an exception into an error result: its words, and in the details its type and its traceback.

    A `ToolFailure` says what it says, with the details it has.
    """
    text = words(error, most=WHOLE_LIMIT_BYTES // 16)  # so that it fits, as JSON and twice if it is cut
    if isinstance(error, ToolFailure):
        details = msgspec.UNSET if error.details is None else error.details
    else:
        details = {"type": type(error).__name__, TRACEBACK: trace(error)}
    try:
        return ToolOutcome(_fit(tool_result(text, details=details)), is_error=True)
    except InvalidTextError as problem:
        return _error(f"{text} (its details cannot be kept: {problem.problem})")


def without_traceback(result: ToolResult) -> ToolResult:
    """Leave a failed call's traceback out, for a comparison: it names lines, which change when nothing else does."""
    details = from_json(result.details)
    if not isinstance(details, dict) or TRACEBACK not in details:
        return result
    kept = {name: value for name, value in details.items() if name != TRACEBACK}
    return msgspec.structs.replace(result, details=to_json(kept))


def _error(text: str) -> ToolOutcome:
    return ToolOutcome(_fit(tool_result(text)), is_error=True)


def _content(part: object) -> UserContent:
    match part:
        case str():
            return TextContent(text=_text(part))
        case TextContent():
            return msgspec.structs.replace(part, text=_text(part.text), raw=_checked(part.raw))
        case ImageContent():
            return part
        case Image():
            return ImageContent(data=base64.b64encode(part.data).decode(), media_type=part.media_type)
        case _:
            raise InvalidTextError("result", f"{_named(part)} cannot stand among images and texts")


def _text(text: str) -> str:
    """Repair a text, and make a plain one of a subclass (which cannot be encoded)."""
    return clean_text(str.__str__(text))


def _from_bytes(data: bytes) -> UserContent:
    for signature, media_type in _SIGNATURES.items():
        if data.startswith(signature):
            return _content(Image(data, media_type))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _content(Image(data, "image/webp"))
    try:
        return _content(data.decode())
    except UnicodeDecodeError as error:
        problem = "bytes that are neither UTF-8 text nor a PNG, JPEG, GIF or WebP image; return Image(data, media_type)"
        raise InvalidTextError("result", problem) from error


def _json(value: object) -> msgspec.Raw:
    try:
        plain = to_plain(value, _plain)
        try:
            return to_json(plain)
        except InvalidTextError:
            return to_json(_spelled(plain))
    except Exception as error:  # also what a user's own conversion raises
        raise InvalidTextError("result", f"{_named(value)} is not text, JSON or an image: {words(error)}") from error


def _plain(value: object) -> object:
    """Make JSON of what msgspec has no rule for: subclasses, paths, and whatever offers a conversion of its own."""
    match value:
        case str():
            return str.__str__(value)
        case int() | float():
            return value + 0
        case Mapping():
            return dict(value)
        case msgspec.Raw():
            return from_json(value)
        case _:
            return _converted(value)


def _converted(value: object) -> object:
    for conversion in ("__fspath__", "tolist"):  # paths; numpy
        if (convert := getattr(value, conversion, None)) is not None:
            return convert()
    if (dump := getattr(value, "model_dump", None)) is not None:  # pydantic, which need not be loaded here
        return dump(mode="json")
    raise TypeError(f"{_named(value)} has no JSON form")


def _spelled(value: object) -> object:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {key: _spelled(item) for key, item in value.items()}
        case list() | tuple():
            return [_spelled(item) for item in value]
        case _:
            return value


def _checked(raw: Json) -> Json:
    """Keep JSON text as it is if it is sound, else repair what can be."""
    if isinstance(raw, msgspec.UnsetType):
        return raw
    try:
        msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        try:
            return _json(json.loads(bytes(raw)))
        except (ValueError, RecursionError) as error:
            raise InvalidTextError("result", f"its details are not valid JSON: {error}") from error
    return raw


def _fit(result: ToolResult) -> ToolResult:
    """Cut a result's text to its limit, saying how much is left out, and keep the whole of it in the details."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    size = sum(len(text.encode()) for text in texts)
    if size > RESULT_LIMIT_BYTES:
        kept = _cut(result.content, size)
        result = msgspec.structs.replace(result, content=kept, details=_with_whole(result.details, texts))
    whole = msgspec.json.encode(result)
    if len(whole) > WHOLE_LIMIT_BYTES:
        raise _too_large(f"{len(whole):,}")
    try:
        msgspec.json.decode(whole, type=ToolResult)
    except msgspec.ValidationError as error:
        raise InvalidTextError("result", f"a part of it has a type it may not have: {error}") from error
    return result


def _refuse_huge(value: object) -> None:
    """Refuse what is too large before it is copied. Raises: InvalidTextError."""
    if isinstance(value, str) and len(value) > WHOLE_LIMIT_BYTES:
        raise _too_large(f"at least {len(value):,}")
    if isinstance(value, bytes | bytearray) and len(value) > WHOLE_LIMIT_BYTES:
        raise _too_large(f"{len(value):,}")


def _too_large(size: str) -> InvalidTextError:
    limit = f"at most {WHOLE_LIMIT_BYTES:,} are kept"
    return InvalidTextError("result", f"it has {size} bytes, {limit}; write it to a file and return its name")


def _cut(content: tuple[UserContent, ...], size: int) -> tuple[UserContent, ...]:
    """Keep what comes first, images all; `size` is that of all texts in bytes."""
    left, cut = RESULT_LIMIT_BYTES, False
    kept: list[UserContent] = []
    for block in content:
        if not isinstance(block, TextContent):
            kept.append(block)
        elif not cut and len(text := block.text.encode()) <= left:
            kept.append(block)
            left -= len(text)
        elif not cut:
            shown = text[:left].decode("utf-8", "ignore")
            hidden = size - RESULT_LIMIT_BYTES + left - len(shown.encode())
            note = f"[{hidden:,} of {size:,} bytes left out: a tool result shows at most {RESULT_LIMIT_BYTES:,} bytes]"
            kept.append(TextContent(text=f"{shown}\n\n{note}" if shown else note))
            cut = True
    return tuple(kept)


def _with_whole(details: Json, texts: list[str]) -> Json:
    if isinstance(details, msgspec.Raw) and [bytes(details)] == [text.encode() for text in texts]:
        return details  # a JSON value: its details are the whole of it
    whole = {WHOLE_TEXT: texts[0] if len(texts) == 1 else texts}
    known = from_json(details)
    if isinstance(known, dict):
        return to_json({**known, **whole})
    return to_json(whole if isinstance(details, msgspec.UnsetType) else {"details": known, **whole})


def _named(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"

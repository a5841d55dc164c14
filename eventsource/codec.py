"""Events to exact bytes and back: deterministic, defaults left out, strict on reading."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial

import msgspec

from .errors import CorruptLogError, InvalidTextError
from .events import Event

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_TO_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SURROGATES = re.compile("[\ud800-\udfff]")


def encode(event: Event) -> bytes:
    """Encode an event as one JSON object in UTF-8.

    Raises: InvalidTextError when a text holds a lone surrogate (`clean_text` repairs it where data enters).
    """
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError as error:
        raise InvalidTextError(
            type(event).__name__, "a text holds a lone surrogate; repair it before appending"
        ) from error


def decode(body: bytes | str, *, session: str = "", seq: int = 0) -> Event:
    """Decode an event of this or any earlier release.

    Raises: CorruptLogError for an unknown tag, an unknown field or broken JSON, with the seq and the text.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = body if isinstance(body, str) else body.decode("utf-8", "backslashreplace")
        raise CorruptLogError(session, seq, "an event of this release", f"{error}: {text[:200]}") from error


def clean_text(text: str) -> str:
    """Repair text from outside: a surrogate pair becomes its character, a lone surrogate U+FFFD."""
    if not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def to_json(value: object, *, where: str = "value") -> msgspec.Raw:
    """Turn a value of JSON's types into JSON text: key order kept, no white space, surrogates repaired.

    Raises: InvalidTextError for NaN, infinities and types JSON does not have.
    """
    try:
        text = _TO_JSON.encode(value)
    except (TypeError, ValueError) as error:
        raise InvalidTextError(where, f"cannot be stored as JSON: {error}") from error
    return msgspec.Raw(clean_text(text).encode())


def to_plain(value: object, convert: Callable[[object], object]) -> object:
    """Turn a value into JSON's types: also dataclasses, structs, dates; sets as lists in one order in every process.

    `convert` turns what has no rule here into something that has. Raises: TypeError, ValueError.
    """
    return _set_order(value, msgspec.to_builtins(value, str_keys=True, enc_hook=convert))


def _set_order(value: object, plain: object) -> object:
    """Put in order what came of a value's sets, which iterate in an order of this process's own."""
    match plain:
        case list() | tuple():
            source = getattr(value, "root", value)  # pydantic's root models
            if not isinstance(source, Set | Sequence) or len(source) != len(plain):
                return plain
            items = [_set_order(one, made) for one, made in zip(source, plain, strict=True)]
            mixed = isinstance(source, Set) and not all(isinstance(item, int | float) for item in items)
            return (
                sorted(items, key=partial(json.dumps, ensure_ascii=False, sort_keys=True)) if mixed else items
            )  # no hash seed changes the order of numbers
        case dict() if isinstance(value, Mapping) and len(value) == len(plain):
            return {key: _set_order(one, plain[key]) for key, one in zip(plain, value.values(), strict=True)}
        case dict():
            written: tuple[str, ...] = getattr(value, "__struct_encode_fields__", ())
            own: tuple[str, ...] = getattr(value, "__struct_fields__", ())
            names = dict(zip(written, own, strict=True))
            return {
                key: _set_order(getattr(value, names.get(key) or str(key), None), one) for key, one in plain.items()
            }
        case _:
            return plain


def from_json(raw: msgspec.Raw | msgspec.UnsetType | bytes | str) -> object:
    """Read JSON text kept in an event; absent reads as None. Numbers keep Python's full integer range."""
    if isinstance(raw, msgspec.UnsetType):
        return None
    return json.loads(bytes(raw) if isinstance(raw, msgspec.Raw) else raw)


def read_object(raw: msgspec.Raw | msgspec.UnsetType) -> Mapping[str, object]:
    """Read JSON text that should be an object; anything else reads as an empty one."""
    value = from_json(raw)
    return value if isinstance(value, dict) else {}

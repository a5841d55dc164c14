"""Values cut to what a page shows at once, and saying so: nobody loads ten megabytes to look at a line."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

TEXT_CHARACTERS = 64_000
"""How much is shown of one text; all of it is fetched by itself."""
EVENT_BYTES = 16_000
"""What an event takes as JSON when it is shown beside other things."""
_SHORTEST = 64


class CutText(msgspec.Struct, frozen=True, kw_only=True):
    """A text, or its beginning: `characters` is how long all of it is."""

    text: str
    characters: int


def cut_text(text: str, most: int = TEXT_CHARACTERS) -> CutText:
    """Cut a text to so many characters."""
    return CutText(text=text[:most], characters=len(text))


class CutJson(msgspec.Struct, frozen=True, kw_only=True):
    """A value as JSON; of one that takes too much, long texts and lists are cut. `size_bytes`: of all of it."""

    value: msgspec.Raw
    size_bytes: int
    is_cut: bool = False


def cut_json(value: object, most: int = EVENT_BYTES) -> CutJson:
    """Write a value as JSON in so many bytes: what is cut says how much is left out."""
    whole = msgspec.json.encode(value)
    if len(whole) <= most:
        return CutJson(value=msgspec.Raw(whole), size_bytes=len(whole))
    plain, length = msgspec.json.decode(whole), most // 2
    while length > _SHORTEST:
        shorter = msgspec.json.encode(_cut(plain, _shorten(length), most))
        if len(shorter) <= most:
            return CutJson(value=msgspec.Raw(shorter), size_bytes=len(whole), is_cut=True)
        length //= 2
    items = _SHORTEST
    while items:
        fewer = msgspec.json.encode(_cut(plain, _shorten(_SHORTEST), items))
        if len(fewer) <= most:
            return CutJson(value=msgspec.Raw(fewer), size_bytes=len(whole), is_cut=True)
        items //= 2
    return CutJson(value=msgspec.Raw(b"null"), size_bytes=len(whole), is_cut=True)


def _shorten(length: int) -> Callable[[str], str]:
    def shorten(text: str) -> str:
        return text if len(text) <= length else f"{text[:length]}… [{len(text) - length:,} more characters]"

    return shorten


def _cut(value: object, shorten: Callable[[str], str], items: int) -> object:
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, list):
        more = [f"… [{len(value) - items:,} more]"] if len(value) > items else []
        return [*(_cut(one, shorten, items) for one in value[:items]), *more]
    if isinstance(value, dict):
        kept = list(value.items())[:items]
        cut = {str(name): _cut(one, shorten, items) for name, one in kept}
        return cut if len(value) <= items else {**cut, "…": f"[{len(value) - items:,} more]"}
    return value

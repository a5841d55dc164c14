"""JSON Lines as programs really leave them: two records on one line, a torn line, characters that are none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping

import msgspec

from eventsource.codec import clean_text

Fields = Mapping[str, object]


class Line(msgspec.Struct, frozen=True):
    """One record, and the number of the line it stood on (from 1); `whole` when it was alone there."""

    number: int
    fields: Fields
    whole: bool = True


class LineNote(msgspec.Struct, frozen=True):
    """What was wrong with a line, and the text of it that could not be read (empty: nothing was lost)."""

    number: int
    problem: str
    text: str = ""


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """The records of a file in order, the lines that were repaired, and what was lost of others."""

    records: tuple[Line, ...]
    recovered: tuple[LineNote, ...] = ()
    lost: tuple[LineNote, ...] = ()


def read_lines(data: bytes, is_record: Callable[[Fields], bool]) -> Lines:
    """Read every record of a file; lines end at LF only.

    `is_record` says whether an object found behind damaged text is a record of its own and not a piece of that text.
    NaN and infinities become null, lone surrogates and bytes that are not UTF-8 become U+FFFD; both are noted.
    """
    records: list[Line] = []
    recovered: list[LineNote] = []
    lost: list[LineNote] = []
    numbered = enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
    ends_torn = not data.endswith(b"\n")
    last = data.count(b"\n") + 1
    for number, raw in numbered:
        if not raw.strip():
            continue
        reader = _LineReader(raw)
        found, rest = reader.read(is_record)
        records += [Line(number, fields, len(found) == 1 and not rest) for fields in found]
        if rest:
            where = "the last line is torn" if number == last and ends_torn else "not a JSON object"
            lost.append(LineNote(number, f"{where}: {len(rest.encode())} bytes", rest))
        if len(found) > 1 or (found and rest):
            recovered.append(LineNote(number, f"{len(found)} record{'s' * (len(found) != 1)} on a damaged line"))
        if found and reader.repaired:
            recovered.append(LineNote(number, "characters or numbers that JSON cannot hold were replaced"))
    return Lines(records=tuple(records), recovered=tuple(recovered), lost=tuple(lost))


class _LineReader:
    """Reads the objects on one line and remembers whether it had to repair one."""

    def __init__(self, raw: bytes) -> None:
        self.repaired = False
        try:
            self._text = raw.decode()
        except UnicodeDecodeError:
            self._text, self.repaired = raw.decode("utf-8", "replace"), True
        self._decoder = json.JSONDecoder(parse_constant=self._constant, parse_float=self._float)

    def read(self, is_record: Callable[[Fields], bool]) -> tuple[list[Fields], str]:
        """Return the records on the line, and the text that is none (empty: everything was read)."""
        found, end = self._objects(0)
        if end == len(self._text):
            return found, ""
        for start in (match.start() for match in re.finditer(r"\{", self._text[end:])):
            behind, stop = self._objects(end + start) if start else ([], 0)
            if behind and stop == len(self._text) and all(is_record(fields) for fields in behind):
                return [*found, *behind], self._text[end : end + start]
        return found, self._text[end:]

    def _objects(self, start: int) -> tuple[list[Fields], int]:
        """Read objects that follow one another; give them and where the last one ended."""
        found: list[Fields] = []
        text = self._text
        while True:
            while start < len(text) and text[start].isspace():
                start += 1
            try:
                value, end = self._decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                return found, start
            if not isinstance(value, dict):
                return found, start
            fields = _clean(value) if "\\u" in text else value
            self.repaired |= fields != value
            found.append(fields if isinstance(fields, dict) else value)
            start = end

    def _constant(self, text: str) -> None:
        self.repaired = True

    def _float(self, text: str) -> float | None:
        number = float(text)
        if math.isfinite(number):
            return number
        self.repaired = True
        return None


def _clean(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(name): _clean(item) for name, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value

"""JSON documents: a file that is one value, whole, cut off or damaged in the middle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from eventsource.errors import TranscriptError

from .jsonl import DEPTH, Decoder, Fields, Findings, Line, clean, too_deep

Records = Callable[[Findings], Iterator[Line]]

_MARK = "\ufeff"
_SPACE = re.compile(r"[ \t\r\n]*")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a document.

    `problem`: why it could not be read to its end (empty: it was), `rest`: the text from there. `repaired`: characters
    or numbers that JSON cannot hold were replaced.
    """

    value: object
    problem: str = ""
    rest: str = ""
    repaired: bool = False

    def records(self, values: Sequence[object]) -> Records:
        """Make a reader of a list in this document: its objects, numbered from 1."""

        def read(findings: Findings) -> Iterator[Line]:
            if self.repaired:
                findings.recover(0, "characters or numbers that JSON cannot hold were replaced")
            for number, value in enumerate(values, 1):
                if isinstance(value, dict):
                    yield Line(number, value)
                else:
                    text = json.dumps(value, ensure_ascii=False)
                    findings.lose(number, f"not a JSON object: {len(text.encode())} bytes", text)
            if self.problem:
                findings.lose(0, self.problem, self.rest)

        return read


def document_of(path: Path) -> Document:
    """Read a document; of one that is cut off or damaged, what stands before that place.

    Raises: TranscriptError when the file cannot be read, holds no JSON, or nests too deep.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TranscriptError(str(path), f"cannot be read: {error.strerror or error}") from error
    return document_from(data, str(path))


def document_from(data: bytes, path: str) -> Document:
    """Read a document that is held whole; see `document_of`."""
    try:
        read = Document(value=msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read = _damaged(data)
    if read.problem and not read.value:
        raise TranscriptError(path, "holds no JSON that can be read")
    if too_deep(read.value):
        raise TranscriptError(path, "nests lists and objects deeper than is read here")
    return read


def _damaged(data: bytes) -> Document:
    text = data.decode("utf-8", "replace").removeprefix(_MARK)
    reader = _Reader(text)
    value, end = reader.value(_space(text, 0))
    rest = text[end:].strip()
    problem = "the document breaks off" if reader.cut else "something follows the document" if rest else ""
    cleaned = clean(value)
    return Document(
        value=cleaned,
        problem=f"{problem}: {len(rest.encode('utf-8', 'replace'))} bytes cannot be read" if rest else problem,
        rest=rest,
        repaired=cleaned != value or reader.repaired or "\ufffd" in text[:end],
    )


def beginning(data: bytes) -> Fields:
    """Return the members of the object that a document begins with, or of the first one in its list.

    Args:
        data: the first bytes of the document; what they cut short is left out.
    """
    text = data.decode("utf-8", "replace").removeprefix(_MARK)
    at = _space(text, 0)
    if text[at : at + 1] == "[":
        at = _space(text, at + 1)
    value, _ = _Reader(text).value(at) if text[at : at + 1] == "{" else (None, at)
    return value if isinstance(value, dict) else {}


class _Reader:
    """Reads a value, and of a list or an object that breaks off what stands before.

    `cut`: something broke off.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = Decoder()
        self.cut = False

    @property
    def repaired(self) -> bool:
        """Whether a number was none that JSON can hold."""
        return self._decoder.repaired

    def value(self, at: int, depth: int = 0) -> tuple[object, int]:
        """Read the value at a place. Returns: it (None: there is none), and where it ended or broke off."""
        try:
            return self._decoder.raw_decode(self._text, at)
        except (ValueError, RecursionError):
            self.cut = True
        match self._text[at : at + 1]:
            case "{" if depth < DEPTH:
                return self._members(at, depth + 1)
            case "[" if depth < DEPTH:
                return self._items(at, depth + 1)
            case _:
                return None, at

    def _items(self, at: int, depth: int) -> tuple[list[object], int]:
        found: list[object] = []
        end = at + 1
        while True:
            start = _space(self._text, end)
            self.cut = False
            value, stop = self.value(start, depth)
            if self.cut:
                return ([*found, value] if value else found), stop if value else end
            found.append(value)
            end = _space(self._text, stop)
            if self._text[end : end + 1] != ",":
                self.cut = True
                return found, end
            end += 1

    def _members(self, at: int, depth: int) -> tuple[Fields, int]:
        found: dict[str, object] = {}
        end = at + 1
        while True:
            try:
                name, stop = self._decoder.raw_decode(self._text, _space(self._text, end))
            except (ValueError, RecursionError):
                name, stop = None, end
            colon = _space(self._text, stop)
            if not isinstance(name, str) or self._text[colon : colon + 1] != ":":
                self.cut = True
                return found, end
            self.cut = False
            value, stop = self.value(_space(self._text, colon + 1), depth)
            if self.cut:
                if value:
                    return found | {name: value}, stop
                return found, end
            found[name] = value
            end = _space(self._text, stop)
            if self._text[end : end + 1] != ",":
                self.cut = True
                return found, end
            end += 1


def _space(text: str, at: int) -> int:
    """Return where the next character stands that is no space."""
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at

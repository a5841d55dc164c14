"""JSON Lines as programs really leave them: two records on one line, a torn line, characters that are none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from eventsource.codec import clean_text

Fields = Mapping[str, object]

DEPTH = 200  # levels of lists and objects; what is written for a person has a dozen
_MARK = b"\xef\xbb\xbf"  # of UTF-8, which some editors put before the first line
_NOTES_KEPT = 1_000
_LOOKED_AT = 8  # times the length of a damaged line: how much is read of it to find where a record might begin
_LOOKED_LEAST = 1 << 20
_NESTED = 50_000  # characters whose reading takes as long as to find that something nests without end


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


class Findings:
    """What was found while a file was read: lines that were repaired, what was lost of others, what nobody understood.

    Only the first thousand of each are kept; the last one then says how many there are.
    """

    def __init__(self) -> None:
        self._recovered: list[LineNote] = []
        self._lost: list[LineNote] = []
        self._more = {"recovered": 0, "lost": 0}
        self._kept: dict[str, tuple[int, int]] = {}
        self.first_lost = 0
        """The first line of which something could not be read; 0: there is none."""

    def recover(self, number: int, problem: str) -> None:
        """Note what was wrong with a line, of which nothing was lost."""
        self._add("recovered", self._recovered, LineNote(number, problem))

    def lose(self, number: int, problem: str, text: str) -> None:
        """Note what could not be read of a line."""
        self.first_lost = self.first_lost or number
        self._add("lost", self._lost, LineNote(number, problem, text))

    def keep(self, number: int, what: str) -> None:
        """Note that a record was kept as it is and not, or not wholly, understood: what kind of record that is."""
        first, count = self._kept.get(what, (number, 0))
        if count or len(self._kept) < _NOTES_KEPT:
            self._kept[what] = (first, count + 1)

    def _add(self, kind: str, notes: list[LineNote], note: LineNote) -> None:
        if len(notes) < _NOTES_KEPT:
            notes.append(note)
        else:
            self._more[kind] += 1

    @property
    def recovered(self) -> tuple[LineNote, ...]:
        """The lines that were repaired, in the order in which they were found."""
        return self._told("recovered", self._recovered)

    @property
    def lost(self) -> tuple[LineNote, ...]:
        """What was lost, in the order in which it was found."""
        return self._told("lost", self._lost)

    @property
    def kept(self) -> tuple[LineNote, ...]:
        """What was not understood, each kind once: how many records, and the line of the first."""
        return tuple(
            LineNote(first, f"{count:,} record{'s' * (count != 1)} {what}")
            for what, (first, count) in self._kept.items()
        )

    def _told(self, kind: str, notes: list[LineNote]) -> tuple[LineNote, ...]:
        more = self._more[kind]
        return (*notes, *([LineNote(0, f"{more:,} more lines, which are not listed")] if more else ()))


def read_lines(data: bytes, is_record: Callable[[Fields], bool]) -> Lines:
    """Read every record of a file that is held whole; see `each_record`."""
    findings = Findings()
    raws = data.split(b"\n")
    ended = [raw + b"\n" for raw in raws[:-1]] + raws[-1:]
    records = tuple(each_record(ended, is_record, findings))
    return Lines(records=records, recovered=findings.recovered, lost=findings.lost)


def each_record(
    raws: Iterable[bytes], is_record: Callable[[Fields], bool], findings: Findings, *, first: int = 1
) -> Iterator[Line]:
    """Read the records of a file line by line; lines end at LF only.

    Args:
        raws: the lines with their ends; the one without an end is the last.
        is_record: says whether an object found behind damaged text is a record of its own and not a piece of that text.
        first: the number of the first line.
        findings: gets what was repaired and lost. NaN and infinities become null, lone surrogates and bytes that are
            not UTF-8 become U+FFFD; both are noted.
    """
    for number, line in enumerate(raws, first):
        raw = line.removeprefix(_MARK) if number == 1 else line
        if not raw.strip():
            continue
        fields = _whole(raw)
        if fields is not None:
            yield Line(number, fields)
            continue
        reader = _LineReader(raw.removesuffix(b"\n"))
        found, rest = reader.read(is_record)
        if rest:
            where = "not a JSON object" if raw.endswith(b"\n") else "the last line is torn"
            findings.lose(number, f"{where}: {len(rest.encode())} bytes", rest)
        if len(found) > 1 or (found and rest):
            findings.recover(number, f"{len(found)} record{'s' * (len(found) != 1)} on a damaged line")
        if found and reader.repaired:
            findings.recover(number, "characters or numbers that JSON cannot hold were replaced")
        for fields in found:
            yield Line(number, fields, len(found) == 1 and not rest)


def _whole(raw: bytes) -> Fields | None:
    """Read a line that holds one object and nothing else; None when it takes a closer look."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(value, dict) or (raw.count(b"{") + raw.count(b"[") > DEPTH and too_deep(value)):
        return None
    return value


def too_deep(value: object) -> bool:
    """Return whether a value nests deeper than is read here."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


class Decoder(json.JSONDecoder):
    """Reads values wherever they begin in a text; NaN and infinities become null, and `repaired` is set."""

    def __init__(self) -> None:
        super().__init__(parse_constant=self._nothing, parse_float=self._float)
        self.repaired = False

    def _nothing(self, text: str) -> None:
        self.repaired = True

    def _float(self, text: str) -> float | None:
        number = float(text)
        if math.isfinite(number):
            return number
        self.repaired = True
        return None


class _LineReader:
    """Reads the objects on one line and remembers whether it had to repair one."""

    def __init__(self, raw: bytes) -> None:
        self._decoder = Decoder()
        self._looked = 0
        try:
            self._text = raw.decode()
        except UnicodeDecodeError:
            self._text, self._decoder.repaired = raw.decode("utf-8", "replace"), True

    @property
    def repaired(self) -> bool:
        return self._decoder.repaired

    def read(self, is_record: Callable[[Fields], bool]) -> tuple[list[Fields], str]:
        """Return the records on the line, and the text that is none (empty: everything was read)."""
        found, end = self._objects(0)
        if end == len(self._text):
            return found, ""
        tail = self._text[end:]
        starts = (match.start() for match in re.finditer(r"\{", tail)) if tail.rstrip().endswith("}") else iter(())
        most = max(_LOOKED_LEAST, _LOOKED_AT * len(tail))
        for start in starts:
            if self._looked >= most:
                break
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
            except RecursionError:
                self._looked += _NESTED
                return found, start
            except ValueError as error:
                self._looked += _read_upto(error, text) - start
                return found, start
            self._looked += end - start
            if not isinstance(value, dict) or too_deep(value):
                return found, start
            fields = clean(value) if "\\u" in text else value
            self._decoder.repaired |= fields != value
            found.append(fields if isinstance(fields, dict) else value)
            start = end


def _read_upto(error: ValueError, text: str) -> int:
    """Return how far a text was read before a value turned out to be none."""
    if not isinstance(error, json.JSONDecodeError) or error.msg.startswith("Unterminated"):  # then pos is its beginning
        return len(text)
    return error.pos


def clean(value: object) -> object:
    """Return a value with U+FFFD in place of what no text may hold."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(name): clean(item) for name, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value

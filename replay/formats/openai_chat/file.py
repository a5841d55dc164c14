"""Files of Chat Completions: how they are told from others, and the conversations in one.

A file is a list of messages, a request, a list of such, or JSON Lines of one of these; each may have answers beside it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from eventsource.errors import TranscriptError

from ..document import document_of
from ..fields import fields_of, list_of
from ..format import Format, Head, SourceSession, lines_of, unreadable
from ..jsonl import Fields, Findings, Line, each_record
from .conversations import Conversation, Conversations, records_of
from .dialect import FORMAT, OpenAIChatDialect
from .exchanges import chained, is_message, read_exchange

_SPACE = b"\xef\xbb\xbf \t\r\n"
_KEPT = 2_000  # characters of a record without messages that are shown


def _is_record(fields: Fields) -> bool:
    return is_message(fields) or read_exchange(fields) is not None


def _fits(head: Head) -> bool:
    if head.records:
        return _is_record(head.records[0])
    return _is_record(head.document)


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    source = _Document(path) if _is_document(path) else _Lines(path, growing=growing)
    first = next(source.records(Findings()), None)
    if first is not None and is_message(first.fields):
        dialect = partial(OpenAIChatDialect, conversation=None, name=_name(source.records))
        yield SourceSession(dialect=dialect, records=source.records)
    else:
        yield from _Exchanges(path, source).sessions()


def _is_document(path: Path) -> bool:
    """Return whether a file is one JSON value, and not lines of them: its first line is none by itself."""
    try:
        with path.open("rb") as file:
            first = next((line for line in file if line.strip(_SPACE)), b"")
            more = any(line.strip(_SPACE) for line in file)
    except OSError as error:
        raise unreadable(path, error) from error
    if first.strip(_SPACE).startswith(b"["):
        return True
    try:
        return not isinstance(json.loads(first), dict) and not more
    except (ValueError, RecursionError):
        return first.strip(_SPACE) == b"{" or not more


def _name(records: Callable[[Findings], Iterator[Line]]) -> str:
    """Name a list of messages by how it begins: up to the first message of a person."""
    digest = 0
    for line in records(Findings()):
        digest = chained(digest, line.fields)
        if line.fields.get("role") == "user":
            break
    return f"{digest:016x}"


class _Source(Protocol):
    """A file of records."""

    def records(self, findings: Findings) -> Iterator[Line]:
        """Read all."""
        ...

    def at(self, number: int, place: int) -> Fields:
        """Read the record again that stands on a line at a place; nothing, if the file was changed meanwhile."""
        ...


class _Document:
    """A JSON document: a list of records, or one."""

    def __init__(self, path: Path) -> None:
        document = document_of(path)
        self._values = list_of(document.value) if isinstance(document.value, list) else [document.value]
        self.records = document.records(self._values)

    def at(self, number: int, place: int) -> Fields:
        """Read a record again."""
        return fields_of(self._values[number - 1])


class _Lines:
    """A file of JSON Lines; what was written after this was made is not read."""

    def __init__(self, path: Path, *, growing: bool) -> None:
        self._path = path
        self.records = lines_of(path, _is_record, growing=growing)
        self._begins = array("q", (0,))
        at = 0
        try:
            with path.open("rb") as file:
                for line in file:
                    at += len(line)
                    self._begins.append(at)
        except OSError as error:
            raise unreadable(path, error) from error

    def at(self, number: int, place: int) -> Fields:
        """Read a record again."""
        begin, end = self._begins[number - 1 : number + 1]
        try:
            with self._path.open("rb") as file:
                file.seek(begin)
                raw = file.read(end - begin)
        except OSError as error:
            raise unreadable(self._path, error) from error
        found = next(islice(each_record([raw], _is_record, Findings()), place, None), None)
        return found.fields if found is not None else {}


class _Exchanges:
    """The records of a file, told apart into conversations; each is read again where it stands."""

    def __init__(self, path: Path, source: _Source) -> None:
        self._path, self._source = path, source
        self._conversations = Conversations()
        self._findings = Findings()
        self._lines, self._places = array("q"), array("q")
        """Of each exchange its line, and which one it is there."""

    def sessions(self) -> Iterator[SourceSession]:
        """Give the conversations. Raises: TranscriptError when there is none."""
        last = place = 0
        for line in self._source.records(self._findings):
            place = place + 1 if line.number == last else 0
            last = line.number
            exchange = read_exchange(line.fields)
            if exchange is None:
                self._findings.lose(last, "holds no messages", json.dumps(line.fields, ensure_ascii=False)[:_KEPT])
                continue
            self._conversations.add(len(self._lines), last, exchange)
            self._lines.append(last)
            self._places.append(place)
        if not self._conversations.found:
            raise TranscriptError(str(self._path), "holds no messages of Chat Completions")
        for number, one in enumerate(self._conversations.found):
            records = partial(self._read, one, tell=number == 0)
            yield SourceSession(dialect=partial(OpenAIChatDialect, conversation=one), records=records)

    def _read(self, conversation: Conversation, findings: Findings, *, tell: bool) -> Iterator[Line]:
        if tell:  # what was found of the whole file is told once
            for note in self._findings.recovered:
                findings.recover(note.number, note.problem)
            for note in self._findings.lost:
                findings.lose(note.number, note.problem, note.text)
        for piece in conversation.pieces:
            number = self._lines[piece.place]
            exchange = read_exchange(self._source.at(number, self._places[piece.place]))
            if exchange is None:
                return
            for record in records_of(exchange, piece):
                yield Line(number, record)


OPENAI_CHAT = Format(
    name=FORMAT,
    what="messages and requests of Chat Completions (JSON, JSON Lines, fine-tuning files)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=lambda _: (),
    folder=lambda _: "",
)

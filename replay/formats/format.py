"""A format of session files: how one is told from others, and which sessions a file of it holds."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from .dialect import Dialect
from .document import beginning
from .jsonl import Fields, Findings, Line, each_record, read_lines
from .to_agent import ToAgent

_LOOK = 1 << 16  # bytes read at once while the end of the last whole line is looked for
_HEADS = 4  # beginnings of files that are kept, since one that grows is looked at often
HEAD_BYTES = 1 << 20  # enough for a header and some records; what it cuts short is not judged


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """How a file begins: its first bytes, and the objects that stand in them, one a line.

    `document`: if the file is one JSON document, the members of its object, or of the first one in its list.
    """

    path: Path
    data: bytes
    records: tuple[Fields, ...]
    document: Fields


Records = Callable[[Findings], Iterator[Line]]
"""Reads the records of a session, and tells what was repaired or lost."""


class SourceFork(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a file of its own that goes on from another session, up to a record of that.

    `name`: what the source calls it. `dialect`: reads the records of both. `whole`: makes a reader of them, given the
    records of the session that is `missing`, whose file is not there (empty: none is). `written`: finds those in a log;
    None: it does not have them. `lacks`: what its own records lack without those before them; empty: nothing. `beside`:
    given the same as `whole`, what is kept with the fork, to write its file (None: nothing).
    """

    name: str
    dialect: Callable[[Mapping[str, str]], Dialect]
    whole: Callable[[Records | None], Records]
    missing: str
    written: Callable[[EventLog, str], Awaitable[Records | None]]
    lacks: str = ""
    beside: Callable[[Records | None], Fields] | None = None


class SourceSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a file: its dialect, and its records, which are read twice.

    `dialect` is made with the sessions of its children by their links. `name`: of a child, which comes behind the
    session that began it (empty: it is no child), `links`: what that says of it. `path`: of a child that has a file of
    its own. `begun_by`: what the source calls the session that began one which is imported by itself. `fork`: it goes
    on from another session, and `records` are its own alone. `manner`: what of how the file is read depends on
    more than a record; when that is another one, a file that grew is read anew. `grown`: makes a reader of what the
    file told before, as a session has it, and of what came to that, if it does not keep it (None: more changed).
    """

    dialect: Callable[[Mapping[str, str]], Dialect]
    records: Records
    name: str = ""
    links: tuple[str, ...] = ()
    path: Path | None = None
    begun_by: str = ""
    fork: SourceFork | None = None
    manner: str = ""
    grown: Callable[[EventLog, str], Awaitable[Records | None]] | None = None


class Home(msgspec.Struct, frozen=True):
    """Where an agent keeps its sessions: a folder, and the pattern of the files in it; others that it had before."""

    folder: Path
    pattern: str
    more: tuple[str, ...] = ()


class Sessions(Protocol):
    """Finds the sessions that a file holds."""

    def __call__(self, path: Path, *, growing: bool) -> Iterable[SourceSession]:
        """Find them.

        Args:
            growing: somebody writes the file, and its last line may not have come whole.

        Raises: TranscriptError when it cannot be read.
        """
        ...


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A format: its name, what its files are, and whether a file is one, by how it begins.

    `sessions`: those that a file holds, each before its children. `owner`: the file with which another one is
    imported, if it is not imported by itself; `beside`: those that may still be written with it; `before`: those with
    sessions that its own go on from. `folder`: where the agent worked, by how a file begins. `home`: where the agent
    keeps its sessions, by its environment (None: wherever a program says). `folders`: where it worked in each session
    of a file that holds several, by their sources. `to_agent`: how a session is given to the agent (None: nobody looks
    for files of this format).
    """

    name: str
    what: str
    fits: Callable[[Head], bool]
    sessions: Sessions
    owner: Callable[[Path], Path | None]
    beside: Callable[[Path], Iterable[Path]]
    folder: Callable[[Head], str]
    before: Callable[[Path], Iterable[Path]] = lambda _: ()
    home: Callable[[Mapping[str, str]], Home] | None = None
    folders: Callable[[Path], Mapping[str, str]] = lambda _: {}
    to_agent: ToAgent | None = None


def head_of(path: Path) -> Head:
    """Read how a file begins.

    Raises: TranscriptError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _head_of(path, file.read(HEAD_BYTES))
    except OSError as error:
        raise unreadable(path, error) from error


@lru_cache(maxsize=_HEADS)
def _head_of(path: Path, data: bytes) -> Head:
    records = read_lines(data, lambda fields: isinstance(fields.get("type"), str)).records
    return Head(path=path, data=data, records=tuple(record.fields for record in records), document=beginning(data))


class FileLines:
    """Reads the records of a file of JSON Lines: each time what the file held when this was made.

    `path`, `size_bytes`: of what it reads.
    """

    def __init__(self, path: Path, is_record: Callable[[Fields], bool], size_bytes: int) -> None:
        self.path, self.size_bytes, self._is_record = path, size_bytes, is_record

    def __call__(self, findings: Findings) -> Iterator[Line]:
        """Read all of them."""
        return self.behind(0, 1, findings)

    def behind(self, place: int, first: int, findings: Findings) -> Iterator[Line]:
        """Read those from a place on, which is the beginning of a line.

        Args:
            place: how many bytes stand before.
            first: the number of the line.
        """
        return each_record(_lines(self.path, place, self.size_bytes), self._is_record, findings, first=first)


def lines_of(path: Path, is_record: Callable[[Fields], bool], *, growing: bool = False) -> FileLines:
    """Make a reader of a file of JSON Lines; each time it reads what the file held when this was called.

    Args:
        growing: a last line without an end is not read: it has not come whole yet.

    Raises: TranscriptError when the file cannot be read.
    """
    try:
        size = _end_of_lines(path) if growing else path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    return FileLines(path, is_record, size)


def _end_of_lines(path: Path) -> int:
    """Return how many bytes of a file are whole lines."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        while at > 0:
            size = min(at, _LOOK)
            file.seek(at - size)
            found = file.read(size).rfind(b"\n")
            if found >= 0:
                return at - size + found + 1
            at -= size
    return 0


def _lines(path: Path, place: int, size: int) -> Iterator[bytes]:
    left = size - place
    try:
        with path.open("rb") as file:
            file.seek(place)
            while left > 0 and (line := file.readline(left)):
                left -= len(line)
                yield line
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> TranscriptError:
    """Say that a file cannot be read, and why."""
    return TranscriptError(str(path), f"cannot be read: {error.strerror or error}")

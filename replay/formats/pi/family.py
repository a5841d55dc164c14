"""Session files of pi that were forked: each begins with a copy of the one that its header names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path, PurePath

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from ..fields import text_of
from ..format import Records, SourceFork, lines_of
from ..jsonl import Fields, Findings, Line
from ..written import written_before
from .dialect import FORMAT, PiDialect, is_record
from .write import pi_parts

_LIMIT = 100  # sessions in one line; more are a circle
_VERSION = 2  # since then entries have names, by which a copy is known


def _header(records: Records) -> Fields:
    first = next(records(Findings()), None)
    return first.fields if first is not None and first.fields.get("type") == "session" else {}


def _original(path: Path) -> Path | None:
    """Find the file that another one goes on from: where its header says, or beside it."""
    try:
        header = _header(lines_of(path, is_record))
    except TranscriptError:
        return None
    named, version = header.get("parentSession"), header.get("version")
    if not isinstance(named, str) or not named or type(version) is not int or version < _VERSION or "\0" in named:
        return None
    places = (Path(named), path.with_name(PurePath(named.replace("\\", "/")).name))
    return next((one for one in places if one != path and _is_file(one)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file can be called so
        return False


def _line_of(path: Path) -> list[Path]:
    """Follow forks back: the file, and those before it."""
    found = [path]
    while len(found) < _LIMIT and (one := _original(found[-1])) is not None and one not in found:
        found.append(one)
    return found


def files_before(path: Path) -> list[Path]:
    """Find the files with what a session goes on from, the first one first."""
    return _line_of(path)[:0:-1]


def fork_of(path: Path, own: Records) -> SourceFork | None:
    """Describe a session that goes on from another one, whose file may be gone; None: it does not."""
    session, line = text_of(_header(own).get("id")), _line_of(path)
    if not session or not isinstance(_header(own).get("parentSession"), str):
        return None

    def whole(base: Records | None) -> Records:
        """Join the files, the first one first, or what the log has in their place."""
        for one in reversed(line[1:]):
            read = lines_of(one, is_record)
            base = read if base is None else _joined(read, base)
        return own if base is None else _joined(own, base)

    return SourceFork(
        name=session,
        dialect=lambda _: PiDialect(named=True, fork=session),
        whole=whole,
        missing="" if len(line) > 1 else session,
        written=_written,
    )


async def _written(log: EventLog, session: str) -> Records | None:
    return await written_before(log, FORMAT, session, pi_parts, _joined)


def _joined(own: Records, base: Records) -> Records:
    """Make a reader of a session's entries behind those that it copied, which are read where they stood first."""
    told = {text_of(line.fields.get("id")): (place, line.fields) for place, line in enumerate(base(Findings()), 1)}
    taken = 0
    there: set[str] = set()
    for line in islice(own(Findings()), 1, None):
        name = text_of(line.fields.get("id"))
        place, fields = told.get(name, (0, None))
        if not name or fields != line.fields:  # it says something else from here on, whatever it calls that
            break
        taken = max(taken, place)
        there.add(name)
    return partial(_read, own, base, taken, there) if there else own


def _read(own: Records, base: Records, taken: int, there: set[str], findings: Findings) -> Iterator[Line]:
    yield from islice(base(Findings()), taken)
    waiting: Sequence[Line] | None = ()  # the header stands beside the conversation, so behind where it parts
    for line in own(findings):
        if waiting is not None and line.fields.get("type") == "session":
            waiting = (*waiting, line)
        elif waiting is None or text_of(line.fields.get("id")) not in there:
            yield line
            yield from waiting or ()
            waiting = None
    yield from waiting or ()

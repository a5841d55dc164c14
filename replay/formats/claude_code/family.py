"""Session files of Claude Code that were forked: each begins with a copy of the session that it goes on from.

No record says which one that is. The copies keep their names, so it is a file beside it that begins with the same
record, under another session's id, and that was begun before. Of a session that was shortened only what stands behind
the last compaction is copied: then it is one that has the record of that compaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from ..fields import text_of
from ..format import Records, SourceFork, lines_of
from ..jsonl import Fields, Findings, Line
from ..written import written_before
from .copies import copies_of, found_in, is_compaction
from .dialect import FORMAT, ClaudeCodeDialect, is_record
from .write import claude_code_parts

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGENT = "agent-"  # how the files of sub-agents are called
_FIRST = 100  # records among which the first one with a name stands
_LOOKED = 10_000  # files whose beginnings are remembered
_LIMIT = 100  # sessions in one line


class _Begins(NamedTuple):
    """How a file begins: its session, the name of its first record that has one, and when it was begun.

    `shortened`: that record is of a compaction.
    """

    session: str = ""
    name: str = ""
    time: str = ""
    shortened: bool = False


def _begins(path: Path) -> _Begins:
    try:
        stat = path.stat()
        return _begins_of(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, TranscriptError):
        return _Begins()


@lru_cache(maxsize=_LOOKED)
def _begins_of(path: Path, changed_ns: int, size: int) -> _Begins:
    session = name = time = ""
    shortened = False
    for line in islice(lines_of(path, is_record)(Findings()), _FIRST):
        session = session or text_of(line.fields.get("sessionId"))
        time = time or text_of(line.fields.get("timestamp"))
        name = text_of(line.fields.get("uuid"))
        if name:
            shortened = is_compaction(line)
            break
    return _Begins(session, name if _NAME.fullmatch(name) else "", time, shortened)


def _original(path: Path) -> Path | None:
    """Find the file that another one goes on from: of several the one that has most of it."""
    own = _begins(path)
    if not own.name or not own.session or path.stem.startswith(_AGENT):
        return None
    beside = _beside(path.parent)
    same = list(beside.get(own.name, ()))
    if own.shortened:
        same += [(other, one) for found in beside.values() for other, one in found if _holds(one, own.name)]
    earlier = [
        one
        for other, one in same
        if other.session not in ("", own.session) and (other.time, one.name) < (own.time, path.name)
    ]
    names = _names(lines_of(path, is_record)) if len(earlier) > 1 else set()
    return (
        max(earlier, key=lambda one: len(names & _names(lines_of(one, is_record))), default=None) if earlier else None
    )


def _beside(folder: Path) -> Mapping[str, Sequence[tuple[_Begins, Path]]]:
    """Find the files of a folder by the name of their first record; they are looked at when one comes or goes."""
    try:
        return _named_in(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=_LIMIT)
def _named_in(folder: Path, changed_ns: int) -> Mapping[str, Sequence[tuple[_Begins, Path]]]:
    found: dict[str, list[tuple[_Begins, Path]]] = {}
    for one in sorted(folder.glob("*.jsonl")):
        if not one.stem.startswith(_AGENT) and (begins := _begins(one)).name:
            found.setdefault(begins.name, []).append((begins, one))
    return found


def _holds(path: Path, name: str) -> bool:
    """Return whether a file has a record of a name."""
    try:
        return name.encode() in path.read_bytes() and name in _names(lines_of(path, is_record))
    except (OSError, TranscriptError):
        return False


def _names(records: Records) -> set[str]:
    return {name for line in records(Findings()) if (name := text_of(line.fields.get("uuid")))}


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
    """Describe a session that goes on from another one, or may have, by a file that is gone; None: it does not."""
    line, session = _line_of(path), _begins(path).session
    if not session or path.stem.startswith(_AGENT):
        return None

    def before(base: Records | None) -> Records | None:
        """Join the files before it, the first one first, or take what the log has in their place."""
        for one in reversed(line[1:]):
            read = lines_of(one, is_record)
            base = read if base is None else _joined(read, base)
        return base

    def whole(base: Records | None) -> Records:
        base = before(base)
        return own if base is None else _joined(own, base)

    def beside(base: Records | None) -> Fields:
        base = before(base)
        return {} if base is None else copies_of(own, base, session)

    dialect, missing = partial(ClaudeCodeDialect, fork=session), "" if len(line) > 1 else session
    return SourceFork(name=session, dialect=dialect, whole=whole, missing=missing, written=_written, beside=beside)


async def _written(log: EventLog, session: str) -> Records | None:
    return await written_before(log, FORMAT, session, claude_code_parts, _joined)


def _joined(own: Records, base: Records) -> Records:
    """Make a reader of a session's records behind those that it copied, which are read where they stood first."""
    found = found_in(own, base)
    taken = max((line.number for line in found.values()), default=0)
    return partial(_read, own, base, taken, frozenset(found)) if found else own


def _read(own: Records, base: Records, taken: int, there: Set[str], findings: Findings) -> Iterator[Line]:
    yield from islice(base(Findings()), taken)
    waiting: list[Line] | None = []  # what stands beside the conversation belongs behind where it parts
    for line in own(findings):
        name = text_of(line.fields.get("uuid"))
        if waiting is not None and name and name in there:
            continue
        if waiting is not None and not name:
            waiting.append(line)
            continue
        yield line
        yield from waiting or ()
        waiting = None
    yield from waiting or ()

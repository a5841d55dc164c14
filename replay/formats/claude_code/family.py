"""Session files of Claude Code that were forked: each begins with a copy of the session that it goes on from.

No record says which one that is. It is a file beside it that was begun before, under another session's id: one that
begins with the same record, where copies keep their names, or with the same answer (1.0, which copies at each resume
under new names). Of a session that was shortened only what stands behind the last compaction is copied: then it is one
that has the record of that compaction, or further down that answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from ..fields import fields_of, text_of
from ..format import Records, SourceFork, lines_of
from ..jsonl import Fields, Findings, Line
from ..written import written_before
from .alike import answer_of, came_at_once, found_in, is_compaction
from .copies import copies_of, named_as
from .dialect import FORMAT, SYNTHETIC, ClaudeCodeDialect, is_record
from .side_chains import SideChains, main_of
from .write import claude_code_parts

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGENT = "agent-"  # how the files of sub-agents are called
_FIRST = 100  # records among which the first one with a name stands
_LOOKED = 10_000  # files whose beginnings are remembered
_LIMIT = 100  # sessions in one line


class _Begins(NamedTuple):
    """How a file begins: its session, the name of its first record that has one, and when it was begun.

    `shortened`: that record is of a compaction. `answer`: what the provider calls the first answer. `again`: that came
    at once, as copies do. `by_model`: a model gave it; what the program says in its place comes at once, too.
    """

    session: str = ""
    name: str = ""
    time: str = ""
    shortened: bool = False
    answer: str = ""
    again: bool = False
    by_model: bool = False


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
    before: Fields = {}
    for line in islice(lines_of(path, is_record)(Findings()), _FIRST):
        session = session or text_of(line.fields.get("sessionId"))
        time = time or text_of(line.fields.get("timestamp"))
        if not name and (name := text_of(line.fields.get("uuid"))):
            shortened = is_compaction(line)
        if line.fields.get("isSidechain") is True:
            continue
        if answer := answer_of(line.fields):
            by_model = fields_of(line.fields.get("message")).get("model") != SYNTHETIC
            return _Begins(session, _named(name), time, shortened, answer, came_at_once(line.fields, before), by_model)
        before = line.fields if "uuid" in line.fields else before
    return _Begins(session, _named(name), time, shortened)


def _named(name: str) -> str:
    return name if _NAME.fullmatch(name) else ""


def _original(path: Path) -> Path | None:
    """Find the file that another one goes on from: of several the one that has most of it."""
    own = _begins(path)
    if not own.name or not own.session or path.stem.startswith(_AGENT):
        return None
    beside = _beside(path.parent)
    named = list(beside.get(own.name, ()))
    if own.shortened:
        named += [one for same in beside.values() for one in same if _holds(one[1], own.name)]
    earlier = _earlier(named, own, path)
    if len(earlier) == 1:
        return earlier[0]
    if not earlier and own.again:
        earlier = _earlier(beside.get(own.answer, ()), own, path)
    if not earlier and own.again and own.by_model:
        # behind a compaction, whose first answer stands further down in the other one
        others = (one for same in beside.values() for one in same)
        earlier = [one for one in _earlier(others, own, path) if _holds(one, own.answer)]
    most, found = max(((_shared(path, one), one) for one in earlier), key=lambda one: one[0], default=(0, None))
    return found if most else None


def _earlier(found: Iterable[tuple[_Begins, Path]], own: _Begins, path: Path) -> list[Path]:
    """Give the files of other sessions that were begun before, the first one first."""
    others = {
        (other.time, one.name): one
        for other, one in found
        if other.session not in ("", own.session) and (other.time, one.name) < (own.time, path.name)
    }
    return [one for _, one in sorted(others.items())]


def _shared(path: Path, other: Path) -> int:
    """Count the records of a file that are copies of another one's."""
    try:
        return _count_shared(path, other, *((one.stat().st_mtime_ns, one.stat().st_size) for one in (path, other)))
    except (OSError, TranscriptError):
        return 0


@lru_cache(maxsize=_LOOKED)
def _count_shared(path: Path, other: Path, changed: tuple[int, int], other_changed: tuple[int, int]) -> int:
    return len(found_in(main_of(path), main_of(other)).found)


def _beside(folder: Path) -> Mapping[str, Sequence[tuple[_Begins, Path]]]:
    """Find the files of a folder by the names of their first record and answer, anew when one comes or goes."""
    try:
        return _named_in(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=_LIMIT)
def _named_in(folder: Path, changed_ns: int) -> Mapping[str, Sequence[tuple[_Begins, Path]]]:
    found: dict[str, list[tuple[_Begins, Path]]] = {}
    for one in sorted(folder.glob("*.jsonl")):
        if not one.stem.startswith(_AGENT) and (begins := _begins(one)).name:
            for name in {begins.name, begins.answer} - {""}:
                found.setdefault(name, []).append((begins, one))
    return found


def _holds(path: Path, name: str) -> bool:
    """Return whether a file has a record of a name, or an answer."""
    try:
        lines = lines_of(path, is_record)(Findings()) if name.encode() in path.read_bytes() else ()
        return any(name in (line.fields.get("uuid"), answer_of(line.fields)) for line in lines)
    except (OSError, TranscriptError):
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
    """Describe a session that goes on from another one, or may have, by a file that is gone; None: it does not."""
    line, session = _line_of(path), _begins(path).session
    if not session or path.stem.startswith(_AGENT):
        return None

    def before(base: Records | None) -> Records | None:
        """Join the files before it, the first one first, or take what the log has in their place."""
        for one in reversed(line[1:]):
            read = main_of(one)
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
    base = await written_before(log, FORMAT, session, claude_code_parts, _joined)
    return None if base is None else SideChains(base).main


def _joined(own: Records, base: Records) -> Records:
    """Make a reader of a session's records behind those that it copied, which are read where they stood first."""
    copies = found_in(own, base)
    names = {name: copy.of for name, copy in copies.found.items()}
    return partial(_read, own, base, copies.taken, names) if names else own


def _read(own: Records, base: Records, taken: int, there: Mapping[str, str], findings: Findings) -> Iterator[Line]:
    yield from islice(base(Findings()), taken)
    waiting: list[Line] | None = []  # what stands beside the conversation belongs behind where it parts
    for line in own(findings):
        name = text_of(line.fields.get("uuid"))
        if waiting is not None and name and name in there:
            continue
        if waiting is not None and not name:
            waiting.append(line)
            continue
        yield msgspec.structs.replace(line, fields=named_as(line.fields, there))
        yield from waiting or ()
        waiting = None
    yield from waiting or ()

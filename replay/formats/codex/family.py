"""Session files of Codex that belong together: those that were forked from others, and those of sub-agents.

A fork names the session that it goes on from. Since 0.171 its file holds what came later alone, and says how many
records come first; before, it begins with a copy of them. A sub-agent's file names the session that began it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from ..fields import fields_of, text_of
from ..format import Records, SourceFork, lines_of
from ..jsonl import Fields, Findings, Line
from ..scan import Scan
from .dialect import FORMAT, CodexDialect, is_record, spawned
from .envelope import kind_of, payload_of
from .write import UPTO, codex_parts

_ID = re.compile(r"[\w-]+")
_NAMED = re.compile(r"rollout-.*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_TELLS = re.compile(rb'agent_thread_id|new_thread_id|receiver_thread_ids|\\"agent_id\\"')
_LIMIT = 100  # sessions in one line; more are a circle
_TIMED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-")  # begins an id that says when it was made
_DAY_S = 24 * 60 * 60
_RESTS_NS = _DAY_S * 1_000_000_000
_LOOKED = 10_000  # files whose first lines are remembered
_GOES_ON = ("task_started", "turn_started", "user_message", "thread_rolled_back", "thread_settings_applied")
"""Events that a later turn begins with, or that take one back."""


class Begins(NamedTuple):
    """What the first record of a file says of its session.

    `forked_from`: the session that it goes on from, `upto`: up to which ordinal of that (0: its file begins with a
    copy). `begun_by`: the session whose sub-agent it is.
    """

    session: str
    forked_from: str
    upto: int
    begun_by: str


def begins(first: Line | None) -> Begins:
    """Read the first record of a file."""
    fields = first.fields if first is not None else {}
    meta = payload_of(fields) if kind_of(fields) == "session_meta" else {}
    upto = meta.get(UPTO)
    source = fields_of(meta.get("source"))
    is_agent = meta.get("thread_source") == "subagent" or "subagent" in source
    spawned_by = fields_of(fields_of(source.get("subagent")).get("thread_spawn"))  # all that 0.98 to 0.130 say of it
    return Begins(
        session=text_of(meta.get("id")),
        forked_from=text_of(meta.get("forked_from_id")),
        upto=upto if type(upto) is int and upto > 0 else 0,
        begun_by=text_of(meta.get("parent_thread_id") or spawned_by.get("parent_thread_id")) if is_agent else "",
    )


def begins_of(path: Path) -> Begins:
    """Read how a file begins. Raises: TranscriptError when it cannot be read."""
    return _begins_of(path, *_state(path))


def _state(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=_LOOKED)
def _begins_of(path: Path, changed_ns: int, size: int) -> Begins:
    return begins(next(lines_of(path, is_record)(Findings()), None))


def file_of(path: Path, session: str) -> Path | None:
    """Find the file of a session beside another one's, or in the folders of other days; Codex may have archived it."""
    if not _ID.fullmatch(session):
        return None
    folder = path.resolve().parent
    days = next((one for one in (folder, *folder.parents[:3]) if not one.name.isdigit()), folder)
    near = [folder] if days == folder else [folder, *_days_of(days, session), days.parent / "archived_sessions"]
    far = days.glob("[0-9]*/[0-9]*/[0-9]*") if days != folder else ()
    named = (one for place in chain(near, far) for one in sorted(_named(place, session)))
    return next((one for one in chain(named, _called_otherwise(folder, session)) if one != path), None)


def _days_of(days: Path, session: str) -> Iterator[Path]:
    """Give the folders in which a session's file lies by the time in its id, which is not the local one."""
    if not _TIMED.match(session):
        return
    began_s = int(session[:8] + session[9:13], 16) / 1000
    for shift_s in (0, -_DAY_S, _DAY_S):
        try:
            yield days / f"{datetime.fromtimestamp(began_s + shift_s, UTC):%Y/%m/%d}"
        except (ValueError, OverflowError, OSError):  # no year that there is
            return


def _named(folder: Path, session: str) -> Iterator[Path]:
    return folder.glob(f"rollout-*{session}.jsonl")


def _called_otherwise(folder: Path, session: str) -> Iterator[Path]:
    """Find a session's file among those of a folder that are not called as Codex calls them."""
    for one in sorted(folder.glob("*.jsonl")):
        if not _NAMED.match(one.stem) and _session_of(one) == session:
            yield one


def _session_of(path: Path) -> str:
    try:
        return begins_of(path).session
    except TranscriptError:
        return ""


def agents_of(path: Path) -> list[Path]:
    """Find the files of the sub-agents that a session began, and of those that these began."""
    found: list[Path] = []
    for one in chain((path,), found):  # which grows while it is read
        own = begins_of(one).session
        for session in _begun_in(one):
            file = file_of(one, session) if session != own and len(found) < _LIMIT else None
            if file is not None and file not in (path, *found) and begins_of(file).begun_by:
                found.append(file)
    return found


_BEGUN = Scan(lambda line: spawned(_fields(line))[1] or None if _TELLS.search(line) else None)


def _begun_in(path: Path) -> Sequence[str]:
    """List the sub-agents that a file names, in their order."""
    try:
        return tuple(dict.fromkeys(_BEGUN.of(path)))
    except (OSError, TranscriptError):
        return ()


def _fields(line: bytes) -> Fields:
    try:
        return fields_of(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def working_agents_of(path: Path) -> list[Path]:
    """Find the files of sub-agents that may still be written: not below a session whose file has rested for a day."""
    changed_ns, _ = _state(path)
    return agents_of(path) if time.time_ns() - changed_ns < _RESTS_NS else []


def owner_of(path: Path) -> Path | None:
    """Return the file of the session that began a sub-agent, or that one's, if it is there and names it."""
    found: Path | None = None
    for _ in range(_LIMIT):
        at = begins_of(found or path)
        parent = file_of(found or path, at.begun_by) if at.begun_by else None
        if parent is None or at.session not in _begun_in(parent):
            break
        found = parent
    return found if found != path else None


def files_before(path: Path) -> list[Path]:
    """Find the files with what a session goes on from, the first one first; a sub-agent's comes with who began it."""
    line, _ = _line_of(owner_of(path) or path)
    found = dict.fromkeys(owner_of(one) or one for one in reversed(line))
    found.pop(path, None)
    return list(found)


def _line_of(path: Path) -> tuple[list[Path], str]:
    """Follow forks back. Returns: the file and those before it; the session whose file is not there (empty: none)."""
    found = [path]
    while len(found) < _LIMIT:
        at = begins_of(found[-1])
        if not at.forked_from or at.begun_by:  # a sub-agent's file holds what it was told of the other
            return found, ""
        parent = file_of(found[-1], at.forked_from)
        if parent is None or parent in found:
            return found, at.forked_from
        found.append(parent)
    return found, ""


def fork_of(path: Path, own: Records) -> SourceFork | None:
    """Describe a session that goes on from another one; None: it does not."""
    at = begins_of(path)
    if not at.forked_from or not at.session or at.begun_by:
        return None
    line, missing = _line_of(path)
    missed = f"it goes on from session {at.forked_from}, which is neither in this log nor has a file beside its own"

    def whole(base: Records | None) -> Records:
        """Join the files, the first one first."""
        for one in reversed(line[1:]):
            base = joined(lines_of(one, is_record), base)
        return joined(own, base)

    return SourceFork(
        name=at.session,
        dialect=partial(CodexDialect, fork=at.session),
        whole=whole,
        missing=missing,
        written=_written,
        lacks=f"{missed}: what was said in that is missing" if at.upto else "",
    )


async def _written(log: EventLog, session: str) -> Records | None:
    """Write the records of a session that was imported, with those before them; None: the log does not have it."""
    line: list[bytes] = []
    wanted = session
    while wanted and len(line) < _LIMIT:
        found = await log.sessions(source=f"{FORMAT}:{wanted}", limit=1)
        if not found:
            return None
        line.append(b"".join([part async for part in codex_parts(log, found[0].id)]))
        wanted = begins(next(iter(_lines(line[-1])), None)).forked_from if found[0].parent is not None else ""
    base: Records | None = None
    for data in reversed(line):
        base = joined(partial(_read, data), base)
    return base


def _lines(data: bytes) -> Iterator[Line]:
    for number, line in enumerate(data.splitlines(), 1):
        yield Line(number, json.loads(line))


def _read(data: bytes, findings: Findings) -> Iterator[Line]:
    return _lines(data)


def joined(own: Records, base: Records | None) -> Records:
    """Make a reader of a session's records behind those that it goes on from; they are its own alone if none fits."""
    if base is None:
        return own
    at = begins(next(own(Findings()), None))
    if at.upto:
        return lambda findings: chain(_first(base(Findings()), at.upto), own(findings))
    taken, copied = _copied(base(Findings()), own(Findings()))
    if not taken:
        return own

    def read(findings: Findings) -> Iterator[Line]:
        yield from (line for place, line in enumerate(base(Findings())) if place < taken)
        yield from (line for place, line in enumerate(own(findings)) if place == 0 or place >= copied)

    return read


def _first(lines: Iterator[Line], upto: int) -> Iterator[Line]:
    """Take the records of a session up to an ordinal."""
    for place, line in enumerate(lines):
        ordinal = line.fields.get("ordinal")
        if (ordinal if type(ordinal) is int else place) >= upto:
            return
        yield line


class _Mark(NamedTuple):
    """A record, to find it again in a copy: whether it says something, what it says, whether a turn ends before it."""

    speaks: bool
    said: int
    begins: bool


def _marks(lines: Iterator[Line]) -> list[_Mark]:
    found = []
    for line in lines:
        kind, payload = kind_of(line.fields), payload_of(line.fields)
        speaks = kind in ("response_item", "compacted")
        ends = speaks or (kind == "event_msg" and payload.get("type") not in _GOES_ON)
        found.append(_Mark(speaks, hash(json.dumps((kind, payload), sort_keys=True)), not ends))
    return found


def _copied(base: Iterator[Line], own: Iterator[Line]) -> tuple[int, int]:
    """Find how far a file is a copy of another one's: it may leave out what says nothing.

    Returns: how many records of the other one it goes on from, and how many of its own are these.
    """
    theirs, ours = _marks(base), _marks(own)
    taken = copied = 0
    for one, other in zip(_speaking(theirs), _speaking(ours), strict=False):
        if theirs[one].said != ours[other].said:
            break
        taken, copied = one + 1, other + 1
    if not taken:
        return 0, 0
    last = taken
    while taken < len(theirs) and not theirs[taken].speaks and not theirs[taken].begins:
        taken += 1
    beside = {one.said for one in theirs[last:taken]}
    while copied < len(ours) and not ours[copied].speaks and ours[copied].said in beside:
        copied += 1
    return taken, copied


def _speaking(marks: Sequence[_Mark]) -> Iterator[int]:
    return (place for place, mark in enumerate(marks) if mark.speaks)

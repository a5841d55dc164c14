"""Session files of Codex: how they are told from others, and the one session that each holds.

A session that was forked from another one names it (since 0.171), and how many of its records come first: they stand
in that session's file alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from ..fields import fields_of, text_of
from ..format import Format, Head, Home, SourceSession, lines_of
from ..jsonl import Findings, Line
from .dialect import FORMAT, CodexDialect, is_codex, is_record
from .write import TO_CODEX

Records = Callable[[Findings], Iterator[Line]]
_ID = re.compile(r"[\w-]+")
_UPTO = "forked_from_ordinal_exclusive"
_FORKS = 100  # in one line; more are a circle


def _fits(head: Head) -> bool:
    return any(is_codex(fields) for fields in head.records[:20])


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    yield SourceSession(dialect=CodexDialect, records=_whole(path, lines_of(path, is_record, growing=growing)))


def _whole(path: Path, own: Records, forks: int = 0) -> Records:
    """Make a reader of a session with what comes first of the one that it was forked from."""
    first = next(own(Findings()), None)
    payload = fields_of(first.fields.get("payload")) if first is not None else {}
    parent, upto = text_of(payload.get("forked_from_id")), payload.get(_UPTO)
    if first is None or not parent or type(upto) is not int or upto <= 0:
        return own
    found = _file_of(path, parent) if forks < _FORKS else None
    before = _whole(found, lines_of(found, is_record), forks + 1) if found is not None else None

    def read(findings: Findings) -> Iterator[Line]:
        last = 1
        for line in own(findings):
            if line.number != first.number:
                yield msgspec.structs.replace(line, number=last + line.number - first.number)
            elif before is None:
                yield line
                problem = f"it goes on from session {parent}, whose file is not there: what was said in that is missing"
                findings.lose(line.number, problem, "")
            else:
                yield msgspec.structs.replace(line, number=1, fields=_without_fork(line.fields))
                for one in _before(before(findings), upto):
                    last = one.number
                    yield one

    return read


def _before(lines: Iterator[Line], upto: int) -> Iterator[Line]:
    """Take the first records of a session, up to an ordinal, without its header."""
    for place, line in enumerate(lines):
        if place == 0:
            continue
        ordinal = line.fields.get("ordinal")
        if (ordinal if type(ordinal) is int else place) >= upto:
            return
        yield line


def _without_fork(fields: Mapping[str, object]) -> Mapping[str, object]:
    """Leave out of a header that what comes first stands elsewhere."""
    payload = {name: value for name, value in fields_of(fields.get("payload")).items() if name != _UPTO}
    return {**fields, "payload": payload}


def _file_of(path: Path, session: str) -> Path | None:
    """Find the file of a session beside another one's, or in the folders of other days."""
    if not _ID.fullmatch(session):
        return None
    folder = path.resolve().parent
    days = next((one for one in (folder, *folder.parents[:3]) if not one.name.isdigit()), folder)
    places = [folder, days] if days == folder else [folder, *days.glob("[0-9]*/[0-9]*/[0-9]*")]
    return next(
        (one for place in places for one in sorted(place.glob(f"rollout-*{session}.jsonl")) if one != path), None
    )


def _folder(head: Head) -> str:
    payloads = (fields_of(fields.get("payload")) for fields in head.records)
    return next((str(payload["cwd"]) for payload in payloads if isinstance(payload.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    return Home(Path(environment.get("CODEX_HOME") or "~/.codex").expanduser() / "sessions", "**/rollout-*.jsonl")


CODEX = Format(
    name=FORMAT,
    what="session files of Codex (rollout-*.jsonl)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=lambda _: (),
    folder=_folder,
    home=_home,
    to_agent=TO_CODEX,
)

"""Writing a file's sessions into the log: what is not there yet, as it is planned."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from eventsource.errors import TranscriptError
from eventsource.log import random_id
from eventsource.log.protocol import EventLog

from .format import SourceSession
from .jsonl import LineNote
from .reading import Reading
from .report import ImportReport
from .warm import Family, WarmFiles

_LISTED = 3  # reasons why sessions of a file cannot be read, when none can
_NAMED = 24  # characters of a child's name that its session is named by


async def import_sessions(
    log: EventLog,
    sources: Iterable[SourceSession],
    *,
    path: str,
    session: str | None = None,
    title: str = "",
    again: bool = False,
    dry: bool = False,
    growing: bool = False,
    without: Collection[str] = (),
    only_said: bool = False,
    warm: WarmFiles | None = None,
) -> tuple[ImportReport, ...]:
    """Write what the log does not have yet of a file's sessions and their children: each new one all or nothing.

    Args:
        sources: the sessions, each with its children behind it, which are made when it is their turn. One
            that cannot be read is lost.
        session: the id of the first one, if it is new; its children, and the other ones, have ids that begin with it.
        title: what a new one is called if the file does not say.
        again: make copies, whatever is there.
        dry: write nothing, and say what would be written.
        growing: somebody writes the file: an answer at its end that may not have come whole is left for later.
        without: sources of sessions that are left out, as if they were there.
        only_said: leave out a new session in which nothing was said.
        warm: what was kept of files that were imported before, and is kept of these.

    Returns: what was done of each session that has an entry, with what was done of its children that have one.
    Raises: TranscriptError when the file holds no entry, or none can be read; SessionExistsError.
    """
    reports: list[ImportReport] = []
    lost: list[LineNote] = []
    format_, is_begun = "", False
    left = iter(sources)
    begun = await asyncio.to_thread(next, left, None)
    while begun is not None:
        main = begun
        children, begun = await asyncio.to_thread(_rest_of_family, left)
        family = warm.take(main) if warm is not None else Family()
        try:
            reading = await family.go_on(log, main, growing=growing)
            if reading is None:
                family = Family()
                reading = await Reading.of(
                    log, main, family.links, again=again, growing=growing, dry=dry, keeps=warm is not None
                )
        except TranscriptError as error:
            if begun is None and not reports and not lost:
                raise
            lost.append(LineNote(0, error.problem))
            continue
        format_ = reading.dialect.format
        if not reading.outline.parents:
            is_begun |= reading.left > 0
            continue
        silent = only_said and not reading.session and not children and reading.outline.is_silent
        if silent or reading.source in without:
            reports.append(reading.left_out(path, silent=silent))
            continue
        new = f"{session}-{len(reports) + 1}" if session and reports else session or random_id()
        made = reading.session or new
        below = await _children(
            log, reading, made, children, family, path=path, again=again, growing=growing, keeps=warm is not None
        )
        starter = await reading.starter(log)
        report = await reading.write(log, session=made, path=path, title=title, started_by=starter, dry=dry)
        under = [
            await one.reading.write(log, session=one.session, path=one.path, started_by=starter, dry=dry)
            for one, starter in _in_order(reading, made, below, family.links)
        ]
        reports.append(msgspec.structs.replace(report, children=tuple(under)))
        if warm is not None:
            await warm.keep([reading, *(one.reading for one in below)], family.links)
    if not reports:
        told = "; ".join(note.problem for note in lost[:_LISTED])
        nothing = f"holds no {'finished ' if is_begun else ''}entry of a {format_} session{' yet' if is_begun else ''}"
        raise TranscriptError(path, told or (nothing if format_ else "holds no session"))
    return (msgspec.structs.replace(reports[0], lost=(*reports[0].lost, *lost)), *reports[1:])


def _rest_of_family(left: Iterator[SourceSession]) -> tuple[list[SourceSession], SourceSession | None]:
    """Take the children of the session that was taken last. Returns: these, and the next session that is no child."""
    children: list[SourceSession] = []
    for source in left:
        if not source.name:
            return children, source
        children.append(source)
    return children, None


async def _children(
    log: EventLog,
    main: Reading,
    session: str,
    sources: Sequence[SourceSession],
    family: Family,
    *,
    path: str,
    again: bool,
    growing: bool,
    keeps: bool,
) -> list[_Child]:
    """Read the children of a session, and fill in which session each of their links means."""
    found: list[_Child] = []
    seen = {main.source}
    for source in sources:
        reading = await family.go_on(log, source, growing=growing)
        if reading is None:
            within = main.dialect.session
            reading = await Reading.of(
                log, source, family.links, again=again, growing=growing, within=within, keeps=keeps
            )
        if reading.source and reading.source in seen:
            main.lose(
                f"{source.path or path}: it calls its session as another file that was read with it, and is left out"
            )
        elif reading.outline.parents:
            seen.add(reading.source)
            own = reading.session or f"{session}-{source.name[:_NAMED].rstrip('-')}"
            family.links |= {link: own for link in source.links if link}
            found.append(_Child(reading, own, str(source.path or path)))
    return found


class _Child(NamedTuple):
    """A child's session: what its file tells, the id that it has or gets, and its file."""

    reading: Reading
    session: str
    path: str


def _in_order(
    main: Reading, session: str, children: Sequence[_Child], links: Mapping[str, str]
) -> Iterator[tuple[_Child, str]]:
    """Give the children, each behind the session that began it, which may be another child, and that one's id."""
    left = {one.session: one for one in children}
    made = [(session, main)]
    for own, reading in made:  # grows while it is read
        for link in sorted(reading.dialect.begun & links.keys()):
            if (child := left.pop(links[link], None)) is not None:
                made.append((child.session, child.reading))
                yield child, own
    for child in left.values():  # whose beginner does not say so
        yield child, session

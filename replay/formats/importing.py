"""Writing a file's sessions into the log: what is not there yet, as it is planned."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from eventsource.codec import clean_text
from eventsource.errors import TranscriptError
from eventsource.log import random_id
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.protocol import EventLog
from eventsource.models.secrets import MARK

from .atomic import create_session, roll_back
from .dialect import Dialect
from .format import SourceFork, SourceSession
from .jsonl import Findings, LineNote
from .known import find_known
from .outline import Outline
from .plan import Action, Kinds, Known, OpenBranch, Planner
from .report import ImportedBranch, ImportReport

_LISTED = 3  # reasons why sessions of a file cannot be read, when none can
_NAMED = 24  # characters of a child's name that its session is named by
_SECRETS = f"of its events told a secret that this process knows (a key, a variable's value): {MARK} stands there"


def outline_of(source: SourceSession, dialect: Dialect, findings: Findings, upto: int | None = None) -> Outline:
    """Read the records of a session for the first time, and place each, or the first so many."""
    outline = Outline(findings)
    for line in source.records(findings):
        placing = dialect.place(line) if upto is None or len(outline.entry_of) < upto else None
        if placing is not None:
            outline.add(placing, line)
    return outline


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

    Returns: what was done of each session that has an entry, with what was done of its children that have one.
    Raises: TranscriptError when the file holds no entry, or none can be read; SessionExistsError.
    """
    reports: list[ImportReport] = []
    lost: list[LineNote] = []
    format_ = ""
    left = iter(sources)
    begun = await asyncio.to_thread(next, left, None)
    while begun is not None:
        main = begun
        children, begun = await asyncio.to_thread(_rest_of_family, left)
        links: dict[str, str] = {}  # filled before any is read for the second time
        try:
            reading = await _Reading.of(log, main, links, again=again, growing=growing, dry=dry)
        except TranscriptError as error:
            if begun is None and not reports and not lost:
                raise
            lost.append(LineNote(0, error.problem))
            continue
        format_ = reading.dialect.format
        if not reading.outline.parents:
            continue
        if reading.source in without:
            reports.append(reading.left_out(path))
            continue
        new = f"{session}-{len(reports) + 1}" if session and reports else session or random_id()
        made = reading.session or new
        below = await _children(log, reading, made, children, links, path=path, again=again, growing=growing)
        starter = await reading.starter(log)
        report = await reading.write(log, session=made, path=path, title=title, started_by=starter, dry=dry)
        under = [
            await one.reading.write(log, session=one.session, path=one.path, started_by=starter, dry=dry)
            for one, starter in _in_order(reading, made, below, links)
        ]
        reports.append(msgspec.structs.replace(report, children=tuple(under)))
    if not reports:
        told = "; ".join(note.problem for note in lost[:_LISTED])
        raise TranscriptError(
            path, told or (f"holds no entry of a {format_} session" if format_ else "holds no session")
        )
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
    main: _Reading,
    session: str,
    sources: Sequence[SourceSession],
    links: dict[str, str],
    *,
    path: str,
    again: bool,
    growing: bool,
) -> list[_Child]:
    """Read the children of a session, and fill in which session each of their links means."""
    found: list[_Child] = []
    for source in sources:
        reading = await _Reading.of(log, source, links, again=again, growing=growing, within=main.dialect.session)
        if reading.outline.parents:
            own = reading.session or f"{session}-{source.name[:_NAMED].rstrip('-')}"
            links |= {link: own for link in source.links if link}
            found.append(_Child(reading, own, str(source.path or path)))
    return found


class _Child(NamedTuple):
    """A child's session: what its file tells, the id that it has or gets, and its file."""

    reading: _Reading
    session: str
    path: str


def _in_order(
    main: _Reading, session: str, children: Sequence[_Child], links: Mapping[str, str]
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


class _FirstPass(NamedTuple):
    """What was learnt from the records of a session when they were read for the first time."""

    dialect: Dialect
    outline: Outline
    findings: Findings
    left: int

    @classmethod
    def of(cls, source: SourceSession, links: Mapping[str, str], *, growing: bool) -> _FirstPass:
        """Read them; what may not have come whole (`growing`) is left."""
        findings, dialect = Findings(), source.dialect(links)
        outline = outline_of(source, dialect, findings)
        left = dialect.unfinished if growing else 0
        if left:
            findings, dialect = Findings(), source.dialect(links)
            outline = outline_of(source, dialect, findings, len(outline.entry_of) - left)
        return cls(dialect, outline, findings, left)


class _Reading:
    """A session as its file tells it, and what the log has of it."""

    def __init__(self, source: SourceSession, first: _FirstPass, known: Known | None, key: str) -> None:
        self._source, self.dialect, self.outline, self._findings = source, first.dialect, first.outline, first.findings
        self.known, self.source, self._left = known, key, first.left

    @classmethod
    async def of(
        cls,
        log: EventLog,
        source: SourceSession,
        links: Mapping[str, str],
        *,
        again: bool,
        growing: bool,
        dry: bool = False,
        within: str = "",
    ) -> _Reading:
        """Read a session for the first time, and look for it in the log."""
        if source.fork is not None:
            found = await cls._of_fork(log, source, source.fork, links, again=again, growing=growing)
            if found is not None:
                return found
        first = await asyncio.to_thread(_FirstPass.of, source, links, growing=growing)
        own = first.dialect.session
        if source.name and own != source.name and not own.endswith(f"/{source.name}"):
            own = f"{own or within}/{source.name}"
        if not own and first.outline.parents:
            own = f"{first.outline.digests()[0]:016x}"
        key = "" if again else f"{first.dialect.format}:{own}"
        known = await find_known(log, key, Kinds(first.dialect.format)) if key else None
        lacks = source.fork.lacks if source.fork is not None and known is None else ""
        if lacks and (source.fork is None or source.fork.missing or not dry):
            first.findings.lose(0, lacks, "")
        return cls(source, first, known, key)

    @classmethod
    async def _of_fork(
        cls,
        log: EventLog,
        source: SourceSession,
        fork: SourceFork,
        links: Mapping[str, str],
        *,
        again: bool,
        growing: bool,
    ) -> _Reading | None:
        """Read a session with the one that it goes on from; None: that is not there, or was not at the first import."""
        format_ = fork.dialect({}).format
        key = f"{format_}:{fork.name}"
        there = [] if again else await log.sessions(source=key, limit=1)
        base = await fork.written(log, fork.missing) if fork.missing else None
        if (there and there[0].parent is None) or (fork.missing and base is None):
            return None
        whole = msgspec.structs.replace(source, dialect=fork.dialect, records=fork.whole(base))
        first = await asyncio.to_thread(_FirstPass.of, whole, links, growing=growing)
        if again:
            return cls(whole, first, None, "")
        known = await find_known(log, f"{format_}:{first.dialect.session}", Kinds(format_), fork=fork.name)
        return cls(whole, first, known, key) if known is not None else None

    @property
    def session(self) -> str:
        """The session that the log has of it; empty: none."""
        known = self.known
        return known.branches[known.main].session if known is not None and known.is_there else ""

    async def starter(self, log: EventLog) -> str:
        """Return the session that began it, if it is imported by itself and that one is there."""
        name = self._source.begun_by
        found = await log.sessions(source=f"{self.dialect.format}:{name}", limit=1) if name else ()
        return found[0].id if found else ""

    async def write(
        self, log: EventLog, *, session: str, path: str, title: str = "", started_by: str = "", dry: bool = False
    ) -> ImportReport:
        """Write what is new, or (`dry`) count it."""
        planner = Planner(self.dialect, self.outline, self._findings, self.known)
        stem, file = _names(path)
        writing = _Writing(
            log,
            planner,
            self.known,
            session=session,
            stem=stem,
            source=self.source,
            started_by=started_by,
            dry=dry,
        )
        written_us = await asyncio.to_thread(_written_us, path)
        records = self._source.records(Findings())
        plan = planner.plan(records, title=title, last_title=stem, file=file, at_us=written_us)
        await writing.write(plan)
        named = planner.title or ((await log.info(session)).title if self.session else "")
        return writing.report(self._findings, path, left=self._left, title=named)

    def left_out(self, path: str) -> ImportReport:
        """Say that nothing was done."""
        dialect = self.dialect
        return ImportReport(
            path=path,
            format=dialect.format,
            version=dialect.version,
            session="",
            title="",
            branches=(),
            entries=0,
            messages=0,
            source=self.source,
            known=True,
        )


def _names(path: str) -> tuple[str, str]:
    """Return what a file is called, and where it lies."""
    return clean_text(Path(path).stem), clean_text(os.path.abspath(path))


def _written_us(path: str) -> int:
    """Return when a file was written last, as far as it can be known."""
    try:
        return os.stat(path).st_mtime_ns // 1000
    except OSError:
        return 0


class _Writing:
    """Does what is planned, step by step, and remembers what it did."""

    def __init__(
        self,
        log: EventLog,
        planner: Planner,
        known: Known | None,
        *,
        session: str,
        stem: str,
        source: str,
        started_by: str,
        dry: bool,
    ) -> None:
        self._log, self._planner, self._known, self._dry = log, planner, known, dry
        self._stem = "" if started_by else stem
        self._id, self._source, self._started_by = session, source, started_by
        there = known.branches if known is not None else ()
        self._main = known.main if known is not None else 0
        self._sessions = {number: branch.session for number, branch in enumerate(there)}
        self._heads = {number: branch.head for number, branch in enumerate(there)}
        self._made: list[str] = []
        self._done: dict[int, ImportedBranch] = {}
        self._redacted = self._entries = 0

    async def write(self, plan: Iterator[Action]) -> None:
        """Do all of it."""
        try:
            while (action := await asyncio.to_thread(next, plan, None)) is not None:
                await self._act(action)
        except BaseException:
            await roll_back(self._log, self._made)
            raise

    async def _act(self, action: Action) -> None:
        if isinstance(action, OpenBranch):
            await self._open(action)
            return
        session = self._sessions[action.branch]
        if not self._dry:
            pairs = await asyncio.to_thread(admitted, action.events)
            self._redacted += sum(pair.redacted for pair in pairs)
            self._heads[action.branch] = await append_admitted(
                self._log, session, pairs, expected=self._heads[action.branch]
            )
        self._entries += action.entries
        done = self._done.get(action.branch) or ImportedBranch(session=session)
        self._done[action.branch] = msgspec.structs.replace(
            done, leaf=action.leaf or done.leaf, messages=done.messages + action.messages
        )

    async def _open(self, action: OpenBranch) -> None:
        if self._dry:
            parent = None if action.parent is None else self._sessions[action.parent]
            self._sessions[action.branch] = ""
            self._done[action.branch] = ImportedBranch(session="", parent=parent, fork_seq=action.fork_seq)
            return
        if action.parent is None:
            making = self._log.create(
                self._id,
                title=self._stem,  # it is found by that too when it is called by its own title or its first words
                created_at_us=action.at_us or None,
                source=self._source,
                started_by=self._started_by,
            )
            parent = None
        else:
            parent = self._sessions[action.parent]
            own = (self._id, self._source) if action.branch == self._main else (None, "")
            making = self._log.fork(parent, action.fork_seq, at_us=action.at_us, session=own[0], source=own[1])
        made = self._sessions[action.branch] = await create_session(making, self._made)
        self._heads[action.branch] = 0 if parent is None else action.fork_seq + 1
        self._done[action.branch] = ImportedBranch(session=made, parent=parent, fork_seq=action.fork_seq)

    def report(self, findings: Findings, path: str, *, left: int, title: str) -> ImportReport:
        """Say what was done."""
        planner = self._planner
        lost = (LineNote(0, f"{self._redacted} {_SECRETS}"),) if self._redacted else ()
        done = tuple(one for _, one in sorted(self._done.items()))
        return ImportReport(
            path=path,
            format=planner.dialect.format,
            version=planner.dialect.version,
            session=self._sessions.get(self._main) or self._sessions.get(planner.last_branch, ""),
            title=title,
            branches=done,
            entries=self._entries,
            messages=sum(branch.messages for branch in done),
            source=self._source,
            known=self._known is not None and (self._known.is_there or not done),
            left=left + planner.left,
            recovered=findings.recovered,
            lost=(*findings.lost, *lost),
            kept=findings.kept,
        )

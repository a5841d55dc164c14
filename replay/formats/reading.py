"""A session as its file tells it: read, laid beside what the log has of it, and what is new of it written there."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from eventsource.codec import clean_text
from eventsource.errors import UnknownSessionError
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.protocol import EventLog
from eventsource.models.secrets import MARK

from ..lineage import forks_of
from .atomic import create_session, roll_back
from .beginning import Beginning
from .format import FileLines, SourceFork, SourceSession
from .jsonl import Findings, Line, LineNote
from .known import find_known
from .outline import Outline, Placing
from .plan import Action, Kinds, Known, OpenBranch, Planner
from .report import ImportedBranch, ImportReport

_AT_ONCE_BYTES = 64 << 20  # that were written to a file since it was read; more are read as a whole file is
_SECRETS = f"of its events told a secret that this process knows (a key, a variable's value): {MARK} stands there"


class FirstPass:
    """What is learnt of the records of a session when they are read for the first time.

    `read`: how many records that were. `left`: those at the end that may not have come whole. `added`: those that the
    last `go_on` added to the outline.
    """

    def __init__(self, source: SourceSession, links: Mapping[str, str], *, growing: bool = False) -> None:
        """Read all of them; what may not have come whole (`growing`) is left."""
        self.findings, self.dialect = Findings(), source.dialect(links)
        self.outline = Outline(self.findings)
        self._waiting: deque[tuple[Line, Placing]] = deque()
        self.added: list[Line] = []
        self.read = 0
        for line in source.records(self.findings):
            placing = self._place(line)
            if placing is None:
                continue
            if not growing:
                self.outline.add(placing, line)
                continue
            self._waiting.append((line, placing))
            self._add_all_but(self.dialect.unfinished)

    @property
    def left(self) -> int:
        """How many records at the end may not have come whole."""
        return len(self._waiting)

    def go_on(self, records: FileLines, place: int, first: int, *, growing: bool) -> bool:
        """Read what stands behind that, from a line on. Returns: False when it changes what was there."""
        self.findings, self.added, self.read = Findings(), [], 0
        self.outline.go_on(self.findings)
        planned, goes_on = len(self.outline.parents), True
        for line in records.behind(place, first, self.findings):
            placing = self._place(line)
            if placing is not None:
                goes_on &= not placing.anew
                self._waiting.append((line, placing))
                goes_on &= self._add_all_but(self.dialect.unfinished if growing else 0, planned)
        return goes_on and self._add_all_but(self.dialect.unfinished if growing else 0, planned)

    def _place(self, line: Line) -> Placing | None:
        self.read += 1
        return self.dialect.place(line)

    def _add_all_but(self, left: int, planned: int = 0) -> bool:
        """Add what waits to the outline. Returns: whether all of it is new entries, behind so many that are planned."""
        new = True
        while len(self._waiting) > left:
            line, placing = self._waiting.popleft()
            new &= self.outline.add(placing, line) >= planned
            if planned:
                self.added.append(line)
        return new


class Reading:
    """A session as its file tells it, and what the log has of it."""

    def __init__(self, source: SourceSession, first: FirstPass, known: Known | None, key: str) -> None:
        self._source, self._first, self.known, self.source = source, first, known, key
        self.dialect, self.outline = first.dialect, first.outline
        self._begins: Beginning | None = None
        self._planner: Planner | None = None
        self._writing: _Writing | None = None

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
        keeps: bool = False,
    ) -> Reading:
        """Read a session for the first time, and look for it in the log. `keeps`: it may be gone on with (`keep`)."""
        records = source.records
        begins = (  # before it is read, so that a change meanwhile is seen the next time
            await asyncio.to_thread(Beginning.of, records.path, records.size_bytes)
            if keeps and isinstance(records, FileLines)
            else None
        )
        reading = await cls._of(log, source, links, again=again, growing=growing, dry=dry, within=within)
        reading._begins = begins
        return reading

    @classmethod
    async def _of(
        cls,
        log: EventLog,
        source: SourceSession,
        links: Mapping[str, str],
        *,
        again: bool,
        growing: bool,
        dry: bool,
        within: str,
    ) -> Reading:
        if source.fork is not None:
            found = await cls._of_fork(log, source, source.fork, links, again=again, growing=growing)
            if found is not None:
                return found
        first = await asyncio.to_thread(FirstPass, source, links, growing=growing)
        own = first.dialect.session
        if source.name and own != source.name and not own.endswith(f"/{source.name}"):
            own = f"{own or within}/{source.name}"
        if not own and first.outline.parents:
            own = f"{first.outline.digests()[0]:016x}"
        key = "" if again else f"{first.dialect.format}:{own}"
        there = await log.sessions(source=key, limit=1) if key and source.grown is not None else ()
        records = await source.grown(log, there[0].id) if source.grown is not None and there else None
        if records is not None:
            source = msgspec.structs.replace(source, records=records)
            first = await asyncio.to_thread(FirstPass, source, links, growing=growing)
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
    ) -> Reading | None:
        """Read a session with the one that it goes on from; None: that is not there, or was not at the first import."""
        format_ = fork.dialect({}).format
        key = f"{format_}:{fork.name}"
        there = [] if again else await log.sessions(source=key, limit=1)
        base = await fork.written(log, fork.missing) if fork.missing else None
        if (there and there[0].parent is None) or (fork.missing and base is None):
            return None
        whole = msgspec.structs.replace(source, dialect=fork.dialect, records=fork.whole(base))
        first = await asyncio.to_thread(FirstPass, whole, links, growing=growing)
        if again:
            return cls(whole, first, None, "")
        known = await find_known(log, f"{format_}:{first.dialect.session}", Kinds(format_), fork=fork.name)
        if known is not None and not known.is_there and fork.beside is not None:
            known = msgspec.structs.replace(known, beside=await asyncio.to_thread(fork.beside, base))
        return cls(whole, first, known, key) if known is not None else None

    @property
    def left(self) -> int:
        """How many records at the end may not have come whole."""
        return self._first.left

    @property
    def session(self) -> str:
        """The session that the log has of it; empty: none."""
        if self._writing is not None:
            return self._writing.session
        known = self.known
        return known.branches[known.main].session if known is not None and known.is_there else ""

    def lose(self, problem: str) -> None:
        """Note what of the session could not be read."""
        self._first.findings.lose(0, problem, "")

    async def starter(self, log: EventLog) -> str:
        """Return the session that began it, if it is imported by itself and that one is there."""
        name = self._source.begun_by
        found = await log.sessions(source=f"{self.dialect.format}:{name}", limit=1) if name else ()
        return found[0].id if found else ""

    async def write(
        self, log: EventLog, *, session: str, path: str, title: str = "", started_by: str = "", dry: bool = False
    ) -> ImportReport:
        """Write what is new, or (`dry`) count it."""
        if self._writing is not None and self._planner is not None:
            return await self._write_on(self._writing, self._planner, path)
        planner = Planner(self.dialect, self.outline, self._first.findings, self.known)
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
        self._planner, self._writing = planner, writing
        return writing.report(self._first, path, title=named)

    async def _write_on(self, writing: _Writing, planner: Planner, path: str) -> ImportReport:
        """Write what `go_on` found."""
        writing.begin(known=True)
        await writing.write(planner.plan_on(self._first.added))
        named = planner.title or await writing.title()
        return writing.report(self._first, path, title=named)

    def left_out(self, path: str, *, silent: bool = False) -> ImportReport:
        """Say that nothing was done. `silent`: since nothing was said there."""
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
            silent=silent,
        )

    async def keep(self) -> bool:
        """Prepare to go on from here when the file has grown. Returns: whether that can be."""
        begins, planner, writing = self._begins, self._planner, self._writing
        if self.path is None or begins is None or planner is None or writing is None:
            return False
        await writing.keep()
        return begins.ends_a_line and planner.can_go_on

    async def go_on(self, log: EventLog, source: SourceSession, *, growing: bool) -> bool:
        """Read what was written to the file since it was kept.

        Returns: False when that takes the whole file: it was not only added to, or the log has something else than
            what was written into it; then this reading is of no more use.
        Raises: TranscriptError when the file cannot be read.
        """
        records, begins, planner, writing = source.records, self._begins, self._planner, self._writing
        if not isinstance(records, FileLines) or begins is None or planner is None or writing is None:
            return False
        if source.manner != self._source.manner or not 0 <= records.size_bytes - begins.size_bytes < _AT_ONCE_BYTES:
            return False
        if not await asyncio.to_thread(begins.holds, wholly=not growing) or not await writing.is_all_there():
            return False
        self._source, place, first = source, begins.size_bytes, begins.lines + 1
        await asyncio.to_thread(begins.go_on, records.size_bytes)
        read = partial(self._first.go_on, records, place, first, growing=growing)
        return await asyncio.to_thread(read) and planner.go_on(self._first.findings)

    @property
    def path(self) -> Path | None:
        """The file, if its records stand there line by line."""
        records = self._source.records
        return records.path if isinstance(records, FileLines) else None


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
        self._forks: Mapping[str, frozenset[str]] = {}
        self.begin(known=known is not None and known.is_there)

    def begin(self, *, known: bool) -> None:
        """Begin to write, or to go on with what was written. `known`: the session was there before."""
        self._is_known = known
        self._made: list[str] = []
        self._done: dict[int, ImportedBranch] = {}
        self._redacted = self._entries = 0

    @property
    def session(self) -> str:
        """The session that is the file's."""
        return self._sessions.get(self._main, "")

    async def keep(self) -> None:
        """Take note of the forks that there are: any other than these makes `is_all_there` false."""
        self._forks = {one: await self._forks_of(one) for one in self._sessions.values()}

    async def is_all_there(self) -> bool:
        """Return whether the log has what was written, and nothing more."""
        for number, session in self._sessions.items():
            try:
                head = (await self._log.info(session)).head
            except UnknownSessionError:
                return False
            if head != self._heads[number] or await self._forks_of(session) != self._forks.get(session):
                return False
        return True

    async def _forks_of(self, session: str) -> frozenset[str]:
        return frozenset(one.id for one in await forks_of(self._log, session))

    async def title(self) -> str:
        """Return what the session is called in the log."""
        return (await self._log.info(self.session)).title

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

    def report(self, first: FirstPass, path: str, *, title: str) -> ImportReport:
        """Say what was done."""
        planner, findings = self._planner, first.findings
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
            known=self._is_known or (self._known is not None and not done),
            read=first.read,
            left=first.left + planner.left,
            recovered=findings.recovered,
            lost=(*findings.lost, *lost),
            kept=findings.kept,
        )

"""Reading session files of other programs into the log, once or as they grow, and saying what became of each."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from eventsource.errors import RefoldError, TranscriptError, UnknownSessionError
from replay.formats import ImportReport, LineNote, WarmFiles, import_file
from replay.formats.finding import Finder, FoundFile

from ...log import Log
from ..exit_codes import OK, error_text, exit_code_of
from ..terminal.formatting import count, date_time, shorten
from ..terminal.next_steps import print_next
from ..terminal.screen import Screen

_LOOK_S = 1.0  # between two looks at files that are followed
_RESTS_S = 2.0  # a file that nobody has changed for so long has come whole


class SessionFiles:
    """Where files are looked for. `watched`: an agent's may not be there yet."""

    def __init__(
        self, files: tuple[str, ...], agent: str | None, *, all_: bool, since_us: int, watched: bool = False
    ) -> None:
        self._paths = [Path(file) for file in files]
        self._agent, self._all, self._since_us = agent, all_, since_us
        self.awaited = watched and agent is not None
        self._finder = Finder()
        self._folder: Path | None = None
        self._others = 0

    def files(self) -> list[FoundFile | TranscriptError]:
        """Find the files that are wanted. Raises: TranscriptError when the agent keeps none, and none are awaited."""
        if self._agent is None:
            return [one for one in self._finder.among(self._paths) if self._is_new(one)]
        self._folder, found = self._finder.kept_by(self._agent, os.environ, awaited=self.awaited)
        wanted = [one for one in found if self._is_new(one)]
        here = [one for one in wanted if self._all or not isinstance(one, FoundFile) or _is_of_here(one)]
        self._others = len(wanted) - len(here)
        return here

    def _is_new(self, one: FoundFile | TranscriptError) -> bool:
        return not isinstance(one, FoundFile) or not one.changed_us or one.changed_us >= self._since_us

    def tell(self, screen: Screen, found: int) -> None:
        """Say where an agent's files lie, and how many are left out."""
        if self._agent is None:
            return
        others = f", and {self._others} of other folders (--all takes them too)" if self._others else ""
        where = "" if self._all else " of this folder"
        where += "" if found or not self.awaited else " yet"
        screen.note((f"{self._folder}: {count(found, 'session')}{where}{others}", "dim"))


def _is_here(folder: str) -> bool:
    """Return whether an agent worked in the current folder, or below it."""
    here = Path.cwd()
    return bool(folder) and (Path(folder) == here or here in Path(folder).parents)


def _is_of_here(file: FoundFile) -> bool:
    """Return whether a file holds a session in which an agent worked here."""
    return any(map(_is_here, file.folders.values() if file.folders else (file.folder,)))


class Importing:
    """Imports files one by one, and says what became of each.

    `advises`: and what to do next. `awaited`: there may be none yet.
    """

    def __init__(
        self,
        screen: Screen,
        log: Log,
        *,
        here: bool,
        title: str = "",
        format_: str = "",
        again: bool = False,
        dry: bool = False,
        advises: bool = True,
        awaited: bool = False,
    ) -> None:
        self._screen, self._log, self._here = screen, log, here
        self._title, self._format, self._again, self._dry = title, format_, again, dry
        self._advises, self._awaited = advises, awaited
        self.code = OK
        self._done: list[object] = []
        self._rows: list[tuple[str, ...]] = []
        self._same = self._new = 0
        self._silent: dict[Path, set[str]] = {}
        self.sessions: dict[Path, dict[str, str]] = {}
        """The sessions that each file became, by their sources."""
        self.gone: set[str] = set()
        """Sources of sessions that were deleted here."""

    @property
    def only_session(self) -> str | None:
        """The session that the only file became, of several in it the first; None of several files."""
        sessions = [*self.sessions.values()]
        return next(iter(sessions[0].values()), None) if len(sessions) == 1 else None

    async def take(
        self,
        file: FoundFile | TranscriptError,
        *,
        alone: bool = False,
        growing: bool = False,
        warm: WarmFiles | None = None,
    ) -> None:
        """Import a file. Raises: RefoldError when it cannot be, and is the only one."""
        if isinstance(file, TranscriptError):
            self._fail(file.path, file)
            return
        path = str(file.path)
        elsewhere = {source for source, folder in file.folders.items() if self._here and not _is_here(folder)}
        try:
            with self._screen.busy(f"reading {path}"):
                report = await import_file(
                    self._log.store,
                    path,
                    title=self._title,
                    format=self._format or file.format,
                    again=self._again,
                    dry=self._dry,
                    growing=growing,
                    without=self.gone | elsewhere,
                    only_said=not alone,
                    warm=warm,
                )
        except (RefoldError, OSError) as error:
            if alone:
                raise
            self._fail(path, error)
            return
        whole = [msgspec.structs.replace(report, others=()), *report.others]
        reports = [one for one in whole if one.source not in elsewhere and not one.silent]
        if silent := {one.source for one in whole if one.silent}:
            self._silent[file.path] = silent
        else:
            self._silent.pop(file.path, None)
        self.sessions[file.path] = {one.source: one.session for one in reports if one.session}
        new = [one for one in reports if alone or one.branches or not one.known]
        if self._dry:
            changed = date_time(file.changed_us)
            self._rows += [(changed, shorten(one.title), _what([one]), path) for one in reports]
        elif new:
            _print_reports(self._screen, new)
            if alone and self._advises:
                print_next(self._screen, self._screen.command("show", new[0].session))
        self._new += len(new) * (not alone)
        self._same += 0 if self._dry else len(reports) - len(new)
        self._done += [{"id": one.session, **msgspec.to_builtins(one)} for one in reports]

    def _fail(self, path: str, error: RefoldError | OSError) -> None:
        self.code = self.code or exit_code_of(error)
        self._done.append({"path": path, "error": error_text(error)})
        self._screen.note(("not imported: ", "red"), error_text(error))

    def end(self) -> None:
        """Say what there is to say of all files together."""
        silent = sum(map(len, self._silent.values()))
        if silent:
            self._screen.note((f"{count(silent, 'session')} in which nothing was said, left out", "dim"))
        if self._screen.as_json:
            self._screen.json(self._done)
            return
        if self._rows:
            self._screen.table(("changed", "title", "would be imported", "file"), self._rows)
        if self._same:
            self._screen.note((f"{count(self._same, 'session')} imported before, with nothing new", "dim"))
        if not self._done and not silent and not self._awaited:
            self._screen.note(("no session file was found", "yellow"))
        if self._new and not self._dry and self._advises:
            print_next(self._screen, self._screen.command("ls"))


async def import_all(screen: Screen, source: SessionFiles, work: Importing, *, alone: bool) -> None:
    """Import what is there. `alone`: a file that is the only one is told of in full, and must be readable."""
    found = source.files()
    source.tell(screen, len(found))
    if len(found) == 1 and isinstance(found[0], TranscriptError) and not source.awaited:
        raise found[0]
    for one in found:
        await work.take(one, alone=len(found) == 1 and alone)
    work.end()


async def watch_files(screen: Screen, log: Log, source: SessionFiles, work: Importing) -> None:
    """Look at the files again and again, and import what was written; until cancelled."""
    seen: dict[Path, tuple[int, int, bool]] = {}
    warm = WarmFiles()
    while True:
        for one in source.files():
            if not isinstance(one, FoundFile):
                continue
            rests = time.time() - one.changed_us / 1e6 >= _RESTS_S
            state = (one.changed_us, one.size_bytes, rests)
            if seen.get(one.path) == state:
                continue
            for key, session in work.sessions.get(one.path, {}).items():
                if await _is_gone(log, session):
                    screen.note((f"{one.path}: session {session} was deleted here, and does not come back", "yellow"))
                    work.gone.add(key)
            changes = not rests or one.path in seen
            await work.take(one, growing=not rests, warm=warm if changes else None)
            seen[one.path] = state
        await asyncio.sleep(_LOOK_S)


async def _is_gone(log: Log, session: str) -> bool:
    try:
        await log.store.info(session)
    except UnknownSessionError:
        return True
    return False


def _print_reports(screen: Screen, reports: Sequence[ImportReport]) -> None:
    """Print what was done of a file's sessions."""
    first = reports[0]
    if not screen.as_json:
        for report in reports:
            screen.line((report.session, "bold"), f"  {report.title}")
    version = f" version {first.version}" if first.version > 1 else ""
    screen.note((f"{first.path}: {first.format}{version}, {_what(reports)}", "dim"))
    whole = _with_children(reports)
    for what, note in _notes(whole):
        text = f": {shorten(note.text)}" if note.text else ""
        where = f"  {what}, line {note.number}: " if note.number else f"  {what}: "
        screen.note((where, "red" if what == "lost" else "yellow"), f"{note.problem}{text}")
    left = sum(one.left for one in whole)
    if left:
        screen.note(
            (f"  {count(left, 'record')} at the end left for the next time, when it is known what follows", "yellow")
        )


def _with_children(reports: Sequence[ImportReport]) -> list[ImportReport]:
    return [one for report in reports for one in (report, *report.children)]


def _what(reports: Sequence[ImportReport]) -> str:
    """Say what is new of sessions: all of each that was not there."""
    whole = _with_children(reports)
    forks = sum(branch.parent is not None for one in whole for branch in one.branches)
    agents = sum(not one.known for report in reports for one in report.children)
    sessions = sum(not one.known for one in reports)
    said = [count(sessions, "session")] if sessions and len(reports) > 1 else []
    said += [count(sum(one.messages for one in whole), "message")]
    said += [count(forks, "branch")] if forks else []
    said += [count(agents, "sub-agent")] if agents else []
    if not all(one.known for one in reports):
        return ", ".join(said)
    if any(one.branches for one in whole):
        return f"imported before; new: {', '.join(said)}"
    return "imported before; nothing new"


def _notes(reports: Sequence[ImportReport]) -> Iterator[tuple[str, LineNote]]:
    for report in reports:
        yield from (("recovered", note) for note in report.recovered)
        yield from (("lost", note) for note in report.lost)
        yield from (("kept, not understood", note) for note in report.kept)

"""Session files in folders: those that somebody names, and those that agents keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from eventsource.errors import TranscriptError

from .format import head_of, unreadable
from .formats import FORMATS, format_of
from .refold.file import is_export
from .refold.read import REFOLD

_SUFFIXES = (".jsonl", ".json", ".db", ".sqlite", ".sqlite3", ".eval")


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file: its format (empty: none that is known), where its agent worked (empty: unsaid), and its last change.

    `changed_us` and `size_bytes` count the files of its sub-agents too. `folders`: of a file that holds several
    sessions, where the agent worked in each, by their sources.
    """

    path: Path
    format: str
    folder: str
    changed_us: int
    size_bytes: int
    folders: Mapping[str, str] = MappingProxyType({})


class Finder:
    """Looks for session files. A file that has not changed since it was looked at is not read again."""

    def __init__(self) -> None:
        self._looked: dict[Path, FoundFile] = {}

    def among(self, paths: Sequence[Path]) -> Iterator[FoundFile | TranscriptError]:
        """Find session files: those that are named, and of each folder those in it, changed last first.

        A file that is named and looks like none is given all the same; in a folder such are passed over.
        """
        for path in paths:
            if path.is_dir():
                within = (one for one in sorted(path.rglob("*")) if one.suffix in _SUFFIXES and one.is_file())
                yield from self._sessions(within)
                continue
            try:
                yield self._look(path)
            except TranscriptError as error:
                yield error

    def kept_by(
        self, agent: str, environment: Mapping[str, str], *, awaited: bool = False
    ) -> tuple[Path, list[FoundFile | TranscriptError]]:
        """Find the sessions that an agent keeps. Returns: the folder, and the files, those changed last first.

        `awaited`: it may not have begun to keep any.

        Raises: TranscriptError when it keeps none where that agent does, and they are not awaited.
        """
        where = next(one.home for one in FORMATS if one.name == agent)
        if where is None:
            raise TranscriptError(agent, "keeps its sessions wherever a program says: name files or folders")
        home = where(environment)
        if not home.folder.is_dir() and not awaited:
            problem = f"is where {agent} keeps its sessions, and it is not there"
            raise TranscriptError(str(home.folder), f"{problem}; name files or folders, or --watch for its first one")
        paths = (path for pattern in (home.pattern, *home.more) for path in home.folder.glob(pattern))
        return home.folder, list(self._sessions(paths))

    def _sessions(self, paths: Iterable[Path]) -> list[FoundFile | TranscriptError]:
        found: list[FoundFile | TranscriptError] = []
        for path in paths:
            try:
                looked = self._look(path)
            except TranscriptError as error:
                found.append(error)
                continue
            if looked.format and not _is_owned(looked):
                found.append(looked)
        return sorted(found, key=_latest)

    def _look(self, path: Path) -> FoundFile:
        """Look at a file. Raises: TranscriptError when it cannot be read."""
        try:
            stat = path.stat()
            state = (stat.st_mtime_ns // 1000, stat.st_size)
            known = self._looked.get(path)
            if known is None or (known.changed_us, known.size_bytes) != state:
                known = self._looked[path] = _read(path, *state)
            beside = next((one.beside(path) for one in FORMATS if one.name == known.format), ())
            states = [(one.st_mtime_ns // 1000, one.st_size) for one in [other.stat() for other in beside]]
        except OSError as error:
            raise unreadable(path, error) from error
        latest = max([state[0], *(changed_us for changed_us, _ in states)])
        return msgspec.structs.replace(known, changed_us=latest, size_bytes=state[1] + sum(size for _, size in states))


def _read(path: Path, changed_us: int, size_bytes: int) -> FoundFile:
    """Read what a file is."""
    head = head_of(path)
    found = format_of(head)
    return FoundFile(
        path=path,
        format=REFOLD if is_export(head.data) else found.name if found is not None else "",
        folder=found.folder(head) if found is not None else "",
        changed_us=changed_us,
        size_bytes=size_bytes,
        folders=found.folders(path) if found is not None else {},
    )


def _latest(one: FoundFile | TranscriptError) -> int:
    return -one.changed_us if isinstance(one, FoundFile) else 0


def _is_owned(file: FoundFile) -> bool:
    """Return whether a file is imported with another one."""
    return any(one.name == file.format and one.owner(file.path) is not None for one in FORMATS)

"""Session files in folders: those that somebody names, and those that agents keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from eventsource.errors import TranscriptError

from . import FORMATS, REFOLD, format_of
from .format import Format, head_of, unreadable
from .refold.file import is_export

_SUFFIXES = (".jsonl", ".json")


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A session file: its format, where its agent worked (empty: it does not say), and when it was last changed."""

    path: Path
    format: str
    folder: str
    changed_us: int
    size_bytes: int


def find_files(paths: Sequence[Path]) -> Iterator[FoundFile | TranscriptError]:
    """Find session files: those that are named, and of each folder those in it, changed last first.

    A file that is named and looks like none is given all the same; in a folder such are passed over.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(_sessions_among(_files_in(path)), key=_latest)
            continue
        try:
            yield _look(path) or FoundFile(path=path, format="", folder="", changed_us=0, size_bytes=0)
        except TranscriptError as error:
            yield error


def kept_files(name: str, environment: Mapping[str, str]) -> tuple[Path, list[FoundFile | TranscriptError]]:
    """Find the sessions that an agent keeps. Returns: the folder, and the files, those changed last first.

    Raises: TranscriptError when the agent keeps none, or not where it is looked for.
    """
    kept = next(one for one in FORMATS if one.name == name)
    home = kept.home(environment)
    if not home.folder.is_dir():
        raise TranscriptError(str(home.folder), f"is where {name} keeps its sessions, and it is not there")
    return home.folder, sorted(_sessions_among(home.folder.glob(home.pattern)), key=_latest)


def _sessions_among(paths: Iterable[Path]) -> Iterator[FoundFile | TranscriptError]:
    for path in paths:
        try:
            looked = _look(path)
        except TranscriptError as error:
            yield error
            continue
        if looked is not None and not _is_owned(looked):
            yield looked


def _latest(one: FoundFile | TranscriptError) -> int:
    return -one.changed_us if isinstance(one, FoundFile) else 0


def _files_in(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES and path.is_file())


def _look(path: Path) -> FoundFile | None:
    """Look at a file; None when it is no session. Raises: TranscriptError when it cannot be read."""
    head = head_of(path)
    found: Format | None = format_of(head)
    name = REFOLD if is_export(head.data) else found.name if found is not None else ""
    if not name:
        return None
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return FoundFile(
        path=path,
        format=name,
        folder=found.folder(head) if found is not None else "",
        changed_us=stat.st_mtime_ns // 1000,
        size_bytes=stat.st_size,
    )


def _is_owned(file: FoundFile) -> bool:
    """Return whether a file is imported with another one."""
    return any(one.name == file.format and one.owner(file.path) is not None for one in FORMATS)

"""A folder that nothing leads out of: no `..`, no absolute path, no link of either kind, not even one made meanwhile.

Source: docs/decisions/0101-names-are-walked.md
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from eventsource.errors import ToolFailure

from .grep_program import names_below

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe or a device must not wait, or have an effect of its own; what is no plain file is refused after that.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class ConfinedFolder:
    """A folder, and what is below it."""

    def __init__(self, folder: str | Path) -> None:
        """Open a folder that exists. Raises: OSError when it is none."""
        self.path = Path(folder).resolve(strict=True)
        if not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))

    def find(self, name: str) -> PurePath:
        """Resolve a name to its real path, relative to the folder; links within it are followed.

        Raises: ToolFailure when it leads out of the folder.
        """
        path = (self.path / name).resolve()
        if not path.is_relative_to(self.path):
            raise ToolFailure(f"{name}: leads out of the folder that the tools work in")
        return path.relative_to(self.path)

    @contextmanager
    def folder(self, real: PurePath, *, make: bool = False) -> Iterator[int]:
        """Open a folder by a path from `find`, step by step, so that no link is followed; `make` makes what lacks."""
        opened = os.open(self.path, _FOLDER)
        try:
            for part in real.parts:
                if make:
                    _make(part, opened)
                inner = os.open(part, _FOLDER, dir_fd=opened)
                os.close(opened)
                opened = inner
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def file(self, name: str) -> Iterator[int]:
        """Open a plain file for reading. Raises: ToolFailure when it is none, or lies outside."""
        real = self.find(name)
        if not real.parts:
            raise ToolFailure(f"{name}: is a folder")
        with self.folder(real.parent) as parent:
            opened = os.open(real.name, _FILE, dir_fd=parent)
        try:
            self.check(name, os.fstat(opened))
            yield opened
        finally:
            os.close(opened)

    def check(self, name: str, info: os.stat_result) -> None:
        """Raise ToolFailure unless this is a plain file, all of whose names lie in the folder."""
        if not stat.S_ISREG(info.st_mode):
            raise ToolFailure(f"{name}: is {'a folder' if stat.S_ISDIR(info.st_mode) else 'no plain file'}")
        if info.st_nlink > 1:
            with self.folder(PurePath()) as top:
                inside = names_below(top)[info.st_dev, info.st_ino]
            if inside < info.st_nlink:
                raise ToolFailure(
                    f"{name}: is a hard link: the file has {info.st_nlink} names, of which {inside} were found in the "
                    "folder that the tools work in; a copy of it can be used"
                )


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Convert errors of the system about a name to ToolFailure."""
    try:
        yield
    except OSError as error:
        raise ToolFailure(f"{name}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in the name; a link that leads to itself
        raise ToolFailure(f"{name}: {error}") from error


def _make(name: str, parent: int) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        pass

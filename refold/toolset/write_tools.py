"""The tools that change files: write, edit. A file holds the old text or the new one, never a part of it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import PurePath

from eventsource.errors import ToolFailure
from eventsource.tools.context import ToolContext

from .confined_folder import ConfinedFolder, refusing

_EDITED_BYTES = 10_000_000


class WriteTools:
    """Changes files of one folder."""

    def __init__(self, root: ConfinedFolder) -> None:
        self._root = root

    def write(self, path: str, content: str, context: ToolContext) -> str:
        """Write a file of the working folder, in place of what is there; folders that lack are made."""
        data = content.encode()
        with refusing(path):
            was = self._replace(path, data, context)
        return f"{path}: {'replaced' if was else 'written'}, {len(data):,} bytes"

    def edit(self, path: str, old: str, new: str, context: ToolContext, everywhere: bool = False) -> str:  # noqa: FBT001, FBT002  # models name their arguments
        """Put a new text in the place of an old one in a file of the working folder.

        The old text must be there exactly once, or `everywhere` be true.
        """
        if not old:
            raise ToolFailure("old is empty: say which text is to be replaced, or use write")
        with refusing(path):
            text = self._read(path)
            if "\r\n" in text and "\r" not in old:  # a model does not see which line ends a file has
                old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n").replace("\r\r\n", "\r\n")
            found = text.count(old)
            if not found:
                raise ToolFailure(f"{path}: the old text is not there; it must match exactly, spaces included")
            if found > 1 and not everywhere:
                raise ToolFailure(f"{path}: the old text is there {found} times; say more of it, or everywhere=true")
            line = text.count("\n", 0, text.index(old)) + 1
            self._replace(path, text.replace(old, new).encode(), context)
        return f"{path}: replaced at line {line}" if found == 1 else f"{path}: replaced in {found} places"

    def _read(self, path: str) -> str:
        with self._root.file(path) as number, os.fdopen(number, "rb", closefd=False) as file:
            data = file.read(_EDITED_BYTES + 1)
        if len(data) > _EDITED_BYTES:
            raise ToolFailure(f"{path}: has more than {_EDITED_BYTES:,} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise ToolFailure(f"{path}: is no UTF-8 text") from error

    def _replace(self, path: str, data: bytes, context: ToolContext) -> bool:
        """Replace a file by a new one as a whole. Returns: whether there was one."""
        real = self._root.find(path)
        if not real.parts:
            raise ToolFailure(f"{path}: is a folder")
        with self._root.folder(real.parent, make=True) as parent:
            mode = self._mode_of(path, real, parent)
            name = f".{real.name[:100]}.{secrets.token_hex(6)}.tmp"
            try:
                with os.fdopen(_create(name, parent), "wb") as file:
                    if mode is not None:
                        os.fchmod(file.fileno(), mode)
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                context.raise_if_cancelled()
                os.replace(name, real.name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                _forget(name, parent)
                raise
            os.fsync(parent)
        return mode is not None

    def _mode_of(self, path: str, real: PurePath, parent: int) -> int | None:
        """Return the permissions of the file that is there. Raises: ToolFailure when it cannot be replaced."""
        try:
            info = os.stat(real.name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        self._root.check(path, info)
        if not os.access(real.name, os.W_OK, dir_fd=parent):
            raise ToolFailure(f"{path}: may not be written")
        return stat.S_IMODE(info.st_mode)


def _create(name: str, parent: int) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=parent)


def _forget(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:  # it was not made, or has its place already
        pass

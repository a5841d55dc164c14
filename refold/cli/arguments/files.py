"""Files that commands write."""

from __future__ import annotations

import errno
from pathlib import Path


def check_target(path: str | Path) -> None:
    """Check that a file can be written there. Raises: FileNotFoundError without its folder; IsADirectoryError."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "It is a folder; name a file in it", str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))


def write_file(path: str, data: bytes, *, replace: bool) -> None:
    """Write a file. Raises: FileExistsError, if it is not to be replaced; as `check_target`; other OSErrors."""
    check_target(path)
    try:
        with Path(path).open("wb" if replace else "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise FileExistsError(error.errno, "File exists; --force replaces it", path) from error

"""Files that commands write."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def check_target(path: str | Path) -> None:
    """Check that a file can be written there. Raises: FileNotFoundError without its folder; IsADirectoryError."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "It is a folder; name a file in it", str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))


def write_file(path: str, data: bytes, *, replace: bool) -> None:
    """Write a file as a whole. Raises: as `writing`."""
    with writing(path, replace=replace) as file:
        file.write(data)


@contextmanager
def writing(path: str, *, replace: bool) -> Iterator[IO[bytes]]:
    """Open a file to write it piece by piece; after an error there is what was there before.

    Raises: FileExistsError, if it is not to be replaced; as `check_target`; other OSErrors.
    """
    check_target(path)
    target = Path(path)
    if not replace:
        try:
            opened = target.open("xb")
        except FileExistsError as error:
            raise FileExistsError(error.errno, "File exists; --force replaces it", path) from error
        with _removed_after_an_error(target), opened:
            yield opened
    elif target.exists() and not target.is_file():  # a pipe, a device
        with target.open("wb") as opened:
            yield opened
    else:
        real = Path(os.path.realpath(target))
        beside = real.with_name(f".{real.name[:100]}.{secrets.token_hex(6)}.tmp")
        with _removed_after_an_error(beside):
            with beside.open("xb") as opened:
                if real.exists():
                    beside.chmod(stat.S_IMODE(real.stat().st_mode))
                yield opened
            beside.replace(real)


@contextmanager
def _removed_after_an_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise

"""The tools that look: read, ls."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import PurePath
from typing import Annotated, BinaryIO

from pydantic import Field

from eventsource.codec import clean_text
from eventsource.errors import ToolFailure
from eventsource.tools.context import ToolContext
from eventsource.tools.results import Image

from .confined_folder import ConfinedFolder, refusing
from .grep_program import IgnoreRules
from .ignore_files import outer_rules

_SHOWN_BYTES = 50_000  # of one file at a time: about 12,000 tokens
_LINE_BYTES = 10_000
_IMAGE_BYTES = 5_000_000  # what providers take
_LISTED = 500
_LOOKED_AT = 100_000  # names of a folder: it may be huge
_TIME_S = 10.0
_IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Deadline:
    """How long a tool in a thread goes on: until its time is over, or it is to stop."""

    def __init__(self, name: str, context: ToolContext) -> None:
        self._name, self._context, self._until = name, context, time.monotonic() + _TIME_S

    def check(self) -> None:
        """Raise ToolFailure when it is over."""
        self._context.raise_if_cancelled()
        if time.monotonic() > self._until:
            raise ToolFailure(f"{self._name}: this took longer than {_TIME_S:.0f} s and was given up")


class ReadTools:
    """Reads and lists in one folder."""

    def __init__(self, root: ConfinedFolder) -> None:
        self._root = root

    def read(
        self,
        path: str,
        context: ToolContext,
        first_line: Annotated[int, Field(ge=1)] = 1,
        lines: Annotated[int, Field(ge=1, le=5000)] = 2000,
    ) -> str | Image:
        """Read a text file of the working folder, from a line on, or an image."""
        with refusing(path), self._opened(path) as file:
            begins = file.read(8192)
            media_type = _image_type(begins)
            if media_type is not None:
                data = begins + file.read(_IMAGE_BYTES)
                if len(data) > _IMAGE_BYTES:
                    raise ToolFailure(f"{path}: is an image of more than {_IMAGE_BYTES:,} bytes")
                return Image(data, media_type)
            if b"\0" in begins:
                raise ToolFailure(f"{path}: is no text")
            file.seek(0)
            return _text(path, file, first_line, lines, Deadline(path, context))

    def ls(self, context: ToolContext, path: str = ".", ignored: bool = False) -> str:  # noqa: FBT001, FBT002  # models name their arguments
        """List a folder of the working folder, or itself; folders end with a slash, links with an @.

        The folder .git is left out, and what .gitignore files name, unless `ignored` is true.
        """
        deadline = Deadline(path, context)
        names, left_out = [], 0
        with refusing(path), self._root.folder(self._root.find(path)) as folder, os.scandir(folder) as entries:
            rules = IgnoreRules() if ignored else self._rules(path)
            looked_at = list(islice(entries, _LOOKED_AT))
            for entry in looked_at:
                deadline.check()
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.name == ".git":
                    continue
                if rules.ignore(entry.name, is_folder=is_folder):
                    left_out += 1
                    continue
                names.append(entry.name + ("@" if entry.is_symlink() else "/" if is_folder else ""))
        if left_out and not names:
            return f"[nothing but what .gitignore names: {left_out:,}; ignored=true lists it]"
        left = len(names) - _LISTED
        shown = [_one_line(name) for name in heapq.nsmallest(_LISTED, names)]
        more = f"[{left:,} {'or more ' if len(looked_at) == _LOOKED_AT else ''}names are left out]"
        return "\n".join([*shown, *([more] if left > 0 else [])]) or "[the folder is empty]"

    def _rules(self, path: str) -> IgnoreRules:
        """Read what is ignored in a folder."""
        rules = IgnoreRules()
        with outer_rules(self._root.path) as outer, self._root.folder(PurePath()) as root:
            for descriptor, inside in outer:
                rules = rules.with_outer(descriptor, inside)
            return rules.at(root, self._root.find(path).parts)

    @contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO]:
        with self._root.file(path) as number, os.fdopen(number, "rb", closefd=False) as file:
            yield file


def _text(path: str, file: BinaryIO, first: int, most: int, deadline: Deadline) -> str:
    shown: list[str] = []
    room, number = _SHOWN_BYTES, 0
    for number, line in enumerate(_lines(file, deadline), 1):
        if number < first:
            continue
        if len(shown) == most or len(line) > room:
            return "".join(shown) + f"[the file goes on: first_line={number} shows more]"
        room -= len(line)
        shown.append(line.decode("utf-8", "replace"))
    if not shown:
        return "[the file is empty]" if not number else f"[{path} has {number:,} lines, fewer than {first:,}]"
    return "".join(shown)


def _lines(file: BinaryIO, deadline: Deadline) -> Iterator[bytes]:
    """Yield lines with their ends; of a very long one, its beginning."""
    while piece := file.readline(_LINE_BYTES):
        deadline.check()
        rest = piece
        while len(rest) == _LINE_BYTES and not rest.endswith(b"\n"):
            deadline.check()
            rest = file.readline(_LINE_BYTES)
        yield piece if rest is piece else piece + b" [the line goes on]\n"


def _image_type(begins: bytes) -> str | None:
    if begins[:4] == b"RIFF" and begins[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _IMAGES.items() if begins.startswith(signature)), None)


def _one_line(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in clean_text(name))

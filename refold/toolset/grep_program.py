"""The program behind the tool grep: searches what it inherits as an open file, and needs nothing else from here."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterator

MATCHES = 100
LINE_CHARS = 300
FILE_BYTES = 20_000_000
LOOKED_AT = 200_000
"""Names that are looked at for the other names of a file; beyond that they count as outside."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def names_below(top: int) -> Counter[tuple[int, int]]:
    """Count the names below a folder of files that have several, by device and inode."""
    found: Counter[tuple[int, int]] = Counter()
    looked = 0
    for _, below, names, descriptor in os.fwalk(".", dir_fd=top):
        for name in names:
            try:
                info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:  # it has gone meanwhile
                continue
            if info.st_nlink > 1 and stat.S_ISREG(info.st_mode):
                found[info.st_dev, info.st_ino] += 1
        looked += len(names) + len(below)
        if looked > LOOKED_AT:
            break
    return found


class Search:
    """A search for a pattern. `root`: the folder that no file may have a name outside of."""

    def __init__(self, pattern: re.Pattern[str], files: str, root: int) -> None:
        self.outside = 0
        self._pattern, self._files, self._root = pattern, files, root
        self._names: Counter[tuple[int, int]] | None = None

    def lines(self, top: int, name: str) -> Iterator[str]:
        """Yield the matching lines of a file, or of a folder and all that is below it."""
        if not stat.S_ISDIR(os.fstat(top).st_mode):
            yield from self._matching(name, top)
            return
        for folder, below, names, descriptor in os.fwalk(".", dir_fd=top):
            below[:] = sorted(one for one in below if not one.startswith("."))
            here = os.path.normpath(os.path.join(name, folder))
            for one in sorted(fnmatch.filter(names, self._files)):
                try:
                    opened = os.open(one, _FLAGS, dir_fd=descriptor)
                except OSError:  # a link, or not ours to read
                    continue
                yield from self._matching(one if here == "." else f"{here}/{one}", opened)

    def _matching(self, name: str, descriptor: int) -> Iterator[str]:
        """Yield the lines of a file that match; closes it."""
        with os.fdopen(descriptor, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode) or info.st_size > FILE_BYTES:
                return
            if info.st_nlink > 1 and self._leads_out(info):
                self.outside += 1
                return
            if b"\0" in file.read(8192):
                return
            file.seek(0)
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                found = self._pattern.search(line)
                if found is not None:
                    begin = max(0, min(found.start() - 50, len(line) - LINE_CHARS))
                    cut = ("…" if begin else "") + line[begin : begin + LINE_CHARS]
                    yield f"{name}:{number}: {cut}{'…' if begin + LINE_CHARS < len(line) else ''}"

    def _leads_out(self, info: os.stat_result) -> bool:
        if self._names is None:
            self._names = names_below(self._root)
        return self._names[info.st_dev, info.st_ino] < info.st_nlink


def main() -> None:
    """Search for what the argument says, and print matches up to a limit."""
    asked = json.loads(sys.argv[1])
    pattern = re.compile(asked["pattern"], re.IGNORECASE if asked["any"] else 0)
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # a text stream
    search = Search(pattern, asked["files"], asked["root"])
    for number, line in enumerate(search.lines(asked["descriptor"], asked["name"]), 1):
        if number > MATCHES:
            sys.stdout.write(f"[more than {MATCHES} lines match; the others are left out]\n")
            break
        sys.stdout.write("".join(sign if sign.isprintable() or sign == "\t" else "�" for sign in line) + "\n")
    if search.outside:
        sys.stdout.write(f"[hard links out of the folder, not searched: {search.outside}]\n")


if __name__ == "__main__":
    main()

"""The program behind the tool grep: searches what it inherits as an open file, and needs nothing else from here."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
import sys
from collections.abc import Iterator

MATCHES = 100
LINE_CHARS = 300
FILE_BYTES = 20_000_000
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def matching(name: str, descriptor: int, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield the lines of a file that match; closes it."""
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > FILE_BYTES or b"\0" in file.read(8192):
            return
        file.seek(0)
        for number, raw in enumerate(file, 1):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            found = pattern.search(line)
            if found is not None:
                begin = max(0, min(found.start() - 50, len(line) - LINE_CHARS))
                cut = ("…" if begin else "") + line[begin : begin + LINE_CHARS]
                yield f"{name}:{number}: {cut}{'…' if begin + LINE_CHARS < len(line) else ''}"


def searched(top: int, name: str, files: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield the matching lines of a file, or of a folder and all that is below it."""
    if not stat.S_ISDIR(os.fstat(top).st_mode):
        yield from matching(name, top, pattern)
        return
    for folder, below, names, descriptor in os.fwalk(".", dir_fd=top):
        below[:] = sorted(one for one in below if not one.startswith("."))
        here = os.path.normpath(os.path.join(name, folder))
        for one in sorted(fnmatch.filter(names, files)):
            try:
                opened = os.open(one, _FLAGS, dir_fd=descriptor)
            except OSError:  # a link, or not ours to read
                continue
            yield from matching(one if here == "." else f"{here}/{one}", opened, pattern)


def main() -> None:
    """Search for what the argument says, and print matches up to a limit."""
    asked = json.loads(sys.argv[1])
    pattern = re.compile(asked["pattern"], re.IGNORECASE if asked["any"] else 0)
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # a text stream
    lines = searched(asked["descriptor"], asked["name"], asked["files"], pattern)
    for number, line in enumerate(lines, 1):
        if number > MATCHES:
            sys.stdout.write(f"[more than {MATCHES} lines match; the others are left out]\n")
            return
        sys.stdout.write("".join(sign if sign.isprintable() or sign == "\t" else "�" for sign in line) + "\n")


if __name__ == "__main__":
    main()

"""The program behind the tool grep: searches what it inherits as open files, and needs nothing else from here."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

MATCHES = 100
LINE_CHARS = 300
FILE_BYTES = 20_000_000
LOOKED_AT = 200_000
"""Names that are looked at for the other names of a file; beyond that they count as outside."""
IGNORE_BYTES = 1_000_000
"""Of a file of rules; what stands behind them does not count."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STAR, _FOLDERS = "[^/]*", "(?:/.+)?"  # what pathspec writes for `*` and for `/**`
_ESCAPE = "\\"
_END = "(?:(?P<ps_d>/)|$)"
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \t",
    "digit": "0-9",
    "lower": "a-z",
    "space": " \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


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


class IgnoreRule:
    """A line of a .gitignore. Raises: ValueError, re.error when git would not understand it, or it takes too long."""

    def __init__(self, line: str) -> None:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # only where there is a rule

        line = _without_spaces(line)
        self.folders_only = line.endswith("/")
        named = _with_classes(line.removesuffix("/"))
        source, ignores = GitIgnoreSpecPattern.pattern_to_regex(_with_last_space(named))
        if source is None:
            raise ValueError(line)
        self.ignores = bool(ignores)
        # a rule counts for what it names; what lies below is not come to
        whole = source.removesuffix(_END) + (r"\Z" if source.endswith(_END) else "")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # signs in brackets that may mean something in regular expressions one day
            self._search = re.compile(_without_backtracking(whole), re.DOTALL).search

    def names(self, path: str, *, is_folder: bool) -> bool:
        """Return whether it names a path, relative to the folder that it stands in; a sign for each byte, as in git."""
        return (is_folder or not self.folders_only) and self._search(path) is not None


class IgnoreRules:
    """What is ignored in one folder: the rules of files that count there, the nearest first, and its path from each."""

    def __init__(self, files: Sequence[tuple[Sequence[IgnoreRule], str]] = ()) -> None:
        self._files = files

    def with_outer(self, descriptor: int, path: str) -> IgnoreRules:
        """Add the rules of an open file that the others go before; `path`: of this folder, from where they count."""
        return IgnoreRules([*self._files, (_read_rules(descriptor), path)])

    def inside(self, descriptor: int, name: str = "") -> IgnoreRules:
        """Return what is ignored in an open folder below this one, or in this one itself."""
        outer = [(rules, f"{path}{name}/" if name else path) for rules, path in self._files]
        if name and _is_there(".git", descriptor):  # another repository begins
            outer = [(_rules_in(".git/info/exclude", descriptor), "")]
        own = _rules_in(".gitignore", descriptor)
        return IgnoreRules([(own, ""), *outer] if own else outer)

    def at(self, root: int, parts: Sequence[str]) -> IgnoreRules:
        """Return what is ignored in a folder by its path from an open one, to which these rules belong."""
        found, opened = self.inside(root), os.dup(root)
        try:
            for part in parts:
                inner = os.open(part, _FOLDER, dir_fd=opened)
                os.close(opened)
                opened = inner
                found = found.inside(opened, part)
        finally:
            os.close(opened)
        return found

    def ignore(self, name: str, *, is_folder: bool) -> bool:
        """Return whether a name of the folder is ignored: the last rule of the nearest file that names it says so."""
        for rules, path in self._files:
            whole = os.fsencode(path + name).decode("latin-1") if rules else ""
            for rule in rules:
                if rule.names(whole, is_folder=is_folder):
                    return rule.ignores
        return False


def _rules_in(name: str, folder: int) -> list[IgnoreRule]:
    try:
        opened = _open_below(name, folder)
    except OSError:  # there is none, or it is a link
        return []
    try:
        return _read_rules(opened)
    finally:
        os.close(opened)


def _open_below(name: str, folder: int) -> int:
    """Open a file by its path from an open folder, no part of which may be a link."""
    head, _, rest = name.partition("/")
    if not rest:
        return os.open(head, _FLAGS, dir_fd=folder)
    inner = os.open(head, _FOLDER, dir_fd=folder)
    try:
        return _open_below(rest, inner)
    finally:
        os.close(inner)


def _read_rules(descriptor: int) -> list[IgnoreRule]:
    """Read the rules of a file, the last one first."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return []
    text = os.pread(descriptor, IGNORE_BYTES, 0).removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    rules: list[IgnoreRule] = []
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        if line and line[0] != "#":
            try:
                rules.append(IgnoreRule(line))
            except (ValueError, re.error):  # git does not apply such a line either
                continue
    return rules[::-1]


def _without_spaces(line: str) -> str:
    """Leave out spaces at the end, and no other white space, but for one behind a backslash."""
    kept = line.rstrip(" ")
    return f"{kept} " if kept != line and _ends_escaping(kept) else kept


def _with_last_space(line: str) -> str:
    """Write white space at the end, which is part of the name, so that the library does not leave it out."""
    last, before = line[-1:], line[:-1]
    return f"{before.removesuffix(_ESCAPE) if _ends_escaping(before) else before}[{last}]" if last.isspace() else line


def _ends_escaping(text: str) -> bool:
    return (len(text) - len(text.rstrip(_ESCAPE))) % 2 == 1


def _with_classes(line: str) -> str:
    """Write [:alpha:] and its like within brackets as ranges."""
    while "[:" in line:
        found = re.search(r"\[[^]/]*(\[:([a-z]+):\])", line)
        if found is None or found[2] not in _CLASSES:
            break
        line = line[: found.start(1)] + _CLASSES[found[2]] + line[found.end(1) :]
    return line


def _without_backtracking(source: str) -> str:
    """Let each star but the last take as little as it can, for good: a pattern of many would take for ever.

    Raises: ValueError where stars stand between folders of any depth, and there are too many.
    """
    first, *middle = source.split(_STAR)
    folders = source.count(_FOLDERS)
    if folders > 2 or (folders and len(middle) > 3):
        raise ValueError(source)
    if folders or len(middle) < 2:
        return source
    return "".join([first, *(f"(?>[^/]*?{part})" for part in middle[:-1]), _STAR, middle[-1]])


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


class Search:
    """A search for a pattern. `root`: the folder that no file may have a name outside of.

    `rules`: what is ignored in the folder that the search begins in; None: nothing. `ignored`: how much was left out
    for that, `outside`: for its names.
    """

    def __init__(self, pattern: re.Pattern[str], files: str, root: int, rules: IgnoreRules | None) -> None:
        self.ignored = self.outside = 0
        self._pattern, self._files, self._root, self._rules = pattern, files, root, rules
        self._names: Counter[tuple[int, int]] | None = None

    def lines(self, top: int, name: str) -> Iterator[str]:
        """Yield the matching lines of a file, or of a folder and all that is below it."""
        if not stat.S_ISDIR(os.fstat(top).st_mode):
            yield from self._matching(name, top)
            return
        rules_of = {".": self._rules}
        for folder, below, names, descriptor in os.fwalk(".", dir_fd=top):
            rules = rules_of.pop(folder)
            if rules is not None and folder != ".":
                rules = rules.inside(descriptor, os.path.basename(folder))
            below[:] = sorted(self._kept([one for one in below if not one.startswith(".")], rules, are_folders=True))
            rules_of |= {os.path.join(folder, one): rules for one in below}
            here = os.path.normpath(os.path.join(name, folder))
            for one in sorted(self._kept(fnmatch.filter(names, self._files), rules, are_folders=False)):
                try:
                    opened = os.open(one, _FLAGS, dir_fd=descriptor)
                except OSError:  # a link, or not ours to read
                    continue
                yield from self._matching(one if here == "." else f"{here}/{one}", opened)

    def _kept(self, names: list[str], rules: IgnoreRules | None, *, are_folders: bool) -> list[str]:
        """Return the names that are not ignored."""
        if rules is None:
            return names
        kept = [one for one in names if not rules.ignore(one, is_folder=are_folders)]
        self.ignored += len(names) - len(kept)
        return kept

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
    sys.path.append(asked["library"])
    pattern = re.compile(asked["pattern"], re.IGNORECASE if asked["any"] else 0)
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # a text stream
    rules = None
    if asked["rules"] is not None and stat.S_ISDIR(os.fstat(asked["descriptor"]).st_mode):
        rules = IgnoreRules()
        for descriptor, path in asked["rules"]:
            rules = rules.with_outer(descriptor, path)
        rules = rules.at(asked["root"], [part for part in asked["name"].split("/") if part])
    search = Search(pattern, asked["files"], asked["root"], rules)
    number = 0
    for number, line in enumerate(search.lines(asked["descriptor"], asked["name"]), 1):
        if number > MATCHES:
            sys.stdout.write(f"[more than {MATCHES} lines match; the others are left out]\n")
            break
        sys.stdout.write("".join(sign if sign.isprintable() or sign == "\t" else "�" for sign in line) + "\n")
    if search.ignored and not number:
        sys.stdout.write("[no line matches; what .gitignore names was left out, ignored=true searches it too]\n")
    if search.outside:
        sys.stdout.write(f"[hard links out of the folder, not searched: {search.outside}]\n")


if __name__ == "__main__":
    main()

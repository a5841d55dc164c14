"""What a docstring says of each parameter, in the forms of Google, NumPy and Sphinx, and the docstring without that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_GOOGLE = re.compile(r"(args|arguments|params|parameters|keyword args|keyword arguments|other parameters)\s*:\s*", re.I)
_NUMPY = re.compile(r"(parameters|other parameters)\s*", re.I)
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:(?:\s+|$)(.*)")
_NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_FIELD = re.compile(r"[:@](param|parameter|arg|argument|key|keyword|type)\s+(?:[^:]*?\s)?\*{0,2}(\w+)\s*:\s*(.*)")


def read_docstring(text: str, parameters: Collection[str]) -> tuple[str, dict[str, str]]:
    """Split a docstring, cleaned as `inspect.getdoc` does.

    A section none of whose entries names a parameter is text like any other; names that are no parameters say nothing.

    Returns: the text without what is said of parameters, and that by parameter.
    """
    kept: list[str] = []
    found: dict[str, str] = {}
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end, entries = _section(lines, at)
        known = {name: said for name, said in entries if name in parameters}
        if known:
            found |= {name: said for name, said in known.items() if said and name not in found}
            at = end
        else:
            kept.append(lines[at])
            at += 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), found


def _section(lines: list[str], at: int) -> tuple[int, list[tuple[str, str]]]:
    """Read what begins at a line. Returns: where it ends, and its entries; none where nothing of parameters begins."""
    line = lines[at].strip()
    if _GOOGLE.fullmatch(line):
        end = _indented(lines, at + 1, _indent(lines[at]))
        return end, list(_google(lines[at + 1 : end]))
    underlined = at + 1 < len(lines) and len(lines[at + 1].strip()) > 2 and not lines[at + 1].strip().strip("-=")
    if underlined and _NUMPY.fullmatch(line):
        end = _numpy_end(lines, at + 2)
        return end, list(_numpy(lines[at + 2 : end], _indent(lines[at])))
    if field := _FIELD.fullmatch(line):
        end = _indented(lines, at + 1, _indent(lines[at]), blank=False)
        said = "" if field[1] == "type" else _joined([field[3], *lines[at + 1 : end]])
        return end, [(field[2], said)]
    return at, []


def _google(lines: list[str]) -> Iterator[tuple[str, str]]:
    deep = min((_indent(line) for line in lines if line.strip()), default=0)
    name, said = "", list[str]()
    for line in lines:
        entry = _GOOGLE_ENTRY.fullmatch(line.strip()) if _indent(line) == deep else None
        if entry is not None:
            yield from _named(name, said)
            name, said = entry[1], [entry[2]]
        else:
            said.append(line)
    yield from _named(name, said)


def _numpy(lines: list[str], deep: int) -> Iterator[tuple[str, str]]:
    names, said = "", list[str]()
    for line in lines:
        entry = _NUMPY_ENTRY.fullmatch(line.strip()) if line.strip() and _indent(line) == deep else None
        if entry is not None:
            yield from _named(names, said)
            names, said = entry[1], []
        else:
            said.append(line)
    yield from _named(names, said)


def _named(names: str, said: list[str]) -> Iterator[tuple[str, str]]:
    for name in filter(None, re.split(r"[\s,*]+", names)):
        yield name, _joined(said)


def _indented(lines: list[str], at: int, deep: int, *, blank: bool = True) -> int:
    """Find where lines end that are indented deeper; blank ones between them are theirs, if they may be."""
    end = at
    while at < len(lines) and (blank or lines[at].strip()) and (not lines[at].strip() or _indent(lines[at]) > deep):
        at += 1
        end = at if lines[at - 1].strip() else end
    return end


def _numpy_end(lines: list[str], at: int) -> int:
    """Find the heading of the next section: a line that the next one underlines."""
    for end in range(at, len(lines) - 1):
        under = lines[end + 1].strip()
        if lines[end].strip() and len(under) > 2 and not under.strip("-="):
            return end
    return len(lines)


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

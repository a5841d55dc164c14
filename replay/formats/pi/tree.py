"""The tree of entries in a pi session file, and how it parts into branches."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..jsonl import Fields, LineNote, Lines


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """An entry: its line, its name, its parent in the tree, and what a compaction keeps first (-1: nothing)."""

    line: int
    name: str
    fields: Fields
    parent: int | None
    kept: int = -1


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A file's header (empty: it has none), its version, and its entries in the order of the file."""

    header: Fields
    version: int
    nodes: tuple[Node, ...]
    notes: tuple[LineNote, ...] = ()


class Path(msgspec.Struct, frozen=True):
    """The entries of one branch, and the entry of another one after which it begins (None: it begins anew)."""

    nodes: tuple[int, ...]
    parent: int | None


def is_record(fields: Fields) -> bool:
    """Return whether an object has the shape of an entry or of a header."""
    return isinstance(fields.get("type"), str) and ("timestamp" in fields or fields["type"] == "session")


def read_tree(lines: Lines) -> Tree:
    """Find the parent of every entry.

    Version 1 has no names: entries follow one another, and are named e00001 and so on. An entry whose parent stood on a
    line that was lost follows the entry before it.
    """
    records = list(lines.records)
    header = records.pop(0).fields if records and records[0].fields.get("type") == "session" else {}
    given = header.get("version")
    version = given if type(given) is int else 1
    if not header and any("parentId" in record.fields for record in records):
        version = 3
    places: dict[object, int] = {}
    nodes: list[Node] = []
    notes: list[LineNote] = []
    readable = [None] * bool(header) + [n for n, record in enumerate(records) if record.whole]  # as pi counts lines
    for number, record in enumerate(records):
        fields = record.fields
        parent = _parent(fields, version, places, number)
        if parent == number:  # it names one that is not there
            after_loss = number and any(note.number <= record.number for note in lines.lost)
            parent = number - 1 if after_loss else None
            where = "the entry before it" if after_loss else "none"
            notes.append(
                LineNote(record.number, f"its parent {fields.get('parentId')!r} is missing; it follows {where}")
            )
        kept = _kept(fields, version, places, readable)
        own = fields.get("id") if version > 1 else None
        name = str(own) if isinstance(own, str | int) else f"e{number + 1:05d}"
        on_path = kept is not None and is_above(kept, parent, nodes)
        nodes.append(
            Node(
                line=record.number,
                name=name,
                fields=fields,
                parent=parent,
                kept=kept if on_path and kept is not None else -1,
            )
        )
        if isinstance(own, str | int):
            places[own] = number
    return Tree(header=header, version=version, nodes=tuple(nodes), notes=tuple(notes))


def branches(nodes: Sequence[Node]) -> list[Path]:
    """Split a tree into branches: first the one the file ends in, then one for each other entry without children."""
    parents = {node.parent for node in nodes}
    leaves = [number for number in range(len(nodes)) if number not in parents]
    taken: set[int] = set()
    paths = []
    for leaf in [*leaves[-1:], *leaves[:-1]]:
        own: list[int] = []
        at: int | None = leaf
        while at is not None and at not in taken:
            own.append(at)
            at = nodes[at].parent
        taken.update(own)
        paths.append(Path(tuple(reversed(own)), at))
    return paths


def _parent(fields: Fields, version: int, places: dict[object, int], number: int) -> int | None:
    """Find an entry's parent; the entry's own number says that it names one which is not there."""
    if version < 2 or "parentId" not in fields:
        return number - 1 if number else None
    named = fields["parentId"]
    if named is None:
        return None
    return places.get(named, number) if isinstance(named, str | int) else number


def _kept(fields: Fields, version: int, places: dict[object, int], readable: Sequence[int | None]) -> int | None:
    if fields.get("type") != "compaction":
        return None
    index, named = fields.get("firstKeptEntryIndex"), fields.get("firstKeptEntryId")
    if version < 2 and type(index) is int:
        return readable[index] if 0 <= index < len(readable) else None
    return places.get(named) if isinstance(named, str | int) else None


def is_above(wanted: int, at: int | None, nodes: Sequence[Node]) -> bool:
    """Return whether an entry lies on the path from another one to its root."""
    while at is not None and at != wanted:
        at = nodes[at].parent
    return at is not None

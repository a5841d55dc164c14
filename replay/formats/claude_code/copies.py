"""What copies of records have otherwise than those that they are copies of, so that a fork's file is written as it was.

A fork begins with copies: they say the same, and have other ids of the session, of prompts and of requests. Most have
one of a few differences, so that each is kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import dropwhile, pairwise

from eventsource.codec import from_json, to_json

from ..differences import difference, restore, same
from ..fields import fields_of, list_of, text_of
from ..format import Records
from ..jsonl import Fields, Findings
from .alike import Copy, blocks_of, found_in

_MOST = 1_000  # differences that are kept; a fork whose copies have more is written with what they are copies of
_WHOLE = -1  # in the place of a block: a copy has the content as it stands
_PARENTS = ("parentUuid", "logicalParentUuid")
COPIES = "copies"
"""The name under which it is kept where the fork begins."""


def copies_of(own: Records, base: Records, session: str) -> Fields:
    """Compare the records that a fork begins with to those of what it goes on from.

    Args:
        session: what the fork is called, which is not compared.

    Returns: nothing if they differ in too many ways or not at all; else `copies`: the differences that there are, and
        which of these each copy has, as pairs of a place in that list and a count. If the copies stand as what they are
        copies of does, one behind the other under the same names, the first one's name; else of each its name, that of
        what it is a copy of, and which block of that it has.
    """
    copies = found_in(own, base).found
    if not copies:
        return {}
    plain = _stand_alike(copies, base)
    kinds: dict[bytes, int] = {}
    kind_of: dict[str, int] = {}
    parts: dict[str, int] = {}
    waiting = _by_what_they_copy(copies)
    for line in base(Findings()):
        for before, name in waiting.get(text_of(line.fields.get("uuid")), ()):
            copy = copies[name]
            part = parts[name] = _part(line.fields, copy)
            made = {**line.fields, "sessionId": session} if plain else _made(line.fields, session, name, before, part)
            kind_of[name] = kinds.setdefault(bytes(to_json(difference(copy.fields, made))), len(kinds))
            if len(kinds) > _MOST:
                return {}
    if plain and not any(one != b"{}" for one in kinds):
        return {}
    standing = {"first": next(iter(copies))} if plain else {"of": [[one, copies[one].of, parts[one]] for one in copies]}
    each = _runs([kind_of[name] for name in copies])
    return {COPIES: {**standing, "differences": [from_json(one) for one in kinds], "each": each}}


def _stand_alike(copies: Mapping[str, Copy], base: Records) -> bool:
    """Return whether copies stand as what they are copies of, under the same names and with the same blocks."""
    first = next(iter(copies))
    named = (line.fields for line in base(Findings()) if text_of(line.fields.get("uuid")))
    behind = dropwhile(lambda fields: fields["uuid"] != first, named)
    return all(
        name == (fields := next(behind, {})).get("uuid") and _part(fields, copy) == _WHOLE
        for name, copy in copies.items()
    )


def _by_what_they_copy(copies: Mapping[str, Copy]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Give copies by what they are copies of, each behind the one before it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for before, name in pairwise(["", *copies]):
        found.setdefault(copies[name].of, []).append((before, name))
    return found


def _part(fields: Fields, copy: Copy) -> int:
    content = fields_of(fields.get("message")).get("content")
    return _WHOLE if same(content, fields_of(copy.fields.get("message")).get("content")) else copy.part


def _made(fields: Fields, session: str, name: str, before: str, part: int) -> Fields:
    """Make a copy of a record as old versions do: one block of it, behind the copy before it."""
    message = fields_of(fields.get("message"))
    made = {**fields, "sessionId": session, "uuid": name, "parentUuid": before or None}
    return made if part == _WHOLE else {**made, "message": {**message, "content": blocks_of(fields)[part : part + 1]}}


def _runs(numbers: Iterable[int]) -> list[int]:
    runs: list[int] = []
    for number in numbers:
        if runs and runs[-2] == number:
            runs[-1] += 1
        else:
            runs += [number, 1]
    return runs


def copied_as(records: Iterable[Fields], session: str, kept: Fields) -> Iterator[Mapping[str, object]]:
    """Write the records that a fork inherits as it copied them: those with a name, as what is kept says of them."""
    each = [one for one in list_of(kept.get("each")) if isinstance(one, int)]
    kinds = (kind for kind, count in zip(each[::2], each[1::2], strict=False) for _ in range(count))
    differences = dict(enumerate(map(fields_of, list_of(kept.get("differences")))))
    if "of" in kept:
        made = _made_again({text_of(one.get("uuid")): one for one in records}, session, _standing(kept))
    else:
        named = (one for one in records if "uuid" in one)
        first = text_of(kept.get("first"))
        behind = dropwhile(lambda one: first not in ("", one["uuid"]), named)
        made = ({**one, "sessionId": session} for one in behind)
    for one in made:
        found = differences.get(next(kinds, -1), {})
        if one:
            yield restore(one, found)


def _made_again(
    records: Mapping[str, Fields], session: str, standing: Sequence[tuple[str, str, int]]
) -> Iterator[Fields]:
    before = ""
    for name, of, part in standing:
        yield _made(records[of], session, name, before, part) if of in records else {}
        before = name


def _standing(kept: Fields) -> list[tuple[str, str, int]]:
    """Read the copies' names, those of what they are copies of, and the blocks."""
    found = [one for one in list_of(kept.get("of")) if isinstance(one, list) and len(one) == len(Copy._fields)]
    return [(text_of(name), text_of(of), part if isinstance(part, int) else _WHOLE) for name, of, part in found]


def named_as(record: Fields, names: Mapping[str, str]) -> Fields:
    """Let a record follow what it follows under another name."""
    found = {key: names[parent] for key in _PARENTS if (parent := text_of(record.get(key))) in names}
    return {**record, **found} if found else record


def copies_by_what_they_copy(kept: Fields) -> Mapping[str, str]:
    """Read what copies are called, by what they are copies of: of several the last one."""
    return {of: name for name, of, _ in _standing(kept) if name != of}

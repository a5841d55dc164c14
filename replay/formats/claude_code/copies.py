"""What copies of records have otherwise than those that they are copies of, so that a fork's file is written as it was.

A fork begins with copies: they say the same, and have other ids of the session, of prompts and of requests. Most have
one of a few differences, so that each is kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import dropwhile

import msgspec

from eventsource.codec import from_json, to_json

from ..differences import difference, restore
from ..fields import fields_of, list_of, text_of
from ..format import Records
from ..jsonl import Fields, Findings, Line

_SAYS = (
    *("type", "subtype", "uuid", "parentUuid", "logicalParentUuid", "timestamp", "isSidechain", "message", "content"),
    *("toolUseResult", "attachment", "isMeta", "isVisibleInTranscriptOnly", "isCompactSummary", "isApiErrorMessage"),
    *("isAbortedMidStream", "compactMetadata", "agentId"),
)
"""Fields by which a copy is told: others are of the session that it stands in, and more in each version."""
_ENCODER = msgspec.json.Encoder(order="sorted")
_MOST = 1_000  # differences that are kept; a fork whose copies have more is written with what they are copies of
COPIES = "copies"
"""The name under which it is kept where the fork begins."""


def copies_of(own: Records, base: Records, session: str) -> Fields:
    """Compare the records that a fork begins with to those of what it goes on from.

    Args:
        session: what the fork is called, which is not compared.

    Returns: nothing if they do not stand there one behind the other, or differ in too many ways; else `copies`: the
        first one's name, the differences that there are, and which of these each copy has, as pairs of a place in that
        list and a count.
    """
    copies = {name: line.fields for name, line in found_in(own, base).items()}
    first = next(iter(copies), "")
    kinds: dict[bytes, int] = {}
    each: list[int] = []
    names = iter(copies.items())
    for line in _behind(base, first):
        name, copy = next(names, ("", {}))
        if not name:
            break
        if name != line.fields["uuid"]:
            return {}
        kind = kinds.setdefault(bytes(to_json(difference(copy, {**line.fields, "sessionId": session}))), len(kinds))
        if len(kinds) > _MOST:
            return {}
        if each and each[-2] == kind:
            each[-1] += 1
        else:
            each += [kind, 1]
    if not any(one != b"{}" for one in kinds):
        return {}
    return {COPIES: {"first": first, "differences": [from_json(one) for one in kinds], "each": each}}


def _behind(base: Records, first: str) -> Iterator[Line]:
    """Give the records that have a name, from the first copied one on."""
    named = (line for line in base(Findings()) if text_of(line.fields.get("uuid")))
    return dropwhile(lambda line: line.fields["uuid"] != first, named)


def found_in(own: Records, base: Records) -> Mapping[str, Line]:
    """Find the records at the beginning of a fork that are copies of what it goes on from, by their names in order.

    Each with the number that what it is a copy of has there, from 1.
    """
    again = _is_shortened(own)
    told = {
        text_of(line.fields.get("uuid")): (place, _said(line, linked=not again))
        for place, line in enumerate(base(Findings()), 1)
    }
    found: dict[str, Line] = {}
    for line in own(Findings()):
        name = text_of(line.fields.get("uuid"))
        place, said = told.get(name, (0, b"")) if name else (0, b"")
        if name and said != _said(line, linked=not again):
            break  # it says something else from here on, whatever it calls that
        if name:
            found[name] = Line(place, line.fields)
    return found


def _said(line: Line, *, linked: bool) -> bytes:
    """Digest what a record says, and where that counts with what it follows and what it cost."""
    kept = {name: line.fields[name] for name in _SAYS if name in line.fields}
    if not linked:
        kept["parentUuid"] = None
        kept["message"] = {name: value for name, value in fields_of(kept.get("message")).items() if name != "usage"}
    return blake2b(_ENCODER.encode(kept), digest_size=16).digest()


def _is_shortened(own: Records) -> bool:
    """Return whether copies stand behind a compaction: what that keeps is linked anew, and its usage is gone."""
    return is_compaction(next((line for line in own(Findings()) if text_of(line.fields.get("uuid"))), None))


def is_compaction(line: Line | None) -> bool:
    """Return whether a record is the boundary of a compaction."""
    return line is not None and line.fields.get("subtype") == "compact_boundary"


def copied_as(records: Iterable[Fields], session: str, kept: Fields) -> Iterator[Mapping[str, object]]:
    """Write the records that a fork inherits as it copied them: those with a name, as what is kept says of them."""
    differences, first = list_of(kept.get("differences")), text_of(kept.get("first"))
    each = [one for one in list_of(kept.get("each")) if isinstance(one, int)]
    kinds = (kind for kind, count in zip(each[::2], each[1::2], strict=False) for _ in range(count))
    begun = not first
    for one in records:
        if "uuid" not in one:
            continue
        begun |= one["uuid"] == first
        if begun:
            kind = next(kinds, -1)
            found = fields_of(differences[kind]) if 0 <= kind < len(differences) else {}
            yield restore({**one, "sessionId": session}, found)

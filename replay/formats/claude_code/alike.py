"""Which records a file begins with are copies of another one's: those that say the same.

Versions differ in what copies keep. Those of 2.1 have the names and the times of what they are copies of. Older ones
have the time at which they were made, each block of a message in a record of its own, and new names: those of 2.0
behind the first message of several blocks, those of 1.0 all. So blocks are compared, and the order in which they follow
one another. Without the names it takes an answer with the id that the provider gave it, which came in no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise, takewhile
from typing import NamedTuple

import msgspec

from ..fields import fields_of, list_of, text_of
from ..format import Records
from ..jsonl import Fields, Findings, Line
from ..times import read_time

_SAYS = (
    *("type", "subtype", "isSidechain", "content", "attachment", "isVisibleInTranscriptOnly", "isCompactSummary"),
    *("compactMetadata", "agentId"),
)
"""Fields by which a copy is told, beside its message: others are of its session, or left out by some versions."""
_OF_MESSAGES = ("role", "id", "model", "usage")
"""What is compared of a message beside its blocks: versions add more, also to copies."""
_SPEAK = ("user", "assistant")
_BATCH = ("tool_use", "tool_result")
_AT_ONCE_US = 5_000  # between a prompt and an answer that are copied together; no request takes so little
_ENCODER = msgspec.json.Encoder(order="sorted")


class Copy(NamedTuple):
    """A record that is a copy: of which other one, by its name, and from which of its blocks on."""

    fields: Fields
    of: str
    part: int


class Copies(NamedTuple):
    """The copies that a file begins with, by their names in order, and the place of the last that one is a copy of."""

    found: Mapping[str, Copy]
    taken: int


class _Stands(NamedTuple):
    """A record that there may be copies of. `words`: what each of its blocks says. `passed`: copies may lack it.

    `answer`: what the provider calls the answer that it is of. `asks`: it is a prompt.
    """

    place: int
    name: str
    parent: str
    words: tuple[bytes, ...]
    passed: bool
    answer: str
    asks: bool


def found_in(own: Records, base: Records) -> Copies:
    """Find the copies at the beginning of a file of what another one holds.

    Returns: none of what says something else, and of what follows that.
    """
    linked = not _is_shortened(own)
    there = _There(base, usage=linked)
    found: dict[str, Copy] = {}
    same = {"": ""}  # what is copied wholly, by the name of the last copy
    open_: tuple[str, _Stands, int] | None = None  # a record of which some blocks are still to come
    parted = ""
    for line in own(Findings()):
        name, parent = text_of(line.fields.get("uuid")), text_of(line.fields.get("parentUuid"))
        if not name:
            continue
        words = _words(line.fields, usage=linked)
        if open_ is None:
            stands, part = there.find(name, words, same.get(parent), linked=linked), 0
        else:
            before, stands, part = open_
            stands = stands if parent == before else None
        if stands is None or stands.words[part : part + len(words)] != words:
            parted = answer_of(line.fields)
            break  # it says something else from here on, whatever it calls that
        found[name] = Copy(line.fields, stands.name, part)
        open_ = (name, stands, part + len(words)) if part + len(words) < len(stands.words) else None
        if open_ is None:
            same[name] = stands.name
    _drop(found, open_[1].name if open_ is not None else "")
    while found and there.is_asked_anew(*_last(found)):
        _drop(found, _last(found)[1].of)
    if not any(name == copy.of for name, copy in found.items()) and not _is_of_one(found.values()):
        found = {}
    return Copies(found, there.last_of([there.named[copy.of] for copy in found.values()], parted))


def _last(found: dict[str, Copy]) -> tuple[str, Copy]:
    name = next(reversed(found))
    return name, found[name]


def _is_of_one(copies: Iterable[Copy]) -> bool:
    """Return whether there is an answer among them that a provider named, and that cannot have come as it stands."""
    return any(came_at_once(fields, before) for before, fields in pairwise(copy.fields for copy in copies))


def _drop(found: dict[str, Copy], of: str) -> None:
    """Take away the last copies, if they are of one record."""
    while found and _last(found)[1].of == of:
        found.popitem()


class _There:
    """The records that there may be copies of, by their names."""

    def __init__(self, base: Records, *, usage: bool) -> None:
        self.named: dict[str, _Stands] = {}
        self._behind: dict[str, list[_Stands]] = {}
        self._followed: set[str] = set()
        for place, line in enumerate(base(Findings()), 1):
            name, parent = text_of(line.fields.get("uuid")), text_of(line.fields.get("parentUuid"))
            if not name:
                continue
            words = _words(line.fields, usage=usage)
            kinds = [fields_of(block).get("type") for block in blocks_of(line.fields)]
            speaks = line.fields.get("type") in _SPEAK and bool(kinds)
            passed = not speaks or all(kind in _BATCH for kind in kinds)
            asks = speaks and line.fields.get("type") == "user" and "tool_result" not in kinds
            one = self.named[name] = _Stands(place, name, parent, words, passed, answer_of(line.fields), asks)
            self._behind.setdefault(parent, []).append(one)
            if speaks:
                self._followed.add(parent)

    def find(self, name: str, words: tuple[bytes, ...], after: str | None, *, linked: bool) -> _Stands | None:
        """Find what a record is a copy of: it has its name, or says the same and follows the same (None: nothing)."""
        if name in self.named:
            one = self.named[name]
            return one if not linked or self._is_behind(one, after) else None
        nearest = self._behind.get(after, ()) if after is not None else ()
        while nearest:
            fitting = [one for one in nearest if one.words[: len(words)] == words]
            if fitting:
                return max(fitting, key=lambda one: (one.name in self._followed, one.place))
            passed = [one for one in nearest if one.passed]
            nearest = [one for above in passed for one in self._behind.get(above.name, ()) if one.place > above.place]
        return None

    def _is_behind(self, one: _Stands, after: str | None) -> bool:
        """Return whether a record follows another one, but for what copies lack."""
        while one.parent != after:
            above = self.named.get(one.parent)
            if above is None or not above.passed or above.place >= one.place:
                return False
            one = above
        return True

    def last_of(self, copied: Sequence[_Stands], parted: str) -> int:
        """Return the place of the last copied record, or of the last of its answer: copies lack calls that never ended.

        Args:
            parted: the answer of the record that is no copy any more.
        """
        last = max((one.place for one in copied), default=0)
        answer = next((one.answer for one in reversed(copied) if one.answer), "")
        behind = (one for one in self.named.values() if one.place > last)
        rest = takewhile(lambda one: one.answer == answer, behind if answer not in ("", parted) else ())
        return max((one.place for one in rest), default=last)

    def is_asked_anew(self, name: str, copy: Copy) -> bool:
        """Return whether a prompt may have been typed again: the other one was answered otherwise."""
        return name != copy.of and self.named[copy.of].asks and copy.of in self._followed


def came_at_once(fields: Fields, before: Fields) -> bool:
    """Return whether an answer came as soon as what stands before it: a provider's takes its time, a copy none."""
    at_us, before_us = read_time(fields.get("timestamp")), read_time(before.get("timestamp"))
    begins = answer_of(fields) not in ("", answer_of(before))
    return begins and at_us is not None and before_us is not None and 0 <= at_us - before_us <= _AT_ONCE_US


def answer_of(fields: Fields) -> str:
    """Return what the provider calls the answer that a record is of; empty: it is of none."""
    return text_of(fields_of(fields.get("message")).get("id")) if fields.get("type") == "assistant" else ""


def _words(fields: Fields, *, usage: bool) -> tuple[bytes, ...]:
    """Digest what a record says: each block of a message with what is said of the whole."""
    message = fields_of(fields.get("message"))
    whole = {name: message.get(name) for name in _OF_MESSAGES if usage or name != "usage"}
    said = [{name: fields[name] for name in _SAYS if name in fields}, whole]
    return tuple(_digest([*said, block]) for block in blocks_of(fields)) or (_digest(said),)


def blocks_of(fields: Fields) -> Sequence[object]:
    """Return the blocks of a message; a text is one."""
    content = fields_of(fields.get("message")).get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)


def _digest(said: object) -> bytes:
    return blake2b(_ENCODER.encode(said), digest_size=16).digest()


def _is_shortened(own: Records) -> bool:
    """Return whether copies stand behind a compaction: what that keeps is linked anew, and its usage is gone."""
    return is_compaction(next((line for line in own(Findings()) if text_of(line.fields.get("uuid"))), None))


def is_compaction(line: Line | None) -> bool:
    """Return whether a record is the boundary of a compaction."""
    return line is not None and line.fields.get("subtype") == "compact_boundary"

"""The shape of a session file, found before any of it is read for good: its entries, their parents, the branches.

What is kept of an entry is a few numbers, so that a file of a million fits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Set
from hashlib import blake2b

import msgspec

from .digest_table import DigestTable
from .jsonl import Findings, Line

_ENCODER = msgspec.json.Encoder(order="sorted")
_JOINED_WITHIN = 1_000  # records between two that are one entry: a message is written in one go


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record says that it belongs.

    `name`: what others name it by (empty: nobody does). `after`: the name of the entry that it follows (None: of none,
    it begins anew; unset: the one before it in the file). `key`: what the records of one entry have in common: it is a
    further record of the latest such entry, unless `begins`. `speaks`: it is part of the conversation; a branch where
    nothing is said is none.
    """

    name: str = ""
    after: str | msgspec.UnsetType | None = msgspec.UNSET
    key: str = ""
    begins: bool = True
    speaks: bool = True


class Outline:
    """Entries by number, from 0 in the order of their first records; records by number, from 0 too."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._places = DigestTable()
        self._keys: dict[int, int] = {}
        self._speaks = bytearray()
        self._contents = array("Q")
        self.parents = array("i")
        """The entry that each one follows; -1: it begins anew."""
        self.lines = array("i")
        """The line where each one begins."""
        self.entry_of = array("i")
        """The entry that each record belongs to."""
        self.last_record = array("i")
        """The last record of each entry."""

    def add(self, placing: Placing, line: Line) -> int:
        """Take the next record. Returns: its entry."""
        record = len(self.entry_of)
        joined = None if placing.begins else self._keys.get(_digest(placing.key))
        if joined is not None and record - self.last_record[joined] <= _JOINED_WITHIN:
            number = joined
            self.last_record[number] = record
            self._speaks[number] |= placing.speaks
        else:
            number = len(self.parents)
            self.parents.append(self._parent(placing, number, line.number))
            self.lines.append(line.number)
            self.last_record.append(record)
            self._contents.append(0)
            self._speaks.append(placing.speaks)
        said = self._contents[number].to_bytes(8) + _ENCODER.encode(line.fields)
        self._contents[number] = int.from_bytes(blake2b(said, digest_size=8).digest())
        self.entry_of.append(number)
        if placing.key:
            self._keys[_digest(placing.key)] = number
            if len(self._keys) > 2 * _JOINED_WITHIN:
                ends = self.last_record
                self._keys = {key: one for key, one in self._keys.items() if record - ends[one] <= _JOINED_WITHIN}
        if placing.name:
            self._name(placing.name, number, line.number)
        return number

    def _name(self, name: str, number: int, line: int) -> None:
        before = self._places.get(_digest(name))
        if before not in (-1, number):
            self._findings.recover(line, f"its name {name!r} is that of line {self.lines[before]} too; both are kept")
        self._places.put(_digest(name), number)

    def _parent(self, placing: Placing, number: int, line: int) -> int:
        if placing.after is None:
            return -1
        if isinstance(placing.after, msgspec.UnsetType):
            return number - 1
        found = self.find(placing.after)
        if found is not None:
            return found
        after_loss = number and any(0 < note.number <= line for note in self._findings.lost)
        where = "the entry before it" if after_loss else "none"
        self._findings.recover(line, f"its parent {placing.after!r} is missing; it follows {where}")
        return number - 1 if after_loss else -1

    def find(self, name: str) -> int | None:
        """Return the entry of a name, the latest if there are several."""
        found = self._places.get(_digest(name))
        return found if found >= 0 else None

    def is_above(self, wanted: int, at: int) -> bool:
        """Return whether an entry lies on the path from another one to its root."""
        while at >= 0 and at != wanted:
            at = self.parents[at]
        return at >= 0

    def digests(self) -> array[int]:
        """Compute what names each entry by what it holds and what it follows, back to its root."""
        chained = array("Q", bytes(8 * len(self.parents)))
        for number, parent in enumerate(self.parents):
            before = chained[parent] if parent >= 0 else 0
            said = before.to_bytes(8) + self._contents[number].to_bytes(8)
            chained[number] = int.from_bytes(blake2b(said, digest_size=8).digest())
        return chained

    def tips(self, known: array[int], open_: Set[int]) -> dict[int, int]:
        """Find the entries behind which a branch that is there goes on: its last that speaks, and silent ones behind.

        Args:
            known: the branch of each entry that is there already; -1: it is new.
            open_: branches that can be gone on with.

        Returns: the branch of each such entry; that of -1 is one where nothing was said yet.
        """
        if not open_:
            return {}
        heard = array("i", [-1]) * len(self.parents)  # of each entry the last one on its path that speaks
        last: dict[int, int] = {}
        for number, parent in enumerate(self.parents):
            heard[number] = number if self._speaks[number] else heard[parent] if parent >= 0 else -1
            if self._speaks[number] and known[number] in open_:
                last[known[number]] = number
        empty = [(-1, branch) for branch in open_ if branch not in last]
        behind = enumerate(known)
        return dict(empty) | {one: at for one, at in behind if at in open_ and heard[one] == last.get(at, -1)}

    def branches(self, known: array[int], tips: Mapping[int, int], there: int) -> array[int]:
        """Part the entries into branches: first the one the file ends in, then one for each other that nothing follows.

        Args:
            known: the branch of each entry that is there already; -1: it is new.
            tips: entries that a branch which is there ends with, and can be gone on with; and which branch.
            there: how many branches there are; new ones are numbered from it.

        Returns: of each entry its branch. -1: nothing is said there, and the session that it stands beside was gone on
            with here.
        """
        size = len(self.parents)
        branch_of, begun, left = array("i", known), there, set(tips.values())
        for leaf in self._leaves():
            own: list[int] = []
            at = leaf
            while at >= 0 and branch_of[at] < 0:
                own.append(at)
                branch_of[at] = size  # until it is known which
                at = self.parents[at]
            if own:
                number = tips.get(at, -1)
                if number not in left:
                    number, begun = begun, begun + 1
                left.discard(number)
                for one in own:
                    branch_of[one] = number
        closed = set(range(there)) - set(tips.values())
        for number, parent in enumerate(self.parents):  # what is left says nothing, nor does what follows it
            if branch_of[number] < 0:
                beside = branch_of[parent] if parent >= 0 else 0
                branch_of[number] = -1 if beside in closed else beside
        return branch_of

    def _leaves(self) -> Iterator[int]:
        """Go through the entries that speak and are followed by none that does: first the last one, then in order."""
        size = len(self.parents)
        followed = bytearray(size)
        for number in reversed(range(size)):
            parent = self.parents[number]
            if parent >= 0 and (self._speaks[number] or followed[number]):
                followed[parent] = 1
        last = self._speaks.rfind(1)
        if last >= 0:
            yield last
        yield from (one for one in range(size) if self._speaks[one] and not followed[one] and one != last)


def _digest(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest())

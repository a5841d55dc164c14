"""The shape of a session file, found before any of it is read for good: its entries, their parents, the branches.

What is kept of an entry is a few numbers, so that a file of a million fits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Set
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
    nothing is said is none. `anew`: it needs what stands before it, so that a file that grew by it is read anew.
    """

    name: str = ""
    after: str | msgspec.UnsetType | None = msgspec.UNSET
    key: str = ""
    begins: bool = True
    speaks: bool = True
    anew: bool = False


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
        after_loss = number and 0 < self._findings.first_lost <= line
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

    def go_on(self, findings: Findings) -> None:
        """Take further records: what is found of them is told to other findings."""
        findings.first_lost, self._findings = self._findings.first_lost, findings

    def digests(self, before: array[int] | None = None) -> array[int]:
        """Compute what names each entry by what it holds and what it follows, back to its root.

        Args:
            before: those of the first entries, which are not computed again.
        """
        chained = array("Q", before or ())
        for number in range(len(chained), len(self.parents)):
            parent = self.parents[number]
            above = chained[parent] if parent >= 0 else 0
            said = above.to_bytes(8) + self._contents[number].to_bytes(8)
            chained.append(int.from_bytes(blake2b(said, digest_size=8).digest()))
        return chained

    @property
    def is_silent(self) -> bool:
        """Whether no entry is part of the conversation."""
        return not any(self._speaks)

    def speaks(self, number: int) -> bool:
        """Return whether an entry is part of the conversation."""
        return bool(self._speaks[number])

    def part(self, branch_of: array[int], ends: Ends, there: int, first: int = 0) -> None:
        """Part entries into branches: first the one the file ends in, then one for each other that nothing follows.

        Args:
            branch_of: the branch of each entry that is there already; -1: it is new. They are filled in, but for where
                nothing is said, and the session that it stands beside was gone on with here.
            ends: of the branches that are there.
            there: how many branches there are; new ones are numbered from it.
            first: the first entry that may be new.
        """
        size = len(self.parents)
        begun, left = there, set(ends.branches)
        for leaf in self._leaves(first):
            own: list[int] = []
            at = leaf
            while at >= 0 and branch_of[at] < 0:
                own.append(at)
                branch_of[at] = size  # until it is known which
                at = self.parents[at]
            if own:
                number = ends.branch_behind(at)
                if number not in left:
                    number, begun = begun, begun + 1
                left.discard(number)
                for one in own:
                    branch_of[one] = number
        closed = set(range(there)) - ends.branches
        for number in range(first, size):  # what is left says nothing, nor does what follows it
            if branch_of[number] < 0:
                parent = self.parents[number]
                beside = branch_of[parent] if parent >= 0 else 0
                branch_of[number] = -1 if beside in closed else beside

    def _leaves(self, first: int) -> Iterator[int]:
        """Go through the entries that speak and that none follows which does: the last one, then the others."""
        size = len(self.parents)
        followed = bytearray(size - first)
        for number in range(size - 1, first - 1, -1):
            parent = self.parents[number]
            if parent >= first and (self._speaks[number] or followed[number - first]):
                followed[parent - first] = 1
        last = self._speaks.rfind(1, first)
        if last >= 0:
            yield last
        for one in range(first, size):
            if self._speaks[one] and not followed[one - first] and one != last:
                yield one


class Ends:
    """Behind which entries the branches that are there go on: their last that speaks, and silent ones behind.

    `branches`: those that can be gone on with.
    """

    def __init__(self, outline: Outline, known: array[int], open_: Set[int]) -> None:
        """Find them.

        Args:
            known: the branch of each entry that is there already; -1: it is new.
            open_: branches that can be gone on with.
        """
        self._outline, self._known, self._open = outline, known, frozenset(open_)
        self._heard = array("i")  # of each entry the last one on its path that speaks
        self._last: dict[int, int] = {}
        self._empty = -1
        self.branches: frozenset[int] = frozenset()
        if open_:
            self.go_on(known, open_)

    def go_on(self, known: array[int], open_: Set[int]) -> None:
        """Look at the entries that were not looked at yet; the rest is as it was."""
        self._known, self._open = known, frozenset(open_)
        heard, parents = self._heard, self._outline.parents
        for number in range(len(heard), len(known)):
            speaks, parent = self._outline.speaks(number), parents[number]
            heard.append(number if speaks else heard[parent] if parent >= 0 else -1)
            if speaks and known[number] in self._open:
                self._last[known[number]] = number
        empty = self._open - self._last.keys()
        self._empty = max(empty, default=-1)
        self.branches = frozenset(self._last) | {self._empty} - {-1}

    def branch_behind(self, at: int) -> int:
        """Return the branch that goes on behind an entry (-1: one where nothing was said yet); -1: none."""
        if at < 0:
            return self._empty
        branch = self._known[at]
        return branch if branch in self._open and self._heard[at] == self._last.get(branch, -1) else -1


def _digest(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest())

"""What an import will write, computed from a file's records and from what the log has of them already."""

from __future__ import annotations

from array import array
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from eventsource.codec import to_json
from eventsource.events import Custom, Event, Label, MessageAdopt, ModelRef
from eventsource.first_words import title_of_first
from eventsource.messages import ToolResultMessage

from .dialect import Dialect, InContext, PathState, Told
from .differences import difference
from .digest_table import DigestTable
from .jsonl import Fields, Findings, Line
from .outline import Ends, Outline

_BATCH = 1_000  # entries written at once; each batch says which entries it holds
_LOST_LIMIT = 200_000  # characters of a damaged line that are kept in the log
Timed = tuple[int, Event]


class Kinds:
    """The kinds of `custom` events that an import of one format writes beside the messages.

    `session`: the header, at the beginning of the main branch. `branch`: at the beginning of another, with its file and
    what that calls it, if it has one of its own. `entry`: an entry
    that is no message, whole. `rest`: what the next event does not say of its entry. `lost`: a damaged line. `lines`:
    which entries the events before it are, and on which lines they stood.
    """

    def __init__(self, format: str) -> None:  # noqa: A002 - the word of the whole package
        self.session, self.branch, self.entry = f"{format}.session", f"{format}.branch", f"{format}.entry"
        self.rest, self.lost, self.lines = f"{format}.rest", f"{format}.lost", f"{format}.lines"


class OpenBranch(msgspec.Struct, frozen=True, kw_only=True):
    """Begin a branch: the session (`parent` is None), or a fork of a branch that was begun before, after a seq."""

    branch: int
    parent: int | None
    fork_seq: int
    at_us: int


class WriteEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Append events to a branch, all at once; `entries` and `messages` count what they hold, `leaf` names the last."""

    branch: int
    events: tuple[Timed, ...]
    leaf: str = ""
    entries: int = 0
    messages: int = 0


Action = OpenBranch | WriteEvents


class KnownEntry(msgspec.Struct, frozen=True):
    """Where an entry lies in the log already: its branch, its first seq, the one that names it, and its last."""

    branch: int
    first: int
    seq: int
    last: int


class KnownEntries:
    """Entries by their digests, of several with one digest the first. A million take 60 MB."""

    def __init__(self) -> None:
        self._numbers = DigestTable()
        self._columns = tuple(array("q") for _ in msgspec.structs.fields(KnownEntry))

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, digest: int, entry: KnownEntry) -> None:
        """Add one."""
        if self._numbers.get(digest) < 0:
            self._numbers.put(digest, len(self._columns[0]))
            for column, value in zip(self._columns, msgspec.structs.astuple(entry), strict=True):
                column.append(value)

    def find(self, digest: int) -> KnownEntry | None:
        """Return where an entry lies; None: it is new."""
        number = self._numbers.get(digest)
        return KnownEntry(*(column[number] for column in self._columns)) if number >= 0 else None


class KnownBranch(msgspec.Struct, frozen=True, kw_only=True):
    """A session that an earlier import of the same file wrote.

    `head`: of the session. `tip`: the last seq that an import wrote; a head beyond it: it was gone on with here.
    `last`: the last seq of its last entry that says something; 0: nothing was said. `own`: it is of this file, and not
    of another one with a session that was forked from this, or from which this was. `model`: the one that was put in
    force last (None: on no entry of its own), which an import that knew less of the file may have told otherwise.
    """

    session: str
    head: int
    tip: int
    last: int
    own: bool = True
    model: ModelRef | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the log has of a file already.

    `main`: the branch that is the file's session. `fork`: what the source calls that, if it was forked from another
    file's; it may not be there yet, and will then be the first branch that is new. `beside`: what is kept with that.
    """

    branches: tuple[KnownBranch, ...] = ()
    entries: KnownEntries = msgspec.field(default_factory=KnownEntries)
    main: int = 0
    fork: str = ""
    beside: Fields = msgspec.field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether the file's session is there."""
        return self.main < len(self.branches)


class _Branch:
    """A branch that is being filled.

    `model`: the one in force where it is gone on with, as the log has it (None: as its entries say).
    """

    def __init__(self, number: int, head: int, state: PathState, model: ModelRef | None = None) -> None:
        self.number, self.head, self.state, self.model = number, head, state, model
        self.events: list[Timed] = []
        self.first_words = ""
        self.begin()

    def begin(self) -> None:
        """Begin another batch."""
        self.digests = array("Q")
        self.counts: list[int] = []
        self.lines: list[int] = []
        self.messages = 0
        self.leaf = ""
        self.first = self.head + 1

    def add(self, at_us: int, *events: Event) -> None:
        self.events += [(at_us, event) for event in events]
        self.head += len(events)


class Planner:
    """Assigns every entry its place in a branch, and its events."""

    def __init__(self, dialect: Dialect, outline: Outline, findings: Findings, known: Known | None = None) -> None:
        self.dialect, self.outline, self._findings = dialect, outline, findings
        self.kinds = Kinds(dialect.format)
        self._known = known or Known()
        size = len(outline.parents)
        self.digests = outline.digests()
        self._seqs = tuple(array("q", bytes(8 * size)) for _ in range(3))  # first, naming, last
        self._is_known = array("i", [-1]) * size
        self.branch_of = self._find_branches()
        self._there = len(self._known.branches)
        self._crossed: set[int] = set()
        self._find_crossed(0)
        self._states: dict[int, PathState] = {}
        self._open: dict[int, _Branch] = {}
        self._elsewhere: list[tuple[int, int, str]] = []  # bookmarks on other branches: entry, time, text
        self._planned = self._records = 0  # entries, and their records
        self._written, self._noted = DigestTable(), 0  # entries that were planned before, and how many they are
        self._at = self._began_us = 0
        self._file = ""
        self.left = self.branch_of.count(-1)
        """How many entries are not written: nothing is said there, and their session was gone on with here."""
        self.title = ""
        """What the file calls its session, or what it is called here (empty: nothing new)."""

    def _find_branches(self) -> array[int]:
        known, there = self._known, self._is_known
        ends = {number for number, one in enumerate(known.branches) if one.own and one.head == one.tip}
        open_ = {number for number in ends if not known.branches[number].last}
        met: set[int] = set()
        for number, digest in enumerate(self.digests if known.branches else ()):
            found = known.entries.find(digest)
            if found is not None:
                there[number] = found.branch
                met.add(digest)
                for seqs, seq in zip(self._seqs, (found.first, found.seq, found.last), strict=True):
                    seqs[number] = seq
                if found.last == known.branches[found.branch].last and found.branch in ends:
                    open_.add(found.branch)
        self._misses = len(met) < len(known.entries)
        self.last_branch = self._last_known()
        """The branch that has the last entry which is there: all of a fork that says nothing of its own yet."""
        self._ends = Ends(self.outline, there, open_)
        branch_of = array("i", there)
        self.outline.part(branch_of, self._ends, len(known.branches))
        return branch_of

    def _last_known(self) -> int:
        return next((branch for branch in reversed(self._is_known) if branch >= 0), -1)

    def _find_crossed(self, first: int) -> None:
        """Find behind which entries a branch begins: what holds there is kept."""
        parents, branch_of = self.outline.parents, self.branch_of
        for number in range(first, len(parents)):
            parent = parents[number]
            if parent >= 0 and branch_of[number] != branch_of[parent]:
                self._crossed.add(parent)

    @property
    def can_go_on(self) -> bool:
        """Whether what the file holds later can be planned by itself: it has each entry that the log has of it.

        And every branch ends with one of them, so that it can be gone on with.
        """
        known = self._known
        closed = set(range(len(known.branches))) - self._ends.branches
        return not (closed or known.fork or self.left or self._misses) and len(self._open) == self._begun

    @property
    def _begun(self) -> int:
        return max(self._there, *(number + 1 for number in self._open), 1)

    def go_on(self, findings: Findings) -> bool:
        """Take in the entries that the outline got since the others were planned and written; `plan_on` plans them.

        Returns: False when they cannot be planned by themselves; then this planner is of no more use.
        """
        outline, first, begun = self.outline, self._planned, self._begun
        size = len(outline.parents)
        self._findings, self.title = findings, ""
        self.digests = outline.digests(self.digests)
        for number in range(self._noted, first):
            self._written.put(self.digests[number], number)
        if any(self._written.get(digest) >= 0 for digest in self.digests[first:]):
            return False
        self._is_known[self._noted :] = self.branch_of[self._noted :]
        if self._noted:
            self._ends.go_on(self._is_known, set(range(begun)))
        else:
            self._ends = Ends(outline, self._is_known, set(range(begun)))
        self._noted, self._there = first, begun
        self.last_branch = self._is_known[-1] if first else -1
        new = array("i", [-1]) * (size - first)
        self._is_known += new
        self.branch_of += new
        for seqs in self._seqs:
            seqs.frombytes(bytes(8 * len(new)))
        outline.part(self.branch_of, self._ends, begun, first)
        self._find_crossed(first)
        return all(self._is_held(number) for number in range(first, size))

    def _is_held(self, number: int) -> bool:
        """Return whether it is known what holds where an entry begins: behind most older ones it is not."""
        parent = self.outline.parents[number]
        return not 0 <= parent < self._planned or self.branch_of[number] in self._open or parent in self._states

    def plan(
        self, records: Iterable[Line], *, title: str = "", last_title: str = "", file: str = "", at_us: int = 0
    ) -> Iterator[Action]:
        """Go through the records a second time, and say what to write, in order.

        Args:
            title: what a new session is called if the file does not say; else its first words, else `last_title`.
            file: where the records stand, for whoever asks where a message came from.
            at_us: when the file was written, for what has no time of its own.
        """
        self._file = file
        began_us = self.dialect.began_us
        self._began_us = at_us if began_us is None else began_us
        if not self._known.branches:
            yield from self._begin()
        yield from self._place_all(records)
        if not self._known.branches and not self.title:
            main = self._open[0]
            words = self.dialect.first_words or main.first_words
            self.title = title or words or title_of_first(event for _, event in main.events) or last_title
            if self.title:
                main.add(main.events[-1][0] if main.events else main.state.at_us, Label(text=self.title))
        yield from self._end()

    def plan_on(self, records: Iterable[Line]) -> Iterator[Action]:
        """Go through the records of the entries that `go_on` took in, and say what to write, in order."""
        yield from self._place_all(records)
        yield from self._end()

    def _place_all(self, records: Iterable[Line]) -> Iterator[Action]:
        for number, own in self._entries(records):
            if self._is_known[number] >= 0:
                self._pass(number, own)
            elif self.branch_of[number] >= 0:
                yield from self._place(number, own)
        for target, at_us, text in self._elsewhere:
            branch = self._open.get(self.branch_of[target])
            if branch is not None:
                branch.add(at_us, Label(text=text, target_seq=self._seqs[1][target]))
        self._elsewhere.clear()

    def _end(self) -> Iterator[Action]:
        """Name the new branches, and write what is left."""
        for branch in self._open.values():
            if branch.number >= max(1, self._there):
                self._name_branch(branch)
            yield from self._flush(branch)
        self._planned, self._records = len(self.branch_of), len(self.outline.entry_of)

    def _name_branch(self, branch: _Branch) -> None:
        """Call a new branch by what was said first on it."""
        is_main = branch.number == self._known.main
        if is_main and self.title:
            return
        words = (is_main and self.dialect.first_words) or branch.first_words
        words = words or title_of_first(event for _, event in branch.events)
        if words and not words.startswith("<"):  # a command, or what a program said
            branch.add(branch.events[-1][0] if branch.events else branch.state.at_us, Label(text=words))
            self.title = words if is_main else self.title

    def _begin(self) -> Iterator[Action]:
        """Open the session with what is known of its file."""
        time = self._began_us
        yield OpenBranch(branch=0, parent=None, fork_seq=0, at_us=time)
        main = self._open[0] = _Branch(0, 0, self._first_state())
        said = {"header": dict(self.dialect.header), **({"file": self._file} if self._file else {})}
        main.add(time, Custom(kind=self.kinds.session, data=to_json(said)))
        for note in self._findings.lost:
            cut = {"line": note.number, "text": note.text[:_LOST_LIMIT]}
            main.add(time, Custom(kind=self.kinds.lost, data=to_json(cut)))
        main.add(time, *self.dialect.opening())
        main.first = main.head + 1

    def _entries(self, records: Iterable[Line]) -> Iterator[tuple[int, list[Line]]]:
        """Give the entries in the order in which they begin, each when its last record was read."""
        waiting: deque[int] = deque()
        held: dict[int, list[Line]] = {}
        entry_of, last = self.outline.entry_of, self.outline.last_record
        count = self._records - 1
        for line in records:
            if self.dialect.is_header(line):
                continue
            count += 1
            if count >= len(entry_of):  # it was written meanwhile, or waits for what follows it
                return
            number = entry_of[count]
            if number not in held:
                held[number] = []
                waiting.append(number)
            held[number].append(line)
            while waiting and last[waiting[0]] <= count:
                yield waiting[0], held.pop(waiting.popleft())

    def _pass(self, number: int, records: Sequence[Line]) -> None:
        """Go past an entry that the log has: what follows it may need to know what it said."""
        branch = self._open.get(self.branch_of[number]) or self._go_on(number)
        name = self.dialect.name(records, number + 1)
        told = self._read(number, records, name, branch.state)
        named = self._seqs[1][number] - len(told.events)
        for seq, event in enumerate(told.events, named + 1):
            if isinstance(event, MessageAdopt):
                branch.state.said(event.message, seq)
        self._leave(number, records, name, branch.state, told)

    def _go_on(self, number: int) -> _Branch:
        """Begin to read, or to go on with, a branch that is there."""
        at = self.branch_of[number]
        known = self._known.branches[at]
        branch = self._open[at] = _Branch(at, known.head, self._state(number), known.model)
        return branch

    def _state(self, number: int) -> PathState:
        """Return what holds where a branch begins with an entry."""
        parent = self.outline.parents[number]
        return self._first_state() if parent < 0 else self._states[parent].copy()

    def _first_state(self) -> PathState:
        state = PathState()
        state.at_us = self._began_us
        return state

    def _read(self, number: int, records: Sequence[Line], name: str, state: PathState) -> Told:
        self._at = number
        return self.dialect.read(records, name, state, self)

    def _leave(self, number: int, records: Sequence[Line], name: str, state: PathState, told: Told) -> None:
        """Keep what holds after an entry, for those that follow it."""
        if told.at_us is not None:
            state.at_us = told.at_us
        self.dialect.passed([line.fields for line in records], name, state)
        state.name = name
        if number in self._crossed:
            self._states[number] = state.copy()

    def _place(self, number: int, records: Sequence[Line]) -> Iterator[Action]:
        branch = self._open.get(self.branch_of[number])
        name = self.dialect.name(records, number + 1)
        if branch is None and self.branch_of[number] < len(self._known.branches):
            branch = self._go_on(number)
        if branch is not None and branch.model is not None:
            branch.state.model, branch.model = branch.model, None
        if branch is None:
            state = self._state(number)
            told = self._read(number, records, name, state)
            yield from self._fork(number, told, state)
            branch = self._open[self.branch_of[number]]
        else:
            told = self._read(number, records, name, branch.state)
        first = branch.head + 1
        at_us = told.at_us if told.at_us is not None else branch.state.at_us
        seq = self._add(branch, told, at_us, name, [line.fields for line in records])
        for seqs, value in zip(self._seqs, (first, seq, seq), strict=True):
            seqs[number] = value
        branch.add(at_us, *told.after)
        if told.label is not None:
            self._label(told.label, number, branch, at_us)
        self._seqs[2][number] = branch.head
        self._leave(number, records, name, branch.state, told)
        self._note(number, name, branch, told)
        branch.leaf = name
        branch.digests.append(self.digests[number])
        branch.counts += [branch.head - first + 1, seq - first]
        branch.lines += [line.number for line in records]
        if len(branch.digests) >= _BATCH:
            yield from self._flush(branch)

    def _note(self, number: int, name: str, branch: _Branch, told: Told) -> None:
        """Take note of what an entry says of the whole session."""
        line = self.outline.lines[number]
        for what in told.unclear:
            self._findings.keep(line, what)
        if told.events and _is_orphan(told.events[0]):
            self._findings.keep(line, "with a result of a call that is nowhere before it")
        titles = [event.text for event in told.after if isinstance(event, Label) and not event.target_seq]
        if branch.number == self._known.main and titles:
            self.title = titles[-1]

    def _fork(self, number: int, told: Told, state: PathState) -> Iterator[Action]:
        """Begin the branch of an entry: with no parent in the file it begins right after the header."""
        parent = self.outline.parents[number]
        above = self.branch_of[parent] if parent >= 0 else 0
        if above in self._open:
            yield from self._flush(self._open[above])
        fork_seq = self._seqs[2][parent] if parent >= 0 else 1
        at_us = told.at_us if told.at_us is not None else state.at_us
        branch = self._open[self.branch_of[number]] = _Branch(self.branch_of[number], fork_seq + 1, state)
        yield OpenBranch(branch=branch.number, parent=above, fork_seq=fork_seq, at_us=at_us)
        known = self._known
        is_fork = known.fork and branch.number == known.main
        said = {"file": self._file, "session": known.fork, **known.beside} if is_fork else {}
        branch.add(at_us, Custom(kind=self.kinds.branch, data=to_json(said)))
        branch.first = branch.head + 1

    def _add(self, branch: _Branch, told: Told, at_us: int, name: str, records: list[Fields]) -> int:
        """Add the events of an entry. Returns: the seq of the one that names it."""
        branch.add(at_us, *told.before)
        if not told.events:
            said = {"id": name, "entry": records[0]} if len(records) == 1 else {"id": name, "entries": records}
            branch.add(at_us, Custom(kind=self.kinds.entry, data=to_json(said)))
            return branch.head
        lacks = self._lacks(told.events, at_us, name, records, branch.state)
        if lacks or not isinstance(told.events[0], MessageAdopt) or name == branch.state.name:
            branch.add(at_us, Custom(kind=self.kinds.rest, data=to_json({"id": name, **lacks})))
        for event in told.events:
            branch.add(at_us, _called(event, branch.state))
            if isinstance(event, MessageAdopt):
                branch.messages += 1
                branch.state.said(event.message, branch.head)
        return branch.head

    def _lacks(
        self, events: Sequence[InContext], at_us: int, name: str, records: list[Fields], state: PathState
    ) -> Mapping[str, object]:
        """Compute what events do not say of their entry's records."""
        written = self.dialect.write(events, at_us, name, state)
        if len(written) != len(records):
            return {"records": records}
        found = [difference(own, said) for own, said in zip(records, written, strict=True)]
        return found[0] if len(found) == 1 else {"each": found} if any(found) else {}

    def _label(self, label: tuple[str, str], number: int, branch: _Branch, at_us: int) -> None:
        """Set a bookmark; on another branch it is set when all is placed."""
        text, name = label
        target = self.outline.find(name)
        if target is None:
            return
        if self._seqs[1][target] and self.outline.is_above(target, self.outline.parents[number]):
            branch.add(at_us, Label(text=text, target_seq=self._seqs[1][target]))
        else:
            self._elsewhere.append((target, at_us, text))

    def _flush(self, branch: _Branch) -> Iterator[Action]:
        """Write what a branch has, with the list of its entries."""
        if not branch.events:
            return
        said = {
            "first": branch.first,
            "events": branch.counts,
            "entries": b64encode(branch.digests.tobytes()).decode(),
            "lines": runs(branch.lines),
        }
        branch.add(branch.events[-1][0], Custom(kind=self.kinds.lines, data=to_json(said)))
        if not branch.first_words:
            branch.first_words = title_of_first(event for _, event in branch.events)
        yield WriteEvents(
            branch=branch.number,
            events=tuple(branch.events),
            leaf=branch.leaf,
            entries=len(branch.digests),
            messages=branch.messages,
        )
        branch.events = []
        branch.begin()

    @property
    def is_new(self) -> bool:
        """Whether the entry that is being read will be written."""
        return self._is_known[self._at] < 0

    def first_seq(self, name: str) -> int:
        """Return the seq that an entry begins with, if it lies on the path of the one that is being read; else 0."""
        return self._seq(0, name)

    def message_seq(self, name: str) -> int:
        """Return the seq of an entry's last message, if it lies on the path of the one that is being read; else 0."""
        return self._seq(1, name)

    def _seq(self, which: int, name: str) -> int:
        found = self.outline.find(name)
        if found is None or not self.outline.is_above(found, self.outline.parents[self._at]):
            return 0
        return self._seqs[which][found]

    def known_seq(self, name: str) -> int:
        """Return the seq that names an entry which was imported before; 0: it is new."""
        found = self.outline.find(name)
        return self._seqs[1][found] if found is not None and self._is_known[found] >= 0 else 0


def _called(event: InContext, state: PathState) -> InContext:
    """Let a result name its call, where that stands in the same entry."""
    if (
        not isinstance(event, MessageAdopt)
        or not isinstance(event.message, ToolResultMessage)
        or event.call is not None
    ):
        return event
    found = state.call(event.message.tool_call_id)
    return event if found is None else msgspec.structs.replace(event, call=found[0])


def _is_orphan(event: InContext) -> bool:
    return isinstance(event, MessageAdopt) and isinstance(event.message, ToolResultMessage) and event.call is None


def runs(numbers: Sequence[int]) -> list[list[int]]:
    """Group numbers into ranges [first, last] of consecutive ones."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found

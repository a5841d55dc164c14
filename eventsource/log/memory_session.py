"""One session of the log in memory: its own events, their chain and their folds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from ..codec import encode
from ..envelope import Behind, Finding, FoundText, Recorded, Removed, SessionInfo
from ..errors import LeaseHeldError, SessionOpenError
from ..events import Event
from ..found_text import find_in
from ..message_text import tools_called_in
from ..messages import Usage
from .allowed_gaps import droppable, named_shapes, shape_problem, within
from .digest import ZERO, link, link_at_update, update_lines
from .encode import MOST_NEWS, UPDATES, AppendPart, Dropped, Fact, Updates, encode_append
from .row import WAKING, Folds, shown_status, step, used_by, words_of

KEPT = tuple(name for name in Folds.__struct_fields__ if name in SessionInfo.__struct_fields__ and name != "open")
"""Members of the folds that a session's row shows as they are."""


class _OwnEvent(NamedTuple):
    """An event of the session's own; the event is None when it was dropped. Facts have B, U and the link."""

    at_us: int
    event: Event | None
    body_sha256: bytes = b""
    updates_sha256: bytes = ZERO
    link: bytes = b""
    folds: Folds | None = None
    erased: bool = False


class MemorySession:
    """A session's row and events."""

    def __init__(self, name: str, title: str, created_at_us: int) -> None:
        self.id = name
        self.number = self.touched = 0
        self.root: str = name
        self.started_by = self.source = self.first_words = ""
        self.removals = 0
        self.archived_at_us: int | None = None
        self.parent: str | None = None
        self.fork_seq = 0
        self.folds = Folds(title=title)
        self.created_at_us = self.updated_at_us = created_at_us
        self.owner, self.epoch, self.expires_at_us = "", 0, 0
        self.due_at_us: int | None = None
        self.keys: dict[str, int] = {}
        self.facts = 0
        self.called: dict[str, int] = {}
        """At which seq its own events call a tool first, by its name in one case."""
        self.given = title
        self.base_digest, self.base_updates = ZERO, b""
        self._base_folds = Folds()
        self._link = ZERO
        self._lines = sha256()
        self._pending = False
        self._own: list[_OwnEvent] = []

    @staticmethod
    def no_folds() -> Folds:
        """Return the folds of an empty history."""
        return Folds()

    @staticmethod
    def no_digest() -> bytes:
        """Return the digest of an empty history."""
        return ZERO

    @property
    def head(self) -> int:
        """Seq of the last event."""
        return self.fork_seq + len(self._own)

    def follows(self, expected: int, behind: Behind | None) -> bool:
        """Return whether an append may follow what others appended after the head that it expected."""
        if behind is None or not max(expected, self.fork_seq) <= self.head <= expected + MOST_NEWS:
            return False
        news = [(seq, self.at_us(seq), self.event(seq)) for seq in range(expected + 1, self.head + 1)]
        return behind([Recorded(seq, at_us, event) for seq, at_us, event in news if event is not None])

    def begin(self, parent: str, at: int, digest: bytes, updates: bytes, folds: Folds) -> None:
        """Make this session a fork; `updates`: U of its parent so far, if it begins among updates."""
        self.parent, self.fork_seq = parent, at
        self.base_digest, self.base_updates = digest, updates
        self._link = digest
        self._base_folds = folds

    def info(self, now_us: int) -> SessionInfo:
        """Build the session's row."""
        held = bool(self.owner) and self.expires_at_us > now_us
        status, is_run = self.folds.status if self.head else "empty", self.folds.unfinished
        kept = {name: getattr(self.folds, name) for name in KEPT}
        return SessionInfo(
            **kept,
            id=self.id,
            parent=self.parent,
            fork_seq=self.fork_seq,
            head=self.head,
            digest=self._link.hex(),
            created_at_us=self.created_at_us,
            updated_at_us=self.updated_at_us,
            status=shown_status(status, self.head, held=held, is_due=self.due_at_us is not None, is_run=is_run),
            open=self.folds.open,
            wake_at_us=self.folds.wake_at_us,
            due_at_us=self.due_at_us,
            started_by=self.started_by,
            source=self.source,
            first_words=self.first_words,
            removals=self.removals,
            number=self.number,
            owner=self.owner,
            epoch=self.epoch,
            expires_at_us=self.expires_at_us,
            archived_at_us=self.archived_at_us,
        )

    def archive(self, at_us: int) -> None:
        """Note that the session is archived; an empty one never is. Raises: SessionOpenError."""
        if self.folds.open:
            raise SessionOpenError(self.id, self.info(at_us).status)
        if self._pending:
            raise SessionOpenError(self.id, "in the middle of a message")
        if self._own and self.archived_at_us is None:
            self.archived_at_us = at_us

    def append(self, parts: Sequence[AppendPart], *, outside: bool = True) -> None:
        """Append what was prepared; `outside`: not by the session's runner."""
        worked = (self.folds if self._own else self._first()).working
        self._add(parts)
        facts = [part for part in parts if isinstance(part, Fact)]
        wakes = outside and any(isinstance(fact.event, WAKING) for fact in facts)
        if self.folds.working and (wakes or not worked):
            at_us = max(fact.at_us for fact in facts)
            self.due_at_us = self.expires_at_us if self.owner and self.expires_at_us > at_us else at_us
        elif worked and not self.folds.working:
            self.due_at_us = None

    def lease(self, owner: str, expires_at_us: int) -> None:
        """Note who runs the session, and until when."""
        self.owner, self.expires_at_us, self.archived_at_us = owner, expires_at_us, None
        self.due_at_us = expires_at_us if self.folds.working else None

    def free(self, head: int | None, now_us: int) -> None:
        """Note that nobody runs the session any more."""
        self.owner, self.expires_at_us, self.due_at_us = "", 0, None
        if self.folds.working:
            self.due_at_us = self.folds.wake_at_us if head == self.head else now_us

    def _add(self, parts: Sequence[AppendPart]) -> None:
        self.archived_at_us = None
        for part in parts:
            if isinstance(part, Updates):
                self._own.extend(_OwnEvent(at_us, event) for at_us, event in part.events)
                self._lines.update(part.lines)
                self._pending = True
                continue
            if isinstance(part, Dropped):
                self._own.extend(_OwnEvent(at_us, None) for at_us in part.times)
                self._pending = True
                continue
            updates = part.updates_sha256 or (self._lines.digest() if self._pending else ZERO)
            self._link = link(self._link, updates, part.at_us, part.body_sha256)
            self.folds = self._step(self._first() if not self._own else self.folds, self.head + 1, part.event)
            self._own.append(
                _OwnEvent(part.at_us, part.event, part.body_sha256, updates, self._link, self.folds, part.erased)
            )
            if self.folds.first_seq == self.head:
                self.first_words = "" if part.erased else words_of(part.event)
            self._lines, self._pending = sha256(), False
            self.updated_at_us = part.at_us
            for name in tools_called_in(part.event):
                self.called.setdefault(name.casefold(), self.head)
            self.facts += 1

    def event(self, seq: int) -> Event | None:
        """Return an own event; None when it was dropped."""
        return self._at(seq).event

    def at_us(self, seq: int) -> int:
        """Return an own event's time."""
        return self._at(seq).at_us

    def recorded(self) -> list[Recorded]:
        """List own events that still have their content."""
        numbered = enumerate(self._own, self.fork_seq + 1)
        return [Recorded(seq, own.at_us, own.event) for seq, own in numbered if own.event is not None]

    @property
    def inherited(self) -> Usage:
        """What the history had used where a fork began."""
        return used_by(self._base_folds)

    def check_free(self, now_us: int) -> None:
        """Raises: LeaseHeldError when somebody runs it."""
        if self.owner and self.expires_at_us > now_us:
            raise LeaseHeldError(self.id, self.owner, self.expires_at_us)

    def hits(self, wanted: re.Pattern[str]) -> Iterator[FoundText]:
        """Yield where own facts say a text, the last first."""
        facts = [one for one in self.recorded() if type(one.event) not in UPDATES]
        for place in range(len(facts) - 1, -1, -1):
            hit = find_in(self.id, facts[place], wanted, iter(facts[place + 1 :]))
            if hit is not None:
                yield hit

    def replace(self, seq: int, event: Event, *, erased: bool = True) -> None:
        """Put another event in the place of one: what an erase leaves of it."""
        index = seq - self.fork_seq - 1
        self._own[index] = self._own[index]._replace(event=event, erased=erased)

    def _at(self, seq: int) -> _OwnEvent:
        return self._own[seq - self.fork_seq - 1]

    def drop(self, seqs: set[int]) -> int:
        """Drop the content of updates."""
        for seq in seqs:
            index = seq - self.fork_seq - 1
            self._own[index] = self._own[index]._replace(event=None)
        return len(seqs)

    def digest_at(self, seq: int) -> bytes:
        """Digest of an own seq; empty when updates it needs were dropped."""
        last = seq - self.fork_seq - 1
        if self._own[last].link:
            return self._own[last].link
        first = self._first_update(last)
        before = self._own[first - 1].link if first else self.base_digest
        updates = self.updates_at(seq)
        return link_at_update(before, updates) if updates else b""

    def updates_at(self, seq: int) -> bytes:
        """U at an own seq, of the updates since the fact before; empty at a fact, and when some were dropped."""
        last = seq - self.fork_seq - 1
        if self._own[last].link:
            return b""
        found = self._own[self._first_update(last) : last + 1]
        updates = [(own.at_us, own.event) for own in found if own.event is not None]
        return sha256(update_lines(updates)).digest() if len(updates) == len(found) else b""

    def _first_update(self, last: int) -> int:
        while last and not self._own[last - 1].link:
            last -= 1
        return last

    def removed(self, base: bytes) -> Removed:
        """List what was dropped or erased; `base` is what is kept of the digest it began with, if anything."""
        erased: list[tuple[int, str]] = []
        dropped: list[tuple[int, tuple[int, ...]]] = []
        updates: list[tuple[int, str]] = []
        times, missing = list[int](), False
        for seq, own in enumerate(self._own, self.fork_seq + 1):
            if own.event is None:
                times.append(own.at_us)
                missing = True
                continue
            if times:
                dropped.append((seq - len(times), tuple(times)))
                times = []
            if own.erased:
                erased.append((seq, own.body_sha256.hex()))
            if own.link and missing:
                updates.append((seq, own.updates_sha256.hex()))
                missing = False
        if times:
            dropped.append((self.head + 1 - len(times), tuple(times)))
        return Removed(erased=tuple(erased), dropped=tuple(dropped), updates=tuple(updates), base=base.hex())

    def folds_at(self, seq: int) -> Folds:
        """Folds after an own seq."""
        for own in reversed(self._own[: seq - self.fork_seq]):
            if own.folds is not None:
                return own.folds
        return self._first()

    def refold(self) -> bool:
        """Compute the folds again. Returns: whether they were wrong."""
        folds = self._first()
        for index, own in enumerate(self._own):
            if own.link and own.event is not None:
                folds = self._step(folds, self.fork_seq + 1 + index, own.event)
                self._own[index] = own._replace(folds=folds)
        wrong = folds != self.folds
        self.folds = folds
        return wrong

    def verify(self, limit_bytes: int) -> list[Finding]:
        """Compute the chain again."""
        findings: list[Finding] = []
        own_facts = [one for one in self.recorded() if type(one.event) not in UPDATES]
        named = named_shapes(own_facts)
        spans = droppable(own_facts, lambda seq: seq in named and self._at(seq).erased, named, self.fork_seq)
        previous, updates, whole = self.base_digest, list[tuple[int, Event]](), True
        for seq, own in enumerate(self._own, self.fork_seq + 1):
            if not own.link:
                whole = whole and own.event is not None
                if own.event is None:
                    findings.append(Finding(session=self.id, seq=seq, problem="an update was dropped", note=True))
                    if not within([*spans[0], *spans[1]], seq, seq):
                        problem = "the update is missing: no message that has ended held it"
                        findings.append(Finding(session=self.id, seq=seq, problem=problem))
                else:
                    updates.append((own.at_us, own.event))
                continue
            if whole and own.updates_sha256 != (sha256(update_lines(updates)).digest() if updates else ZERO):
                findings.append(Finding(session=self.id, seq=seq, problem="the updates before it were changed"))
            findings += self._verify_body(seq, own, limit_bytes, named.get(seq))
            previous = link(previous, own.updates_sha256, own.at_us, own.body_sha256)
            if previous != own.link:
                findings.append(Finding(session=self.id, seq=seq, problem="the digest chain is broken"))
            updates, whole = [], True
        return findings

    def _verify_body(self, seq: int, own: _OwnEvent, limit_bytes: int, named: str | None) -> list[Finding]:
        if own.event is None:
            return [Finding(session=self.id, seq=seq, problem="the event is missing")]
        body = encode(own.event)
        if own.erased:
            problem = shape_problem(own.event, body, named)
            defects = [Finding(session=self.id, seq=seq, problem=problem)] if problem else []
            return [Finding(session=self.id, seq=seq, problem="the content was erased", note=True), *defects]
        if named and sha256(body).hexdigest() != named:
            problem = "an `erase` names it, and what stands there is not what it left"
            return [Finding(session=self.id, seq=seq, problem=problem)]
        part = encode_append(self.id, [(own.at_us, own.event)], durable=True, limit_bytes=limit_bytes)[0]
        if isinstance(part, Fact) and part.body_sha256 == own.body_sha256:
            return []
        return [Finding(session=self.id, seq=seq, problem="the event was changed")]

    def _first(self) -> Folds:
        return Folds(title=self.given) if self.parent is None else self._base_folds

    def _step(self, folds: Folds, seq: int, event: Event) -> Folds:
        after = step(folds, seq, event)
        if self.parent is not None and seq == self.fork_seq + 1:
            return msgspec.structs.replace(after, title=self.given)
        return after

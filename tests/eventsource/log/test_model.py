"""The log in SQLite against a dict, over any course of appends, forks, reads, keys, erasing, dropping and deleting."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.errors import ConflictError, HasForksError, SessionOpenError, UnknownSeqError
from eventsource.events import (
    Custom,
    Erase,
    Event,
    Fork,
    Label,
    MessageStart,
    MessageUpdate,
    QueuePush,
    StreamUpdate,
)
from eventsource.log import open_store
from eventsource.log.contract.histories import deltas, read_all, streamed, tool_run
from eventsource.log.encode import UPDATES
from eventsource.log.erased import erasable_updates, tombstone
from eventsource.log.lineage import closed_messages
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
facts = st.one_of(
    st.builds(Label, text=texts, target_seq=st.integers(0, 3)),
    st.builds(Custom, kind=texts),
    st.builds(lambda text: QueuePush(queue="steering", message=UserMessage(content=text)), texts),
)
messages = st.builds(
    lambda text, width, call, thinking: streamed(text, width=width, call=call, thinking=thinking),
    texts, st.integers(1, 9), st.sampled_from(["", '{"a":1}']), st.sampled_from(["", "Hm."]),
)  # fmt: skip
OPEN: list[Event] = [MessageStart(role="assistant"), MessageUpdate(kind="text_start", content_index=0)]
flushes = st.builds(lambda text, width: [*OPEN, *deltas("text_delta", 0, text, width)], texts, st.integers(1, 9))
items = st.builds(lambda n: StreamUpdate(name="s", item=msgspec.Raw(str(n).encode())), st.integers(0, 99))
batches = st.one_of(
    st.lists(facts, min_size=1, max_size=4),
    messages,
    flushes,
    st.lists(items, min_size=1, max_size=3),
    st.builds(tool_run, st.integers(1, 3)),
    st.builds(lambda one, other: [*one, *other], messages, flushes),
)


class Kept:
    """A session as the dict knows it; an event whose content was dropped is None."""

    def __init__(self, parent: str | None, fork_seq: int) -> None:
        self.parent, self.fork_seq = parent, fork_seq
        self.own: list[tuple[int, Event | None]] = []
        self.keys: dict[str, int] = {}

    @property
    def head(self) -> int:
        return self.fork_seq + len(self.own)

    def recorded(self) -> list[Recorded]:
        return [
            Recorded(n, at, event) for n, (at, event) in enumerate(self.own, self.fork_seq + 1) if event is not None
        ]


class Model(RuleBasedStateMachine):
    """Every rule does the same to both; the invariant reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.kept: dict[str, Kept] = {}
        self.clock = 1_000_000
        self.made = 0
        self.stack = AsyncExitStack()
        self.log: EventLog = self.runner.run(self.open())

    async def open(self) -> EventLog:
        return await self.stack.enter_async_context(open_store(Path(self.folder.name) / "log.db", new_id=self.new_id))

    def new_id(self) -> str:
        self.made += 1
        return f"session{self.made:03}"

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        report = self.run(self.log.verify())
        assert report.ok, report.findings
        assert self.run(self.log.rebuild()) == 0
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def pick(self, data: st.DataObject) -> tuple[str, Kept]:
        name = data.draw(st.sampled_from(sorted(self.kept)))
        return name, self.kept[name]

    def history(self, name: str, upto: int = 2**32) -> list[Recorded]:
        kept = self.kept[name]
        before = self.history(kept.parent, min(upto, kept.fork_seq)) if kept.parent else []
        return before + [one for one in kept.recorded() if one.seq <= upto]

    def owner(self, name: str, seq: int) -> Kept:
        kept = self.kept[name]
        return kept if seq > kept.fork_seq or kept.parent is None else self.owner(kept.parent, seq)

    def points(self, name: str) -> set[int]:
        """Where other histories leave a session."""
        found = set()
        for other in self.kept:
            last, at = 2**32, other
            while at != name and self.kept[at].parent is not None:
                last, at = min(last, self.kept[at].fork_seq), self.kept[at].parent or ""
            if at == name != other:
                found.add(last)
        return found

    @initialize()
    def begin(self) -> None:
        self.create()

    @rule()
    def create(self) -> None:
        info = self.run(self.log.create())
        self.kept[info.id] = Kept(None, 0)

    @rule(data=st.data(), batch=batches, step=st.integers(-5, 9_000), key=st.sampled_from([None, "a", "b"]))
    def append(self, data: st.DataObject, batch: list[Event], step: int, key: str | None) -> None:
        name, kept = self.pick(data)
        events = []
        for event in batch:
            self.clock += step
            events.append((self.clock, event))
        if key in kept.keys:
            assert self.run(self.log.append(name, events, key=key)) == kept.keys[key or ""]
            return
        durable = not all(type(event) in UPDATES or isinstance(event, MessageStart) for event in batch)
        head = self.run(self.log.append(name, events, expected=kept.head, key=key, durable=durable))
        kept.own += events
        assert head == kept.head
        if key:
            kept.keys[key] = head

    @rule(data=st.data(), off=st.integers(1, 3))
    def append_at_a_stale_head(self, data: st.DataObject, off: int) -> None:
        name, kept = self.pick(data)
        with pytest.raises(ConflictError):
            self.run(self.log.append(name, [(1, Label(text="x"))], expected=kept.head + off))

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        name, kept = self.pick(data)
        at = data.draw(st.integers(0, kept.head))
        self.clock += 1
        owner = self.owner(name, at)
        if at > owner.fork_seq and owner.own[at - owner.fork_seq - 1][1] is None:
            with pytest.raises(UnknownSeqError):
                self.run(self.log.fork(name, at, at_us=self.clock))
            return
        info = self.run(self.log.fork(name, at, at_us=self.clock, keeps=(at,)))
        made = self.kept[info.id] = Kept(name, at)
        made.own.append((self.clock, Fork(keeps=(at,))))

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        name, kept = self.pick(data)
        gone = set()
        points = self.points(name)
        for start, end in closed_messages(kept.recorded()):
            if not any(start <= point < end for point in points):
                gone |= erasable_updates(kept.recorded(), end)
        assert self.run(self.log.drop_updates(name)) == len(gone)
        self.forget(kept, gone)

    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        name, kept = self.pick(data)
        seq = data.draw(st.integers(1, max(1, kept.head)))
        owner = self.owner(name, seq)
        event = owner.own[seq - owner.fork_seq - 1][1] if 0 < seq <= kept.head else None
        self.clock += 1
        if event is None or type(event) in UPDATES or tombstone(event) == event:
            with pytest.raises(UnknownSeqError):
                self.run(self.log.erase(name, seq, at_us=self.clock))
            return
        head = self.run(self.log.erase(name, seq, at_us=self.clock))
        self.forget(owner, erasable_updates(owner.recorded(), seq))
        owner.own[seq - owner.fork_seq - 1] = (owner.own[seq - owner.fork_seq - 1][0], tombstone(event))
        left = sha256(encode(tombstone(event))).hexdigest()
        owner.own.append((self.clock, Erase(target_seq=seq, shape_sha256=left)))
        assert head == owner.head

    def forget(self, kept: Kept, gone: set[int]) -> None:
        for seq in gone:
            kept.own[seq - kept.fork_seq - 1] = (kept.own[seq - kept.fork_seq - 1][0], None)

    @precondition(lambda self: len(self.kept) > 1)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name, _ = self.pick(data)
        if any(kept.parent == name for kept in self.kept.values()):
            with pytest.raises(HasForksError):
                self.run(self.log.delete(name))
            return
        self.run(self.log.delete(name))
        del self.kept[name]

    @rule(data=st.data())
    def archive(self, data: st.DataObject) -> None:
        name, kept = self.pick(data)
        waiting = any(isinstance(event, QueuePush) for event in self.facts(name))
        halfway = bool(kept.own) and type(kept.own[-1][1]) in (*UPDATES, type(None))
        if waiting or halfway:
            with pytest.raises(SessionOpenError):
                self.run(self.log.archive(name, at_us=self.clock))
            return
        assert bool(self.run(self.log.archive(name, at_us=self.clock))) == bool(kept.own)

    def facts(self, name: str) -> list[Event]:
        return [one.event for one in self.history(name)]

    @rule(text=texts)
    def search(self, text: str) -> None:
        if text:
            for one in self.run(self.log.search(text)):
                assert one.session in self.kept

    @rule()
    def reopen(self) -> None:
        self.run(self.stack.aclose())
        self.log = self.run(self.open())

    @rule(data=st.data(), updates=st.booleans(), limit=st.integers(1, 30))
    def read_a_part(self, data: st.DataObject, updates: bool, limit: int) -> None:
        name, kept = self.pick(data)
        after, upto = data.draw(st.integers(0, kept.head)), data.draw(st.integers(0, kept.head + 2))
        page = self.run(self.log.read(name, after=after, upto=upto, limit=limit, updates=updates))
        there = [one for one in self.history(name) if after < one.seq <= upto]
        assert list(page) == [one for one in there if updates or type(one.event) not in UPDATES][:limit]

    @invariant()
    def everything_reads_the_same(self) -> None:
        for name, kept in self.kept.items():
            assert self.run(read_all(self.log, name, limit=50)) == self.history(name)
            assert self.run(self.log.info(name)).head == kept.head


Model.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestModel = pytest.mark.slow(Model.TestCase)

"""The contract's second part, what becomes of a session: forks, followers, what is dropped, erased, deleted."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from hashlib import sha256

import msgspec

from ...codec import encode
from ...envelope import (
    Cursor,
    Recorded,
    Removed,
    Restored,
)
from ...errors import (
    HasForksError,
    LeaseHeldError,
    SessionExistsError,
    TailLostError,
    UnknownSeqError,
    UnknownSessionError,
)
from ...events import (
    AgentStart,
    Erase,
    Event,
    Fork,
    Label,
    MessageEnd,
    MessageUpdate,
    QueuePush,
    StreamUpdate,
    ToolExecutionEnd,
    ToolExecutionUpdate,
    TurnStart,
    WaitStart,
)
from ...messages import AssistantMessage, UserMessage
from ..erased import tombstone
from ..protocol import EventLog
from .histories import IMAGE, exchange, numbered, prompt, read_all, refused, streamed, timed


async def _take(log: EventLog, session: str, after: Cursor | int, count: int) -> list[Recorded]:
    """Follow until so many events came."""
    found: list[Recorded] = []
    events = log.follow(session, after)
    async with asyncio.timeout(60):
        async for recorded in events:
            found.append(recorded)
            if len(found) == count:
                return found
    return found


def _times(gone: Removed) -> list[tuple[int, int]]:
    """Return seq and time of each update whose content is gone."""
    return [(first + n, at_us) for first, times in gone.dropped for n, at_us in enumerate(times)]


class LifeContract(ABC):
    """Promises about forks, following, and removing things."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        """Open an empty store."""

    @abstractmethod
    async def overwrite(self, log: EventLog, session: str, seq: int, event: Event | None, *, erased: bool) -> None:
        """Put an event in the place of another, as somebody does who can write the store's bytes and knows their form.

        Nothing but this event's own place is changed, so no link of the chain.

        Args:
            event: None for an update that now stands there as dropped.
            erased: it has the form of an event whose content was erased, all digests beside it being right.
        """

    async def test_a_fork_at_any_seq_shares_its_parents_events(self) -> None:
        """It reads as the prefix and goes on by itself; its parent goes on too."""
        events = timed(exchange())
        async with self.open() as log:
            parent = (await log.create(title="parent")).id
            await log.append(parent, events)
            for at in range(len(events) + 1):
                info = await log.fork(parent, at, at_us=9, title="branch")
                assert (info.parent, info.fork_seq, info.head, info.title) == (parent, at, at + 1, "branch")
                assert await log.append(info.id, [(10, Label(text="own"))], expected=at + 1) == at + 2
                delivers = (
                    at > 0 and events[at - 1][1] in (AgentStart(), TurnStart()) and at < 4
                )  # its prompt, at seq 1
                own = [
                    Recorded(at + 1, 9, Fork(keeps=(1,) if delivers else ())),
                    Recorded(at + 2, 10, Label(text="own")),
                ]
                assert await read_all(log, info.id) == numbered(events[:at]) + own
                assert await log.cursor(info.id, at) == await log.cursor(parent, at)
            given = await log.fork(parent, len(events), at_us=9, keeps=(1, 2))
            assert (await log.read(given.id, after=len(events)))[0].event == Fork(keeps=(1, 2))
            told = await log.fork(parent, len(events), at_us=9, repeated_tools="recorded")
            assert (await log.read(told.id, after=len(events)))[0].event == Fork(repeated_tools="recorded")
            assert await read_all(log, parent) == numbered(events)
            assert (await log.verify()).findings == ()
            assert await log.rebuild() == 0

    async def test_forks_of_forks_read_through(self) -> None:
        """To any depth, also when a fork begins in what its parent inherited."""
        events = timed(exchange())
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            history = numbered(events)
            for depth in range(12):
                at = len(history) - 2
                session = (await log.fork(session, at, at_us=depth)).id
                await log.append(session, [(depth, Label(text=str(depth)))])
                history = [
                    *history[:at],
                    Recorded(at + 1, depth, Fork()),
                    Recorded(at + 2, depth, Label(text=str(depth))),
                ]
                assert await read_all(log, session) == history
            early = (await log.fork(session, 20, at_us=1)).id
            assert await read_all(log, early) == [*history[:20], Recorded(21, 1, Fork())]
            assert (await log.verify()).findings == ()

    async def test_a_fork_inside_a_message_can_go_on_streaming(self) -> None:
        """The parent's message and the fork's are each read as they were appended."""
        events = timed([*prompt("hello"), *streamed("some text that is streamed", width=3)])
        async with self.open() as log:
            parent = (await log.create()).id
            await log.append(parent, events[:12], durable=True)
            fork = (await log.fork(parent, 12, at_us=5)).id
            await log.append(parent, events[12:])
            await log.append(fork, events[12:])
            assert await read_all(log, parent) == numbered(events)
            own = [Recorded(13, 5, Fork()), *numbered(events[12:], after=13)]
            assert await read_all(log, fork) == numbered(events[:12]) + own
            assert (await log.verify()).findings == ()

    async def test_a_fork_needs_a_seq_that_is_there(self) -> None:
        """Beyond the head there is nothing to begin at."""
        async with self.open() as log:
            session = (await log.create()).id
            for at in (-1, 1):
                with refused(UnknownSeqError):
                    await log.fork(session, at, at_us=1)

    async def test_a_fork_inherits_counts_and_the_open_run_but_no_title_queue_or_wait(self) -> None:
        """What its row says is what its events say."""
        async with self.open() as log:
            parent = (await log.create(title="parent")).id
            push = QueuePush(queue="steering", message=UserMessage(content="x"))
            history: list[Event] = [AgentStart(), *streamed("hi"), push, WaitStart(key="w", deadline_us=5)]
            head = await log.append(parent, timed(history))
            fork = await log.fork(parent, head, at_us=1)
            assert (fork.title, fork.status, fork.open, fork.wake_at_us) == ("", "interrupted", True, None)
            assert (fork.messages, fork.output_tokens) == (1, 3)
            idle = await log.fork(parent, 0, at_us=1)
            assert (idle.status, idle.open, idle.messages) == ("idle", False, 0)
            assert await log.rebuild() == 0

    async def test_a_fork_that_was_imported_is_found_by_its_source(self) -> None:
        """As any session that was; a second one of the same source is refused."""
        async with self.open() as log:
            parent = (await log.create(source="agent:one")).id
            await log.append(parent, timed(exchange()))
            fork = await log.fork(parent, 10, at_us=1, source="agent:two")
            plain = await log.fork(parent, 10, at_us=1)
            assert (fork.source, fork.parent, plain.source) == ("agent:two", parent, "")
            assert [one.id for one in await log.sessions(source="agent:two")] == [fork.id]
            for source in ("agent:one", "agent:two"):
                with refused(SessionExistsError):
                    await log.fork(parent, 10, at_us=1, source=source)
                with refused(SessionExistsError):
                    await log.create(source=source)
            assert (await log.verify()).ok

    async def test_a_follower_sees_every_event_once(self) -> None:
        """What is there, then what comes, whatever page or place it starts at."""
        events = timed(exchange())
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events[:30])
            following = [asyncio.create_task(_take(log, session, after, len(events) - after)) for after in (0, 17, 30)]
            await asyncio.sleep(0)
            for at in range(30, len(events), 4):
                await log.append(session, events[at : at + 4])
            for after, seen in zip((0, 17, 30), await asyncio.gather(*following), strict=True):
                assert seen == numbered(events)[after:]

    async def test_a_follower_whose_past_is_gone_is_told(self) -> None:
        """A cursor with a digest is checked against the log."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, timed(exchange()))
            place = await log.cursor(session, 20)
            assert (await _take(log, session, place, 1))[0].seq == 21
            for wrong in (Cursor(20, "ab" * 32), Cursor(999, "ab" * 32)):
                with refused(TailLostError):
                    await _take(log, session, wrong, 1)
            with refused(UnknownSessionError):
                await _take(log, "nobody", 0, 1)

    async def test_dropped_updates_leave_facts_and_seqs(self) -> None:
        """A message in which a fork begins, and one still open, are left alone; no fork begins in what is gone."""
        events = timed([*exchange(), *prompt("more"), *streamed("kept, a fork begins here"), *streamed("open")[:-1]])
        kept = len(events) - 12
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            fork = (await log.fork(session, kept, at_us=1)).id
            before = await log.cursor(session)
            assert await log.drop_updates(session) > 0
            ranges = await log.dropped(session)
            gone = {seq for first, last in ranges for seq in range(first, last + 1)}
            assert gone
            assert max(gone) < kept
            assert await read_all(log, session) == [one for one in numbered(events) if one.seq not in gone]
            assert any(isinstance(one.event, ToolExecutionUpdate) for one in await read_all(log, session))
            assert await log.cursor(session) == before
            assert (await log.cursor(session, max(gone))).digest == ""
            with refused(UnknownSeqError):
                await log.fork(session, max(gone), at_us=1)
            assert await log.dropped(fork) == ranges
            assert await log.drop_updates(session) == 0
            report = await log.verify()
            assert report.ok
            assert report.findings
            after = await log.append(session, [(1, Label(text="goes on"))])
            assert (await _take(log, session, after - 1, 1))[0].seq == after

    async def test_erased_content_is_gone_everywhere(self) -> None:
        """Shape, digests and forks stay; texts, arguments, results and images go."""
        events = timed(exchange())
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            fork = (await log.fork(session, len(events), at_us=1)).id
            ends = [n for n, (_, event) in enumerate(events, 1) if isinstance(event, MessageEnd) and event.message]
            results = [n for n, (_, event) in enumerate(events, 1) if isinstance(event, ToolExecutionEnd)]
            for seq in (1, *ends, *results):
                head = await log.erase(fork, seq, at_us=2, reason="a person asked")
                left = sha256(encode((await log.read(session, after=seq - 1))[0].event)).hexdigest()
                assert (await log.read(session, after=head - 1))[0].event == Erase(
                    target_seq=seq, reason="a person asked", shape_sha256=left
                )
            for name in (session, fork):
                told = b"".join(msgspec.json.encode(one.event) for one in await read_all(log, name))
                for secret in (b"coat", b"Oslo", b"Hm, weather", b"two kB", b"Let me", b"so far", IMAGE.encode()):
                    assert secret not in told
                assert told.count(b"[erased]") >= 5
                assert b'"stop_reason":"tool_use"' in told
            assert (await log.info(fork)).head == len(events) + 1
            assert (await log.verify()).ok
            assert await log.rebuild() == 0

    async def test_an_event_without_content_cannot_be_erased(self) -> None:
        """Nor an update alone, nor twice the same."""
        events = timed(exchange())
        update = next(n for n, (_, event) in enumerate(events, 1) if isinstance(event, MessageUpdate))
        async with self.open() as log:
            session = (await log.create()).id
            head = await log.append(session, events)
            await log.erase(session, 1, at_us=1)
            for seq in (0, 1, 2, update, head + 2):
                with refused(UnknownSeqError):
                    await log.erase(session, seq, at_us=1)
            assert (await log.info(session)).head == head + 1

    async def test_a_message_erased_under_a_fork_still_verifies(self) -> None:
        """The fork began among updates that are gone now."""
        events = timed([*prompt("hello"), *streamed("some secret text", width=3)])
        async with self.open() as log:
            parent = (await log.create()).id
            head = await log.append(parent, events)
            fork = (await log.fork(parent, head - 4, at_us=1)).id
            await log.erase(parent, head, at_us=2)
            report = await log.verify()
            assert report.ok, report.findings
            assert b"secret" not in msgspec.json.encode([one.event for one in await read_all(log, fork)])

    async def test_a_fork_behind_what_stands_beside_an_erased_message_keeps_its_digest(self) -> None:
        """It began behind an item of another stream, the last before the message ended."""
        message = streamed("some secret text", width=3)
        item = StreamUpdate(name="progress", item=msgspec.Raw(b"1"))
        async with self.open() as log:
            parent = (await log.create()).id
            head = await log.append(parent, timed([*prompt("hello"), *message[:-1], item, message[-1]]))
            fork = (await log.fork(parent, head - 1, at_us=1)).id
            await log.erase(parent, head, at_us=2)
            report = await log.verify()
            assert report.ok, report.findings
            assert await log.append(fork, [(3, Label(text="goes on"))])
            assert (await log.verify()).ok
            with refused(UnknownSeqError):
                await log.fork(parent, head - 1, at_us=1)

    async def test_an_event_is_erased_only_if_an_erase_names_it(self) -> None:
        """Whatever stands there in an erased event's form: other words, or the shape that an erase would leave."""
        events = timed(exchange())
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            said = QueuePush(queue="prompt", message=UserMessage(content="other words"))
            for event in (said, tombstone(events[0][1])):
                await self.overwrite(log, session, 1, event, erased=True)
                report = await log.verify()
                assert not report.ok
                assert any("no `erase` names it" in finding.problem for finding in report.findings)
                assert not (await log.verify(session)).ok

    async def test_what_an_erase_left_is_found_changed(self) -> None:
        """Words in a text, in a name or a figure; and content that came back."""
        events = timed(exchange())
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            numbers = enumerate((one for _, one in events), 1)
            seq, end = next((n, one) for n, one in numbers if isinstance(one, MessageEnd) and one.message)
            await log.erase(session, seq, at_us=1)
            fork = (await log.fork(session, len(events), at_us=1)).id
            shape = (await log.read(session, after=seq - 1, limit=1))[0].event
            assert isinstance(shape, MessageEnd)
            assert shape.message is not None
            assert end.message is not None
            replace = msgspec.structs.replace
            changes: list[AssistantMessage] = [
                replace(shape.message, content=end.message.content),
                replace(shape.message, error="words"),
                replace(shape.message, response_id="words"),
                replace(shape.message, usage=None),
            ]
            for message in changes:
                await self.overwrite(log, session, seq, replace(shape, message=message), erased=True)
                for name in (session, fork):
                    report = await log.verify(name)
                    assert not report.ok
                    told = [(finding.session, finding.seq) for finding in report.findings if not finding.note]
                    assert (session, seq) in told
            await self.overwrite(log, session, seq, shape, erased=True)
            assert (await log.verify()).ok

    async def test_updates_are_missing_on_purpose_only_where_a_message_has_ended(self) -> None:
        """A dropped update of an open message, or of no message, is a defect."""
        events = timed([*exchange(), *streamed("open")[:-1]])
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, events)
            await self.overwrite(log, session, len(events), None, erased=False)
            report = await log.verify()
            assert not report.ok
            assert any("no message that has ended held" in finding.problem for finding in report.findings)

    async def test_what_is_gone_can_be_taken_to_another_log(self) -> None:
        """Digests, times and folds come out equal, and a fork that began among what is gone goes with them."""
        events = timed([*prompt("hello"), *streamed("some secret text", width=3), *exchange()])
        end = next(n for n, (_, event) in enumerate(events, 1) if isinstance(event, MessageEnd) and event.message)
        async with self.open() as log, self.open() as other:
            for name in ("one", "copy"):
                await log.create(name, title="a title", created_at_us=5)
            await log.append("one", events)
            await log.fork("one", end - 4, at_us=1, session="fork")
            await log.erase("one", end, at_us=2)
            await log.drop_updates("one")
            gone = await log.removed("one")
            assert [seq for seq, _ in gone.erased] == [end]
            assert {seq for first, times in gone.dropped for seq in range(first, first + len(times))} == {
                seq for first, last in await log.dropped("one") for seq in range(first, last + 1)
            }
            b, u = dict(gone.erased), dict(gone.updates)
            whole = [
                Restored(
                    at_us=one.at_us, event=one.event, updates_sha256=u.get(one.seq, ""), body_sha256=b.get(one.seq, "")
                )
                for one in await read_all(log, "one")
            ]
            missing = [(seq, Restored(at_us=at_us, event=None)) for seq, at_us in _times(gone)]
            for seq, restored in missing:
                whole.insert(seq - 1, restored)
            base = (await log.removed("fork")).base
            for store, name in ((other, "one"), (log, "copy")):
                if store is other:
                    assert (await other.create("one", title="a title", created_at_us=5)).created_at_us == 5
                assert await store.restore(name, whole[:20]) == 20
                await store.restore(name, whole[20:])
                assert await store.removed(name) == gone
                assert await read_all(store, name) == await read_all(log, "one")
                assert (await store.cursor(name)).digest == (await log.cursor("one")).digest
                with refused(UnknownSeqError):
                    await store.fork(name, end - 4, at_us=1)
                fork = await store.fork(name, end - 4, at_us=1, created_at_us=7, base=base)
                assert fork.created_at_us == 7
                assert fork.digest == (await log.info("fork")).digest
                assert (await store.removed(fork.id)).base == base
                assert (await store.verify()).ok
                assert await store.rebuild() == 0
            assert await log.removed("fork") == Removed(base=base)

    async def test_what_is_gone_needs_its_digests(self) -> None:
        """Without U nothing is appended behind what is missing; a B that no `erase` names is a defect."""
        async with self.open() as log:
            session = (await log.create()).id
            missing = Restored(at_us=1, event=None)
            with refused(ValueError):
                await log.restore(session, [missing, Restored(at_us=2, event=Label(text="a title"))])
            assert (await log.info(session)).head == 0
            await log.restore(session, [Restored(at_us=2, event=Label(text="[erased]"), body_sha256="12" * 32)])
            assert not (await log.verify()).ok

    async def test_an_erased_title_is_gone(self) -> None:
        """The row's folds follow."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, [(1, Label(text="secret"))])
            await log.erase(session, 1, at_us=1)
            assert (await log.info(session)).title == "[erased]"

    async def test_a_session_with_forks_or_a_runner_is_not_deleted(self) -> None:
        """Deleted is deleted: its id is free again, and its parent goes on."""
        async with self.open() as log:
            parent = (await log.create("parent")).id
            await log.append(parent, timed(exchange()))
            fork = (await log.fork(parent, 5, at_us=1, session="fork")).id
            with refused(HasForksError) as caught:
                await log.delete(parent)
            assert "fork" in str(caught[0])
            lease = await log.claim(fork)
            with refused(LeaseHeldError):
                await log.delete(fork)
            await log.release(lease)
            await log.delete(fork)
            with refused(UnknownSessionError):
                await log.info(fork)
            assert (await log.create("fork")).head == 0
            assert await log.read("fork") == ()
            await log.delete(parent)
            assert [info.id for info in await log.sessions()] == ["fork"]
            assert (await log.verify()).findings == ()

"""The contract's part about archives: a session that was put away is read, verified, forked and gone on with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import msgspec

from ...errors import LeaseHeldError, SessionOpenError, UnknownSessionError
from ...events import AgentEnd, Custom, Label, MetadataSet, QueuePush
from ...messages import UserMessage
from ..protocol import EventLog
from .histories import exchange, prompt, read_all, refused, streamed, timed


class ArchiveContract(ABC):
    """Promises about archived sessions."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        """Open an empty store."""

    async def test_an_archived_session_says_what_it_said_before(self) -> None:
        """Events, digests, what is found, its row; and it verifies."""
        async with self.open() as log:
            await log.create("one", title="Oslo")
            await log.append("one", timed([*exchange(), Label(target_seq=3, text="here"), Custom(kind="note")]))
            before = [await read_all(log, "one"), await read_all(log, "one", updates=False), await log.removed("one")]
            row, cursor, found = await log.info("one"), await log.cursor("one", 9), await log.search("coat")
            ended = await log.last_facts(["one"], [Label, AgentEnd])
            await log.archive("one", at_us=5)
            assert (await log.info("one")).archived_at_us == 5
            after = [await read_all(log, "one"), await read_all(log, "one", updates=False), await log.removed("one")]
            assert after == before
            assert await log.cursor("one", 9) == cursor
            assert await log.search("coat") == found != ()
            assert await log.last_facts(["one"], [Label, AgentEnd]) == ended
            assert await log.search("COAT", session="one") == found
            assert await log.search("xylophone") == ()
            info = await log.info("one")
            assert (info.head, info.digest, info.status, info.title) == (row.head, row.digest, "idle", "Oslo")
            assert (await log.verify()).ok
            assert await log.rebuild() == 0
            assert (await log.verify("one")).ok
            assert (await log.info("one")).archived_at_us == 5

    async def test_what_goes_on_leaves_the_archive(self) -> None:
        """An append does, and a claim."""
        async with self.open() as log:
            await log.create("one")
            head = await log.append("one", timed(exchange()))
            events = await read_all(log, "one")
            await log.archive("one", at_us=5)
            assert await log.append("one", [(9, Custom(kind="more"))], expected=head) == head + 1
            assert (await log.info("one")).archived_at_us is None
            assert (await read_all(log, "one"))[:-1] == events
            assert len(await log.search("coat")) == 2
            await log.archive("one", at_us=6)
            await log.release(await log.claim("one"))
            assert (await log.info("one")).archived_at_us is None
            assert (await log.verify()).ok

    async def test_a_fork_of_an_archived_session_leaves_it_where_it_is(self) -> None:
        """Forks of forks in the archive inherit the same, archived or not."""
        async with self.open() as log:
            await log.create("one")
            head = await log.append("one", timed(exchange()))
            events = await read_all(log, "one")
            plain = await log.fork("one", head - 4, at_us=7, session="plain")
            await log.archive("one", at_us=5)
            fork = await log.fork("one", head - 4, at_us=7, session="two")
            assert fork.digest == plain.digest
            assert (await log.info("one")).archived_at_us == 5
            assert (await read_all(log, "two"))[:-1] == events[: head - 4]
            for name in ("two", "plain"):
                await log.append(name, [(9, AgentEnd())])
            assert (await log.info("one")).archived_at_us == 5
            await log.archive("two", at_us=6)
            await log.archive("plain", at_us=6)
            assert (await read_all(log, "two"))[:-2] == events[: head - 4]
            assert [one.session for one in await log.search("coat", session="two")] == ["one"]
            three = await log.fork("two", fork.head, at_us=8, session="three")
            assert (await read_all(log, "three"))[:-2] == events[: head - 4]
            assert three.parent == "two"
            assert (await log.verify()).ok
            assert await log.rebuild() == 0

    async def test_what_is_open_is_not_archived(self) -> None:
        """Neither a run, nor a queued prompt, nor half a message, nor what somebody holds."""
        async with self.open() as log:
            await log.create("empty")
            assert await log.archive("empty", at_us=5) == 0
            assert (await log.info("empty")).archived_at_us is None
            await log.create("run")
            await log.append("run", timed(prompt("Hello")))
            await log.create("queued")
            await log.append("queued", [(1, QueuePush(queue="prompt", message=UserMessage(content="Hello")))])
            await log.create("message")
            await log.append("message", timed(streamed("Hello")[:-1]), durable=False)
            for name in ("run", "queued", "message"):
                with refused(SessionOpenError):
                    await log.archive(name, at_us=5)
                assert (await log.info(name)).archived_at_us is None
            await log.create("held")
            await log.append("held", timed(exchange()))
            lease = await log.claim("held")
            with refused(LeaseHeldError):
                await log.archive("held", at_us=5)
            await log.release(lease)
            with refused(UnknownSessionError):
                await log.archive("nobody", at_us=5)

    async def test_it_is_archived_once(self) -> None:
        """A second time changes nothing."""
        async with self.open() as log:
            await log.create("one")
            await log.append("one", timed(exchange()))
            size = await log.archive("one", at_us=5)
            assert await log.archive("one", at_us=6) == size
            assert (await log.info("one")).archived_at_us == 5

    async def test_what_is_erased_is_gone_from_the_archive(self) -> None:
        """Also from what forks in it inherit, and from what the search finds."""
        async with self.open() as log:
            await log.create("one")
            said = exchange()
            head = await log.append("one", timed([*said, MetadataSet(name="folder", value=msgspec.Raw(b'"/secret"'))]))
            await log.fork("one", head, at_us=7, session="two")
            await log.archive("one", at_us=5)
            await log.archive("two", at_us=5)
            await log.erase("two", head, at_us=8)
            assert (await log.info("one")).archived_at_us is None
            assert (await log.info("two")).archived_at_us == 5
            assert "/secret" not in str(await read_all(log, "two"))
            assert await log.rebuild() == 0
            await log.archive("one", at_us=5)
            first = next(one.seq for one in await log.read("one") if isinstance(one.event, QueuePush))
            await log.erase("one", first, at_us=9)
            assert [one.seq for one in await log.search("do i need a coat")] == []
            await log.archive("one", at_us=5)
            assert [one.seq for one in await log.search("do i need a coat")] == []
            assert (await log.verify()).ok

    async def test_dropped_updates_and_deleted_sessions_leave_the_archive(self) -> None:
        """And nothing of them is in the way of what comes after."""
        async with self.open() as log:
            for name in ("one", "two"):
                await log.create(name)
                await log.append(name, timed(exchange()))
                await log.archive(name, at_us=5)
            assert await log.drop_updates("one") > 0
            gone = await log.removed("one")
            facts = await read_all(log, "one", updates=False)
            await log.archive("one", at_us=5)
            assert (await log.removed("one"), await read_all(log, "one", updates=False)) == (gone, facts)
            await log.delete("two")
            assert [one.session for one in await log.search("coat")] == ["one", "one"]
            await log.vacuum()
            assert (await log.verify()).ok
            await log.create("two")
            await log.append("two", timed(streamed("Hello")))
            assert len(await read_all(log, "two")) == len(streamed("Hello"))

"""The contract's third part, for whoever runs tasks: which sessions are due, and who may run them."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from ...events import AgentEnd, AgentStart, Event, Label, QueuePush, TaskEnd, TaskStart, TokenCreate, WaitEnd, WaitStart
from ...messages import UserMessage
from ..protocol import EventLog

_FAR_US = 4_000_000_000_000_000
_SEND = QueuePush(queue="inbox", message=UserMessage(content="hello"))


class DueContract(ABC):
    """Promises about sessions with an open task."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        """Open an empty store."""

    async def test_a_session_without_an_open_task_is_never_due(self) -> None:
        """Nor one whose task has ended."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, [(1, QueuePush(queue="prompt", message=UserMessage(content="x")))])
            assert await log.due() == ()
            await log.append(session, [(2, TaskStart(task="report"))])
            assert await log.due() == (session,)
            lease = await log.claim(session)
            await log.append(session, [(3, TaskEnd())], epoch=lease.epoch)
            assert (await log.info(session)).due_at_us is None  # also while its runner has yet to release it
            await log.release(lease, head=3)
            assert await log.due() == ()
            assert (await log.info(session)).task == "report"
            assert [info.id for info in await log.sessions(task="report")] == [session]
            assert await log.sessions(task="other") == ()

    async def test_only_what_somebody_holds_is_running(self) -> None:
        """Without a holder an unfinished run is interrupted, what is only queued is queued, and an open task is due."""
        async with self.open() as log:
            run, late, task = three = [(await log.create()).id for _ in range(3)]
            push = QueuePush(queue="steering", message=UserMessage(content="x"))
            await log.append(run, [(1, push), (1, AgentStart()), (1, push)])
            await log.append(late, [(1, AgentStart()), (1, AgentEnd()), (1, push)])
            await log.append(task, [(1, TaskStart(task="t")), (1, push)])
            leases = [await log.claim(session) for session in three]
            assert {(await log.info(session)).status for session in three} == {"running"}
            assert {info.id for info in await log.sessions(status="running")} == {*three}
            for lease in leases:
                await log.release(lease)
            assert [(await log.info(session)).status for session in three] == ["interrupted", "queued", "due"]
            listed = {"running": "", "interrupted": run, "queued": late, "due": task}
            for status, found in listed.items():
                assert "".join(info.id for info in await log.sessions(status=status)) == found

    async def test_a_lease_hides_a_session_until_it_is_over(self) -> None:
        """Expired, it shows again; its owner's end makes it due at once."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, [(1, TaskStart(task="report"))])
            lease = await log.claim(session)
            assert await log.due() == ()
            await log.append(session, [(2, _SEND)])
            assert await log.due() == ()
            lease = await log.renew(lease, ttl_us=0)
            assert await log.due() == (session,)
            await log.renew(lease)
            assert await log.due() == ()

    async def test_whoever_suspends_is_woken_by_what_came_meanwhile(self) -> None:
        """Releasing compares the head, so no wake-up is lost."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, [(1, TaskStart(task="report"))])
            lease = await log.claim(session)
            head = await log.append(session, [(2, WaitStart(key="w"))], epoch=lease.epoch)
            await log.append(session, [(3, _SEND)])
            await log.release(lease, head=head)
            assert await log.due() == (session,)
            lease = await log.claim(session)
            await log.release(lease, head=head + 1)
            assert await log.due() == ()
            await log.append(session, [(4, Label(text="a title"))])
            assert await log.due() == ()
            await log.append(session, [(4, WaitEnd(key="w", outcome="completed"))])
            assert await log.due() == (session,)

    async def test_a_suspended_session_is_due_at_its_first_deadline(self) -> None:
        """That of a token counts where the wait has none; without a head it is due at once."""
        now_us = time.time_ns() // 1000
        async with self.open() as log:
            session = (await log.create()).id
            events: list[Event] = [TaskStart(task="t"), TokenCreate(key="a", deadline_us=_FAR_US), WaitStart(key="a")]
            await log.append(session, [(1, event) for event in events])
            await log.release(await log.claim(session), head=3)
            assert (await log.info(session)).due_at_us == _FAR_US
            assert await log.due() == ()
            await log.append(session, [(2, WaitStart(key="b", deadline_us=now_us))])
            await log.release(await log.claim(session), head=4)
            assert await log.due() == (session,)
            await log.release(await log.claim(session))
            assert await log.due() == (session,)

    async def test_a_failed_attempt_is_due_when_it_is_to_be_made_again(self) -> None:
        """Its session waits until then."""
        async with self.open() as log:
            session = (await log.create()).id
            failed = TaskEnd(error="broken", retry_at_us=_FAR_US)
            await log.append(session, [(1, TaskStart(task="t")), (2, failed)])
            await log.release(await log.claim(session), head=2)
            info = await log.info(session)
            assert (info.status, info.due_at_us) == ("waiting", _FAR_US)
            await log.append(session, [(3, TaskStart(task="t", attempt=2))])
            assert (await log.info(session)).status == "due"
            assert await log.rebuild() == 0

    async def test_a_fork_of_a_task_is_not_due_by_itself(self) -> None:
        """Somebody must want it."""
        async with self.open() as log:
            session = (await log.create()).id
            await log.append(session, [(1, TaskStart(task="t"))])
            await log.release(await log.claim(session), head=1)
            fork = (await log.fork(session, 1, at_us=2)).id
            assert await log.due() == ()
            await log.append(fork, [(3, _SEND)])
            assert await log.due() == (fork,)

    async def test_each_due_session_is_taken_by_one(self) -> None:
        """The longest due first; what is taken is due no more, and can be appended to under its lease."""
        async with self.open() as log:
            names = [(await log.create()).id for _ in range(9)]
            for n, session in enumerate(names):
                await log.append(session, [(10 - n, TaskStart(task="t"))])
            first = await log.take_due(limit=2)
            assert [lease.session for lease in first] == [names[8], names[7]]
            rest = await asyncio.gather(*(log.take_due(limit=2) for _ in range(5)))
            taken = [lease.session for leases in rest for lease in leases]
            assert sorted(taken) == sorted(names[:7])
            assert await log.due() == ()
            assert await log.take_due() == ()
            for lease in first:
                await log.append(lease.session, [(20, TaskEnd())], epoch=lease.epoch)
                await log.release(lease, head=2)
            assert await log.take_due(limit=9) == ()

    async def test_only_known_tasks_and_queues_are_taken(self) -> None:
        """However many others are due before them."""
        async with self.open() as log:
            others = [(await log.create()).id for _ in range(12)]
            for session in others:
                await log.append(session, [(1, TaskStart(task="other"))])
            wanted, elsewhere = (await log.create()).id, (await log.create()).id
            await log.append(wanted, [(5, TaskStart(task="t"))])
            await log.append(elsewhere, [(6, TaskStart(task="t", queue="gpu"))])
            assert [one.session for one in await log.take_due(tasks=("t",), queues=("",))] == [wanted]
            assert await log.take_due(limit=20, tasks=("t",), queues=("",)) == ()
            assert await log.take_due(limit=20, tasks=(), queues=None) == ()
            assert await log.take_due(queues=("gpu",), but=(elsewhere,)) == ()
            assert [one.session for one in await log.take_due(queues=("gpu",))] == [elsewhere]
            assert set(await log.due(limit=20)) == set(others)

    async def test_a_due_child_is_run_by_the_parent_that_waits_for_it(self) -> None:
        """When the parent's task has ended nobody waits any more, and it runs by itself."""
        async with self.open() as log:
            parent = (await log.create()).id
            child = (await log.create(started_by=parent)).id
            await log.append(parent, [(1, TaskStart(task="whole"))])
            await log.release(await log.claim(parent), head=1)
            await log.append(child, [(2, TaskStart(task="part", parent=parent))])
            assert await log.due() == (child,)
            assert await log.take_due(tasks=("part",)) == ()
            (lease,) = await log.take_due(tasks=("whole",))
            assert lease.session == parent
            assert await log.take_due() == ()
            await log.append(parent, [(3, TaskEnd())], epoch=lease.epoch)
            await log.release(lease, head=2)
            assert [one.session for one in await log.take_due()] == [child]

    async def test_a_child_in_another_queue_is_run_by_itself(self) -> None:
        """Also while its parent waits for it; what that child starts in its own queue is run by the child."""
        async with self.open() as log:
            parent = (await log.create()).id
            child = (await log.create(started_by=parent)).id
            part = (await log.create(started_by=child)).id
            await log.append(parent, [(1, TaskStart(task="whole"))])
            await log.release(await log.claim(parent), head=1)
            await log.append(child, [(2, TaskStart(task="part", parent=parent, queue="gpu"))])
            await log.release(await log.claim(child), head=1)
            await log.append(part, [(3, TaskStart(task="piece", parent=child, queue="gpu"))])
            assert await log.due(queues=("",)) == ()
            assert await log.due(queues=("gpu", "")) == (part,)
            assert await log.take_due(queues=("",)) == ()
            assert [one.session for one in await log.take_due(queues=("gpu",))] == [child]

    async def test_a_queue_with_a_limit_runs_no_more_at_once(self) -> None:
        """However many ask at the same time; what a parent runs with itself counts once, other queues do not."""
        async with self.open() as log:
            names = [(await log.create()).id for _ in range(12)]
            for n, session in enumerate(names):
                await log.append(session, [(n, TaskStart(task="t", queue="" if n in (4, 9) else "gpu"))])
            wanted = [log.take_due(limit=2, limits={"gpu": 3, "idle": 0}) for _ in range(9)]
            taken = [lease for leases in await asyncio.gather(*wanted) for lease in leases]
            assert sorted(lease.session for lease in taken) == sorted([*names[:3], names[4], names[9]])
            child = (await log.create(started_by=names[0])).id
            await log.append(child, [(20, TaskStart(task="t", parent=names[0], queue="gpu"))])
            await log.claim(child)
            plain, gpu = await log.queues()
            assert (plain.queue, plain.due, plain.waited_us, plain.running) == ("", 0, 0, 2)
            assert (gpu.queue, gpu.due, gpu.running) == ("gpu", 7, 3)
            assert abs(time.time_ns() // 1000 - 3 - gpu.waited_us) < 60_000_000
            assert await log.take_due(limits={"gpu": 3}) == ()
            await log.append(names[1], [(30, TaskEnd())], epoch=taken[1].epoch)
            assert await log.take_due(queues=(), limits={"gpu": 3}) == ()
            assert [one.session for one in await log.take_due(limit=5, limits={"gpu": 3})] == [names[3]]
            assert await log.take_due(tasks=("other",), limits={"gpu": 9}) == ()
            owners = [one.owners for one in await log.queues()]
            assert owners[0] == owners[1] == (taken[0].owner,)

    async def test_a_starter_that_was_made_later_runs_nobody(self) -> None:
        """A session may have the id of one that was deleted, whose child then seems to be its own starter's."""
        async with self.open() as log:
            for name, starter in (("a", "b"), ("b", "a"), ("c", "c")):
                await log.create(name, started_by=starter)
                await log.append(name, [(1, TaskStart(task="t"))])
            assert sorted(one.session for one in await log.take_due(limit=5)) == ["a", "c"]

    async def test_due_sessions_come_in_order_and_at_most_so_many(self) -> None:
        """The longest due first."""
        async with self.open() as log:
            names = [(await log.create()).id for _ in range(5)]
            for n, session in enumerate(names):
                await log.append(session, [(10 - n, TaskStart(task="t"))])
            assert await log.due(limit=3) == tuple(reversed(names[2:]))
            assert await log.due_since(limit=2) == ((names[4], 6), (names[3], 7))
            assert await log.due_since(queues=("gpu",)) == ()

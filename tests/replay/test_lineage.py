from __future__ import annotations

from eventsource.events import Label, QueuePush
from eventsource.log import MemoryLog
from eventsource.messages import UserMessage
from replay.lineage import erased_seqs, forks_of, lineage, shared_seq


def said(text: str) -> QueuePush:
    return QueuePush(queue="prompt", message=UserMessage(content=text))


async def family() -> tuple[MemoryLog, str, str, str]:
    """Make a session of six events, a fork at 4 with two of its own after `fork`, and a fork of that at 6."""
    numbers = iter(range(1000))
    log = MemoryLog(clock=lambda: 0, new_id=lambda: f"s{next(numbers)}")
    root = (await log.create()).id
    await log.append(root, [(0, said(f"root {n}")) for n in range(1, 7)])
    child = (await log.fork(root, 4, at_us=0)).id
    await log.append(child, [(0, said("child 6")), (0, said("child 7"))])
    grandchild = (await log.fork(child, 6, at_us=0)).id
    await log.append(grandchild, [(0, said("grandchild 8"))])
    return log, root, child, grandchild


async def test_a_lineage_names_each_ancestor_and_the_last_seq_taken_from_it() -> None:
    log, root, child, grandchild = await family()
    assert await lineage(log, root) == ((root, 6),)
    assert await lineage(log, grandchild) == ((grandchild, 8), (child, 6), (root, 4))
    early = (await log.fork(grandchild, 2, at_us=0)).id
    assert await lineage(log, early) == ((early, 3), (grandchild, 2), (child, 2), (root, 2))


async def test_all_forks_of_a_session_are_listed_and_no_others() -> None:
    log, root, child, grandchild = await family()
    assert [fork.id for fork in await forks_of(log, child)] == [grandchild]
    assert await forks_of(log, grandchild) == []
    made = {(await log.fork(root, 3, at_us=0)).id for _ in range(150)}  # more than the store gives at a time
    found = [fork.id for fork in await forks_of(log, root)]
    assert set(found) == {child, *made}
    assert len(found) == 151


async def test_two_histories_share_what_both_took_of_the_same_session() -> None:
    log, root, child, grandchild = await family()
    other = (await log.fork(root, 3, at_us=0)).id
    assert await shared_seq(log, child, grandchild) == 6
    assert await shared_seq(log, other, grandchild) == 3
    assert await shared_seq(log, root, (await log.create()).id) == 0


async def test_what_was_erased_is_found_in_every_history_that_holds_it_and_in_no_other() -> None:
    log, root, child, grandchild = await family()
    await log.append(root, [(0, Label(text="after the fork"))])
    assert await erased_seqs(log, grandchild) == frozenset()
    await log.erase(root, 2, at_us=0)  # its `erase` stands at 8, behind what the forks took
    await log.erase(root, 6, at_us=0)  # which they did not take: their own 6 is another event
    assert await erased_seqs(log, child) == {2}
    await log.erase(grandchild, 6, at_us=0)  # goes to the child, which recorded it
    assert await erased_seqs(log, root) == {2, 6}
    assert await erased_seqs(log, child) == {2, 6}
    assert await erased_seqs(log, grandchild) == {2, 6}
    await log.erase(child, 7, at_us=0)
    assert await erased_seqs(log, child) == {2, 6, 7}
    assert await erased_seqs(log, grandchild) == {2, 6}
    fork = (await log.fork(root, 5, at_us=0)).id
    assert await erased_seqs(log, fork) == {2}

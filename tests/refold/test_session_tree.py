"""Bookmarks are places to fork from, and a family is a tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from eventsource.envelope import Recorded
from eventsource.errors import UnknownLabelError
from eventsource.models.scripted import scripted
from projections.tree import fork_tree
from refold import Agent, Log, open_log
from refold.session_tree import read_labels, related_sessions, root_starter, session_rows


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(tmp_path / "runs.db") as opened:
        yield opened


async def test_a_bookmark_is_a_place_to_fork_from(log: Log) -> None:
    session = await log.session("oslo")
    await Agent(scripted("A coat.")).run("Coat?", session=session)
    await session.label("good", 7)
    fork = await session.fork(at="good")
    assert (await fork.info()).fork_seq == 7
    with pytest.raises(UnknownLabelError, match="bad"):
        await session.fork(at="bad")
    await session.label("good", 8)
    with pytest.raises(UnknownLabelError, match="7, 8"):
        await session.fork(at="good")


async def test_a_tree_reads_what_each_session_recorded_itself_and_nothing_twice(log: Log) -> None:
    session = await log.session("oslo")
    await Agent(scripted("A coat.")).run("Coat?", session=session)
    await session.label("first", 5)
    forks = [await session.fork(title=f"fork {number}") for number in range(20)]
    await session.label("later", 6)
    await session.label("", 5)
    await forks[0].label("mine", 6)
    await forks[0].label("moved", 5)
    inner = await forks[0].fork()
    reading, read = list[int](), log.store.read

    async def counted(*args: Any, **named: Any) -> tuple[Recorded, ...]:
        page = await read(*args, **named)
        reading.append(len(page))
        return page

    log.store.read = counted  # type: ignore[method-assign]  # to count what is read
    found = await related_sessions(log.store, session.id)
    assert sum(reading) < 100
    labels = {name: await read_labels(log.store, name) for name in found.labels}
    assert found.labels == labels
    assert found.labels[session.id] == ((6, "later"),)
    assert found.labels[inner.id] == ((5, "moved"), (6, "mine"))
    assert found.labels[forks[1].id] == ((5, "first"),)
    assert found.own == {session.id: ((6, "later"),), forks[0].id: ((5, "moved"), (6, "mine"))}


async def test_a_bookmark_that_a_fork_sets_on_what_it_shares_stands_at_the_fork_alone(log: Log) -> None:
    session = await log.session("oslo")
    await Agent(scripted("A coat.")).run("Coat?", session=session)
    await session.label("kept", 4)
    await session.label("taken", 5)
    fork = await session.fork(at=(await session.info()).head)
    inner = await fork.fork()
    await fork.label("where it went wrong", 3)
    await fork.label("renamed", 4)
    await fork.label("", 5)
    await inner.label("deep", 3)
    await session.label("of the first one", 6)
    tree = await session.tree()
    assert tree.labels == ((4, "kept"), (5, "taken"), (6, "of the first one"))
    assert tree.forks[0].labels == ((3, "where it went wrong"), (4, "renamed"))
    assert tree.forks[0].forks[0].labels == ((3, "deep"),)
    assert await fork.labels() == ((3, "where it went wrong"), (4, "renamed"))
    assert await inner.labels() == ((3, "deep"), (4, "kept"), (5, "taken"))
    assert (await fork.fork(at="where it went wrong")).id


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["fork", "label", "unlabel"]), st.integers(0, 7), st.integers(1, 12))))
def test_what_each_session_set_itself_comes_to_the_bookmarks_that_it_has(steps: list[tuple[str, int, int]]) -> None:
    async def told() -> None:
        async with open_log() as log:
            names = [(await log.store.create("s0")).id]
            await (await log.session("s0")).label("named")
            sets: dict[str, dict[int, str]] = {names[0]: {}}
            for number, (what, which, seq) in enumerate(steps):
                session = await log.session(names[which % len(names)])
                at = min(seq, (await session.info()).head)
                if what == "fork":
                    names.append((await session.fork(at=at)).id)
                    sets[names[-1]] = {}
                else:
                    text = f"l{number}" if what == "label" else ""
                    await session.label(text, at)
                    sets[session.id].pop(at, None)
                    sets[session.id] |= {at: text} if text else {}
            found = await related_sessions(log.store, "s0")
            assert found.own == {name: tuple(sorted(own.items())) for name, own in sets.items() if own}
            assert {name: found.labels.get(name, ()) for name in names} == {
                name: await read_labels(log.store, name) for name in names
            }

    asyncio.run(told())


async def test_a_family_is_seen_from_each_of_its_members(log: Log) -> None:
    session = await log.session("oslo")
    await Agent(scripted("A coat.")).run("Coat?", session=session)
    await session.label("here", 5)
    fork = await session.fork(at=9)
    grandchild = await fork.fork(at=10)
    tree = await grandchild.tree()
    assert (tree.info.id, tree.labels) == (session.id, ((5, "here"),))
    assert [branch.info.id for branch in tree.forks] == [fork.id]
    assert [branch.info.id for branch in tree.forks[0].forks] == [grandchild.id]
    assert await fork.tree() == tree


async def test_a_session_that_was_made_later_stands_above_none(log: Log) -> None:
    for name, starter in (("a", "b"), ("b", "a"), ("c", "c")):
        await log.store.create(name, started_by=starter)
    rows = [one.id for one in (await related_sessions(log.store, "b")).rows]
    assert rows == ["a", "b"]
    assert [branch.info.id for branch in fork_tree(await session_rows(log.store))] == ["c", "a"]
    assert (await (await log.session("c")).tree()).children == ()
    assert (await root_starter(log.store, await log.store.info("b"))).id == "a"

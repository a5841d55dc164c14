"""Bookmarks are places to fork from, and a family is a tree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventsource.errors import UnknownLabelError
from eventsource.models.scripted import scripted
from refold import Agent, Log, open_log


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

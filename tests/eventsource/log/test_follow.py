"""Following a session: a reader whose place is gone is told so, whatever stands there now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from eventsource.envelope import Cursor, Recorded, SessionInfo
from eventsource.errors import TailLostError
from eventsource.events import Label
from eventsource.log.follow import Notifier, follow


def events(*texts: str, at_us: int = 0) -> list[Recorded]:
    return [Recorded(seq, at_us + seq, Label(text=text, target_seq=1)) for seq, text in enumerate(texts, start=1)]


class Shelf:
    """A log whose events are replaced from outside, as a power cut and another writer do."""

    def __init__(self, kept: Sequence[Recorded]) -> None:
        self.kept, self.gone = list(kept), list[tuple[int, int]]()

    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        return tuple([one for one in self.kept if one.seq > after][:limit])

    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        return tuple(self.gone)

    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        place = len(self.kept) if seq is None else seq
        return Cursor(place, "/".join(str(one.at_us) for one in self.kept[:place]))

    async def info(self, session: str) -> SessionInfo:
        return SessionInfo(id=session, head=len(self.kept))


@pytest.fixture
def notifier() -> Notifier:
    return Notifier()


async def some(reader: AsyncIterator[Recorded], count: int) -> list[int]:
    return [(await asyncio.wait_for(anext(reader), 60)).seq for _ in range(count)]


async def changed(
    shelf: Shelf, notifier: Notifier, reader: AsyncIterator[Recorded], kept: Sequence[Recorded]
) -> Recorded:
    """Change the log behind a reader that waits, and ask it for the next event."""
    following = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    shelf.kept = list(kept)
    notifier.notify("oslo")
    return await asyncio.wait_for(following, 60)


async def test_a_reader_gets_what_is_there_and_then_what_comes(notifier: Notifier) -> None:
    shelf = Shelf(events("a", "b"))
    reader = follow(shelf, notifier, "oslo", 0)
    assert await some(reader, 2) == [1, 2]
    assert (await changed(shelf, notifier, reader, events("a", "b", "c"))).seq == 3


@pytest.mark.parametrize(
    "now",
    [events("a"), events("a", "x", at_us=50), events("a", "x", "y", at_us=50), []],
    ids=["gone", "another in its place", "and more behind it", "everything gone"],
)
async def test_a_follower_is_told_that_the_event_it_saw_last_is_lost(notifier: Notifier, now: list[Recorded]) -> None:
    shelf = Shelf(events("a", "b"))
    reader = follow(shelf, notifier, "oslo", 0)
    assert await some(reader, 2) == [1, 2]
    with pytest.raises(TailLostError) as caught:
        await changed(shelf, notifier, reader, now)
    assert (caught.value.session, caught.value.seen, caught.value.head) == ("oslo", 2, len(now))


async def test_a_follower_is_not_told_so_where_updates_were_only_dropped(notifier: Notifier) -> None:
    shelf = Shelf(events("a", "b"))
    reader = follow(shelf, notifier, "oslo", 0)
    assert await some(reader, 2) == [1, 2]
    shelf.gone = [(2, 2)]
    assert (await changed(shelf, notifier, reader, [*events("a"), *events("a", "b", "c")[2:]])).seq == 3


@pytest.mark.parametrize("kept", [events("a"), events("a", "x", at_us=50)], ids=["gone", "another in its place"])
async def test_a_follower_that_comes_back_to_a_lost_place_is_told_so(notifier: Notifier, kept: list[Recorded]) -> None:
    place = await Shelf(events("a", "b")).cursor("oslo")
    with pytest.raises(TailLostError):
        await anext(follow(Shelf(kept), notifier, "oslo", place))


async def test_a_follower_that_comes_back_to_its_place_goes_on(notifier: Notifier) -> None:
    place = await Shelf(events("a", "b")).cursor("oslo")
    assert await some(follow(Shelf(events("a", "b", "c")), notifier, "oslo", place), 1) == [3]

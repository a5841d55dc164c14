"""A page that watches is told every row that changes and all that is said, and misses nothing when it comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from eventsource.errors import StoreError
from eventsource.events import (
    AgentStart,
    Event,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    QueuePush,
    TurnStart,
)
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, TextContent, UserMessage
from refold import Log, Session
from refold.http.api.table_watch import TableBatch, TableWatch
from tests.refold.http.pages import served_page
from tests.refold.views.sessions import ORIGIN, agent


async def frames(client: httpx.AsyncClient, path: str, **headers: str) -> AsyncGenerator[tuple[str, str, Any]]:
    """Read a stream: the id, the event and the data of each frame."""
    async with client.stream("GET", f"/api{path}", headers=headers) as answer:
        assert answer.status_code == 200
        told: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name in ("id", "event", "data"):
                told[name] = value
            elif not line and "data" in told:
                yield told.get("id", ""), told["event"], json.loads(told["data"])
                told = {}


async def until(stream: AsyncIterator[tuple[str, str, Any]], seq: int) -> list[Any]:
    """Read batches up to a seq."""
    found: list[Any] = []
    async with asyncio.timeout(60):
        async for place, event, batch in stream:
            assert (event, int(place)) == ("rows", batch["seq"])
            found.append(batch)
            if batch["seq"] >= seq:
                return found
    raise AssertionError("the stream has ended")


async def said(session: Session, *events: Event) -> None:
    for event in events:
        await session.append([event])


def delta(text: str) -> MessageUpdate:
    return MessageUpdate(kind="text_delta", content_index=0, delta=text)


async def begun(log: Log) -> Session:
    """A session whose model is about to answer."""
    session = await log.session("main")
    await said(
        session,
        QueuePush(queue="prompt", message=UserMessage(content="Well?")),
        AgentStart(),
        TurnStart(),
        MessageStart(role="input", push_seq=1),
        MessageEnd(),
        ModelRequest(attempt=1, request_sha256="0" * 64),
    )
    return session


async def test_rows_and_text_come_as_they_are_said(log: EventLog) -> None:
    opened = Log(log, clock=lambda: 7)
    session = await opened.session("main")
    async with served_page(opened) as page, aclosing(frames(page.client, f"/sessions/{session.id}/live")) as stream:
        first = await anext(stream)
        assert (first[1], first[2]["rows"], first[2]["seq"]) == ("rows", [], 0)
        run = asyncio.create_task(agent(["It ", "rains ", "again."]).run("Well?", session=session))
        await run
        head = (await session.info()).head
        batches = await until(stream, head)
        whole = (await page.get(f"/sessions/{session.id}/previews"))["rows"]
    rows: dict[int, Any] = {}
    for batch in batches:
        rows |= {row["row"]: row for row in batch["rows"]}
    assert [{**rows[n], "text_tail": ""} for n in sorted(rows)] == whole
    assert batches[-1]["phase"] == "IDLE"
    assert batches[-1]["info"]["head"] == head


async def test_what_is_being_said_is_told_token_by_token_and_from_the_middle() -> None:
    async with open_store() as store:
        opened = Log(store, clock=lambda: 7)
        session = await begun(opened)
        start = MessageUpdate(kind="text_start", content_index=0)
        await said(session, MessageStart(role="assistant"), start, delta("It "))
        async with served_page(opened) as page:
            head = (await session.info()).head
            async with aclosing(frames(page.client, f"/sessions/{session.id}/live?after={head}")) as stream:
                [batch] = await until(stream, head)
                assert (batch["texts"], batch["phase"]) == ([], "STREAMING")
                await said(session, delta("rains "), delta("again."))
                batches = await until(stream, head + 2)
                assert "".join(text["text"] for one in batches for text in one["texts"]) == "rains again."
                [row] = batches[-1]["rows"]
                assert (row["text_tail"], row["last_seq"], row["flags"] & 2) == ("It rains again.", head + 2, 2)
                done = AssistantMessage(content=(TextContent(text="It rains again."),))
                await said(session, MessageUpdate(kind="text_end", content_index=0), MessageEnd(message=done))
                batches = await until(stream, head + 4)
                [row] = batches[-1]["rows"]
                assert (row["preview"], row["flags"], row["text_tail"]) == ("It rains again.", 0, "")


@pytest.mark.slow
async def test_whoever_comes_back_again_and_again_misses_no_row(log: EventLog) -> None:
    opened = Log(log, clock=lambda: 7)
    session = await opened.session("main")
    words = [f"w{n} " for n in range(30)]
    async with served_page(opened) as page:
        rows: dict[int, Any] = {}
        seen = 0
        for number in range(8):
            path, headers = f"/sessions/{session.id}/live", {"last-event-id": str(seen)}
            talking = asyncio.create_task(agent(words).run(f"Question {number}", session=session))
            async with aclosing(frames(page.client, path, **headers)) as stream:
                for read in range(1 + number % 3):
                    if read and (await session.info()).head == seen:
                        break  # nothing is there to be told yet
                    place, event, batch = await anext(stream)
                    assert (event, batch["after"], int(place)) == ("rows", seen, batch["seq"])
                    rows |= {row["row"]: row for row in batch["rows"]}
                    seen = batch["seq"]
            await talking
        head = (await session.info()).head
        async with aclosing(frames(page.client, f"/sessions/{session.id}/live?after={seen}")) as stream:
            for batch in await until(stream, head):
                rows |= {row["row"]: row for row in batch["rows"]}
        whole = (await page.get(f"/sessions/{session.id}/previews", limit=500))["rows"]
    assert [{**rows[n], "text_tail": ""} for n in sorted(rows)] == whole
    assert len(whole) > 16


async def test_where_more_has_come_than_is_told_the_page_is_to_read_anew() -> None:
    async with open_store() as store:
        opened = Log(store, clock=lambda: 7)
        session = await opened.session("main")
        event = MessageAdopt(message=UserMessage(content="Hello."), origin=ORIGIN)
        await store.append(session.id, [(1, event)] * 600)
        async with served_page(opened) as page, aclosing(frames(page.client, f"/sessions/{session.id}/live")) as stream:
            _, _, batch = await anext(stream)
            assert (batch["reload"], batch["rows"], batch["rows_in_all"], batch["seq"]) == (True, [], 600, 600)
            await store.append(session.id, [(1, event)])
            _, _, batch = await anext(stream)
            assert (batch["reload"], [row["row"] for row in batch["rows"]]) == (False, [600])


async def test_a_tail_that_is_not_there_any_more_is_told() -> None:
    async with open_store() as store:
        opened = Log(store, clock=lambda: 7)
        session = await opened.session("main")
        await session.label("title")
        async with served_page(opened) as page:
            async with aclosing(frames(page.client, f"/sessions/{session.id}/live?after=9")) as stream:
                _, event, said = await anext(stream)
            assert (event, said["head"]) == ("reset", 1)
            digest = "0" * 64
            async with aclosing(frames(page.client, f"/sessions/{session.id}/live?after=1&at_digest={digest}")) as it:
                assert (await anext(it))[1] == "reset"
            await page.get(f"/sessions/{session.id}/live?after=1&upto=3", 422)


async def test_a_session_that_is_deleted_ends_its_stream() -> None:
    async with open_store() as store:
        opened = Log(store, clock=lambda: 7)
        session = await opened.session("main")
        async with served_page(opened) as page, aclosing(frames(page.client, f"/sessions/{session.id}/live")) as stream:
            await anext(stream)
            await opened.delete(session.id)
            _, event, said = await anext(stream)
            assert (event, said["reason"]) == ("end", "the session was deleted")


@pytest.mark.slow
async def test_the_table_tells_of_new_changed_and_deleted_sessions(log: EventLog) -> None:
    """Also of one that was updated long ago, of a parent that has a fork more, and of who begins to run it."""
    opened = Log(log, clock=lambda: 7)
    one = await opened.session("one")
    async with served_page(opened) as page, aclosing(frames(page.client, "/live")) as stream:
        told = Told(stream)
        assert await told.titles() == {"one"}
        assert (told.batch["watched"], told.batch["more"]) == (1, False)
        await opened.session("two")
        assert await told.titles() == {"two"}
        await one.label("another title")
        assert await told.titles() == {"another title"}
        await log.create("old", title="old", created_at_us=-5)
        assert await told.titles() == {"old"}
        await log.append("old", [(-5, Label(text="very old"))])
        assert await told.titles() == {"very old"}
        await log.append("old", [(-5, AgentStart())])
        assert await told.titles() == {"very old"}
        lease = await log.claim("old")
        assert await told.titles() == {"very old"}
        assert told.batch["sessions"][0]["status"] == "running"
        await log.release(lease)
        assert await told.titles() == {"very old"}
        fork = await one.fork(title="fork")
        assert await told.titles() == {"fork", "another title"}
        assert [row["forks"] for row in told.batch["sessions"] if row["info"]["id"] == one.id] == [1]
        await opened.delete(fork.id)
        _, _, batch = await anext(stream)
        assert (batch["sessions"], batch["gone"]) == ([], [fork.id])


class Told:
    """What a stream of the table told last."""

    def __init__(self, stream: AsyncIterator[tuple[str, str, Any]]) -> None:
        self._stream = stream
        self.batch: Any = None

    async def titles(self) -> set[str]:
        """Return the titles of the rows that are told next."""
        async with asyncio.timeout(60):
            _, event, self.batch = await anext(self._stream)
        assert event == "sessions"
        return {row["info"]["title"] for row in self.batch["sessions"]}


@pytest.mark.slow
async def test_all_who_watch_the_table_share_its_looks_and_leave_none_behind() -> None:
    async with open_store() as store:
        opened = Log(store, clock=lambda: 7)
        table = TableWatch(store)
        told: list[asyncio.Queue[TableBatch]] = [asyncio.Queue() for _ in range(20)]
        watching = [asyncio.create_task(table.watch(one.put_nowait)) for one in told]
        async with asyncio.timeout(60):
            assert [(await one.get()).sessions for one in told] == [()] * 20
            for number in range(450):
                await store.create(f"s{number}")
            batches = list[TableBatch]()
            while len({row.info.id for batch in batches for row in batch.sessions}) < 450:
                batches.append(await told[0].get())
            for one in told[1:]:
                assert [await one.get() for _ in batches] == batches
        assert max(len(batch.sessions) for batch in batches) == 200
        assert table.looks < 12
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
        looks = table.looks
        await opened.session("another")
        assert (table.looks, await store.wait_any(-1) > 0) == (looks, True)


async def test_a_log_that_is_closed_ends_the_streams_of_its_table() -> None:
    async with open_store() as store:
        table = TableWatch(store)
        first = asyncio.Event()
        watching = asyncio.create_task(table.watch(lambda batch: first.set()))
        await first.wait()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await watching


async def test_of_more_sessions_than_are_watched_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refold.http.api.table_watch.WATCHED", 3)
    async with open_store() as store:
        for number in range(5):
            await store.create(f"s{number}", created_at_us=number)
        async with (
            served_page(Log(store, clock=lambda: 7)) as page,
            aclosing(frames(page.client, "/live")) as stream,
        ):
            told = Told(stream)
            await told.titles()
            assert (told.batch["watched"], told.batch["more"]) == (3, True)
            await store.append("s0", [(9, Label(text="up"))])
            assert await told.titles() == {"up"}
            assert told.batch["gone"] == []
            await store.delete("s4")
            while not told.batch["gone"]:
                await told.titles()
            assert told.batch["gone"] == ["s4"]


async def test_a_push_wakes_whoever_watches(log: EventLog) -> None:
    opened = Log(log, clock=lambda: 7)
    session = await opened.session("main")
    async with served_page(opened) as page, aclosing(frames(page.client, f"/sessions/{session.id}/live")) as stream:
        await anext(stream)
        await session.append([QueuePush(queue="prompt", message=UserMessage(content="Hello."))])
        _, _, batch = await anext(stream)
        assert (batch["after"], batch["seq"], batch["info"]["status"]) == (0, 1, "queued")

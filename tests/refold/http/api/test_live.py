"""Live streams: what is there and then what comes, no gap and no duplicate, whoever cuts them off and when."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from eventsource.envelope import Cursor
from eventsource.models.scripted import scripted
from refold import Agent, Session, open_log
from refold.http import serving_log
from refold.http.api import event_stream, hub as hubs
from refold.http.api.event_stream import EventStream
from refold.http.api.hub import Hub
from refold.tasks import TaskContext, task

from .serving import TOKEN, Setup, served


async def test_a_stream_shows_what_is_there_and_then_what_comes() -> None:
    async with served() as setup:
        session = await setup.log.session("a")
        await session.label("one", None)
        await session.label("a", None)
        async with setup.stream("/v1/sessions/a/events") as stream:
            assert [one.seq for one in await stream.upto(2)] == [1, 2]
            await session.steer("Hi")
            (pushed,) = await stream.upto(3)
            assert (pushed.id, pushed.type) == ("3", "queue_push")
            assert pushed.data["event"]["message"]["content"] == "Hi"
            assert pushed.data["session"] == session.id


@pytest.mark.parametrize("updates", ["all", "joined", "none"])
async def test_a_stream_holds_each_event_once_in_every_form(updates: str) -> None:
    async with served() as setup:
        session = await setup.log.session("a")
        agent = Agent(scripted(["It ", "rains ", "in ", "Oslo."], ["And ", "here."]))
        await agent.run("Rain?", session=session)
        async with setup.stream(f"/v1/sessions/a/events?updates={updates}") as stream:
            found = await stream.upto((await session.info()).head)
            await agent.run("Here?", session=session)
            found += await stream.upto((await session.info()).head)
        kept = await session.events(updates=updates != "none")
        covered = [seq for one in found for seq in range(one.data.get("first_seq", one.seq), one.seq + 1)]
        assert covered == [one.seq for one in kept]
        said = "".join(one.data["event"].get("delta", "") for one in found)
        assert said == ("" if updates == "none" else "It rains in Oslo.And here.")


async def test_deltas_that_come_together_are_sent_as_one() -> None:
    async with open_log() as log:
        hub, session = Hub(log.store), await log.session("a")
        with hub.reading() as reader:
            pieces = hub.stream(reader, session.id, Cursor(), "joined")
            assert await anext(pieces) == b"retry: 500\n\n"
            await Agent(scripted(["a"] * 200)).run("Go.", session=session)
            sent = b""
            while b"event: agent_end" not in sent:
                sent += await anext(pieces)
        assert sent.count(b'"text_delta"') < 20
        await hub.stop()


async def test_readers_of_a_session_share_one_follower_and_leave_none_behind() -> None:
    async with open_log() as log:
        hub, session = Hub(log.store), await log.session("a")

        async def read(count: int) -> list[bytes]:
            found: list[bytes] = []
            with hub.reading() as reader:
                async for piece in hub.stream(reader, session.id, Cursor(), "all"):
                    found.append(piece)
                    if b"".join(found).count(b"event: label") == count:
                        break
            return found

        readers = [asyncio.create_task(read(3)) for _ in range(20)]
        for text in "xyz":
            await session.label(text)
            await asyncio.sleep(0)
        found = await asyncio.gather(*readers)
        assert len({b"".join(one) for one in found}) == 1
        assert hub.followed == 0


async def test_who_comes_back_gets_what_it_missed_and_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with served(tmp_path / "log.db") as setup:
        session = await setup.log.session("a")
        writers = [asyncio.create_task(_write(session, number)) for number in range(3)]
        found: list[int] = []
        while not all(writer.done() for writer in writers) or found[-1:] != [(await session.info()).head]:
            last = {"last_event_id": str(found[-1])} if found else {}
            async with setup.stream("/v1/sessions/a/events?updates=all", **last) as stream:
                for _ in range(chance.randint(1, 40)):
                    if found and found[-1] == (await session.info()).head:
                        break
                    one = await stream.next()
                    assert one is not None
                    found.append(one.seq)
        assert found == [recorded.seq for recorded in await session.events(limit=10_000)]


async def _write(session: Session, number: int) -> None:
    for count in range(60):
        await session.steer(f"{number}-{count}")
        if count % 7 == number:
            await asyncio.sleep(0.001)


async def test_a_tail_that_is_in_the_log_no_more_is_told() -> None:
    async with served() as setup:
        session = await setup.log.session("a")
        await session.steer("Hi")
        digest = (await setup.get("/v1/sessions/a/cursor"))["digest"]
        async with setup.stream(f"/v1/sessions/a/events?after=1&at_digest={digest}") as stream:
            await session.steer("again")
            assert [one.seq for one in await stream.upto(2)] == [2]
        for query in (f"after=1&at_digest={'0' * 64}", "after=9"):
            async with setup.stream(f"/v1/sessions/a/events?{query}") as stream:
                told = await stream.next()
                assert told is not None
                assert (told.type, told.data["head"]) == ("reset", 2)
                assert await stream.next() is None


async def test_a_stream_tells_why_it_ends() -> None:
    async with served() as setup:
        session = await setup.log.session("a")
        await session.steer("Hi")
        async with setup.stream("/v1/sessions/a/events") as stream:
            await stream.upto(1)
            await setup.log.delete(session.id)
            told = await stream.next()
            assert told is not None
            assert (told.type, told.data) == ("end", {"reason": "the session was deleted"})


async def test_a_server_that_stops_tells_its_readers() -> None:
    async with open_log() as log, AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving_log(log, token=TOKEN))
        await log.session("a")
        setup = Setup(log, running.url, [])
        async with setup.client, setup.stream("/v1/sessions/a/events") as stream:
            reading = asyncio.create_task(stream.next())
            await setup.get("/v1/sessions/a")
            await stack.aclose()
            told = await reading
            assert told is not None
            assert (told.type, told.data) == ("end", {"reason": "the server stops"})


async def test_a_reader_that_does_not_read_is_cut_off_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "WAITING_BYTES", 50_000)
    async with open_log() as log:
        hub, session = Hub(log.store), await log.session("a")
        with hub.reading() as slow, hub.reading() as quick:
            idle = hub.stream(slow, session.id, Cursor(), "all")
            await anext(idle)
            waiting = asyncio.ensure_future(anext(idle))
            busy = hub.stream(quick, session.id, Cursor(), "all")
            await anext(busy)
            for count in range(30):
                await session.steer("x" * 5_000)
                if count == 0:
                    await waiting
                    waiting = asyncio.ensure_future(anext(idle))  # it is live now
                elif count == 1:
                    await waiting
                sent = await anext(busy)
                assert sent.endswith(b"\n\n")
            assert slow.cut.is_set()
            assert not quick.cut.is_set()
        await hub.stop()


async def test_a_connection_that_takes_nothing_is_cut_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, send_all = asyncio.Event(), EventStream._send

    async def sent_all(stream: EventStream, *given: Any) -> None:
        await send_all(stream, *given)
        cut.set()

    monkeypatch.setattr(event_stream, "SEND_S", 0.1)
    monkeypatch.setattr(EventStream, "_send", sent_all)
    async with served() as setup:
        session = await setup.log.session("a")
        for _ in range(60):
            await session.steer("x" * 100_000)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # the system takes little in our place
        connection.connect(("127.0.0.1", int(setup.url.rpartition(":")[2])))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1_000)
        writer.write(
            f"GET /v1/sessions/a/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
            f"authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        async with asyncio.timeout(60):
            await cut.wait()
        monkeypatch.undo()
        sent = b""
        async with asyncio.timeout(60):
            while piece := await reader.read(65_536):
                sent += piece
        writer.close()
        assert not sent.endswith(b"0\r\n\r\n")  # it was not ended, but cut
        seqs = [int(one.split(b"\n")[0]) for one in sent.split(b"\nid: ")[1:]]
        assert 0 < len(seqs) < 60
        async with setup.stream("/v1/sessions/a/events", last_event_id=str(seqs[-2])) as stream:
            assert [one.seq for one in await stream.upto(60)] == list(range(seqs[-2] + 1, 61))


async def test_whoever_stands_between_knows_that_a_silent_stream_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "PING_S", 0.01)
    async with open_log() as log:
        hub, session = Hub(log.store), await log.session("a")
        with hub.reading() as reader:
            pieces = hub.stream(reader, session.id, Cursor(), "joined")
            assert [await anext(pieces) for _ in range(3)] == [b"retry: 500\n\n", b": ping\n\n", b": ping\n\n"]
        await hub.stop()


async def test_no_more_streams_are_kept_open_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_STREAMS", 2)
    async with served() as setup:
        await setup.log.session("a")
        async with setup.stream("/v1/sessions/a/events"), setup.stream("/v1/sessions/a/tree-events"):
            answer = await setup.client.get("/v1/sessions/a/events", headers={"accept": "text/event-stream"})
            assert answer.status_code == 503
            assert (await setup.get("/v1/sessions/a/events"))["events"] == []
        while answer.status_code == 503:  # until the server has noticed that they left
            async with setup.client.stream("GET", "/v1/sessions/a/tree-events") as answer:
                pass
        assert answer.status_code == 200


async def test_a_tree_is_one_stream_that_can_be_come_back_to() -> None:
    async def child(context: TaskContext, payload: int) -> int:
        return await context.step("add", lambda: payload + 1)

    adding = task(id="add", payload=int, result=int)(child)

    async def work(context: TaskContext, payload: None) -> int:
        return await context.trigger_and_wait(adding, await context.trigger_and_wait(adding, 1, key="one"))

    async with served() as setup:
        run = await task(id="work", result=int)(work).run(setup.log)
        assert run.result == 3
        sessions = [run.id, *run.children.values()]
        every = {(name, one.seq) for name in sessions for one in await (await setup.log.find(name)).events()}
        found: list[tuple[str, int]] = []
        last: dict[str, str] = {}
        while len(found) < len(every):  # cut off after each event
            async with setup.stream(f"/v1/sessions/{run.id}/tree-events?updates=all", **last) as stream:
                one = await stream.next()
                assert one is not None
                found.append((one.data["session"], one.seq))
                last = {"last_event_id": one.id}
        assert sorted(found) == sorted(every)
        for name in sessions:
            assert [seq for session, seq in found if session == name] == sorted(s for n, s in every if n == name)
        for place in ("x", "a:", ":3", "a:b", "9" * 20, "a:1," * 20_000):
            await setup.get(f"/v1/sessions/{run.id}/tree-events", 422, after=place[:9_000])

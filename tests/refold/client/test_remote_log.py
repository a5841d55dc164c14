"""A log over HTTP is read as the log that it is: by pages of any size, at any seq, by many sessions at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventsource.envelope import Figure
from eventsource.errors import ArgumentError, StoreError, UnknownSeqError, UnknownSessionError
from eventsource.events import EVENT_TYPES, Custom, Label, MessageEnd, QueuePush
from eventsource.log.contract.histories import exchange, timed
from eventsource.log.protocol import EventLog
from eventsource.messages import Usage, UserMessage
from eventsource.models.scripted import scripted, stop
from refold import Agent, Log, open_log
from refold.client.address import read_address
from refold.client.connection import Connection
from refold.http import serving_log
from refold.http.interface.values import MOST
from refold.spending import SpentBy, total_spending
from refold.tasks import TaskRun, runs

from .served import TOKEN, survey

MANY = MOST + 50


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Log, Log]]:
    """Give a log in memory, and the same one over HTTP."""
    async with (
        open_log() as log,
        serving_log(log, token=TOKEN) as running,
        open_log(f"{running.url}#token={TOKEN}") as there,
    ):
        yield log, there


async def dropped(log: Log) -> str:
    """Make a session of which some was dropped, and some erased."""
    session = await log.session("dropped")
    for text in ("Say a secret.", "And another one."):
        await Agent(scripted(["Many ", "small ", "pieces."], by="request")).run(text, session=session)
    await log.store.drop_updates(session.id)
    await log.store.erase(session.id, 2, at_us=1, reason="asked to")
    return session.id


async def test_pages_are_as_large_as_they_are_asked_for() -> None:
    async with both() as (log, there):
        await log.store.create("a")
        labels = [(1, Label(text=str(number), target_seq=1)) for number in range(MANY)]
        await log.store.append("a", labels)
        for after, upto, limit in (
            (0, None, MANY),
            (3, MANY - 3, 2 * MANY),
            (5, None, 7),
            (0, 4, 1_000),
            (MANY, None, 5),
        ):
            here = await log.store.read("a", after=after, upto=upto, limit=limit)
            assert await there.store.read("a", after=after, upto=upto, limit=limit) == here
        for number in range(MANY):
            await log.store.create(f"s{number}")
        names = [info.id for info in await log.store.sessions(limit=2 * MANY)]
        assert [info.id for info in await there.store.sessions(limit=2 * MANY)] == names
        assert [info.id for info in await there.store.sessions(limit=MANY, after=names[2])] == names[3 : MANY + 3]
        facts = await log.store.last_facts(names, [Label], limit=3)
        assert await there.store.last_facts(names, [Label], limit=3) == facts
        assert await there.store.last_facts(["nobody", "a"], [Custom, Label], limit=1) == (
            (),
            facts[names.index("a")][-1:],
        )


async def test_what_is_found_is_found_page_by_page() -> None:
    async with both() as (log, there):
        await log.store.create("a")
        said = UserMessage(content="A needle.")
        await log.store.append("a", [(1, QueuePush(queue="steering", message=said)) for _ in range(MANY)])
        here = await log.store.search("needle", limit=MANY)
        assert len(here) == MANY
        assert await there.store.search("NEEDLE", limit=MANY) == here
        counted = await log.store.count_found("needle", most=3)
        assert await there.store.count_found("needle", most=3) == counted != ()
        names = ["nobody", "a"]
        for inherited in (False, True):
            asked = await log.store.count_found("needle", sessions=names, inherited=inherited, most=900)
            assert await there.store.count_found("needle", sessions=names, inherited=inherited, most=900) == asked
        fork = await log.store.fork("a", 9, at_us=2)
        names = ["a", fork.id, "nobody"]
        assert await there.store.inherited_usage(names) == await log.store.inherited_usage(names)
        assert await there.store.search("needle", session="a", after=here[4], limit=3) == here[5:8]


async def test_sessions_are_chosen_and_sorted_there() -> None:
    async with both() as (log, there):
        for number in range(4):
            await log.store.create(f"s{number}")
            await log.store.append(f"s{number}", timed(exchange("Fine.")) * number)

        async def listed(**how: Any) -> list[str]:
            rows = await log.store.sessions(**how)
            assert await there.store.sessions(**how) == rows, how
            return [one.id for one in rows]

        assert await listed(sort="events") == ["s3", "s2", "s1", "s0"]
        assert await listed(
            figures=[Figure("head", ">", len(exchange("Fine."))), Figure("cost_microusd", "=", 0)], sort="events"
        ) == [
            "s3",
            "s2",
        ]
        assert await listed(among=["s1", "s3", "nobody"], sort="events") == ["s3", "s1"]
        assert await listed(tool="READ", sort="events") == ["s3", "s2", "s1"]
        assert await listed(last=["done", "error"], sort="events") == ["s3", "s2", "s1"]
        assert await listed(status=["empty", "waiting"]) == ["s0"]
        assert await listed(status=[]) == await listed(among=[]) == []


async def test_what_all_sessions_used_and_the_runs_of_tasks_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    async with both() as (log, there):
        for number in range(4):
            session = await log.session(f"talk {number}")
            await Agent(scripted(["Fine.", stop(usage=Usage(input_tokens=7))])).run("Well?", session=session)
            await survey.trigger(log, {"about": f"coats {number}"}, tags=["autumn"] if number % 2 else [])
        asked: list[str] = []
        get = Connection.get

        async def counted(self: Connection, path: str, *arguments: Any, **options: Any) -> Any:
            asked.append(path)
            return await get(self, path, *arguments, **options)

        monkeypatch.setattr(Connection, "get", counted)
        choices: list[SpentBy] = ["model", "day", "session"]
        for by in choices:
            here = await total_spending(log.store, by)
            assert await total_spending(there.store, by) == here != []
            assert {bool(one.session) for one in here} == {by == "session"}
            assert await total_spending(there.store, by, since_us=2**60) == []
        assert asked == ["/v1/usage"] * 6
        asked.clear()
        ways: list[dict[str, Any]] = [
            {},
            {"tag": "autumn"},
            {"status": "due"},
            {"task": "nothing"},
            {"limit": 2},
            {"unfinished": True},
        ]
        for how in ways:
            found = await runs(there, **how)
            expected = await runs(log, **how)
            assert [plain(one) for one in found] == [plain(one) for one in expected], how
        assert asked == ["/v1/runs"] * 6
        assert len(await runs(there, limit=MANY)) == 4
        await found[0].cancel("enough")
        assert (await runs(log, status="cancelled"))[0].id == found[0].id


def plain(run: TaskRun) -> dict[str, object]:
    return {name: getattr(run, name) for name in run.__struct_fields__ if name != "session"} | {"id": run.id}


async def test_what_was_dropped_and_erased_is_told() -> None:
    async with both() as (log, there):
        name = await dropped(log)
        assert await there.store.dropped(name) == await log.store.dropped(name) != ()
        assert await there.store.removed(name) == await log.store.removed(name)
        assert await there.store.read(name) == await log.store.read(name)
        assert await there.store.cursor(name, 3) == await log.store.cursor(name, 3)
        assert await there.store.info(name) == await log.store.info(name)
        assert await there.verify() == await log.verify()
        assert await there.store.verify(name) == await log.store.verify(name)
        assert await there.store.last_facts([name], EVENT_TYPES) == await log.store.last_facts([name], EVENT_TYPES)
        run = await survey.trigger(log, {"about": "coats"})
        assert await there.store.due() == (run.id,) == await log.store.due()


async def test_what_is_not_there_is_the_same_error() -> None:
    async with both() as (log, there):
        await log.session("oslo")
        for doing in (there.store.info("nobody"), there.store.read("oslo"), there.store.dropped("x"), there.find("y")):
            with pytest.raises(UnknownSessionError):
                await doing
        session = await there.find("oslo")
        with pytest.raises(UnknownSeqError):
            await session.state(7)
        with pytest.raises(UnknownSessionError):
            await there.session("bergen")


async def test_who_waits_for_an_event_is_told_of_it() -> None:
    async with both() as (log, there):
        session = await log.session("oslo")
        assert await there.store.wait(session.id, 0, 0.01) is False
        waiting = asyncio.create_task(there.store.wait(session.id, 0))
        await asyncio.sleep(0)
        await session.label("x")
        assert await waiting is True
        assert await there.store.wait(session.id, 0) is True
        gone = asyncio.create_task(there.store.wait(session.id, 1))
        await asyncio.sleep(0)
        await log.delete(session.id)
        with pytest.raises(UnknownSessionError):
            await gone


async def test_an_opened_log_over_http_goes_on_folding_what_others_append() -> None:
    async with both() as (log, there):
        session = await log.session("oslo")
        far = await there.find(session.id)
        for number in range(3):
            await Agent(scripted(f"Answer {number}.", by="request")).run(f"{number}?", session=session)
            assert await far.messages() == await session.messages()
            assert await far.state() == await session.state()
            await far.steer(f"Steered {number}.")
            assert (await session.state()).queue == (await far.state()).queue


REFUSED: Sequence[Callable[[EventLog], Awaitable[object]]] = (
    lambda store: store.create("b"),
    lambda store: store.append("a", [(1, Custom(kind="x"))]),
    lambda store: store.append("a", [(1, Label(text="x")), (1, Label(text="y"))]),
    lambda store: store.append("a", []),
    lambda store: store.append("a", [(1, MessageEnd())], epoch=1),
    lambda store: store.append("a", [(1, Label(text="x"))], behind=lambda news: True),
    lambda store: store.fork("a", 1, at_us=1, source="elsewhere"),
    lambda store: store.restore("a", []),
    lambda store: store.claim("a"),
    lambda store: store.take_due(),
    lambda store: store.drop_updates("a"),
    lambda store: store.erase("a", 1, at_us=1),
    lambda store: store.delete("a"),
    lambda store: store.archive("a", at_us=1),
    lambda store: store.vacuum(),
    lambda store: store.rebuild(),
    lambda store: store.backup("copy.db"),
)


async def test_what_does_not_go_over_http_is_refused_in_a_sentence_and_changes_nothing() -> None:
    async with both() as (log, there):
        await log.store.create("a")
        await log.store.append("a", [(1, Label(text="A"))])
        before = await log.store.sessions()
        for doing in REFUSED:
            with pytest.raises(StoreError, match=r"this log is read over HTTP: .*; steer, follow_up, send"):
                await doing(there.store)
        with pytest.raises(StoreError, match="nothing can be run from here"):
            await Agent(scripted("No.")).run("Hello?", session=await there.find("a"))
        assert await log.store.sessions() == before


async def test_a_fork_over_http_keeps_what_one_here_keeps() -> None:
    async with both() as (log, there):
        session = await log.session("oslo")
        await Agent(scripted("One.", "Two.", by="request")).run("First?", session=session)
        await Agent(scripted("One.", "Two.", by="request")).run("Second?", session=session)
        far, seq = await there.find(session.id), (await session.messages())[2].seq
        for options in ({"before": seq}, {"at": 4}, {"key": "k"}):
            fork = await far.fork(title="far", **options)
            again = await session.fork(title="near", **options)
            if "key" in options:
                assert fork.id == again.id
            else:
                assert await (await log.find(fork.id)).state() == await again.state()
            assert (await fork.info()).fork_seq == (await again.info()).fork_seq


def test_the_address_of_a_session_is_none_of_a_log() -> None:
    with pytest.raises(ArgumentError, match="that of a session"):
        read_address("http://127.0.0.1:8799/v1/sessions/oslo", where="open_log")
    found = read_address("HTTPS://[::1]:99/a/v1/sessions/o%2Fs#token=t", where="f", of_session=True)
    assert (found.base, found.session, found.token, found.is_near) == ("https://[::1]:99/a", "o/s", "t", True)
    assert repr(found) == "Address('https://[::1]:99/a')"

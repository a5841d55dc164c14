"""The client: it asks by the names of `Session`, raises the library's errors, and never does a thing twice."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventsource.errors import (
    ArgumentError,
    ConflictError,
    SessionExistsError,
    TokenValueError,
    UnknownLabelError,
    UnknownSeqError,
    UnknownSessionError,
    UnreadMessageError,
    WaitOverError,
)
from eventsource.events import MessageAdopt, Origin, QueuePush, WaitEnd
from eventsource.machine.state import State
from eventsource.messages import ImageContent, UserMessage
from eventsource.models.scripted import call, scripted
from projections import CALLS, tool_calls
from projections.projection import project
from refold import Agent, Log, Session, open_log
from refold.client import Client, ClientError, ClientSession, Head, RunAnswer
from refold.client.connection import TRIES
from refold.http import serving_log
from refold.spending import spending
from refold.tasks import TaskPayloadError, Worker

from .served import TOKEN, deploy, survey, weather


def choose(session: str, state: State) -> tuple[Agent[object], object]:
    return Agent(scripted("Take a coat.", "And gloves."), name="guide"), None


@asynccontextmanager
async def setup(**settings: Any) -> AsyncIterator[tuple[Log, Client]]:
    """Serve a log in memory; give it, and a client."""
    given: dict[str, Any] = {"choose": choose, "tasks": [survey]} | settings
    async with (
        open_log() as log,
        serving_log(log, token=TOKEN, **given) as running,
        Client(running.url, TOKEN) as client,
    ):
        yield log, client


async def ran(log: Log, name: str = "oslo") -> Session:
    session = await log.session(name)
    agent = Agent(scripted([call("weather", {"city": "Oslo"})], "Rain."), tools=[weather])
    await agent.run("Do I need a coat?", session=session)
    return session


OTHERWISE = ("calls", "cursor", "metadata", "push", "resume", "run", "stream_items", "usage")
"""What a session of a log is asked in another way: by a fold, its `core`, an agent."""


def test_what_both_do_has_the_same_name_and_is_told_the_same() -> None:
    for name, method in inspect.getmembers(ClientSession, inspect.isfunction):
        if name.startswith("_") or name in OTHERWISE:
            continue
        own, there = (list(inspect.signature(one).parameters) for one in (getattr(Session, name), method))
        added = {"updates", "expected", "expires_s", "limit"} - set(own)
        assert [one for one in there if one not in added] == own, name


async def test_what_a_server_says_of_a_session_is_what_its_log_says() -> None:
    async with setup() as (log, client):
        session = await ran(log)
        there = await client.session("oslo")
        info = await session.info()
        row = await there.info()
        assert {name: getattr(row, name) for name in info.__struct_fields__} == {
            name: getattr(info, name) for name in info.__struct_fields__
        }
        assert row.stands.status == "idle"
        assert await there.events() == await session.events()
        assert await there.events(after=3, upto=9, limit=2) == await session.events(after=3, upto=9, limit=2)
        assert await there.events(updates=False) == await session.events(updates=False)
        assert (await there.state(5)).at == 5
        assert (await there.state()).phase == (await session.state()).phase.value
        assert await there.request() == await session.request()
        assert await there.request(7) == await session.request(7)
        assert await there.why(info.head, limit=2) == await session.why(info.head, limit=2)
        assert await there.calls() == tool_calls(project(CALLS, await session.events()))
        assert await there.usage() == await spending(log.store, session.id)
        assert await there.cursor() == await log.store.cursor(session.id)
        assert await there.waits() == ()


async def test_sessions_are_found_listed_searched_and_made() -> None:
    async with setup() as (log, client):
        session = await ran(log)
        for name in ("oslo", session.id, session.id[:6], "last"):
            assert (await client.find(name)).id == session.id
        made = await client.session("bergen/harbour")
        assert (await client.session("bergen/harbour")).id == made.id
        assert (await log.find("bergen/harbour")).id == made.id
        page = await client.sessions(limit=1)
        assert [one.id for one in page.sessions] == [made.id]
        assert [one.id for one in (await client.sessions(after=page.next)).sessions] == [session.id]
        assert [one.session for one in (await client.search("COAT")).found] == [session.id]
        assert (await client.create("an/id of its own".replace(" ", "-"), title="Named")).id == "an/id-of-its-own"
        assert (await (await client.find("Named")).info()).title == "Named"
        once = await client.create(title="once", key="k")
        assert (await client.create(title="once", key="k")).id == once.id
        with pytest.raises(SessionExistsError):
            await client.create("an/id-of-its-own")
        with pytest.raises(UnknownSessionError) as unknown:
            await client.find("nobody")
        assert str(unknown.value) == "no session 'nobody'; `refold ls` lists them"


async def test_an_id_is_never_taken_for_the_title_of_another_session() -> None:
    async with setup() as (log, client):
        await log.store.create("a")
        await log.store.create("b", title="a")
        assert (await ClientSession(client.connection, "a").info()).id == "a"
        await log.delete("b")
        await log.store.delete("a")
        await log.store.create("c", title="a")
        with pytest.raises(UnknownSessionError):
            await ClientSession(client.connection, "a").info()


async def test_what_is_said_to_a_session_arrives_as_it_was_said() -> None:
    async with setup() as (log, client):
        session = await ran(log)
        there, head = await client.find(session.id), (await session.info()).head
        image = UserMessage(content=(ImageContent(data="aGk=", media_type="image/png"),))
        assert await there.steer("Quickly.", key="k") == head + 1
        assert await there.steer("Quickly.", key="k") == head + 1
        assert await there.follow_up([image, "And tomorrow?"]) == head + 3
        assert await there.abort("limit", error="late", by="a test") == head + 4
        assert await there.label("good", 3) == head + 5
        pushes = [one.event for one in await session.events(after=head) if isinstance(one.event, QueuePush)]
        assert [(one.queue, one.message) for one in pushes] == [
            ("steering", UserMessage(content="Quickly.")),
            ("follow_up", image),
            ("follow_up", UserMessage(content="And tomorrow?")),
        ]
        assert await session.labels() == ((3, "good"),)
        with pytest.raises(ConflictError) as conflict:
            await there.label("better", 3, expected=head)
        assert (conflict.value.session, conflict.value.expected, conflict.value.head) == (session.id, head, head + 5)
        with pytest.raises(UnreadMessageError):
            await there.send("Hello?")
        with pytest.raises(UnknownSeqError):
            await there.label("x", 9_999)
        with pytest.raises(ArgumentError):
            await there.send(image)
        with pytest.raises(ArgumentError):
            await there.steer("")


async def test_a_session_is_forked_and_a_message_edited() -> None:
    async with setup() as (log, client):
        session = await ran(log)
        there = await client.find(session.id)
        fork = await there.fork(at=5, title="five", key="k")
        assert (await there.fork(at=5, key="k")).id == fork.id
        assert (await fork.info()).fork_seq == 5
        prompt = (await session.messages())[0].seq
        edited = await there.edit(prompt, "Do I need gloves?")
        run = await edited.resume(wait_s=60)
        assert isinstance(run, RunAnswer)
        assert "Do I need gloves?" in str(await (await log.find(edited.id)).messages())
        with pytest.raises(UnknownLabelError):
            await there.fork(at="nowhere")


async def test_messages_are_listed_hidden_replaced_and_adopted() -> None:
    async with setup() as (log, client):
        session = await ran(log)
        there = await client.find(session.id)
        assert await there.messages() == await session.messages()
        prompt, *_, answer = await there.messages()
        assert await there.messages(prompt.seq) == await session.messages(prompt.seq)
        assert await there.hide(prompt) == (await session.info()).head
        head = await there.replace(answer.seq, "No rain.", expected=(await session.info()).head)
        assert (
            await there.replace(answer, UserMessage(content=(ImageContent(data="aGk=", media_type="image/png"),)))
            == head + 1
        )
        with pytest.raises(ConflictError):
            await there.hide(answer, expected=head)
        with pytest.raises(UnknownSeqError):
            await there.hide(9_999)
        assert await there.messages() == await session.messages()
        assert prompt.seq not in [one.seq for one in await there.messages()]
        some: list[Any] = [answer, range(1, 99), range(1, 99, 2), [prompt, answer.seq]]
        for number, chosen in enumerate(some):
            name = f"copy {number}"
            here = await log.session(f"{name} here")
            copy = await client.session(name)
            assert await copy.adopt(chosen, from_=there) == await here.adopt(chosen, from_=session)
            assert [one.message for one in await copy.messages()] == [one.message for one in await here.messages()]
        with pytest.raises(UnknownSeqError):
            await copy.adopt(9_999, from_=there)


async def test_of_many_messages_all_are_listed_as_they_were_at_one_seq() -> None:
    async with setup() as (log, client):
        store = log.store
        await store.create("long")
        event = MessageAdopt(message=UserMessage(content="Well?"), origin=Origin(source="test"))
        await store.append("long", [(1, event)] * 2_100)
        there = await client.find("long")
        assert [one.seq for one in await there.messages()] == list(range(1, 2_101))
        assert len(await there.messages(1_500)) == 1_500


async def test_a_run_is_begun_and_waited_for() -> None:
    async with setup() as (_, client):
        there = await client.session("oslo")
        ended = await there.run("Do I need a coat?", key="k", wait_s=60)
        assert isinstance(ended, RunAnswer)
        assert (ended.status, ended.text) == ("done", "Take a coat.")
        again = await there.run("Do I need a coat?", key="k")
        assert isinstance(again, Head)
        async for one in there.follow():
            if one.event.type == "agent_end":
                break
        (push,) = [one.event for one in await there.events() if isinstance(one.event, QueuePush)]
        assert push.message == UserMessage(content="Do I need a coat?")


async def test_what_waits_is_decided_by_name_and_by_link_once() -> None:
    async with setup() as (log, client):
        session = await log.session("deploy")
        await Agent(scripted([call("deploy", {"target": "x"})]), tools=[deploy]).run("Deploy.", session=session)
        (wait,) = await (await client.find("deploy")).waits()
        assert wait.wait.tool == "deploy"
        async with Client(str(client.connection.address.base), token="another-token-0123456789") as holder:
            done = await holder.complete(wait.url, approve=False, reason="Too late.", by="somebody")
            assert (done.session, done.outcome) == (session.id, "denied")
            assert await holder.complete(wait.url, approve=False, reason="Too late.") == done
            with pytest.raises(ClientError) as otherwise:
                await holder.complete(wait.url, approve=True)
            with pytest.raises(ClientError) as foreign:
                await holder.complete(wait.url[:-3], approve=True)
            with pytest.raises(ArgumentError):
                await holder.complete("https://example.com/", approve=True)
        assert (otherwise.value.status, foreign.value.status) == (409, 404)
        with pytest.raises(WaitOverError):
            await (await client.find("deploy")).decide(wait.wait, approve=True)
        (end,) = [one.event for one in await session.events() if isinstance(one.event, WaitEnd)]
        assert end.decided_by == "somebody"


async def test_a_task_is_triggered_watched_and_completed() -> None:
    async with setup() as (log, client):
        with pytest.raises(TaskPayloadError):
            await client.trigger("survey", 3)
        run = await client.trigger("survey", {"about": "coats"}, key="one", tags=["autumn"])
        assert (await client.trigger("survey", {"about": "coats"}, key="one")).id == run.id
        await Worker(log, [survey]).drain()
        assert await run.metadata() == {"asked": {"about": "coats"}}
        first = await run.stream_items("answers", limit=2)
        rest = await run.stream_items("answers", after=first[-1][0])
        assert [item for _, item in (*first, *rest)] == [{"n": number} for number in range(5)]
        assert len(first) == 2
        assert await run.send({"vote": 3}, key="v")
        await run.decide("colour", "blue", decided_by="a test")
        with pytest.raises(WaitOverError) as over:
            await run.decide("colour", "red")
        assert over.value.outcome == "completed"
        await Worker(log, [survey]).drain()
        assert (await run.info()).last == "done"
        other = await client.trigger("survey", {"about": "gloves"})
        await other.cancel("enough")
        assert (await (await log.find(other.id)).state()).cancelled is not None


async def test_a_token_that_does_not_take_a_value_stays_open() -> None:
    async with setup() as (log, client):
        session = await log.session("deploy")
        await Agent(scripted([call("deploy", {"target": "x"})]), tools=[deploy]).run("Deploy.", session=session)
        there = await client.find("deploy")
        (wait,) = await there.waits()
        with pytest.raises(TokenValueError):
            await there.decide(wait.wait, approve=True, arguments={"target": 3})
        assert len(await there.waits()) == 1


async def test_a_server_that_may_only_be_read_says_that_it_does_nothing_else() -> None:
    async with setup(read_only=True, choose=None) as (log, client):
        await ran(log)
        there = await client.session("oslo")
        assert await there.events()
        for doing in (there.steer("Quickly."), there.fork(), client.session("bergen"), there.run("Hello")):
            with pytest.raises(ClientError) as refused:
                await doing
            assert refused.value.status in (404, 405)
        assert len(await log.list()) == 1


async def test_a_server_is_asked_on_a_unix_socket(tmp_path: Path) -> None:
    async with open_log() as log, serving_log(log, token=TOKEN, socket_path=tmp_path / "refold.sock") as running:
        session = await ran(log)
        async with Client(f"{running.url}#token={TOKEN}") as client:
            assert (await client.find("oslo")).id == session.id
            assert "refold.sock" in repr(client)
            assert TOKEN not in repr(client)
        async with open_log(f"{running.url}#token={TOKEN}") as there:
            assert await (await there.find("oslo")).messages() == await session.messages()


Answering = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def answered(*answers: httpx.Response | Exception) -> AsyncIterator[tuple[Client, list[httpx.Request]]]:
    """Give a client whose requests are answered so, or lost."""
    asked, left, waited = list[httpx.Request](), list(answers), list[float]()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    transport = httpx.MockTransport(answer)
    async with Client("http://127.0.0.1:8799/prefix/", TOKEN, transport=transport, pause=pause) as client:
        yield client, asked
    assert left == []
    assert len(waited) == len(asked) - 1


LOST: Sequence[Callable[[], httpx.Response | Exception]] = (
    lambda: httpx.ReadError("cut"),
    lambda: httpx.ConnectError("refused"),
    lambda: httpx.RemoteProtocolError("closed"),
    lambda: httpx.Response(502, text="Bad Gateway"),
)
HEAD = {"session": "a", "head": 7}


@pytest.mark.parametrize("lost", LOST)
async def test_what_may_be_asked_twice_is_asked_again(lost: Callable[[], httpx.Response | Exception]) -> None:
    async with answered(lost(), lost(), httpx.Response(200, json={"session": "a"})) as (client, asked):
        assert (await client.find("a")).id == "a"
    assert [one.url.path for one in asked] == ["/prefix/v1/find"] * 3
    async with answered(lost(), httpx.Response(200, json=HEAD)) as (client, asked):
        assert await ClientSession(client.connection, "a").steer("Quickly.") == 7
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    assert asked[0].content == asked[1].content


@pytest.mark.parametrize("lost", LOST)
async def test_what_changes_something_is_never_asked_twice_without_a_key(
    lost: Callable[[], httpx.Response | Exception],
) -> None:
    def doing(client: Client) -> Sequence[Any]:
        there = ClientSession(client.connection, "a")
        return (
            there.abort,
            there.cancel,
            lambda: there.label("x"),
            lambda: there.decide("k", 1),
            there.resume,
            lambda: client.create("a"),
            lambda: client.complete("http://h/v1/tokens/a.b.1", approve=True),
        )

    for number in range(7):
        error = lost()
        async with answered(error) as (client, asked):
            with pytest.raises(ClientError) as raised:
                await doing(client)[number]()
        assert len(asked) == 1
        unknown = isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
        assert ("whether it was done is not known" in str(raised.value)) is unknown


async def test_a_server_that_does_not_come_back_is_given_up() -> None:
    async with answered(*[httpx.ConnectError("refused") for _ in range(TRIES)]) as (client, _):
        with pytest.raises(ClientError) as raised:
            await client.find("a")
    assert (raised.value.status, raised.value.url) == (0, "http://127.0.0.1:8799/prefix")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(200, text="<html>"), "is this a server of Refold?"),
        (httpx.Response(404, text="<html>"), "not found (status 404)"),
        (httpx.Response(301, headers={"location": "https://example.com"}), "moved permanently (status 301)"),
        (httpx.Response(404, content=b"{", headers={"content-type": "application/problem+json"}), "not found"),
    ],
)
async def test_an_answer_of_another_server_is_said_to_be_one(answer: httpx.Response, says: str) -> None:
    async with answered(answer) as (client, _):
        with pytest.raises(ClientError, match=r"http://127\.0\.0\.1:8799/prefix") as raised:
            await client.find("a")
    assert says in str(raised.value)


async def test_an_error_of_a_newer_release_is_told_in_its_own_words() -> None:
    said = {"title": "Conflict", "status": 409, "detail": "the moon is full"}
    headers = {"content-type": "application/problem+json"}
    for more in (
        {"error": "MoonError"},
        {"error": "ConflictError", "fields": {"session": 3}},
        {"error": "ConflictError"},
    ):
        answer = httpx.Response(409, content=json.dumps(said | more), headers=headers)
        async with answered(answer) as (client, _):
            with pytest.raises(ClientError) as raised:
                await client.find("a")
        assert (raised.value.problem, raised.value.error) == ("the moon is full", more["error"])


@pytest.mark.slow
async def test_an_answer_is_not_held_back_until_the_one_before_it_is_acknowledged() -> None:
    async with setup() as (log, client):
        session, took = await client.find((await log.session("oslo")).id), list[float]()
        for _ in range(50):
            began, worked = time.perf_counter(), time.process_time()
            await session.cursor()
            took.append(time.perf_counter() - began - (time.process_time() - worked))
    assert min(took[-20:]) < 0.035, "each waits 40 ms for an acknowledgement that the client delays"


def test_the_client_needs_no_server_of_its_own() -> None:
    code = (
        "import sys\n"
        "for name in ('starlette', 'uvicorn'): sys.modules[name] = None\n"
        "import refold.client as c; [getattr(c, name) for name in c.__all__]\n"
        "import refold.client.remote_log\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert run.returncode == 0, run.stderr

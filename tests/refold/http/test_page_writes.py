"""What the page does to a session is what its verbs do; a fork is looked at before it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventsource.events import ContextEdit, Label, QueuePush, ToolExecutionStart
from eventsource.machine.state import State
from eventsource.messages import UserMessage
from eventsource.models.scripted import call, stop
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.script import Answer
from refold import Agent, Log, Session, tool
from tests.refold.http.pages import Page, served_page
from tests.refold.views.sessions import ASKS, CountingLog, agent, eventful


@pytest.fixture
async def served() -> AsyncIterator[tuple[Page, Session, CountingLog]]:
    store = CountingLog()
    session = await eventful(store)
    async with served_page(Log(store, clock=lambda: 7)) as page:
        yield page, session, store


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("forks", {"at": 30}),
    ("labels", {"text": "here", "seq": 3}),
    ("adopt", {"from": "s2", "messages": [5]}),
    ("hide", {"message": 59}),
    ("replace", {"message": 59, "new": "Otherwise."}),
    ("decide", {"wait": "none", "approve": True}),
    ("steer", {"message": "Stop."}),
    ("follow-up", {"message": "And then?"}),
    ("send", {"message": {"any": "json"}}),
    ("abort", {}),
]


@pytest.mark.parametrize(("verb", "body"), WRITES)
async def test_nothing_is_written_for_a_page_that_does_not_say_it_is_ours(
    served: tuple[Page, Session, CountingLog], verb: str, body: dict[str, Any]
) -> None:
    page, session, _ = served
    head = (await session.info()).head
    answer = await page.client.post(f"/api/sessions/{session.id}/{verb}", json=body)
    assert (answer.status_code, "X-Refold" in answer.text or "x-refold" in answer.text) == (403, True)
    assert (await session.info()).head == head


@pytest.mark.parametrize(("verb", "body"), WRITES)
async def test_a_server_that_only_reads_has_no_such_path(verb: str, body: dict[str, Any]) -> None:
    store = CountingLog()
    session = await eventful(store)
    async with served_page(Log(store, clock=lambda: 7), read_only=True) as page:
        answer = await page.client.post(f"/api/sessions/{session.id}/{verb}", json=body, headers={"X-Refold": "1"})
        assert answer.status_code in (404, 405)
        assert (await page.get(f"/sessions/{session.id}"))["info"]["head"] == (await session.info()).head


async def test_each_write_is_one_verb_of_the_session(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, store = served
    path = f"/sessions/{session.id}"
    head = (await session.info()).head

    async def written() -> list[Any]:
        nonlocal head
        found = await store.read(session.id, after=head)
        head += len(found)
        return [one.event for one in found]

    assert (await page.post(f"{path}/labels", {"text": "here", "seq": 3}))["head"] == head + 1
    assert await written() == [Label(text="here", target_seq=3)]
    await page.post(f"{path}/hide", {"message": 59})
    assert await written() == [ContextEdit(message_seq=59, says_hidden=True)]
    await page.post(f"{path}/replace", {"message": 65, "new": "Otherwise."})
    [edit] = await written()
    assert (edit.message_seq, edit.replacement.text) == (65, "Otherwise.")
    await page.post(f"{path}/steer", {"message": "Stop.", "key": "k"})
    await page.post(f"{path}/steer", {"message": "Stop.", "key": "k"})
    assert await written() == [QueuePush(queue="steering", message=UserMessage(content="Stop."), key="k")]
    await page.post(f"{path}/follow-up", {"message": "And then?"})
    [push] = await written()
    assert (push.queue, push.message) == ("follow_up", UserMessage(content="And then?"))
    await page.post(f"{path}/abort", {"error": "enough", "by": "ada"})
    [abort] = await written()
    assert (abort.error, abort.by) == ("enough", "ada")
    adopted = await page.post(f"{path}/adopt", {"from": "s2", "messages": [6]})
    assert [one.message.role for one in await written()] == ["user"]
    assert adopted["head"] == adopted["seqs"][-1] == head


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("hide", {"message": 1}, 404),
        ("replace", {"message": 1, "new": "x"}, 404),
        ("replace", {"message": 59, "new": 7}, 422),
        ("decide", {"wait": "none", "approve": True}, 409),
        ("send", {"message": "x"}, 409),
        ("adopt", {"from": "s2", "messages": [1]}, 404),
        ("adopt", {"from": "s2", "messages": []}, 422),
        ("labels", {"text": "x", "seq": 1_000}, 404),
        ("labels", {"text": "x", "colour": 1}, 422),
        ("forks", {"at": 1_000}, 404),
        ("forks", {"at": 3, "before": 5}, 422),
        ("forks", {"edit": "x"}, 422),
        ("forks", {"before": 12, "edit": "x"}, 404),
        ("forks", {"before": 6, "model": "nothing"}, 422),
        ("forks", {"before": 59, "options": [1]}, 422),
        ("forks", {"before": 59, "hide": [59]}, 404),
        ("run", {"prompt": "x"}, 404),
    ],
)
async def test_what_cannot_be_done_says_why_and_writes_nothing(
    served: tuple[Page, Session, CountingLog], verb: str, body: dict[str, Any], status: int
) -> None:
    page, session, store = served
    head, sessions = (await session.info()).head, len(await store.sessions())
    for query in ({}, {"dry_run": 1}) if verb == "forks" else ({},):
        found = await page.post(f"/sessions/{session.id}/{verb}", body, status, **query)
        assert found["detail"]
    assert ((await session.info()).head, len(await store.sessions())) == (head, sessions)


FORK = {
    "before": 59,
    "edit": "Better?",
    "title": "better",
    "replace": [{"message": 24, "new": "Take two coats."}],
    "hide": [31],
    "system_prompt": "Be blunt.",
    "without_tools": True,
}


async def test_a_dry_run_says_what_the_fork_would_be_sent_and_makes_nothing(
    served: tuple[Page, Session, CountingLog],
) -> None:
    page, session, store = served
    digest, sessions = (await session.info()).digest, len(await store.sessions())
    found = await page.post(f"/sessions/{session.id}/forks", FORK, dry_run=1)
    assert (found["at"], found["against_seq"]) == (55, 60)
    assert ((await session.info()).digest, len(await store.sessions())) == (digest, sessions)
    told = {(one["kind"], one["part"]["what"], one["part"]["name"]) for one in found["changes"]}
    assert {("changed", "system_prompt", 0), ("changed", "tools", 0), ("changed", "message", 24)} <= told
    assert ("removed", "message", 31) in told
    [edited] = [one for one in found["changes"] if one["part"]["name"] > 55]
    assert (edited["kind"], edited["before"]["name"], edited["part"]["text"]) == ("changed", 59, "Better?")
    assert [one["kind"] for one in edited["pieces"]]
    bare = await page.post(f"/sessions/{session.id}/forks", {"before": 59, "edit": "Better?"}, dry_run=1)
    assert [(one["kind"], one["part"]["text"]) for one in bare["changes"]] == [("changed", "Better?")]


async def test_the_fork_is_sent_what_its_preview_said(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, store = served
    before = await session.info()
    preview = await page.post(f"/sessions/{session.id}/forks", FORK, dry_run=1)
    made = await page.post(f"/sessions/{session.id}/forks", FORK, 201)
    assert (made["parent"], made["fork_seq"], made["title"]) == (session.id, preview["at"], "better")
    assert (await session.info()).digest == before.digest
    fork = await Log(store, clock=lambda: 7).find(made["id"])
    run = await Agent(ScriptedModel(["Fine."]), system="Be blunt.").resume(fork)
    assert run.status == "done"
    sent = (await fork.why((await fork.info()).head - 2)).request
    assert (sent.system_prompt, sent.tools) == ("Be blunt.", ())
    assert len(sent.messages) == preview["messages"]
    texts = [str(getattr(message, "content", "")) for message in sent.messages]
    assert any("Take two coats." in text for text in texts)
    assert "Better?" in texts[-1]


async def test_calls_that_have_an_effect_once_are_named_before_a_fork_makes_them_again() -> None:
    paid: list[int] = []

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    @tool(name="look", effect="pure")
    def look_up(at: str) -> str:
        """Look."""
        return "seen"

    store = CountingLog()
    session = await Log(store, clock=lambda: 7).session("main")
    pays: Answer = [call("pay", {"amount": 7}), call("look", {"at": "x"}), stop("tool_use")]
    run = await Agent(ScriptedModel([pays, "Paid."]), tools=[pay, look_up]).run("Pay.", session=session)
    assert run.status == "done"
    async with served_page(Log(store, clock=lambda: 7)) as page:
        found = await page.post(f"/sessions/{session.id}/forks", {"at": 6}, dry_run=1)
        [one] = found["once"]
        starts = [one for one in await session.events() if isinstance(one.event, ToolExecutionStart)]
        start = starts[0].seq
        assert (one["session"], one["seq"], one["name"], one["arguments"]) == (session.id, start, "pay", '{"amount":7}')
        assert (one["effect"], one["status"], one["result"]) == ("once", "done", "paid")
        assert one["becomes"] == {"live": "run", "recorded": "adopt", "ask": "ask"}
        [look] = found["others"]
        assert (look["name"], look["effect"]) == ("look", "pure")
        assert look["becomes"] == {"live": "run", "recorded": "run", "ask": "run"}
        late = await page.post(f"/sessions/{session.id}/forks", {}, dry_run=1)
        assert (late["once"], late["others"]) == ([], [])
        made = await page.post(f"/sessions/{session.id}/forks", {"at": 6, "tools": "recorded"}, 201)
        fork = await Log(store, clock=lambda: 7).find(made["id"])
        assert (await fork.state()).repeated_tools == "recorded"
        await page.post(f"/sessions/{session.id}/forks", {"at": 6, "tools": "sometimes"}, 422)
    assert (await Agent(ScriptedModel([pays, "Paid."]), tools=[pay, look_up]).resume(fork)).status == "done"
    assert paid == [7]


async def test_a_call_whose_outcome_is_not_known_is_asked_about_where_the_record_is_to_answer() -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    @tool
    async def pay(amount: int) -> str:
        """Pay."""
        begun.set()
        await done.wait()
        return "paid"

    log = Log(CountingLog(), clock=lambda: 7)
    session = await log.session("main")
    pays: Answer = [call("pay", {"amount": 7}), stop("tool_use")]
    running = asyncio.create_task(Agent(ScriptedModel([pays, "Paid."]), tools=[pay]).run("Pay.", session=session))
    await begun.wait()
    async with served_page(log) as page:
        [one] = (await page.post(f"/sessions/{session.id}/forks", {"at": 6}, dry_run=1))["once"]
        assert (one["status"], one["result"]) == ("unknown", "")
        assert one["becomes"] == {"live": "run", "recorded": "ask", "ask": "ask"}
        done.set()
        await running
        [one] = (await page.post(f"/sessions/{session.id}/forks", {"at": 6}, dry_run=1))["once"]
        assert (one["status"], one["becomes"]["recorded"]) == ("done", "adopt")


async def test_a_page_of_a_server_that_may_run_runs() -> None:
    store = CountingLog()
    log = Log(store, clock=lambda: 7)
    session = await log.session("main")

    def choose(name: str, state: State) -> tuple[Agent[object], object]:
        return Agent(ScriptedModel([ASKS, "Rain."]), tools=agent().tools), None

    async with served_page(log, choose=choose) as page:
        done = await page.post(f"/sessions/{session.id}/run", {"prompt": "Well?"}, wait=60)
        assert (done["status"], done["text"]) == ("done", "Rain.")
        again = await page.post(f"/sessions/{session.id}/resume", {}, wait=60)
        assert again["status"] == "done"


async def test_another_head_than_was_seen_is_a_conflict(served: tuple[Page, Session, CountingLog]) -> None:
    page, session, _ = served
    headers = {"X-Refold": "1", "If-Match": '"3"'}
    answer = await page.client.post(f"/api/sessions/{session.id}/hide", json={"message": 59}, headers=headers)
    assert answer.status_code == 409
    assert "expected head 3" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"approve": True}, "approved by ann"),
        ({"approve": False, "reason": "No."}, "denied by ann: No."),
        ({"approve": True, "arguments": {"amount": 3}}, 'approved by ann, with {"amount":3}'),
        ({"outcome": "cancelled"}, "cancelled by ann"),
    ],
)
async def test_how_a_wait_ended_is_told_to_who_comes_too_late(said: dict[str, Any], words: str) -> None:
    @tool(approval="always")
    def pay(amount: int) -> str:
        """Pay."""
        return "paid"

    log = Log(CountingLog(), clock=lambda: 7)
    session = await log.session("main")
    pays: Answer = [call("pay", {"amount": 7}), stop("tool_use")]
    [wait] = (await Agent(ScriptedModel([pays, "Paid."]), tools=[pay]).run("Pay.", session=session)).waits
    async with served_page(log) as page:
        path = f"/sessions/{session.id}/ended-waits"
        assert "has ended" in (await page.get(path, 404, key=wait.key))["detail"]
        await page.post(f"/sessions/{session.id}/decide", {"wait": wait.key, "decided_by": "ann", **said})
        told = await page.get(path, key=wait.key)
        assert (told["words"], told["decided_by"], told["seq"]) == (words, "ann", (await session.info()).head)
        again = await page.post(f"/sessions/{session.id}/decide", {"wait": wait.key, "approve": True}, 409)
        assert "was decided already" in again["detail"]

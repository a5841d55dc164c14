"""Sessions as resources: what is asked for is what the library gives, and what cannot be done says why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from eventsource.messages import Usage
from eventsource.models.scripted import call, fail, scripted, stop
from refold import Agent, tool
from refold.http.api.page import PAGE
from refold.http.api.v1 import ROUTES
from refold.tasks import TaskContext, task

from .serving import served

USED = Usage(input_tokens=5, output_tokens=7)


@tool(approval="always")
def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


async def _report(context: TaskContext, city: str) -> str:
    return await context.step("look", lambda: f"rain in {city}")


report = task(id="report", payload=str, retries=2)(_report)


async def test_a_session_is_made_found_read_and_listed() -> None:
    async with served() as setup:
        made = await setup.post("/v1/sessions", {"title": "oslo"}, 201)
        assert (await setup.get("/v1/sessions/oslo"))["id"] == made["id"]
        assert (await setup.get(f"/v1/sessions/{made['id']}"))["title"] == "oslo"
        assert (await setup.get("/v1/find", name=made["id"][:6])) == {"session": made["id"]}
        assert (await setup.get("/v1/find", 404, name=made["id"][:6], prefix=False))["error"] == "UnknownSessionError"
        await setup.post("/v1/sessions", {"title": "bergen"}, 201)
        page = await setup.get("/v1/sessions", limit=1)
        assert [row["title"] for row in page["sessions"]] == ["bergen"]
        rest = await setup.get("/v1/sessions", after=page["next"])
        assert [row["title"] for row in rest["sessions"]] == ["oslo"]
        assert rest["next"] is None
        assert rest["sessions"][0]["stands"]["status"] == "empty"


async def test_the_same_key_makes_the_same_session_fork_and_prompt_once() -> None:
    async with served(answers=["Hello.", "Never said."]) as setup:
        first = await setup.post("/v1/sessions", {"title": "a"}, 201, idempotency_key="k")
        again = await setup.post("/v1/sessions", {"title": "a"}, 201, idempotency_key="k")
        assert first["id"] == again["id"]
        run = await setup.post("/v1/sessions/a/run?wait=60", {"prompt": "Hi"}, 200, idempotency_key="p")
        assert (run["text"], run["status"]) == ("Hello.", "done")
        twice = await setup.post("/v1/sessions/a/run?wait=60", {"prompt": "Hi"}, 200, idempotency_key="p")
        assert twice["head"] == run["head"] == (await setup.get("/v1/sessions/a"))["head"]
        forks = [
            (await setup.post("/v1/sessions/a/forks", {"at": 3}, 201, idempotency_key="f"))["id"] for _ in range(2)
        ]
        assert forks[0] == forks[1]
        assert len((await setup.get("/v1/sessions"))["sessions"]) == 2


async def test_what_others_appended_meanwhile_is_a_conflict_that_names_both_seqs() -> None:
    async with served() as setup:
        await setup.post("/v1/sessions", {"title": "a"}, 201)
        seen = await setup.post("/v1/sessions/a/messages", {"queue": "steering", "message": "one"})
        said = {"queue": "steering", "message": "two"}
        problem = await setup.post("/v1/sessions/a/messages", said, 409, if_match='"0"')
        assert problem["fields"] == {"session": seen["session"], "expected": 0, "head": 1}
        assert (await setup.post("/v1/sessions/a/messages", said, if_match='"1"'))["head"] == 2
        for path, body in (
            ("labels", {"text": "x", "seq": 1}),
            ("abort", {}),
            ("forks", {}),
            ("decisions", {"wait": "k", "value": 1}),
        ):
            await setup.post(f"/v1/sessions/a/{path}", body, 409, if_match='"1"')
        assert (await setup.get("/v1/sessions/a"))["head"] == 2


async def test_views_are_those_of_the_library() -> None:
    async with served() as setup:
        agent = Agent(scripted([call("deploy", {"target": "prod"}), stop(usage=USED)], "Done."), tools=[deploy])
        session = await setup.log.session("a")
        await agent.run("Deploy.", session=session)
        (wait,) = (await setup.get("/v1/sessions/a/waits"))["waits"]
        assert wait["token"] == (await session.waits())[0].token
        await setup.post("/v1/sessions/a/decisions", {"wait": wait["wait"]["key"], "approve": True, "decided_by": "me"})
        await agent.resume(session)
        state = await setup.get("/v1/sessions/a/state")
        assert (state["phase"], state["stands"]["status"], state["tools"]) == ("IDLE", "idle", ["deploy"])
        at = wait["wait"]["call"]["message_seq"]
        earlier = await setup.get("/v1/sessions/a/state", at=at)
        assert [one["name"] for one in earlier["calls"]] == ["deploy"]
        assert earlier["standing"] == (await session.why(at)).standing
        request = (await setup.get("/v1/sessions/a/request"))["request"]
        assert len(request["messages"]) == len((await session.request()).messages)
        assert (await setup.get("/v1/sessions/a/why", at=at))["request_sha256"] == (
            await session.why(at)
        ).request_sha256
        (made,) = (await setup.get("/v1/sessions/a/calls"))["calls"]
        assert made["decided"]["by"] == "me"
        assert (await setup.get("/v1/sessions/a/usage"))["entries"][0]["spent"]["usage"]["output_tokens"] == 7
        found = (await setup.get("/v1/search", q="deployed to"))["found"]
        assert {one["session"] for one in found} == {session.id}
        cursor = await setup.get("/v1/sessions/a/cursor")
        assert cursor["digest"] == (await session.info()).digest


async def test_pages_of_events_hold_them_all_and_deltas_as_wanted() -> None:
    async with served() as setup:
        session = await setup.log.session("a")
        await Agent(scripted(["It ", "rains."])).run("Rain?", session=session)
        kept = await session.events()
        seqs: list[int] = []
        after: int | None = 0
        while after is not None:
            page = await setup.get("/v1/sessions/a/events", after=after, limit=5)
            seqs += [one["seq"] for one in page["events"]]
            after = page["next"]
        assert seqs == [one.seq for one in kept]
        facts = (await setup.get("/v1/sessions/a/events", updates="none"))["events"]
        assert [one["seq"] for one in facts] == [one.seq for one in await session.events(updates=False)]
        joined = (await setup.get("/v1/sessions/a/events", updates="joined"))["events"]
        (delta,) = [one for one in joined if one["event"].get("kind") == "text_delta"]
        assert delta["event"]["delta"] == "It rains."
        assert delta["first_seq"] < delta["seq"]


async def test_a_task_is_started_for_a_worker_with_its_payload_checked() -> None:
    async with served(tasks=[report]) as setup:
        body = {"task": "report", "payload": "Oslo", "key": "order-17", "tags": ["x"]}
        made = await setup.post("/v1/sessions", body, 201)
        assert made["status"] == "due"
        assert (await setup.post("/v1/sessions", body, 201))["id"] == made["id"]
        problem = await setup.post("/v1/sessions", {"task": "report", "payload": 3}, 422)
        assert problem["error"] == "TaskPayloadError"
        assert "report" in (await setup.post("/v1/sessions", {"task": "other"}, 422))["detail"]
        await setup.post(f"/v1/sessions/{made['id']}/messages", {"queue": "inbox", "message": {"any": 1}})
        session = await setup.log.session(made["id"])
        await report.resume(session)
        assert (await setup.get(f"/v1/sessions/{made['id']}"))["stands"]["status"] == "idle"


async def test_named_values_and_streams_of_a_task_are_read() -> None:
    async def work(context: TaskContext, payload: None) -> None:
        async def items() -> Any:
            for number in range(5):
                yield {"n": number}

        context.metadata.set("progress", 1)
        context.metadata.set("progress", 0.5)
        await context.stream("numbers", items)

    async with served() as setup:
        run = await task(id="work")(work).run(setup.log)
        path = f"/v1/sessions/{run.id}"
        assert (await setup.get(f"{path}/metadata"))["metadata"] == {"progress": 0.5}
        first = await setup.get(f"{path}/streams/numbers", limit=3)
        rest = await setup.get(f"{path}/streams/numbers", after=first["next"])
        assert [one["item"]["n"] for one in [*first["items"], *rest["items"]]] == [0, 1, 2, 3, 4]
        assert rest["next"] is None


async def test_a_run_goes_on_when_its_request_was_answered() -> None:
    async with served(answers=["One.", "Two."]) as setup:
        await setup.post("/v1/sessions", {"title": "a"}, 201)
        begun = await setup.post("/v1/sessions/a/run", {"prompt": "Hi"}, 202)
        session = await setup.log.session("a")
        async for recorded in session.follow():
            if recorded.event.type == "agent_end":
                break
        assert begun["head"] == 1
        done = await setup.post("/v1/sessions/a/run?wait=60", {"prompt": [{"role": "user", "content": "And?"}]})
        assert done["text"] == "Two."


async def test_a_session_that_runs_is_not_run_twice() -> None:
    held, let = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        held.set()
        await let.wait()
        return "ok"

    async with served(answers=[[call("wait", {})], "Done."], tools=[wait]) as setup:
        await setup.post("/v1/sessions", {"title": "a"}, 201)
        await setup.post("/v1/sessions/a/run", {"prompt": "Go."}, 202, idempotency_key="first")
        await held.wait()
        problem = await setup.post("/v1/sessions/a/run", {"prompt": "Me too."}, 409)
        assert problem["error"] == "LeaseHeldError"
        again = await setup.post("/v1/sessions/a/run", {"prompt": "Go."}, 202, idempotency_key="first")
        assert again["head"] == 1
        let.set()
        done = await setup.post("/v1/sessions/a/run?wait=60", {"prompt": "Go."}, idempotency_key="first")
        assert done["text"] == "Done."


async def test_a_run_that_cannot_begin_puts_nothing_on_record() -> None:
    async with served() as setup:
        await setup.post("/v1/sessions", {"title": "a"}, 201)
        assert (await setup.post("/v1/sessions/a/run", {"prompt": "Hi"}, 404))["detail"] == "no such path"
        assert (await setup.get("/v1/sessions/a"))["head"] == 0


async def test_a_failed_answer_is_gone_on_from() -> None:
    async with served(answers=[[fail("overloaded")], "Here."]) as setup:
        await setup.post("/v1/sessions", {"title": "a"}, 201)
        failed = await setup.post("/v1/sessions/a/run?wait=60", {"prompt": "Hi"})
        assert (failed["status"], failed["error"]) == ("error", "overloaded")
        assert (await setup.post("/v1/sessions/a/resume?wait=60"))["text"] == "Here."


async def test_a_fork_says_something_else_in_a_messages_place() -> None:
    async with served(answers=["One.", "Two."]) as setup:
        await setup.post("/v1/sessions", {"title": "a"}, 201)
        await setup.post("/v1/sessions/a/run?wait=60", {"prompt": "Hi"})
        session = await setup.log.session("a")
        name = (await session.messages())[0].seq
        fork = await setup.post("/v1/sessions/a/forks", {"before": name, "edit": "Bye", "title": "b"}, 201)
        assert (fork["parent"], fork["status"]) == (session.id, "queued")
        assert (await setup.post("/v1/sessions/b/resume?wait=60"))["text"] == "Two."
        request = (await setup.get("/v1/sessions/b/request"))["request"]
        assert request["messages"][0]["content"] == "Bye"
        await setup.post("/v1/sessions/a/forks", {"before": name, "at": 3}, 422)
        await setup.post("/v1/sessions/a/forks", {"edit": "Bye"}, 422)
        await setup.post("/v1/sessions/a/forks", {"at": 999}, 404)
        await setup.post("/v1/sessions/a/forks", {"at": "no bookmark"}, 404)


async def test_read_only_offers_nothing_that_changes_the_log() -> None:
    async with served(answers=["Hi."], read_only=True) as setup:
        await setup.log.session("a")
        for path in ("labels", "abort", "forks", "run", "decisions"):
            await setup.post(f"/v1/sessions/a/{path}", {}, 404)
        for path in ("/v1/sessions", "/v1/sessions/a/messages"):  # they can be read
            await setup.post(path, {}, 405)
        document = await setup.get("/openapi.json")
        left = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
        assert left == {route.does.__name__ for route in (*ROUTES, *PAGE) if not route.writes and not route.runs}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/sessions", '{"title": 3}', "title"),
        ("/v1/sessions", '{"unknown": 3}', "unknown"),
        ("/v1/sessions", '{"title": "\\ud800"}', ""),
        ("/v1/sessions", "[]", "object"),
        ("/v1/sessions", "{", "body"),
        ("/v1/sessions", '{"name": "two words"}', "two words"),
        ("/v1/sessions", '{"payload": 3}', "task"),
        ("/v1/sessions/a/messages", '{"queue": "output", "message": "x"}', "queue"),
        ("/v1/sessions/a/messages", '{"queue": "steering", "message": []}', "empty"),
        ("/v1/sessions/a/messages", '{"queue": "steering", "message": 3}', "message"),
        ("/v1/sessions/a/decisions", '{"wait": "x", "approve": true, "reason": 4}', "reason"),
        ("/v1/sessions/a/labels", '{"text": "x", "seq": -1}', "seq"),
        ("/v1/sessions/a/labels", '{"text": "x", "seq": 4294967296}', "seq"),
    ],
)
async def test_a_body_that_does_not_fit_is_told_where(path: str, body: str, words: str) -> None:
    async with served() as setup:
        await setup.log.session("a")
        answer = await setup.client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert words in json.dumps(answer.json())
        assert (await (await setup.log.session("a")).info()).head == 0
        assert len(await setup.log.sessions()) == 1


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "after=-1", "after=x", "unknown=1", "updates=some", "after=4294967296"]
)
async def test_a_query_that_does_not_fit_is_told(query: str) -> None:
    async with served() as setup:
        await setup.log.session("a")
        assert (await setup.get(f"/v1/sessions/a/events?{query}", 422))["detail"].startswith("the query: ")
        assert (await setup.get("/v1/sessions/a/events?after=1&after=2", 400))["status"] == 400

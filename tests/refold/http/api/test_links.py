"""Links that decide a wait: once, by whoever holds them, until they expire; they say nothing of what is not theirs."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from eventsource.models.scripted import call, scripted
from refold import Agent, Session, tool
from refold.http import signed_url
from refold.tasks import TaskContext, task

from .serving import TOKEN, Setup, served


@tool(approval="always", approval_timeout="1d")
def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


AGENT_ANSWERS = ([call("deploy", {"target": "<b>prod</b>"})], "Done.")


async def asked(setup: Setup) -> tuple[Session, Agent[None], str]:
    """Run until the call waits to be approved. Returns: the session, its agent, and the path of the link."""
    agent = Agent(scripted(*AGENT_ANSWERS), tools=[deploy])
    session = await setup.log.session("a")
    await agent.run("Deploy.", session=session)
    (wait,) = (await setup.get("/v1/sessions/a/waits"))["waits"]
    assert wait["url"].startswith(f"{setup.url}/v1/tokens/")
    return session, agent, wait["url"].removeprefix(setup.url)


@pytest.fixture
def stranger() -> Any:
    """Give a client that bears nothing."""

    def make(setup: Setup) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=setup.url, timeout=60)

    return make


async def test_a_link_asks_and_answers_without_the_token_once(stranger: Any) -> None:
    async with served() as setup, stranger(setup) as client:
        session, agent, path = await asked(setup)
        page = await client.get(path, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
        assert page.status_code == 200
        assert "May deploy be called?" in page.text
        assert "&lt;b&gt;prod" in page.text
        assert "<b>prod" not in page.text
        assert "<script" not in page.text
        assert "decides itself at" in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert re.findall(r'name="approve" value="(\w+)"', page.text) == ["true", "false"]
        done = await client.post(path, data={"approve": "true", "reason": ""}, headers={"origin": setup.url})
        assert (done.status_code, "approved" in done.text) == (200, True)
        assert (await agent.resume(session)).text == "Done."
        assert "decided before: approved" in (await client.get(path)).text


async def test_the_same_answer_again_is_taken_another_one_is_told_that_it_was_decided(stranger: Any) -> None:
    async with served() as setup, stranger(setup) as client:
        session, _, path = await asked(setup)
        first = await client.post(path, json={"approve": False, "reason": "Too much.", "by": "boss"})
        assert (first.status_code, first.json()["outcome"]) == (200, "denied")
        assert (await client.post(path, json={"approve": False, "reason": "Too much."})).status_code == 200
        other = await client.post(path, json={"approve": True})
        assert (other.status_code, other.headers["content-type"]) == (409, "application/problem+json")
        assert (await client.post(path, data={"approve": "true"})).status_code == 409
        ends = [one.event for one in await session.events() if one.event.type == "wait_end"]
        assert [(one.decided_by, one.outcome) for one in ends] == [("boss", "completed")]


async def test_what_does_not_fit_is_refused_and_the_wait_stays_open(stranger: Any) -> None:
    async with served() as setup, stranger(setup) as client:
        session, _, path = await asked(setup)
        for body in (
            {},
            {"value": 3},
            {"approve": True, "value": 1},
            {"text": "maybe"},
            {"approve": "x"},
            {"other": 1},
        ):
            refused = await client.post(path, json=body)
            assert refused.status_code == 422, (body, refused.text)
        assert (
            await client.post(path, content=b"approve=true", headers={"content-type": "text/plain"})
        ).status_code == 415
        assert len(await session.waits()) == 1


async def test_a_link_that_is_wrong_expired_or_anothers_does_not_say_what_is_there(stranger: Any) -> None:
    async with served() as setup, stranger(setup) as client:
        session, _, path = await asked(setup)
        (wait,) = await session.waits()
        fork = await session.fork()
        now = setup.log.clock()
        later = now + 60_000_000
        named, signature, expiry = path.removeprefix("/v1/tokens/").split(".")
        forked = signed_url(TOKEN, "", fork.id, wait.key, later).removeprefix("/v1/tokens/").split(".")
        wrong = [
            "/v1/tokens/x",
            "/v1/tokens/" + "a" * 5_000,
            f"/v1/tokens/{named}.{signature[:-2]}AA.{expiry}",
            f"/v1/tokens/{named}.{signature}.{int(expiry) + 1}",
            f"/v1/tokens/{forked[0]}.{signature}.{expiry}",
            f"/v1/tokens/{named}..{expiry}",
            f"/v1/tokens/{named}.ÿ.{expiry}",
            signed_url(TOKEN, "", session.id, wait.key, now - 1_000_000),
            signed_url(TOKEN, "", session.id, "approval:1:0:none", later),
            signed_url(TOKEN, "", "nobody", wait.key, later),
            signed_url(TOKEN, "", fork.id, wait.key, later),
            signed_url(TOKEN + "x", "", session.id, wait.key, later),
        ]
        answers = [await client.post(one, json={"approve": True}) for one in wrong]
        assert {one.status_code for one in answers} == {404}
        assert len({one.text for one in answers}) == 1
        pages = [await client.get(one) for one in wrong]
        assert {one.status_code for one in pages} == {404}
        assert len({one.text for one in pages}) == 1
        assert len(await session.waits()) == 1


async def test_a_token_takes_a_value_as_a_person_types_it(stranger: Any) -> None:
    async def work(context: TaskContext, payload: None) -> int:
        return (await context.wait(await context.create_token(key="count", type=int))).value or 0

    async with served() as setup, stranger(setup) as client:
        counting = task(id="counting", result=int)(work)
        run = await counting.run(setup.log)
        (wait,) = (await setup.get(f"/v1/sessions/{run.id}/waits"))["waits"]
        path = wait["url"].removeprefix(setup.url)
        page = await client.get(path)
        assert 'name="text"' in page.text
        assert (await client.post(path, data={"text": "many", "outcome": "completed"})).status_code == 422
        assert (await client.post(path, data={"text": "12", "outcome": "completed"})).status_code == 200
        assert (await counting.resume(run.session)).result == 12


async def test_links_begin_where_others_reach_the_server(stranger: Any) -> None:
    async with served(public_url="https://agents.example/") as setup:
        agent = Agent(scripted(*AGENT_ANSWERS), tools=[deploy])
        session = await setup.log.session("a")
        await agent.run("Deploy.", session=session)
        (wait,) = (await setup.get("/v1/sessions/a/waits", expires_s=60))["waits"]
        assert wait["url"].startswith("https://agents.example/v1/tokens/")
        assert wait["expires_at_us"] <= setup.log.clock() + 60_000_000
        path = wait["url"].removeprefix("https://agents.example")
        async with stranger(setup) as client:
            for origin, status in (("https://evil.example", 403), ("https://agents.example", 200)):
                headers = {"origin": origin, "host": "agents.example", "sec-fetch-site": "same-origin"}
                assert (await client.post(path, data={"approve": "true"}, headers=headers)).status_code == status

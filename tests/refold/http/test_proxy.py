"""A proxy changes nothing for the client, and what passes by becomes a log like any other."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from eventsource.errors import StoreError
from eventsource.events import MessageEnd, MessageUpdate, ModelRequest, ToolExecutionEnd, ToolExecutionStart
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Usage
from eventsource.models.catalog import model
from eventsource.models.scripted.script import Answer, call, fail, pause, stall, stop
from refold import Agent, Run, open_log
from refold.http import Behaviour, ProxyRecorder, Replaying, Upstreams, proxying, serving
from refold.http.proxy.upstreams import model_ref
from refold.http.server import Exchange, ServerUnavailableError
from refold.http.wires.routes import find_wire
from refold.log import Log
from tests.refold.http.proxied import ANSWERS, KEY, history, proxied, result, script, sound, user

pytestmark = pytest.mark.slow

GOOGLE = "https://generativelanguage.googleapis.com"
MESSAGES = [{"role": "user", "content": "Rain?"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "m", "max_tokens": 9, "messages": MESSAGES},
    "/v1/chat/completions": {"model": "m", "messages": MESSAGES},
    "/v1/responses": {"model": "m", "input": MESSAGES},
    "/v1beta/models/m:generateContent": {"contents": [{"role": "user", "parts": [{"text": "Rain?"}]}]},
    "/v1beta/models/m:streamGenerateContent": {"contents": [{"role": "user", "parts": [{"text": "Rain?"}]}]},
    "/v1beta/models/m:streamGenerateContent?alt=sse": {"contents": [{"role": "user", "parts": [{"text": "Rain?"}]}]},
}


async def raw(client: httpx.AsyncClient, path: str, body: object, headers: dict[str, str]) -> tuple[object, ...]:
    """Read an answer as it comes: status, headers without what is of one connection, and every byte, also of a cut."""
    read = b""
    async with client.stream("POST", path, json=body, headers=headers) as response:
        with suppress(httpx.RemoteProtocolError):
            async for piece in response.aiter_raw():
                read += piece
        kept = {k: v for k, v in response.headers.items() if k not in ("connection", "transfer-encoding")}
        return response.status_code, kept, read


ODD = {
    "plain": Behaviour(),
    "gzip": Behaviour(gzip=True),
    "pieces": Behaviour(piece_bytes=3),
    "cut": Behaviour(cut_after_bytes=40),
    "429": Behaviour(status=429, retry_after="7", message="slow down"),
    "529": Behaviour(status=529),
}


@pytest.mark.parametrize("behaviour", ODD.values(), ids=ODD)
async def test_the_client_gets_the_same_bytes_with_and_without_the_proxy(behaviour: Behaviour) -> None:
    asked = [
        (path, body | extra)
        for path, body in BODIES.items()
        for extra in ({"stream": True}, {})
        if "v1/" in path or not extra
    ]
    behaviours = [behaviour] * len(asked)
    headers = {"accept-encoding": "gzip, deflate"}
    async with (
        serving(script(ANSWERS, *behaviours)) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        direct = [await raw(client, path, body, headers) for path, body in asked]
    async with proxied(script(ANSWERS, *behaviours)) as setup:
        through = [await raw(setup.client, path, body, headers) for path, body in asked]
        assert through == direct
        assert setup.lost == []
        for session in await setup.sessions():
            await sound(session)


async def test_other_paths_pass_too_and_leave_no_record() -> None:
    async with proxied() as setup:
        assert (await setup.client.get("/v1/models")).json()["data"][0]["id"] == "scripted"
        assert (await setup.client.post("/v1/embeddings", json={"input": "x"})).status_code == 404
        assert await setup.sessions() == []


async def test_a_conversation_becomes_one_session_with_its_calls_and_usage() -> None:
    async with proxied() as setup:
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
        first = await setup.say({"role": "system", "content": "Be brief."}, user("Rain?"), tools=tools, temperature=0.5)
        talk = [user("Rain?"), first, result(first["tool_calls"][0], "rain")]
        second = await setup.say({"role": "system", "content": "Be brief."}, *talk, tools=tools, temperature=0.5)
        await setup.say({"role": "system", "content": "Be brief."}, *talk, second, user("Thanks."), tools=tools)
        session = await setup.only()
        assert await history(session) == ["Rain?", "Let me look.", "rain", "It rains.", "Thanks.", "Goodbye."]
        await sound(session)
        events = [recorded.event for recorded in await session.events()]
        assert [type(event).__name__ for event in events].count("AgentStart") == 2
        assert [event.result.content[0].text for event in events if isinstance(event, ToolExecutionEnd)] == ["rain"]  # type: ignore[union-attr]  # a text
        assert [event.selection for event in events if isinstance(event, ModelRequest)] == [None] * 3
        config = (await session.state()).config
        assert (config.system_prompt, [tool.name for tool in config.tools]) == ("Be brief.", ["weather"])
        assert config.model is not None
        assert (config.model.api, config.model.model) == ("openai-completions", "m")
        usage = [m.message.usage for m in await session.messages() if isinstance(m.message, AssistantMessage)]
        assert usage[1] is not None
        assert (usage[1].input_tokens, usage[1].cache_read_tokens) == (20, 5)


async def test_every_token_of_a_stream_is_an_event() -> None:
    async with proxied() as setup:
        await raw(setup.client, "/v1/messages", BODIES["/v1/messages"] | {"stream": True}, {})
        events = [recorded.event for recorded in await (await setup.only()).events()]
        deltas = [event.delta for event in events if isinstance(event, MessageUpdate) and event.delta]
        assert deltas == ["Hm.", "Let me ", "look.", '{"city', '":"Oslo"}']


async def test_a_changed_beginning_is_a_fork_at_that_point() -> None:
    async with proxied(script([["One."], ["Two."], ["Three."], ["Four."], ["Five."]])) as setup:
        one = await setup.say(user("a"))
        two = await setup.say(user("a"), one, user("b"))
        await setup.say(user("a"), one, user("other"))
        await setup.say(user("a"), one, user("b"), two, user("c"))
        await setup.say(user("a"), one)
        main, fork, again = await setup.sessions()
        assert await history(main) == ["a", "One.", "b", "Two.", "c", "Three."]
        assert await history(fork) == ["a", "One.", "other", "Two."]
        assert await history(again) == ["a", "One.", "Two."]
        assert {(await session.info()).parent for session in (fork, again)} == {main.id}
        for session in (main, fork, again):
            await sound(session)


async def test_the_same_question_asked_again_is_a_fork_before_the_answer() -> None:
    async with proxied() as setup:
        await setup.say(user("Rain?"))
        await setup.say(user("Rain?"))
        await setup.say({"role": "system", "content": "Another agent."}, user("Rain?"))
        first, second, other = await setup.sessions()
        assert [(await session.info()).parent for session in (first, second, other)] == [None, first.id, None]
        assert (await history(second))[:2] == ["Rain?", "Let me look."]


async def test_a_question_that_failed_goes_on_in_its_session() -> None:
    async with proxied(
        script(["Well."], Behaviour(status=529, message="busy"), Behaviour(cut_after_bytes=150))
    ) as setup:
        body = {"model": "m", "messages": MESSAGES, "stream": True}
        for _ in range(3):
            await raw(setup.client, "/v1/chat/completions", body, {})
        session = await setup.only()
        assert await history(session) == ["Rain?", "Well."]
        errors = [e.message.error for e in await session.history() if isinstance(e.message, AssistantMessage)]
        assert "529" in errors[0]
        assert "busy" in errors[0]
        assert "RemoteProtocolError" in errors[1]
        await sound(session)


async def test_results_may_come_in_another_order_and_calls_without_one_are_settled() -> None:
    asks: list[Answer] = [[call("a"), call("b")], "Both.", [call("a"), call("b")], "Never mind.", "End."]
    async with proxied(script(asks)) as setup:
        first = await setup.say(user("go"))
        one, two = first["tool_calls"]
        talk = [user("go"), first, result(two, "2"), result(one, "1")]
        both = await setup.say(*talk)
        again = await setup.say(*talk, both, user("more"))
        last = await setup.say(*talk, both, user("more"), again, result(again["tool_calls"][1], "2"), user("stop"))
        await setup.say(
            *talk, both, user("more"), again, result(again["tool_calls"][1], "2"), user("stop"), last, user("?")
        )
        session = await setup.only()
        heard = await history(session)
        assert heard[:4] == ["go", "", "1", "2"]
        assert heard[-4:] == ["stop", "Never mind.", "?", "End."]
        await sound(session)


async def test_history_that_the_log_has_not_seen_is_adopted() -> None:
    async with proxied(script(["Fine."])) as setup:
        called = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "x", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
        }
        await setup.say(user("a"), called, {"role": "tool", "tool_call_id": "x", "content": "r"}, user("b"))
        session = await setup.only()
        assert await history(session) == ["a", "", "r", "b", "Fine."]
        await sound(session)


async def test_parts_without_a_neutral_form_are_kept_as_they_came() -> None:
    async with proxied(script(["Nice.", "Indeed."])) as setup:
        shown = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
        asked = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, shown]}
        first = await setup.say(asked)
        await setup.say(asked, first, user("Sure?"))
        session = await setup.only()
        assert b"cat.png" in msgspec.json.encode((await session.messages())[0].message)
        await sound(session)


async def test_an_answer_kept_at_the_provider_is_gone_on_from() -> None:
    async with proxied(script([["One."], ["Two."]])) as setup:
        first = (await setup.client.post("/v1/responses", json={"model": "m", "input": "a"})).json()
        asked = {"model": "m", "input": "b", "previous_response_id": first["id"]}
        await setup.client.post("/v1/responses", json=asked)
        session = await setup.only()
        assert await history(session) == ["a", "One.", "b", "One."]
        await sound(session)


async def test_fifty_streams_at_once_are_fifty_whole_sessions(tmp_path: Path) -> None:
    pieces = [f"word{n} " for n in range(40)]
    async with open_log(tmp_path / "log.db") as log, proxied(script([pieces]), log=log) as setup:
        bodies = [
            {"model": "m", "max_tokens": 9, "stream": True, "messages": [user(f"question {n}")]} for n in range(50)
        ]
        answers = await asyncio.gather(*(raw(setup.client, "/v1/messages", body, {}) for body in bodies))
        assert len({status for status, _, _ in answers}) == 1
        sessions = await setup.sessions()
        assert setup.lost == []
        assert sorted([(await history(s))[0] for s in sessions]) == sorted(f"question {n}" for n in range(50))
        assert {(await history(s))[1] for s in sessions} == {"".join(pieces)}
        assert (await log.verify()).ok


async def test_the_same_question_fifty_times_at_once_is_one_session_and_its_forks() -> None:
    async with proxied(script([["Well, ", "yes."]])) as setup:
        await asyncio.gather(*(setup.say(user("Rain?")) for _ in range(50)))
        first, *others = await setup.sessions()
        assert {(await session.info()).parent for session in others} == {first.id}
        assert {tuple(await history(session)) for session in (first, *others)} == {("Rain?", "Well, yes.")}


class Failing:
    """A store that fails when told to."""

    def __init__(self, store: EventLog) -> None:
        self._store = store
        self.fails_after = 0
        self.appends = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, *arguments: Any, **named: Any) -> int:
        self.appends += 1
        if self.appends > self.fails_after:
            raise StoreError("log.db", "the disk is full", "make room")
        return await self._store.append(*arguments, **named)


@pytest.mark.parametrize("fails_after", [0, 1])
async def test_when_the_log_fails_the_client_does_not_notice_and_the_loss_is_said(fails_after: int) -> None:
    async with open_store(None) as store:
        failing = Failing(store)
        failing.fails_after = fails_after
        async with proxied(log=Log(failing)) as setup:
            status, _, read = await raw(setup.client, "/v1/messages", BODIES["/v1/messages"] | {"stream": True}, {})
            assert status == 200
            assert isinstance(read, bytes)
            assert b"message_stop" in read
            await setup.recording.close()
            assert (len(setup.lost), setup.recording.lost) == (1, 1)
            assert "POST /v1/messages is not on record" in setup.lost[0]
            assert "the disk is full" in setup.lost[0]
            failing.fails_after = 10_000
            await setup.say(user("Are you back?"))
            assert ["Are you back?"] in [(await history(session))[:1] for session in await setup.sessions()]


async def test_keys_pass_and_are_nowhere_in_the_log(tmp_path: Path) -> None:
    seen: list[Exchange] = []
    server = script([[call("env")], [fail("bad key sk-header-secret-1 and sk-query-secret-2")]])

    async def upstream(exchange: Exchange) -> None:
        seen.append(exchange)
        await server(exchange)

    path = tmp_path / "log.db"
    async with open_log(path) as log, proxied(upstream, log=log) as setup:
        headers = {"authorization": "Bearer sk-header-secret-1", "x-api-key": "sk-api-secret-3"}
        where = "/v1/chat/completions?key=sk-query-secret-2"
        body: dict[str, Any] = {"model": "m", "messages": [user("env?")]}
        first = (await setup.client.post(where, json=body, headers=headers)).json()["choices"][0]["message"]
        leak = "KEY=sk-header-secret-1 and sk-api-secret-3"
        body["messages"] += [first, result(first["tool_calls"][0], leak)]
        await setup.client.post(where, json=body, headers=headers)
        session = await setup.only()
        assert await history(session) == ["env?", "", "KEY=[redacted] and [redacted]"]
        assert [exchange.header("authorization") for exchange in seen] == ["Bearer sk-header-secret-1"] * 2
        assert all("sk-query-secret-2" in exchange.target for exchange in seen)
        await sound(session)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())  # noqa: ASYNC240  nothing else runs here
    assert [secret for secret in (b"sk-header", b"sk-query", b"sk-api") if secret in stored] == []


async def test_a_client_that_leaves_ends_the_upstreams_answer_and_the_run() -> None:
    left = asyncio.Event()
    server = script([["Half ", stall()], "Again."])

    async def upstream(exchange: Exchange) -> None:
        try:
            await server(exchange)
        finally:
            left.set()

    async with proxied(upstream) as setup:
        body = {"model": "m", "messages": MESSAGES, "stream": True}
        async with setup.client.stream("POST", "/v1/chat/completions", json=body) as response:
            pieces = response.aiter_raw()
            while b"Half" not in await anext(pieces):
                pass
        await asyncio.wait_for(left.wait(), 60)
        session = await setup.only()
        (entry,) = [e for e in await session.history() if isinstance(e.message, AssistantMessage)]
        assert isinstance(entry.message, AssistantMessage)
        assert (entry.message.text, entry.message.stop_reason) == ("Half ", "aborted")
        assert (await session.info()).open is False
        await sound(session)


async def test_an_upstream_that_cannot_be_reached_is_said_in_the_protocols_words() -> None:
    async with open_log() as log:
        recorder = ProxyRecorder(log, lose=lambda what: None)
        async with proxying(recorder, Upstreams(["http://127.0.0.1:9"])) as answering, serving(answering) as running:
            async with httpx.AsyncClient(timeout=60) as client:
                answer = await client.post(f"{running.url}/v1/messages", json=BODIES["/v1/messages"])
            assert answer.status_code == 502
            assert answer.json()["error"]["message"].startswith(
                "refold proxy cannot reach http://127.0.0.1:9/v1/messages"
            )
            await recorder.close()
        (session,) = await log.sessions()
        await sound(session)


@pytest.mark.parametrize("limit", ["answer_reading.ANSWER_BYTES", "answer_buffer.HELD_BYTES"])
async def test_an_answer_that_is_too_large_to_record_passes_and_its_session_says_so(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"refold.http.proxy.{limit}", 20)
    async with proxied(script(["It rains in Oslo, as it does."])) as setup:
        assert (await setup.say(user("Rain?")))["content"] == "It rains in Oslo, as it does."
        session = await setup.only()
        assert setup.recording.lost == 1
        (entry,) = [e for e in await session.history() if isinstance(e.message, AssistantMessage)]
        assert isinstance(entry.message, AssistantMessage)
        assert entry.message.error.startswith("not on record: ")
        assert entry.message.stop_reason == "error"
        assert not (await session.info()).open
        await sound(session)


async def test_after_a_restart_the_session_is_found_again(tmp_path: Path) -> None:
    talk: list[Any] = [user("Rain?")]
    for turn in ("Thanks.", "Bye."):
        async with open_log(tmp_path / "log.db") as log, proxied(script(["One.", "Two."]), log=log) as setup:
            talk += [await setup.say(*talk), user(turn)]
            session = await setup.only()
    assert session is not None
    async with open_log(tmp_path / "log.db") as log:
        assert await history(await log.find(session.id)) == ["Rain?", "One.", "Thanks.", "Two."]


async def test_an_agent_goes_on_with_a_recorded_session_and_a_fork_of_it() -> None:
    async with proxied(script(["One.", "Two.", "Three."])) as setup:
        await setup.say(user("Rain?"))
        session = await setup.only()
        fork = await session.fork(before=(await session.messages())[1])
        ref = (await session.state()).config.model
        assert ref is not None
        agent: Agent[object] = Agent(
            model(f"{ref.provider}:{ref.model}", base_url=ref.base_url, api=ref.api, api_key=KEY)
        )
        run: Run[object] = await agent.run("And now?", session=session)
        assert (run.status, run.text) == ("done", "Two.")
        again: Run[object] = await agent.resume(fork)
        assert (again.status, again.text) == ("done", "One.")
        assert await history(session) == ["Rain?", "One.", "And now?", "Two."]
        await sound(session)
        await sound(fork)


@pytest.mark.parametrize("path", BODIES)
async def test_a_recording_answers_again_over_every_protocol(path: str) -> None:
    async with open_log() as log:
        async with proxied(log=log) as setup:
            await setup.client.post("/v1/messages", json=BODIES["/v1/messages"] | {"stream": True})
            session = await setup.only()
        replaying = await Replaying.of(session)
        async with proxied(log=log, replaying=replaying) as setup:
            answers = [await setup.client.post(path, json=BODIES[path] | extra) for extra in ({}, {"stream": True})]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert all("Let me " in answer.text and "weather" in answer.text for answer in answers)
            other = await setup.client.post("/v1/messages", json={"model": "m", "messages": [user("Snow?")]})
            assert other.status_code == 409
            assert (
                other.json()["error"]["message"]
                == f"message 1 of the request is not the one in the recording {session.id}: "
                "a message of role user: recorded 'Rain?', now 'Snow?'"
            )
            assert (await setup.client.get("/v1/models")).status_code == 409
            assert len(await setup.sessions()) == 1


async def test_a_tool_of_the_client_took_from_its_answer_to_the_request_with_its_result() -> None:
    async with proxied(script([[call("a"), call("b")], "Both."])) as setup:
        answer = await setup.say(user("Two."))
        await setup.say(user("Two."), answer, *(result(one, "Done.") for one in answer["tool_calls"]))
        events = await (await setup.only()).events()
    began, ended = (
        [one.at_us for one in events if isinstance(one.event, kind)] for kind in (ToolExecutionStart, ToolExecutionEnd)
    )
    first, second = (one.at_us for one in events if isinstance(one.event, ModelRequest))
    said = [one.at_us for one in events if isinstance(one.event, MessageEnd) and first < one.at_us < min(ended)]
    assert began == [max(said)] * 2
    assert max(said) < min(ended) <= max(ended) <= second


async def test_a_refusal_says_what_a_message_says_otherwise() -> None:
    called, long = [call("weather", {"city": "Oslo"})], "It rains. " * 30
    async with open_log() as log:
        async with proxied(script([called, "Good."]), log=log) as setup:
            answer = await setup.say(user("Rain?"))
            told = result(answer["tool_calls"][0], long)
            await setup.say(user("Rain?"), answer, told)
            session = await setup.only()
        replaying = await Replaying.of(session)
        places = {"role": "assistant", "content": "No."}
        said = {
            "the result of weather: recorded 'It rains. It rains. ', now 'It rains. It rains. Much.'": [
                answer,
                told | {"content": long + "Much."},
            ],
            "recorded an answer, now a message of role user": [user("Now!")],
            "an answer: recorded 'weather {\"city\":\"Oslo\"}', now 'No.'": [places, user("And?")],
            "message 4 of the request is not the one in the recording": [answer, told, user("And?"), user("Now!")],
        }
        async with proxied(log=log, replaying=replaying) as setup:
            for problem, rest in said.items():
                body = {"model": "m", "messages": [user("Rain?"), *rest]}
                refused = await setup.client.post("/v1/chat/completions", json=body)
                assert refused.status_code == 409
                assert problem in refused.json()["error"]["message"]


async def test_a_recording_replayed_live_goes_on_with_the_provider() -> None:
    async with open_log() as log:
        async with proxied(script(["One.", "Two."]), log=log) as setup:
            first = await setup.say(user("a"))
            session = await setup.only()
        replaying = await Replaying.of(session)
        async with proxied(script(["Other.", "Two."]), log=log, replaying=replaying, live=True) as setup:
            assert await setup.say(user("a")) == first
            assert (await setup.say(user("a"), first, user("b")))["content"] == "Other."
            assert await history(await setup.only()) == ["a", "One.", "b", "Other."]


async def test_a_stream_is_handed_on_as_it_comes() -> None:
    async with proxied(script([["Now ", pause(600_000), "later"]])) as setup:
        body = {"model": "m", "messages": MESSAGES, "stream": True}
        async with setup.client.stream("POST", "/v1/chat/completions", json=body) as response:
            read = b""
            async for piece in response.aiter_raw():
                read += piece
                if b"Now" in read:
                    break


async def test_gzip_that_breaks_off_is_passed_on_and_said() -> None:
    async def upstream(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.answer(200, [(b"content-encoding", b"gzip")], gzip.compress(b"data: {}\n\n")[:-4] + b"????")

    async with proxied(upstream) as setup:
        await raw(setup.client, "/v1/chat/completions", BODIES["/v1/chat/completions"], {})
        (entry,) = [e for e in await (await setup.only()).history() if isinstance(e.message, AssistantMessage)]
        assert isinstance(entry.message, AssistantMessage)
        assert "cannot be decoded" in entry.message.error


def test_the_command_makes_a_log_of_a_client(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text(json.dumps(["Hello."]))
    main = [sys.executable, "-c", "from refold.cli import main; main()"]
    pipe = subprocess.PIPE

    def start(*words: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen([*main, *words, "--port", "0"], stdout=pipe, stderr=pipe, text=True, cwd=tmp_path)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    behind, upstream = start("serve-script", "script.json")
    before, url = start("proxy", "--db", "log.db", "--upstream", upstream)
    with behind, before:
        try:
            answer = httpx.post(f"{url}/v1/responses", json={"model": "m", "input": "Hi"}, timeout=60)
            assert answer.json()["output"][0]["content"][0]["text"] == "Hello."
            before.send_signal(signal.SIGTERM)
            assert before.wait(60) == 0
            assert before.stderr is not None
            assert "1 exchange on record, 0 lost" in before.stderr.read()
        finally:
            behind.kill()
            before.kill()
    listed = subprocess.run([*main, "ls", "--db", "log.db", "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert len(json.loads(listed.stdout)) == 1


@pytest.mark.parametrize(
    ("given", "whose", "target", "url"),
    [
        ((), "anthropic", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        ((), "openai", "/v1/responses", "https://api.openai.com/v1/responses"),
        ((), "google", "/v1beta/models/g:generateContent", f"{GOOGLE}/v1beta/models/g:generateContent"),
        (("http://x:1/v1/",), "openai", "/v1/chat/completions", "http://x:1/v1/chat/completions"),
        (("openai=https://o.example/api",), "openai", "/v1/models?a=b", "https://o.example/api/v1/models?a=b"),
        (("openai=https://o.example/api",), "anthropic", "/v1/models", "https://api.anthropic.com/v1/models"),
    ],
)
def test_requests_go_on_to_whom_their_protocol_comes_from(
    given: tuple[str, ...], whose: str, target: str, url: str
) -> None:
    assert Upstreams(given).url(whose, target) == url


@pytest.mark.parametrize("given", ["mistral=http://x", "ftp://x", "x", "", "openai="])
def test_an_upstream_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ServerUnavailableError, match="expected URL"):
        Upstreams([given])


@pytest.mark.parametrize(
    ("path", "url", "provider", "base_url"),
    [
        ("/v1/messages", "https://api.anthropic.com/v1/messages?beta=true", "anthropic", ""),
        ("/v1/messages", "https://key@gate.example/claude/v1/messages", "anthropic", "https://gate.example/claude"),
        ("/v1/chat/completions", "https://api.openai.com/v1/chat/completions", "openai", ""),
        ("/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions", "openrouter", ""),
        ("/v1/responses", "http://127.0.0.1:1/v1/responses", "openai", "http://127.0.0.1:1/v1"),
        ("/v1beta/models/m:generateContent", f"{GOOGLE}/v1beta/models/m:generateContent?key=x", "google", ""),
    ],
)
def test_the_model_is_named_as_an_agent_would_that_goes_on(path: str, url: str, provider: str, base_url: str) -> None:
    wire = find_wire(path)
    assert wire is not None
    ref = model_ref(wire, {"/v1/messages": "anthropic"}.get(path, "google" if "beta" in path else "openai"), url, "m")
    assert (ref.api, ref.provider, ref.model, ref.base_url) == (wire.api, provider, "m", base_url)
    if ref.base_url:
        assert model(f"{ref.provider}:{ref.model}", base_url=ref.base_url, api=ref.api).ref == ref
    else:
        assert model(f"{ref.provider}:{ref.model}", api=ref.api).ref == ref


async def test_after_the_proxy_was_killed_inside_an_answer_the_session_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    main = [sys.executable, "-c", "from refold.cli import main; main()"]
    async with serving(script([["Half ", stall()], ["Whole."], ["More."]])) as behind:
        words = ["proxy", "--port", "0", "--db", str(path), "--upstream", behind.url]
        process = await asyncio.create_subprocess_exec(*main, *words, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            url = (await process.stdout.readline()).decode().split()[-1]
            body = {"model": "m", "messages": MESSAGES, "stream": True}
            async with (
                open_log(path) as log,
                httpx.AsyncClient(timeout=60) as client,
                client.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
            ):
                pieces = response.aiter_raw()
                while b"Half" not in await anext(pieces):
                    pass
                while not (sessions := await log.sessions()) or not (await sessions[0].state()).stream:
                    await asyncio.sleep(0.02)
                process.kill()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        async with open_log(path) as log:
            (session,) = await log.sessions(open=True)
            async with proxied(script([["Whole."], ["More."]]), log=log) as setup:
                first = await setup.say(*MESSAGES)
                await setup.say(*MESSAGES, first, user("And?"))
                assert (await setup.only()).id == session.id
                assert setup.lost == []
            assert await history(session) == ["Rain?", "Whole.", "And?", "More."]
            assert [entry.interrupted for entry in await session.history()] == [False, True, False, False, False]
            await sound(session)


CHANGES: Mapping[str, tuple[dict[str, object], str]] = {
    "system": ({"system": "Never mention rain."}, "system prompt: recorded 'Be brief.', now 'Never mention rain.'"),
    "model": ({"model": "other"}, "model: recorded 'm', now 'other'"),
    "tool": ({"tools": []}, "tools gone: look"),
    "words": (
        {"tools": [{"name": "look", "description": "Peek.", "input_schema": {"type": "object"}}]},
        "the tool look",
    ),
    "schema": (
        {"tools": [{"name": "look", "description": "Look.", "input_schema": {"type": "object", "required": ["x"]}}]},
        "schema of the tool look",
    ),
    "option": ({"temperature": 0.5}, "option temperature: recorded None, now 0.5"),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_recording_answers_no_request_that_differs_beside_its_messages(name: str) -> None:
    change, said = CHANGES[name]
    tools = [{"name": "look", "description": "Look.", "input_schema": {"type": "object"}}]
    body = {"model": "m", "max_tokens": 9, "system": "Be brief.", "tools": tools, "messages": [user("Rain?")]}
    async with open_log() as log:
        async with proxied(script(["Yes."]), log=log) as setup:
            await setup.client.post("/v1/messages", json=body)
            session = await setup.only()
        strict, lax = await Replaying.of(session), await Replaying.of(session, allow_drift=True)
        async with proxied(log=log, replaying=strict) as setup:
            assert (await setup.client.post("/v1/messages", json=body)).status_code == 200
            refused = await setup.client.post("/v1/messages", json=body | change)
        assert refused.status_code == 409
        assert said in refused.json()["error"]["message"]
        assert f"of the recording {session.id}" in refused.json()["error"]["message"]
        async with proxied(log=log, replaying=lax) as setup:
            assert (await setup.client.post("/v1/messages", json=body | change)).status_code == 200
        assert len(lax.drifts) == 1
        assert said in lax.drifts[0]


async def test_a_session_has_a_title_and_its_answers_have_prices() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100)
    async with proxied(script([["Hm.", stop(usage=usage)]])) as setup:
        content = [
            {"type": "text", "text": "<system-reminder>Today.</system-reminder>"},
            {"type": "text", "text": "Rain?"},
        ]
        body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
        for more in ({"stream": True}, {}):
            await setup.client.post("/v1/messages", json=body | more)
        await setup.client.post("/v1/chat/completions", json={"model": "nobody/knows-it", "messages": [user("Snow?")]})
        first, again, other = [await session.info() for session in await setup.sessions()]
        assert (first.title, first.cost_microusd) == ("Rain?", 1_000 * 3 + 100 * 15)
        assert again.cost_microusd == first.cost_microusd
        assert (other.title, other.cost_microusd) == ("Snow?", None)

"""A server that answers by a script: what it writes is what our own readers read, and it misbehaves as told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given, strategies as st

from eventsource.codec import read_object, to_json
from eventsource.errors import ScriptFileError
from eventsource.events import ModelRef
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    Usage,
    UserMessage,
)
from eventsource.models.catalog import find_codec, model
from eventsource.models.protocol import StreamEnd
from eventsource.models.scripted.rules import ScriptEntry, rule
from eventsource.models.scripted.script import Answer, call, cut, fail, pause, retry, stall, stop, think
from eventsource.models.transport.body import BodyParser
from eventsource.models.transport.http import HttpModel
from eventsource.request import Request
from refold import Agent, Run, open_log, tool
from refold.cli.arguments.address import warn_if_public
from refold.http import Behaviour, Script, ScriptServer, load_served_script, serving
from refold.http.server import ServerUnavailableError
from refold.http.wires.answers import as_updates
from refold.http.wires.protocol import Asked, Form
from refold.http.wires.routes import WIRES

APIS = sorted(WIRES)
KEY = "sk-test-0123456789"
USAGE = Usage(input_tokens=20, output_tokens=9, cache_read_tokens=5, reasoning_tokens=2)
VENDORS = {"anthropic": "", "openai": "/v1", "vllm": "/v1", "google": "/v1beta"}
ANSWERS: list[Answer] = [
    [think("Hm. ", "Rain?", signature="c2ln"), "Let me ", "look.", call("weather", {"city": "Oslo"})],
    ["It ", "rains.", stop(usage=USAGE)],
]


@tool(effect="pure")
def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"rain in {city}"


@asynccontextmanager
async def served(*answers: Answer, behaviours: Sequence[Behaviour] = ()) -> AsyncIterator[tuple[str, ScriptServer]]:
    server = ScriptServer(Script(answers=answers or ANSWERS, behaviours=tuple(behaviours)))
    async with serving(server) as running:
        yield running.url, server


def vendor_model(url: str, vendor: str, **access: object) -> HttpModel:
    return model(f"{vendor}:scripted", base_url=url + VENDORS[vendor], api_key=KEY, **access)  # type: ignore[arg-type]  # as the test says


def asked(api: str, form: Form) -> Asked:
    return Asked(request=Request(model=ModelRef(api=api, provider="", model="scripted")), form=form)


def read_back(api: str, form: Form, message: AssistantMessage, deltas: Sequence[str] | None = None) -> AssistantMessage:
    """Write a message as a server does, and read it as our transport does."""
    wire, question = WIRES[api], asked(api, form)
    if form == "whole":
        pieces = [bytes(to_json(wire.whole(question, message)))]
    else:
        answerer = wire.answerer(question, message)
        updates = list(as_updates(message, dict.fromkeys(range(len(message.content)), deltas) if deltas else None))
        said = [answerer.start(), *map(answerer.update, updates), answerer.end(message)]
        told = [objects for objects in said if objects]
        pieces = [wire.frame(objects, form, first=n == 0) for n, objects in enumerate(told)] + [wire.closing(form)]
    parser, reader = BodyParser(), find_codec(question.request.model).reader(question.request)
    for event in [event for piece in pieces for event in parser.feed(piece)] + parser.close():
        reader.feed(event)
    end = reader.finish("cut")[-1]
    assert isinstance(end, StreamEnd)
    return end.message


def words(message: AssistantMessage) -> tuple[object, ...]:
    """Say what every protocol carries."""
    thought = "".join(block.thinking for block in message.content if isinstance(block, ThinkingContent))
    calls = [(call.id, call.name, json.loads(call.arguments or "{}")) for call in message.tool_calls]
    return message.text, thought, calls, message.stop_reason, message.error


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
OBJECTS = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, max_size=3)
BLOCKS: st.SearchStrategy[AssistantContent] = st.one_of(
    TEXTS.map(lambda text: TextContent(text=text)),
    TEXTS.map(lambda text: ThinkingContent(thinking=text)),
    st.builds(
        lambda number, arguments: ToolCall(
            id=f"call_{number}", name="tool", arguments=bytes(to_json(arguments)).decode()
        ),
        st.integers(0, 99),
        OBJECTS,
    ),
)


@pytest.mark.parametrize("form", ["events", "whole"])
@pytest.mark.parametrize("api", APIS)
@given(st.lists(BLOCKS, min_size=1, max_size=4, unique_by=lambda block: getattr(block, "id", id(block))), st.data())
def test_our_readers_read_what_is_written(
    api: str, form: Form, content: list[AssistantContent], data: st.DataObject
) -> None:
    calls = any(isinstance(block, ToolCall) for block in content)
    reasons: list[StopReason] = ["tool_use"] if calls else ["stop", "length"]
    message = AssistantMessage(content=tuple(content), stop_reason=data.draw(st.sampled_from(reasons)), usage=USAGE)
    message_read = read_back(api, form, message)
    assert words(message_read) == words(message)
    usage = message_read.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (20, 9, 5)


@pytest.mark.parametrize("api", ["anthropic-messages", "openai-completions", "openai-responses"])
def test_arguments_come_to_what_the_answer_says_also_where_deltas_say_something_else(api: str) -> None:
    message = AssistantMessage(content=(ToolCall(id="c", name="t", arguments='{"a":1}'),), stop_reason="tool_use")
    assert read_back(api, "events", message, ['{"a":', " 1}"]).tool_calls[0].arguments == '{"a":1}'


def test_signatures_and_opaque_blocks_come_back_over_their_own_protocol() -> None:
    content = (
        ThinkingContent(thinking="Hm", signature="c2ln"),
        ThinkingContent(thinking="", signature="b3BhcXVl", redacted=True),
        TextContent(text="cited", raw=to_json({"citations": [{"type": "char_location", "cited_text": "x"}]})),
    )
    message = AssistantMessage(content=content)
    assert read_back("anthropic-messages", "events", message).content == content
    assert read_back("anthropic-messages", "whole", message).content == content
    signed = (TextContent(text="a", signature="c2ln"), ToolCall(id="c", name="t", arguments="{}", signature="c2lo"))
    google = AssistantMessage(content=signed, stop_reason="tool_use")
    read = read_back("google-generative-ai", "events", google).content
    assert [block.signature for block in read if not isinstance(block, ThinkingContent)] == ["c2ln", "c2lo"]  # type: ignore[union-attr]  # no opaque block


@pytest.mark.parametrize("api", APIS)
def test_a_stream_has_no_line_ends_that_only_some_clients_know(api: str) -> None:
    message = AssistantMessage(content=(TextContent(text="a\x85b\u2028c\u2029d é"),), stop_reason="stop")
    wire, question = WIRES[api], asked(api, "events")
    answerer = wire.answerer(question, message)
    told = [*map(answerer.update, as_updates(message)), answerer.end(message)]
    written = b"".join(wire.frame(objects, "events", first=False) for objects in told if objects).decode()
    assert "é" in written
    assert written.splitlines() == written.replace("\r\n", "\n").removesuffix("\n").split("\n")
    assert read_back(api, "events", message).text == message.text


@pytest.mark.parametrize("api", APIS)
def test_a_failure_ends_a_stream_with_its_words(api: str) -> None:
    message = AssistantMessage(content=(TextContent(text="so far"),), stop_reason="error", error="overloaded")
    read = read_back(api, "events", message)
    assert (read.text, read.stop_reason) == ("so far", "error")
    assert "overloaded" in read.error


@pytest.mark.slow
@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_agent_calls_a_tool_over_every_protocol(vendor: str) -> None:
    async with served() as (url, server), open_log() as log:
        session = await log.session()
        run: Run[None] = await Agent(vendor_model(url, vendor), tools=[weather]).run("Rain?", session=session)
        assert (run.status, run.text) == ("done", "It rains.")
        assert (run.usage.input_tokens, run.usage.cache_read_tokens) == (20, 5)
        assert (await session.replay()).difference is None
        _, answer, result = server.asked[1].request.messages
        assert [call.name for call in answer.tool_calls] == ["weather"]  # type: ignore[union-attr]  # the assistant's
        assert result.content[0].text == "rain in Oslo"  # type: ignore[union-attr]  # the tool's


@pytest.mark.slow
async def test_a_refused_request_is_made_again_and_a_cut_answer_is_an_error() -> None:
    behaviours = [
        Behaviour(status=429, retry_after="0.01"),
        Behaviour(status=529, retry_after="0"),
        Behaviour(gzip=True),
    ]
    async with served("Well.", ["Half ", cut()], behaviours=behaviours) as (url, _), open_log() as log:
        agent: Agent[object] = Agent(vendor_model(url, "anthropic"))
        session = await log.session()
        assert (await agent.run("One", session=session)).text == "Well."
        run = await agent.run("Two", session=session)
        assert (run.status, run.text) == ("error", "Half ")
        retries = [
            r.event.cause
            for r in await session.events()
            if hasattr(r.event, "cause") and hasattr(r.event, "not_before_us")
        ]
        assert ["429" in cause or "529" in cause for cause in retries] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "behaviour"),
    [
        (["Half ", stall()], Behaviour()),
        (["Half ", "an answer"], Behaviour(stall_after_bytes=700)),
        (["Half ", "an answer"], Behaviour(first_byte_ms=5_000)),
        ([pause(5_000), "late"], Behaviour()),
    ],
)
async def test_a_stalled_answer_ends_by_the_clients_own_limits(answer: Answer, behaviour: Behaviour) -> None:
    async with served(answer, behaviours=[behaviour]) as (url, _):
        limits = {"first_byte_ms": 100, "idle_ms": 100, "max_attempts": 1}
        run: Run[None] = await Agent(vendor_model(url, "anthropic", **limits)).run("Rain?")
        assert run.status == "error"
        assert "nothing came for 0.1 seconds" in run.error


@pytest.mark.slow
async def test_a_cut_after_some_bytes_gives_exactly_these() -> None:
    async with (
        served("a" * 1_000, behaviours=[Behaviour(cut_after_bytes=300)]) as (url, _),
        httpx.AsyncClient(timeout=60) as client,
    ):
        body = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "?"}]}
        read = b""
        async with client.stream("POST", f"{url}/v1/messages", json=body) as response:
            pieces = response.aiter_raw()
            with suppress(httpx.RemoteProtocolError):
                while True:
                    read += await anext(pieces)
        assert len(read) == 300


@pytest.mark.slow
async def test_what_fails_before_it_begins_is_an_http_error_in_the_protocols_words() -> None:
    async with (
        served([fail("no disk")], [retry("slow down")], "x") as (url, _),
        httpx.AsyncClient(timeout=60) as client,
    ):
        answers = [await client.post(f"{url}/v1/responses", json={"model": "m", "input": "?"}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [500, 429, 200, 200]
        assert answers[0].json()["error"]["message"] == "no disk"
        spoken = [answers[2].json()["output"][0], {"role": "user", "content": "?"}]
        over = await client.post(f"{url}/v1/responses", json={"model": "m", "input": spoken})
        assert (over.status_code, over.json()["error"]["message"]) == (400, "script exhausted")
        wrong = await client.post(f"{url}/v1/messages", content=b"{")
        assert (wrong.status_code, wrong.json()["type"]) == (400, "error")
        assert (await client.get(f"{url}/v1/nothing")).status_code == 404


SCHEMA = {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"]}


def asks(api: str, *said: str, system: str, tool: str, schema: bool, stream: bool) -> tuple[str, dict[str, object]]:
    """Ask in a protocol's own words; what was said second is a call's result. Returns: the path and the body."""
    result = said[1:]
    answered: list[object]
    turns: list[object]
    messages: list[object]
    body: dict[str, object]
    format_: dict[str, object]
    match api:
        case "anthropic-messages":
            use = {"type": "tool_use", "id": "c", "name": tool, "input": {}}
            answered = [{"type": "tool_result", "tool_use_id": "c", "content": text} for text in result]
            turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": answered}]
            messages = [{"role": "user", "content": said[0]}, *(turns if result else [])]
            tools = [{"name": tool, "input_schema": {"type": "object"}}]
            format_ = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
            body = {"system": system, "messages": messages, "tools": tools, "stream": stream}
            return "/v1/messages", {"model": "m", **body, **(format_ if schema else {})}
        case "openai-completions":
            calls = [{"id": "c", "type": "function", "function": {"name": tool, "arguments": "{}"}}]
            answered = [{"role": "tool", "tool_call_id": "c", "content": text} for text in result]
            turns = [{"role": "assistant", "tool_calls": calls}, *answered] if result else []
            messages = [{"role": "system", "content": system}, {"role": "user", "content": said[0]}, *turns]
            tools = [{"type": "function", "function": {"name": tool, "parameters": {"type": "object"}}}]
            format_ = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}
            body = {"messages": messages, "tools": tools, "stream": stream}
            return "/v1/chat/completions", {"model": "m", **body, **(format_ if schema else {})}
        case "openai-responses":
            answered = [{"type": "function_call_output", "call_id": "c", "output": text} for text in result]
            turns = [{"type": "function_call", "call_id": "c", "name": tool, "arguments": "{}"}, *answered]
            messages = [{"role": "user", "content": said[0]}, *(turns if result else [])]
            tools = [{"type": "function", "name": tool, "parameters": {"type": "object"}}]
            format_ = {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}}
            body = {"instructions": system, "input": messages, "tools": tools, "stream": stream}
            return "/v1/responses", {"model": "m", **body, **(format_ if schema else {})}
        case _:
            call_ = {"role": "model", "parts": [{"functionCall": {"name": tool, "args": {}}}]}
            answered = [{"functionResponse": {"name": tool, "response": {"output": text}}} for text in result]
            turns = [call_, {"role": "user", "parts": answered}] if result else []
            config = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA} if schema else {}
            body = {
                "systemInstruction": {"parts": [{"text": system}]},
                "contents": [{"role": "user", "parts": [{"text": said[0]}]}, *turns],
                "tools": [{"functionDeclarations": [{"name": tool}]}],
                "generationConfig": config,
            }
            return f"/v1beta/models/m:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}", body


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", APIS)
async def test_rules_answer_over_every_protocol_streamed_and_whole(api: str, *, stream: bool) -> None:
    script: list[ScriptEntry] = [
        rule([think("Hm."), "Titled."], system="title"),
        rule("Shaped.", schema='"degrees"'),
        rule([fail("Broken.")], said="break"),
        rule([pause(1), "Seen."], said="sunny"),
        rule([call("look", {"at": "Called."})], said="sky", tool="look"),
        "In turn.",
    ]
    requests = [
        (("Sky?",), "Write a title.", "see", False),
        (("The weather?",), "", "see", True),
        (("break",), "", "see", False),
        (("The sky?", "sunny"), "", "look", False),
        (("The sky?",), "", "look", False),
        (("The sky?",), "", "see", False),
    ]
    async with serving(ScriptServer(script)) as running, httpx.AsyncClient(base_url=running.url, timeout=60) as client:
        for (said, system, tool, schema), word in zip(requests, WORDS, strict=True):
            path, body = asks(api, *said, system=system, tool=tool, schema=schema, stream=stream)
            answer = await client.post(path, json=body)
            assert answer.status_code == (500 if word == "Broken." else 200)
            assert [one for one in WORDS if one in answer.text] == [word]


async def test_a_function_makes_each_answer_of_the_request_and_calls_have_ids_of_their_own() -> None:
    def answer(request: Request) -> Answer:
        return [f"{len(request.messages)} said.", call("look")]

    async with serving(ScriptServer(answer)) as running, httpx.AsyncClient(base_url=running.url, timeout=60) as client:
        talk: list[dict[str, object]] = [{"role": "user", "content": "Go"}]
        for _ in range(2):
            asked = await client.post("/v1/chat/completions", json={"model": "m", "messages": talk})
            said = asked.json()["choices"][0]["message"]
            talk += [said, {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "seen"}]
    assert [one["content"] for one in talk if one["role"] == "assistant"] == ["1 said.", "3 said."]
    assert len({one["tool_call_id"] for one in talk if one["role"] == "tool"}) == 2


WORDS = ("Titled.", "Shaped.", "Broken.", "Seen.", "Called.", "In turn.")


def test_what_a_client_says_in_its_own_name_keeps_its_role() -> None:
    said = [{"role": role, "content": [{"type": "text", "text": role}]} for role in ("user", "system", "user")]
    asked = WIRES["anthropic-messages"].read("/v1/messages", {"model": "m", "messages": said}, "")
    roles = [read_object(one.raw).get("role") for one in asked.request.messages if isinstance(one, UserMessage)]
    assert roles == [None, "system", None]


def test_who_lets_others_in_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        warn_if_public(host)
    assert capsys.readouterr().err == ""
    warn_if_public("0.0.0.0")
    assert "everybody who reaches 0.0.0.0" in capsys.readouterr().err


@pytest.mark.slow
async def test_a_server_that_stops_does_not_wait_for_who_stalls() -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        async with serving(ScriptServer([["Half ", stall()]]), grace_s=1) as running:
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "?"}]}
            stream = client.stream("POST", f"{running.url}/v1/messages", json=body)
            response = await stream.__aenter__()
            assert response.status_code == 200
        with suppress(httpx.HTTPError):
            await stream.__aexit__(None, None, None)


def write(folder: Path, value: object) -> Path:
    path = folder / "script.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_a_file_holds_answers_alone_or_with_behaviours(tmp_path: Path) -> None:
    assert load_served_script(write(tmp_path, ["hello"])) == Script(answers=["hello"])
    both = {"answers": ["hello"], "behaviours": [{"status": 429, "retry_after": "1"}, {"gzip": True}]}
    script = load_served_script(write(tmp_path, both))
    assert script.behaviours == (Behaviour(status=429, retry_after="1"), Behaviour(gzip=True))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"answers": ["a"], "behaviour": []}, "'behaviour'"),
        ({"answers": ["a"], "behaviours": [{"statu": 429}]}, "statu"),
        ({"behaviours": []}, "expected a list of answers"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, given: object, problem: str) -> None:
    with pytest.raises(ScriptFileError, match=problem):
        load_served_script(write(tmp_path, given))


@pytest.mark.slow
async def test_a_port_that_is_taken_is_said_to_be() -> None:
    async with served() as (url, server):
        with pytest.raises(ServerUnavailableError, match="in use"):
            async with serving(server, port=int(url.rpartition(":")[2])):
                pass


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    path = write(tmp_path, ["hello"])
    command = [sys.executable, "-c", "from refold.cli import main; main()", "serve-script", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            said = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
            assert said["choices"][0]["message"]["content"] == "hello"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_the_files_that_the_documentation_shows_are_scripts(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "proxy.md").read_text(encoding="utf-8")
    shown = [json.loads(block.partition("```")[0]) for block in page.split("```json\n")[1:]]
    scripts = [load_served_script(write(tmp_path, given)) for given in shown]
    assert [(len(script.answers), len(script.behaviours)) for script in scripts] == [(3, 0), (5, 0), (1, 6)]

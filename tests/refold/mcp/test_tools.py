"""Tools of real MCP servers, started by the test: a program, and one that speaks HTTP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from eventsource.codec import from_json
from eventsource.errors import ArgumentError, ToolArgumentsError
from eventsource.events import ConfigChange, ToolExecutionEnd, ToolExecutionUpdate
from eventsource.messages import ImageContent, TextContent
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call
from refold import Agent, Run, open_log
from refold.mcp import McpServerError, mcp_tools
from tests.refold.calling import Caller, text_of

SERVER = Path(__file__).parents[1] / "mcp_server.py"
STDIO = (sys.executable, str(SERVER), "stdio")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Start the server that speaks HTTP."""
    process = subprocess.Popen([sys.executable, str(SERVER), "http"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate(timeout=60)


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> str | Sequence[str]:
    if request.param == "stdio":
        return STDIO
    url: str = request.getfixturevalue("url")
    return url


@pytest.fixture
async def caller(server: str | Sequence[str]) -> AsyncIterator[Caller]:
    async with mcp_tools(server) as tools:
        yield Caller(tools)


async def test_a_servers_tools_are_tools_with_its_words_and_hints(caller: Caller) -> None:
    specs = {name: tool.spec for name, tool in caller.tools.items()}
    assert specs["weather"].description == "Say the weather in a city."
    assert {name: spec.effect for name, spec in specs.items()} == {
        "weather": "idempotent",
        "forecast": "once",
        "measure": "once",
        "fail": "idempotent",
        "station_look": "once",
        "wait": "once",
        "environment": "once",
        "die": "once",
    }
    assert len({spec.version for spec in specs.values()}) == 1
    assert specs["weather"].version.startswith("sha256:")
    with pytest.raises(ToolArgumentsError, match="city"):
        await caller.outcome("weather")


async def test_results_are_text_data_images_and_errors(caller: Caller) -> None:
    assert await caller.good("weather", city="Oslo", days=2) == "rain in Oslo for 2"
    measured = (await caller.outcome("measure")).result
    assert from_json(measured.details) == {"celsius": 12.5, "millimetres": 3.0}
    assert "12.5" in text_of(measured)
    looked = (await caller.outcome("station_look")).result.content
    assert looked == (
        ImageContent(data="iVBORw0KGgo=", media_type="image/png"),
        TextContent(text="[weather://note]\nwet"),
    )
    assert "the window is stuck" in await caller.bad("fail", why="the window is stuck")


async def test_progress_comes_as_partial_results(caller: Caller) -> None:
    assert await caller.good("forecast", city="Oslo") == "more rain"
    assert [(text_of(one), from_json(one.details)) for one in caller.reported] == [
        ("looked at Oslo", {"progress": 1, "total": 2}),
        ("2 of 2", {"progress": 2, "total": 2}),
    ]


@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_an_abort_reaches_the_server_and_the_connection_lives_on(
    how: str, caller: Caller, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    waiting = asyncio.create_task(caller.outcome("wait", note=str(note)))
    while not caller.reported:
        await asyncio.sleep(0.01)
    if how == "abort":
        caller.stop.set()
        assert "aborted" in text_of((await waiting).result)
        caller.stop.clear()
    else:
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(60):
        while not note.exists():  # another process writes it
            await asyncio.sleep(0.01)
    assert await caller.good("weather", city="Oslo") == "rain in Oslo for 1"


async def test_calls_of_a_batch_run_at_once(caller: Caller, tmp_path: Path) -> None:
    waiting = asyncio.create_task(caller.outcome("wait", note=str(tmp_path / "note")))
    while not caller.reported:
        await asyncio.sleep(0.01)
    said = await asyncio.gather(*(caller.good("weather", city=city) for city in ("Oslo", "Rome", "Lima")))
    assert said == [f"rain in {city} for 1" for city in ("Oslo", "Rome", "Lima")]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_server_that_dies_is_an_error_result_and_is_started_again_at_the_next_call() -> None:
    async with mcp_tools(STDIO, connect_s=120) as tools:  # so long no new connection is made in the end
        caller = Caller(tools)
        for _ in range(2):
            assert (await caller.bad("die")).startswith(Path(sys.executable).name)
            assert await caller.good("weather", city="Oslo") == "rain in Oslo for 1"
        for _ in range(4):
            await caller.bad("die")
        assert "3 new connections in a row were of no use" in await caller.bad("weather", city="Oslo")


async def test_a_run_records_the_lists_digest_and_what_the_server_reports(server: str | Sequence[str]) -> None:
    script = ScriptedModel([[call("forecast", {"city": "Oslo"})], "Take a coat."])
    async with mcp_tools(server) as tools, open_log() as log:
        session = await log.session("oslo")
        run: Run[None] = await Agent(script, tools=tools).run("A coat?", session=session)
        events = [recorded.event for recorded in await session.events()]
        assert (await session.replay()).difference is None
    assert run.text == "Take a coat."
    (change,) = [event for event in events if isinstance(event, ConfigChange)]
    assert {spec.version for spec in change.tools or ()} == {tools[0].spec.version}
    assert [text_of(one.partial) for one in events if isinstance(one, ToolExecutionUpdate)] == [
        "looked at Oslo",
        "2 of 2",
    ]
    (end,) = [event for event in events if isinstance(event, ToolExecutionEnd)]
    assert end.result is not None
    assert text_of(end.result) == "more rain"


async def test_a_command_may_be_one_text_and_names_may_have_a_prefix() -> None:
    async with mcp_tools(f"'{sys.executable}' '{SERVER}' stdio", prefix="station_") as tools:
        assert {"station_weather", "station_station_look"} <= {tool.spec.name for tool in tools}


async def test_a_program_inherits_little_and_what_it_is_given_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted-0123456789")
    async with mcp_tools(STDIO, env={"STATION_TOKEN": "planted-0123456789", "UNIT": "celsius-degrees"}) as tools:
        caller = Caller(tools)
        assert await caller.good("environment", name="ANTHROPIC_API_KEY") == "(not set)"
        assert await caller.good("environment", name="UNIT") == "celsius-degrees"
        assert await caller.good("environment", name="STATION_TOKEN") == "[redacted]"
        outcome = await caller.outcome("fail", why="planted-0123456789")
        assert outcome.is_error
        assert "planted" not in repr(outcome)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (("no-such-program-at-all",), "MCP server no-such-program-at-all: no-such-program-at-all: no such file"),
        ("", "found nothing"),
        ("http://127.0.0.1:9/mcp?key=planted-0123456789", "MCP server http://127.0.0.1:9/mcp: "),
        (
            (sys.executable, str(SERVER), "nohow"),
            "the last thing it said: no such way to serve: ['nohow'], and the token is [redac",
        ),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "did not answer within 1 s"),
    ],
)
async def test_a_server_that_cannot_be_used_is_one_sentence(server: str | Sequence[str], says: str) -> None:
    with pytest.raises(McpServerError) as caught:
        async with mcp_tools(server, env={"TOKEN": "planted-0123456789"}, connect_s=1 if "-c" in server else 60):
            pass
    assert says in str(caught.value)
    assert "planted" not in str(caught.value)


async def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(McpServerError, match="install refold"):
        async with mcp_tools(STDIO):
            pass


async def test_an_error_of_the_body_is_the_one_that_is_raised(server: str | Sequence[str]) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with mcp_tools(server):
            raise LookupError("mine")


async def test_calls_of_a_servers_tools_wait_for_a_person_where_it_is_said(tmp_path: Path) -> None:
    """For all of them, or by name; a name or rule that is none is refused when the connection is made."""
    answers: list[Answer] = [[call("weather", {"city": "Oslo"}), call("measure")], "Rain."]
    async with open_log(tmp_path / "log.db") as log:
        session = await log.session("s")
        named = mcp_tools(STDIO, approval={"weather": "always"}, approval_timeout="1h", approval_default="approve")
        async with named as tools:
            agent = Agent(ScriptedModel(answers, by="request"), tools=tools)
            run = await agent.run("Oslo?", session=session)
            assert [(wait.tool, wait.deadline_us is not None) for wait in run.waits] == [("weather", True)]
            await session.decide(run.waits[0], approve=True)
            assert (await agent.resume(session)).status == "done"
    async with mcp_tools(STDIO, approval="always") as tools:
        assert {tool.spec.approval for tool in tools} == {"always"}
    with pytest.raises(McpServerError, match="approval names 'wether'; its tools are weather, "):
        async with mcp_tools(STDIO, approval={"wether": "always"}):
            pass
    with pytest.raises(ArgumentError, match="expected 'always' or 'never', a function or a dict"):
        async with mcp_tools(STDIO, approval="sometimes"):  # type: ignore[arg-type]  # what is to be refused
            pass

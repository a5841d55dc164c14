"""MCP servers that go wrong: an odd tool is left out and named, an odd answer is an error, and nothing hangs."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from eventsource.messages import ImageContent
from refold.mcp import McpServerError, mcp_tools
from tests.refold.calling import Caller, text_of

pytestmark = pytest.mark.slow
PLAIN = {"type": "object", "properties": {}}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()
SERVER = r"""
import json, os, sys, time
tools = json.loads(sys.argv[1])
def say(asked, **answer):
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    elif asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        server = {"name": "x", "version": "1"}
        say(asked, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server})
    elif asked["method"] == "tools/list":
        say(asked, result={"tools": tools})
    elif asked["method"] == "tools/call":
        name, content = asked["params"]["name"], []
        answered = False
        exec(sys.argv[2])
        if not answered:
            say(asked, result={"content": content or [{"type": "text", "text": "called " + name}]})
    else:
        say(asked, error={"code": -32601, "message": "no"})
"""


def server(tools: list[object], code: str = "pass") -> list[str]:
    return [sys.executable, "-c", SERVER, json.dumps(tools), code]


def one(code: str) -> list[str]:
    return server([{"name": "t", "inputSchema": PLAIN}], code)


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"name": "odd"}, "inputschema: field required"),
        ({"inputSchema": PLAIN}, "name: field required"),
        ({"name": None, "inputSchema": PLAIN}, "name: "),
        ({"name": "", "inputSchema": PLAIN}, "it has no name"),
        ({"name": "good", "inputSchema": PLAIN}, "'good': it is listed twice"),
        ({"name": "odd", "inputSchema": []}, "'odd'"),
        ({"name": "odd", "inputSchema": {"type": "string"}}, "type object, not 'string'"),
        ({"name": "odd", "inputSchema": {}}, "type object, not None"),
        (
            {"name": "odd", "inputSchema": {"type": "object", "properties": 3}},
            "properties: input should be a valid dictionary",
        ),
        ({"name": "odd", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/no"}}}}, "'#/no'"),
        ({"name": "odd", "inputSchema": {"type": "object", "$ref": "http://127.0.0.1:1/x"}}, "127.0.0.1:1/x'"),
        ("odd", "left out the tool"),
        (None, "left out the tool"),
        ({"name": "\x1b[31modd", "inputSchema": 1}, "odd"),
    ],
)
async def test_an_odd_tool_is_left_out_and_named(odd: object, says: str) -> None:
    found: list[str] = []
    async with mcp_tools(server([{"name": "good", "inputSchema": PLAIN}, odd]), on_finding=found.append) as tools:
        caller = Caller(tools)
        assert list(caller.tools) == ["good"]
        assert await caller.good("good") == "called good"
    assert [says in finding.lower().replace("none", "None") for finding in found] == [True], found
    assert found[0].isprintable()


async def test_what_cannot_be_checked_here_is_left_to_the_server() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": r"^\p{L}+$"}, "pattern": {"type": "integer"}},
        "patternProperties": {r"^\p{Lu}": {"type": "integer"}, "^x_": {"type": "integer"}},
        "additionalProperties": False,
    }
    found: list[str] = []
    output = {"type": "object", "properties": {"a": {"pattern": r"\p{L}"}}, "required": ["a"]}
    tools = [{"name": "t", "inputSchema": schema, "outputSchema": output}]
    async with mcp_tools(server(list(tools)), on_finding=found.append) as made:
        caller = Caller(made)
        assert await caller.good("t", a="Abc", pattern=1, Other="x") == "called t"
        with pytest.raises(Exception, match="must be integer"):
            await caller.outcome("t", pattern="no")
        with pytest.raises(Exception, match="must be integer"):
            await caller.outcome("t", x_1="no")
        assert b"p{L}" in bytes(made[0].spec.schema)  # the model is told of it
    assert found == []


async def test_names_that_become_equal_get_numbers_whatever_their_order() -> None:
    names = ["a.b", "a_b", "a/b", "ä", "x" * 70, "x" * 64 + "y", "a_b_2"]
    given: dict[str, str] = {}
    for order in (names, names[::-1]):
        async with mcp_tools(server([{"name": name, "inputSchema": PLAIN} for name in order])) as tools:
            caller = Caller(tools)
            for tool in tools:
                called = (await caller.good(tool.spec.name)).removeprefix("called ")
                assert given.setdefault(called, tool.spec.name) == tool.spec.name
    assert given == {
        "a_b": "a_b",
        "a_b_2": "a_b_2",
        "a.b": "a_b_3",
        "a/b": "a_b_4",
        "ä": "_",
        "x" * 64 + "y": "x" * 62 + "_2",
        "x" * 70: "x" * 64,
    }


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "no base64!", "mimeType": "image/png"},
        {"type": "image", "data": "", "mimeType": "image/png"},
        {"type": "image", "data": base64.b64encode(b"<html>").decode(), "mimeType": "image/png"},
        {"type": "image", "data": PNG, "mimeType": "text/html"},
        {"type": "audio", "data": "no base64!", "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "x://y", "blob": "no base64!", "mimeType": "image/png"}},
        {"type": "resource", "resource": {"uri": "x://y", "blob": "%%%", "mimeType": "application/pdf"}},
    ],
)
async def test_content_that_is_none_is_an_error_and_the_rest_is_kept(block: object) -> None:
    async with mcp_tools(one(f"content = [{{'type': 'text', 'text': 'before'}}, {block!r}]")) as tools:
        outcome = await Caller(tools).outcome("t")
    assert outcome.is_error
    assert text_of(outcome.result).startswith("before[the server sent a")
    assert not [part for part in outcome.result.content if isinstance(part, ImageContent)]


async def test_an_image_has_the_type_that_it_is_of() -> None:
    block = {"type": "image", "data": PNG, "mimeType": "image/jpeg"}
    async with mcp_tools(one(f"content = [{block!r}]")) as tools:
        outcome = await Caller(tools).outcome("t")
    assert outcome.result.content == (ImageContent(data=PNG, media_type="image/png"),)


CUT = """print('{"jsonrpc": "2.0", "id": %d, "result": ' % asked["id"], flush=True); answered = True"""
HALF = r"""content = [{"type": "text", "text": "\ud83d"}]"""
GLUED = 'sys.stdout.write("debug: ")'
SHAPE = 'say(asked, result={"content": "text"}); answered = True'
SHAPELESS = "say(asked, result=[]); answered = True"
NOTHING = "say(asked); answered = True"
FAULT = 'say(asked, error={"code": -32000, "message": "\\x1b[2Jbroken"}); answered = True'


@pytest.mark.parametrize("code", [CUT, HALF, GLUED, SHAPE, SHAPELESS, NOTHING, FAULT])
async def test_an_answer_that_cannot_be_read_is_an_error_at_once(code: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with mcp_tools(one(code)) as tools:
        said = await asyncio.wait_for(Caller(tools).bad("t"), 60)
    assert said.isprintable()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "code",
    [
        "answered = True",
        'say({"id": 99999}, result={"content": []}); answered = True',
        'say({"id": "x"}, result={"content": []}); answered = True',
        "time.sleep(99)",
        "print('not for you', flush=True); answered = True",
        "sys.stdout.write('x' * 3_000_000); sys.stdout.flush(); time.sleep(99)",
        "[print('noise ' * 100, flush=True) for _ in iter(int, 1)]",
    ],
)
async def test_every_call_has_a_time_limit(code: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with mcp_tools(one(code), call_s=1) as tools:
        began_s = time.monotonic()
        assert [tool.spec.timeout_us for tool in tools] == [1_000_000]
        assert await Caller(tools).bad("t") == "Tool execution timed out after 1 s"
        assert time.monotonic() - began_s < 60
    assert capfd.readouterr().err == ""


async def test_prints_and_what_goes_to_stderr_disturb_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    code = "print('hello'); print('{}'); print('[1'); sys.stderr.write('\\x1b[31mnoise\\n' * 9999); sys.stderr.flush()"
    async with mcp_tools(one(code)) as tools:
        caller = Caller(tools)
        assert [await caller.good("t") for _ in range(3)] == ["called t"] * 3
    assert capfd.readouterr().err == ""


async def test_a_server_that_closes_in_the_middle_of_a_call_is_started_again(tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = f"if not os.path.exists({str(note)!r}): open({str(note)!r}, 'w').close(); os._exit(3)"
    async with mcp_tools(one(code), call_s=60) as tools:
        caller = Caller(tools)
        assert await caller.bad("t")
        assert await caller.good("t") == "called t"


async def test_a_server_that_dies_between_two_calls_is_started_again(tmp_path: Path) -> None:
    code = "open('number', 'w').write(str(os.getpid()))"
    async with mcp_tools(one(code), cwd=tmp_path) as tools:
        caller = Caller(tools)
        numbers = set()
        for _ in range(3):
            assert await caller.good("t") == "called t"
            number = int((tmp_path / "number").read_text())
            numbers.add(number)
            connection = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
            os.kill(number, signal.SIGKILL)
            await asyncio.wait(connection)  # until the end of its output is seen
        assert len(numbers) == 3


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stderr.write('\\x1b[31mno licence\\n'); sys.exit(3)",
        "import time; time.sleep(99)",
        "import sys; [sys.stdout.write('noise\\n') for _ in iter(int, 1)]",
        'print(\'{"jsonrpc": "2.0", "id": 1, "result": {}}\', flush=True); import time; time.sleep(99)',
    ],
)
async def test_a_server_that_never_begins_is_one_sentence(code: str, capfd: pytest.CaptureFixture[str]) -> None:
    began_s = time.monotonic()
    with pytest.raises(McpServerError) as caught:
        async with mcp_tools([sys.executable, "-c", code], connect_s=2):
            pass
    assert time.monotonic() - began_s < 60
    assert str(caught.value).isprintable()
    assert capfd.readouterr().err == ""

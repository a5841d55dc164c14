"""What brings the messages of MCP servers: bounded in size, made new when it is lost, and nothing is left running."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eventsource.background import running
from eventsource.codec import from_json
from refold.mcp import McpServerError, mcp_tools
from refold.mcp.stdio import MESSAGE_BYTES
from tests.loop_clock import put_forward
from tests.refold.calling import Caller
from tests.refold.mcp.test_faults import PLAIN, SERVER, one, server
from tests.temporal import free_port

pytestmark = pytest.mark.slow
TOO_LONG = f"it sent a message of more than {MESSAGE_BYTES:,} bytes"


async def _made(path: Path) -> None:
    """Wait until a program has made a file."""
    while not path.exists():  # noqa: ASYNC240  it takes no time
        await asyncio.sleep(0.01)


def living(number: int) -> bool:
    """Say whether a process is there; one that has ended and that nobody has asked about is not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    "code",
    [
        f"content = [{{'type': 'text', 'text': 'x' * {MESSAGE_BYTES}}}]",
        "while True: sys.stdout.write('x' * 65536)",
    ],
)
async def test_a_message_without_a_bound_is_an_error_of_its_call_and_the_next_call_has_a_new_server(
    code: str, tmp_path: Path
) -> None:
    once = f"if not os.path.exists('note'):\n  open('note', 'w').close()\n  {code}"
    async with mcp_tools(one(once), cwd=tmp_path, call_s=60) as tools:
        caller = Caller(tools)
        assert TOO_LONG in await caller.bad("t")
        assert await caller.good("t") == "called t"


async def test_a_result_of_the_longest_kind_can_be_sent_as_text_and_as_data() -> None:
    made = "data = {'x': '\"' * 1_000_000}"
    answer = "result={'content': [{'type': 'text', 'text': json.dumps(data)}], 'structuredContent': data}"
    async with mcp_tools(one(f"{made}\nsay(asked, {answer}); answered = True")) as tools:
        outcome = await Caller(tools).outcome("t")
    assert not outcome.is_error


PING = "say({'id': 1}, method='ping', params={}); assert json.loads(sys.stdin.readline())['result'] == {}"
ASKS = "say({'id': 'a'}, method='sampling/createMessage', params={}); json.loads(sys.stdin.readline())['error']"
FLOOD = """for _ in range(5000):
    print(json.dumps({'jsonrpc': '2.0', 'method': 'notifications/message', 'params': {'level': 'info', 'data': 'x'}}))
"""
TWICE = "say(asked, result={'content': [{'type': 'text', 'text': 'called t'}]})"
STRANGER = "say({'id': 77}, result={'content': []})"


@pytest.mark.parametrize("code", [PING, ASKS, FLOOD, TWICE, STRANGER, "print('a banner'); print()"])
async def test_what_a_server_says_beside_its_answer_changes_nothing(
    code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with mcp_tools(one(code), call_s=60) as tools:
        caller = Caller(tools)
        assert [await caller.good("t") for _ in range(2)] == ["called t", "called t"]
    assert capfd.readouterr() == ("", "")


async def test_numbers_that_json_does_not_have_are_spelled_as_in_any_tools_result() -> None:
    code = "say(asked, result={'content': [], 'structuredContent': {'x': float('nan'), 'y': -float('inf')}})"
    async with mcp_tools(one(f"{code}; answered = True")) as tools:
        outcome = await Caller(tools).outcome("t")
    assert not outcome.is_error
    assert from_json(outcome.result.details) == {"x": "NaN", "y": "-Infinity"}


@pytest.mark.parametrize("end", [1, 0])
async def test_a_server_that_closes_a_stream_and_lives_on_is_ended_and_started_again(end: int, tmp_path: Path) -> None:
    code = f"""if not os.path.exists('note'):
  open('note', 'w').write(str(os.getpid()))
  os.close({end}); open('closed', 'w').close(); time.sleep(99)"""
    async with mcp_tools(one(code), cwd=tmp_path, call_s=60) as tools:
        caller = Caller(tools)
        if end == 0:  # that is seen when something is written to it
            calling = asyncio.create_task(caller.bad("t"))
            await _made(tmp_path / "closed")
            caller.stop.set()
            assert "aborted" in await calling
            caller.stop.clear()
            await caller.outcome("t")  # an error, unless it was told before that the call is given up
        else:
            assert await caller.bad("t")
        assert await caller.good("t") == "called t"
        assert not living(int((tmp_path / "note").read_text()))


async def test_a_server_that_dies_while_it_lists_its_tools_is_one_sentence() -> None:
    dying = SERVER.replace('say(asked, result={"tools": tools})', 'sys.stderr.write("no licence\\n"); os._exit(3)')
    with pytest.raises(McpServerError, match=r"^MCP server python[0-9.]*: Connection closed; .*: no licence$"):
        async with mcp_tools([sys.executable, "-c", dying, "[]", ""]):
            pass


async def test_a_list_of_many_tools_is_read_and_one_without_end_is_cut_and_named() -> None:
    async with mcp_tools(server([{"name": f"t{number}", "inputSchema": PLAIN} for number in range(500)])) as tools:
        assert len(tools) == 500
    endless = SERVER.replace('result={"tools": tools}', 'result={"tools": tools, "nextCursor": "again"}')
    found: list[str] = []
    listed = json.dumps([{"name": "t", "inputSchema": PLAIN}])
    async with mcp_tools([sys.executable, "-c", endless, listed, "pass"], on_finding=found.append) as tools:
        assert await Caller(tools).good("t") == "called t"
    assert [finding for finding in found if "does not end" in finding]


STARTS = """
import subprocess
for words in (['sleep', '300'], ['setsid', 'sleep', '300'], ['sh', '-c', 'trap "" TERM; sleep 300 & wait']):
    print(subprocess.Popen(words, stdin=subprocess.DEVNULL).pid, file=open('started', 'a'))
print(os.getpid(), file=open('started', 'a'))
"""


@pytest.mark.parametrize(
    "ignores", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)"]
)
async def test_nothing_that_a_server_has_started_is_left_when_it_is_closed(ignores: str, tmp_path: Path) -> None:
    code = f"{STARTS}open('all', 'w').close()\n{ignores}"
    async with mcp_tools(one(code), cwd=tmp_path) as tools, running(Caller(tools).outcome("t")) as (calling,):
        await _made(tmp_path / "all")
        if not ignores:
            await calling
    numbers = [int(number) for number in (tmp_path / "started").read_text().split()]
    assert len(numbers) == 4
    assert [number for number in numbers if living(number)] == []


@pytest.mark.parametrize("times", [1, 5])
async def test_who_is_cancelled_with_an_open_connection_leaves_no_program_task_or_descriptor(
    times: int, tmp_path: Path
) -> None:
    begins = tmp_path / "begins"
    program = f"import os\nprint(os.getpid(), file=open({str(begins)!r}, 'a'), flush=True)\n{SERVER}"
    words = [sys.executable, "-c", program, json.dumps([{"name": "t", "inputSchema": PLAIN}]), "time.sleep(99)"]

    async def use() -> None:
        async with mcp_tools(words) as tools:
            await Caller(tools).outcome("t")

    tasks, descriptors = asyncio.all_tasks(), len(os.listdir("/proc/self/fd"))
    for wait_s in (0.0, 0.001, 0.1, 0.6, 2.0):
        using = asyncio.create_task(use())
        await asyncio.sleep(wait_s)
        for _ in range(times):
            using.cancel()
            await asyncio.sleep(0.001)
        with pytest.raises(asyncio.CancelledError):
            await using
        assert asyncio.all_tasks() == tasks
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 1  # asyncio keeps what it watches children with
    numbers = begins.read_text().split() if begins.exists() else []
    assert [number for number in numbers if living(int(number))] == []


class _Station(BaseHTTPRequestHandler):
    """A server with sessions that end when it is stopped, by the rules of before 2026."""

    session, big = "first", False

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        listed = {"tools": [{"name": "t", "inputSchema": PLAIN}]}
        capable = {"capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
        text = "x" * MESSAGE_BYTES if self.big else f"called in {self.session}"
        results = {
            "initialize": {"protocolVersion": "2025-06-18", **capable},
            "tools/list": listed,
            "tools/call": {"content": [{"type": "text", "text": text}]},
        }
        if "id" not in asked:
            self._say(202, b"")
        elif self.headers.get("mcp-session-id") not in (None, self.session):
            self._say(404, b"")
        elif asked["method"] in results:
            self._say(
                200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]}).encode()
            )
        else:
            self._say(400, b"")

    def do_GET(self) -> None:
        self._say(405, b"")

    def do_DELETE(self) -> None:
        self._say(200, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in ("content-type", "application/json"), ("mcp-session-id", self.session):
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # nobody reads it to its end
            pass

    def log_message(self, *said: object) -> None:
        pass


@contextmanager
def station(port: int = 0, **how: object) -> Iterator[int]:
    serving = ThreadingHTTPServer(("127.0.0.1", port), type("Station", (_Station,), how))
    thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield serving.server_port
    finally:
        serving.shutdown()
        serving.server_close()
        thread.join()


async def test_a_server_that_speaks_http_may_be_stopped_and_started_again() -> None:
    async with AsyncExitStack() as stack:
        with station(free_port()) as port:
            tools = await stack.enter_async_context(mcp_tools(f"http://127.0.0.1:{port}/mcp"))
            caller = Caller(tools)
            assert await caller.good("t") == "called in first"
        for _ in range(4):  # it is down: errors in words, of a few new connections and then of none
            assert f"127.0.0.1:{port}" in await caller.bad("t")
        assert "new connections in a row were of no use; the next is made in" in await caller.bad("t")
        put_forward(30)  # for which no connection is made
        with station(port, session="second"):
            assert await caller.good("t") == "called in second"
        with station(port, session="third"):  # nobody called while it was down: it does not know the session
            assert await caller.good("t") == "called in third"


async def test_an_answer_by_http_without_a_bound_is_an_error_of_its_call() -> None:
    with station(big=True) as port:
        async with mcp_tools(f"http://127.0.0.1:{port}/mcp") as tools:
            assert TOO_LONG in await Caller(tools).bad("t")

"""The command `serve`: who may ask, where it listens, and a chat that outlives its server. Real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import stall
from refold import Agent, open_log
from refold.http import serving_log

from .serving import HEADERS, TOKEN, Setup, Stream, served

REFOLD = (sys.executable, "-c", "from refold.cli import main; main()")
AGENT = """
from pathlib import Path
from refold import Agent
from refold.testing import scripted
from eventsource.models.scripted.script import stall

first = ["It ", "rains ", stall()]
agent = Agent(scripted(["It rains."] if Path("again").exists() else first))
"""


@contextmanager
def serve(folder: Path, *words: str, **more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command in a folder. Yields: where it listens, and the process."""
    env = {name: value for name, value in os.environ.items() if name != "REFOLD_TOKEN"} | more
    command = [*REFOLD, "--db", str(folder / "runs.db"), "--json", "serve", *words]
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        yield json.loads(line)["url"], process
    finally:
        process.kill()
        process.communicate()


def headers(folder: Path) -> Mapping[str, str]:
    token = (folder / "runs.db-token").read_text().strip()
    return {"authorization": f"Bearer {token}"}


@pytest.mark.slow
def test_the_token_is_kept_for_its_owner_alone_and_by_a_restart(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        with serve(tmp_path, "--port", "0") as (url, process):
            tokens.append(headers(tmp_path))
            assert httpx.get(f"{url}/v1/sessions", timeout=60).status_code == 401
            assert httpx.get(f"{url}/v1/sessions", headers=tokens[-1], timeout=60).json() == {
                "sessions": [],
                "next": None,
            }
            assert httpx.get(f"{url}/healthz", timeout=60).json() == {"status": "ok"}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert tokens[0] == tokens[1]
    path = tmp_path / "runs.db-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) >= 43  # 256 bits
    path.chmod(0o644)
    refused = subprocess.run(
        [*REFOLD, "--db", str(tmp_path / "runs.db"), "serve"], capture_output=True, text=True, timeout=60
    )
    assert (refused.returncode, "chmod 600" in refused.stderr) == (4, True)


@pytest.mark.slow
def test_a_token_of_ones_own_comes_from_the_environment_and_is_needed_where_others_reach(tmp_path: Path) -> None:
    with serve(tmp_path, "--port", "0", REFOLD_TOKEN=TOKEN) as (url, _):
        assert httpx.get(f"{url}/v1/sessions", headers=HEADERS, timeout=60).status_code == 200
        assert not (tmp_path / "runs.db-token").exists()
    env = {name: value for name, value in os.environ.items() if name != "REFOLD_TOKEN"}
    for words, more in (
        (("--host", "0.0.0.0"), {}),
        (("--read-only", "--allow-run"), {}),
        (("--port", "0"), {"REFOLD_TOKEN": "short"}),
        (("--public-url", "agents.example"), {}),
    ):
        command = [*REFOLD, "--db", str(tmp_path / "runs.db"), "serve", *words]
        refused = subprocess.run(command, capture_output=True, text=True, env=env | more, timeout=60)
        assert refused.returncode in (2, 4), refused
        assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_unix_socket_is_its_owners_alone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for _ in range(2):  # the second finds the file of the first, which was killed
        with serve(tmp_path, "--socket", "s.sock") as (url, process):
            assert url == f"unix://{tmp_path / 's.sock'}"
            assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
            with httpx.Client(timeout=60, transport=httpx.HTTPTransport(uds=str(tmp_path / "s.sock"))) as client:
                asked = client.get("http://localhost/v1/sessions", headers=headers(tmp_path))
                assert asked.status_code == 200
            process.kill()
            process.wait()
    with serve(tmp_path, "--socket", "s.sock"):
        command = [*REFOLD, "--db", str(tmp_path / "runs.db"), "serve", "--socket", "s.sock"]
        taken = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (taken.returncode, "cannot listen" in taken.stderr) == (2, True)


@pytest.mark.slow
async def test_a_server_that_is_killed_in_an_answer_is_started_again_and_the_watcher_misses_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "rain.py").write_text(AGENT)
    words = ("--agent", "rain:agent", "--allow-run", "--port", "0")
    seen: list[int] = []

    async def watch(client: httpx.AsyncClient, until: str) -> None:
        named = {"accept": "text/event-stream", "last-event-id": str(seen[-1] if seen else 0)}
        path = "/v1/sessions/rain/events?updates=all"
        async with client.stream("GET", path, headers=named) as answer:
            stream = Stream(answer)
            while (one := await stream.next()) is not None:
                seen.append(one.seq)
                if until in json.dumps(one.data):
                    return

    with serve(tmp_path, *words) as (url, process):
        async with httpx.AsyncClient(base_url=url, headers=headers(tmp_path), timeout=60) as client:
            await client.post("/v1/sessions", json={"title": "rain"})
            begun = await client.post("/v1/sessions/rain/run", json={"prompt": "Rain?"})
            assert begun.status_code == 202
            await watch(client, "rains ")
            process.kill()
            process.wait()
    (tmp_path / "again").touch()
    with serve(tmp_path, *words) as (url, process):
        async with httpx.AsyncClient(base_url=url, headers=headers(tmp_path), timeout=60) as client:
            row = (await client.get("/v1/sessions/rain")).json()
            assert row["stands"]["status"] == "interrupted"
            watching = asyncio.create_task(watch(client, "agent_end"))
            resumed = await client.post("/v1/sessions/rain/resume?wait=60", json={})
            assert resumed.json()["text"] == "It rains."
            await watching
    async with open_log(tmp_path / "runs.db") as log:
        events = await (await log.session("rain")).events()
        assert seen == [one.seq for one in events]


async def test_a_run_under_way_is_handed_back_when_the_server_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.http.api.agent_runs.GRACE_S", 0.0)
    waits: Agent[Any] = Agent(scripted(["It ", stall()]))
    async with open_log(tmp_path / "runs.db") as log:
        session = await log.session("a")
        async with serving_log(log, token=TOKEN, choose=lambda *_: (waits, None)) as running:
            setup = Setup(log, running.url, [])
            async with setup.client:
                await setup.post("/v1/sessions/a/run", {"prompt": "Rain?"}, 202)
                async for one in session.follow():
                    if one.event.type == "message_update":
                        break
        assert (await session.info()).status == "interrupted"
        assert not [one for one in await session.events() if one.event.type == "abort_request"]
        assert (await Agent(scripted(["It rains."])).resume(session)).text == "It rains."


async def test_eight_streams_of_one_client_hold_up_no_other_request() -> None:
    async with served() as setup:
        session = await setup.log.session("a")
        async with asyncio.TaskGroup() as group:

            async def watch() -> None:
                async with setup.stream("/v1/sessions/a/events") as stream:
                    assert [one.seq for one in await stream.upto(3)] == [1, 2, 3]

            for _ in range(8):
                group.create_task(watch())
            for _ in range(3):
                await setup.post("/v1/sessions/a/messages", {"queue": "steering", "message": "Hi"})
        assert (await session.info()).head == 3

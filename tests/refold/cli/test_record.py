"""`refold record -- COMMAND` and `refold replay ID -- COMMAND`: an agent runs with a proxy of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from refold.cli.programs.pointing import Pointing, pointed
from refold.http import Script, ScriptServer, serving

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MAIN = "from refold.cli import main; main()"
ANSWERS = ["One.", "Two.", "Three."]
ASK = """
import json, os, sys, urllib.request
base = os.environ["ANTHROPIC_BASE_URL"]
said = []
for text in sys.argv[2:]:
    said.append({"role": "user", "content": text})
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": said, "metadata": {"user_id": str(os.getpid())}}
    headers = {"x-api-key": "sk-secret-1", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    request = urllib.request.Request(base + "/v1/messages", json.dumps(body).encode(), headers)
    try:
        answer = json.load(urllib.request.urlopen(request))["content"][0]["text"]
    except urllib.error.HTTPError as error:
        answer = str(error.code)
    said.append({"role": "assistant", "content": answer})
    print(answer, flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def provider() -> Iterator[str]:
    """Serve answers of a file, as a provider would."""
    urls: list[str] = []
    ready, done = Event(), Event()

    async def serve() -> None:
        async with serving(ScriptServer(Script(answers=ANSWERS))) as running:
            urls.append(running.url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    yield urls[0]
    done.set()
    thread.join()


class Recording:
    """A folder with a log, in which command lines run as processes."""

    def __init__(self, folder: Path, provider: str) -> None:
        self.folder = folder
        (folder / "ask.py").write_text(ASK)
        (folder / "home").mkdir()
        own = {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "REFOLD_DB": str(folder / "log.db")}
        gone = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "GOOGLE_GEMINI_BASE_URL", "CODEX_HOME", "CLAUDE_CONFIG_DIR")
        kept = {name: value for name, value in os.environ.items() if name not in gone}
        self.environment = {**kept, **own, "ANTHROPIC_BASE_URL": provider, "NO_COLOR": "1"}

    def line(self, *words: str) -> list[str]:
        return [sys.executable, "-c", MAIN, *words]

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command line."""
        given = {**self.environment, **environment}
        return subprocess.run(self.line(*words), capture_output=True, text=True, env=given, cwd=self.folder, timeout=60)

    def ask(self, code: int, *texts: str) -> list[str]:
        """Return a command that asks a model these things, one after the other, and ends with an exit code."""
        return [sys.executable, "ask.py", str(code), *texts]

    def sessions(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = json.loads(self("ls", "--json").stdout)
        return found


@pytest.fixture
def recording(tmp_path: Path, provider: str) -> Recording:
    return Recording(tmp_path, provider)


def test_what_an_agent_asks_is_on_record_and_its_output_and_end_are_its_own(recording: Recording) -> None:
    run = recording("record", "--", *recording.ask(5, "What?", "And?"))
    assert (run.returncode, run.stdout) == (5, "One.\nTwo.\n")
    (session,) = recording.sessions()
    assert session["messages"] == 4
    assert f"{session['id']}" in run.stderr
    assert "2 calls, " in run.stderr
    assert "Next: " in run.stderr
    assert b"sk-secret-1" not in (recording.folder / "log.db").read_bytes()
    assert "no difference" in recording("replay", session["id"]).stdout


def test_who_asks_nothing_is_told_how_to_be_pointed_at_the_proxy(recording: Recording) -> None:
    run = recording("record", "--", sys.executable, "-c", "print('{url}'); import sys; sys.exit(3)")
    assert run.returncode == 3
    assert run.stdout.startswith("http://127.0.0.1:")
    assert "no request came through" in run.stderr
    assert "--base-url {url}/v1" in run.stderr


def test_a_program_that_is_not_there_is_one_sentence_and_json_is_refused(recording: Recording) -> None:
    run = recording("record", "--", "no-such-agent")
    assert run.returncode == 3
    assert "no-such-agent: there is no such program" in run.stderr
    assert recording("record", "--json", "--", "true").returncode == 2
    assert recording("record").returncode == 2


def test_an_agent_that_a_signal_ends_ends_the_command_so(recording: Recording) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    for number in (signal.SIGTERM, signal.SIGINT):
        line = recording.line("record", "--", sys.executable, "-c", code)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(line, env=recording.environment, start_new_session=True, **streams) as run:  # type: ignore[call-overload]  # of a dict it does not know
            assert run.stdout is not None
            child = int(run.stdout.readline())
            run.send_signal(number)
            assert run.wait(60) == 128 + number
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_an_agent_has_the_terminal_and_its_interrupt_once(recording: Recording) -> None:
    code = (
        "import os, signal, sys, time; got = []; signal.signal(signal.SIGINT, lambda *_: got.append(1));"
        "print(os.isatty(0), os.isatty(1), flush=True)\n"
        "while not got: time.sleep(0.01)\n"
        "time.sleep(0.5)  # for another one, that should not come\n"
        "print('got', len(got), flush=True); sys.exit(4)"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, recording.line("record", "--", sys.executable, "-c", code), recording.environment)
    seen = _read_until(terminal, b"True True")
    os.write(terminal, b"\x03")
    seen += _read_until(terminal, b"no request")
    assert b"got 1" in seen
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    os.close(terminal)


def _read_until(terminal: int, wanted: bytes) -> bytes:
    seen, ends = b"", time.monotonic() + 60
    while wanted not in seen and time.monotonic() < ends:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
    assert wanted in seen, seen
    return seen


def test_the_same_agent_runs_again_without_a_provider(recording: Recording) -> None:
    recording("record", "--", *recording.ask(0, "What?", "And?"))
    (session,) = recording.sessions()
    away = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    again = recording("replay", session["id"], "--", *recording.ask(6, "What?", "And?"), **away)
    assert (again.returncode, again.stdout) == (6, "One.\nTwo.\n")
    assert "2 requests answered from the recording" in again.stderr
    assert len(recording.sessions()) == 1


def test_an_agent_that_asks_something_else_is_refused_and_told_of(recording: Recording) -> None:
    recording("record", "--", *recording.ask(0, "What?", "And?"))
    (session,) = recording.sessions()
    other = recording("replay", session["id"], "--", *recording.ask(0, "What?", "Why?"))
    assert (other.returncode, other.stdout) == (1, "One.\n409\n")
    assert "refused: message 3 of the request is not the one in the recording" in other.stderr
    nothing = recording("replay", session["id"], "--", "true")
    assert nothing.returncode == 1
    assert "no request came through" in nothing.stderr
    assert recording("replay", session["id"], "--allow-drift").returncode == 2
    assert recording("replay", session["id"], "--step", "--", "true").returncode == 2


URL = "http://127.0.0.1:4"


def point(line: Sequence[str], environment: Mapping[str, str]) -> Pointing:
    with pointed(line, environment, URL) as found:
        return found


def test_what_the_environment_named_before_is_where_requests_go_on_to() -> None:
    given = {"OPENAI_BASE_URL": "https://gate.example/api/v1", "ANTHROPIC_BASE_URL": "http://10.0.0.1:80/", "X": "1"}
    found = point(["my-agent"], given)
    assert found.line == ["my-agent"]
    assert found.environment["OPENAI_BASE_URL"] == f"{URL}/api/v1"
    assert found.environment["ANTHROPIC_BASE_URL"] == found.environment["GOOGLE_GEMINI_BASE_URL"] == URL
    assert found.environment["NO_PROXY"] == "127.0.0.1,localhost"
    assert sorted(found.upstreams) == ["anthropic=http://10.0.0.1:80", "openai=https://gate.example"]
    assert point(["my-agent"], {}).environment["OPENAI_BASE_URL"] == f"{URL}/v1"
    assert point(["my-agent"], {}).upstreams == []


def test_codex_is_pointed_by_flags_at_the_provider_that_its_settings_name(tmp_path: Path) -> None:
    environment = {"CODEX_HOME": str(tmp_path)}
    assert point(["codex", "exec", "x"], environment).line == [
        "codex",
        "-c",
        f'openai_base_url="{URL}/v1"',
        "exec",
        "x",
    ]
    settings = 'model_provider = "mine"\n[model_providers.mine]\nbase_url = "https://mine.example/v9"\n'
    (tmp_path / "config.toml").write_text(settings)
    found = point(["/usr/bin/codex", "exec"], environment)
    assert found.line[1:3] == ["-c", f'model_providers.mine.base_url="{URL}/v9"']
    assert found.upstreams == ["openai=https://mine.example"]


def test_codex_with_an_account_goes_on_to_where_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": None, "tokens": {"id_token": "x"}}))
    found = point(["codex"], {"CODEX_HOME": str(tmp_path)})
    assert found.line == ["codex", "-c", f'openai_base_url="{URL}/backend-api/codex"']
    assert found.upstreams == ["openai=https://chatgpt.com"]


def test_claude_code_is_pointed_by_a_flag_where_its_settings_would_stand_before_the_environment(tmp_path: Path) -> None:
    environment = {"CLAUDE_CONFIG_DIR": str(tmp_path)}
    assert point(["claude", "-p"], environment).line == ["claude", "-p"]
    (tmp_path / "settings.json").write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": "https://gate.example/a"}}))
    found = point(["claude", "-p"], environment)
    assert found.line == ["claude", "--settings", json.dumps({"env": {"ANTHROPIC_BASE_URL": f"{URL}/a"}}), "-p"]
    assert found.upstreams == ["anthropic=https://gate.example"]


def test_pi_gets_a_folder_of_settings_in_which_all_but_its_base_urls_is_as_it_was(tmp_path: Path) -> None:
    own = tmp_path / "agent"
    own.mkdir()
    (own / "auth.json").write_text("{}")
    mine = {"api": "openai-completions", "baseUrl": "https://mine.example/x", "models": [{"id": "m"}]}
    (own / "models.json").write_text(json.dumps({"providers": {"mine": mine}}))
    environment = {"PI_CODING_AGENT_DIR": str(own)}
    with pointed(["pi", "-p"], environment, URL) as found:
        made = Path(found.environment["PI_CODING_AGENT_DIR"])
        providers = json.loads((made / "models.json").read_text())["providers"]
        assert {name: said["baseUrl"] for name, said in providers.items()} == {
            "anthropic": URL,
            "openai": f"{URL}/v1",
            "google": f"{URL}/v1beta",
            "mine": "https://mine.example/x",
        }
        (made / "sessions" / "s.jsonl").write_text("kept")
        (made / "new.json").write_text("kept")
        (made / "auth.json").write_text("changed")
    assert not made.exists()
    assert [(own / name).read_text() for name in ("sessions/s.jsonl", "new.json", "auth.json")] == [
        "kept",
        "kept",
        "changed",
    ]
    with pointed(["pi", "--provider", "mine"], environment, URL) as found:
        models = json.loads((Path(found.environment["PI_CODING_AGENT_DIR"]) / "models.json").read_text())
    assert models["providers"] == {"mine": {**mine, "baseUrl": f"{URL}/x"}}
    assert found.upstreams == ["openai=https://mine.example"]


def test_settings_that_are_none_say_nothing(tmp_path: Path) -> None:
    for name in ("config.toml", "auth.json", "models.json", "settings.json"):
        (tmp_path / name).write_text("[[[")
    for agent in ("codex", "claude", "pi"):
        folders = {
            "CODEX_HOME": str(tmp_path),
            "CLAUDE_CONFIG_DIR": str(tmp_path),
            "PI_CODING_AGENT_DIR": str(tmp_path),
        }
        assert point([agent], folders).upstreams == []

"""The command `ui`: imports, serves the page to whoever has its address, and opens a browser without the token."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from refold.cli.arguments.session_files import KEEPERS
from replay.formats import FORMATS
from tests.refold.cli.kept_sessions import claude
from tests.refold.terminal import Terminal

pytestmark = pytest.mark.slow

REFOLD = (sys.executable, "-c", "from refold.cli import main; main()")
OWN = "REFOLD_TOKEN", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER"


def environment(**more: str) -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OWN} | more


class Page:
    """A page that the command serves: its address, as it was printed."""

    def __init__(self, printed: str, process: subprocess.Popen[str]) -> None:
        self.process, parts = process, urlsplit(printed)
        self.path, self.token = parts.path, parts.fragment.removeprefix("token=")
        self.url, self.port = f"{parts.scheme}://{parts.netloc}", parts.port
        self.client = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=60)


@contextmanager
def page(folder: Path, *words: str | Path, **more: str) -> Iterator[Page]:
    """Run the command in a folder."""
    command = [*REFOLD, "--db", str(folder / "runs.db"), "ui", *map(str, words)]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        said = next((line for line in lines if line.startswith("The page is at ")), None)
        assert said is not None, process.communicate()
        with (shown := Page(said.split()[-1], process)).client:
            yield shown
    finally:
        process.kill()
        process.communicate()


def refused(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*REFOLD, "--db", str(folder / "runs.db"), "ui", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)


def test_the_printed_address_is_all_that_is_needed_and_a_restart_keeps_it(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        with page(tmp_path, "--port", "0") as shown:
            assert shown.path == "/"
            assert shown.client.get("/api/sessions").json()["sessions"] == []
            assert httpx.get(f"{shown.url}/api/sessions", timeout=60).status_code == 401
            document = httpx.get(shown.url, timeout=60)
            assert document.headers["content-type"].startswith("text/html")
            assert shown.token not in document.text
            tokens.append(shown.token)
            shown.process.send_signal(signal.SIGINT)
            assert shown.process.wait(60) == 0
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) >= 43  # 256 bits
    assert stat.S_IMODE((tmp_path / "runs.db-token").stat().st_mode) == 0o600


def test_a_port_that_is_taken_is_passed_over_unless_it_was_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: that will do
            taken.bind(("127.0.0.1", 8799))
            taken.listen()
        with page(tmp_path) as shown:
            assert shown.port != 8799
            assert shown.client.get("/healthz").json() == {"status": "ok"}
        said = refused(tmp_path, "--port", "8799")
        assert (said.returncode, said.stdout) == (2, "")
        assert "cannot listen on 127.0.0.1, port 8799: address already in use" in said.stderr


def test_a_file_is_imported_and_the_page_opens_at_its_session(tmp_path: Path) -> None:
    file = claude(tmp_path, "11111111-1111-4111-8111-111111111111", "Rain?", "Yes.")
    for _ in range(2):  # the second time it is there already
        with page(tmp_path, "--port", "0", file) as shown:
            assert shown.path.startswith("/s/")
            head = shown.client.get(f"/api/sessions/{shown.path.removeprefix('/s/')}").json()
            assert head["info"]["first_words"] == "Rain?"
            assert len(shown.client.get("/api/sessions").json()["sessions"]) == 1


def test_several_files_open_the_table(tmp_path: Path) -> None:
    for number in (1, 2):
        claude(tmp_path, f"{number}1111111-1111-4111-8111-111111111111", "Rain?", "Yes.")
    with page(tmp_path, "--port", "0", tmp_path) as shown:
        assert shown.path == "/"
        assert len(shown.client.get("/api/sessions").json()["sessions"]) == 2


def test_what_is_written_to_a_watched_file_comes_into_the_page(tmp_path: Path) -> None:
    file = claude(tmp_path, "one", "Rain?")
    with page(tmp_path, "--port", "0", "--watch", file) as shown:
        events = shown.path.replace("/s/", "/v1/sessions/") + "/events"
        with shown.client.stream("GET", events, headers={"accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if "Rain?" in line)
            assert claude(tmp_path, "one", "Rain?", "And tomorrow?") == file
            assert next(line for line in lines if "And tomorrow?" in line)


def test_a_browser_is_started_with_a_link_that_holds_no_token_and_works_once(tmp_path: Path) -> None:
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    browser.chmod(0o755)
    file = claude(tmp_path, "one", "Rain?")
    words = ["--db", str(tmp_path / "runs.db"), "ui", "--port", "0", str(file)]
    terminal = Terminal(words, environment(DISPLAY=":7", BROWSER=str(browser)), tmp_path)
    try:
        terminal.sees("#token=")
        terminal.sees("Ctrl-C ends it")
        token, link = (tmp_path / "runs.db-token").read_text().strip(), asked.read_text().strip()
        assert token not in link
        assert httpx.head(link, timeout=60).status_code == 404  # whoever only looks does not use it up
        opened, again = httpx.get(link, timeout=60), httpx.get(link, timeout=60)
        assert opened.status_code == 303
        assert re.fullmatch(rf"/s/[^/#]+#token={token}", opened.headers["location"])
        assert opened.headers["cache-control"] == "no-store"
        assert (again.status_code, token in again.text) == (404, False)
        assert "opens the page once" in again.text
        terminal.presses("c")
        assert terminal.ends() == 0
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--all",), "--all goes with --from"),
        (("--watch",), "--watch goes with files or folders"),
        (("x.jsonl", "--from", "codex"), "name files or folders, or an agent with --from"),
        (("--host", "0.0.0.0"), "REFOLD_TOKEN"),
        (("--read-only", "--allow-run"), "--allow-run goes without --read-only"),
        (("nope.jsonl",), "nope.jsonl: cannot be read"),
        (("nope.jsonl", "neither.jsonl"), "neither.jsonl: cannot be read"),
        (("--port", "0", "--agent", "nope:nope"), "no module 'nope'"),
        (("--port", "0", "--model", "nope"), "expected vendor:model"),
    ],
)
def test_what_cannot_be_shown_is_said_before_an_address_is(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    said = refused(tmp_path, *words)
    assert said.returncode in (2, 3), said
    assert says in said.stderr
    assert said.stdout == ""
    assert "Traceback" not in said.stderr


def test_the_agents_that_can_be_named_are_those_that_keep_sessions() -> None:
    assert list(KEEPERS) == [one.name for one in FORMATS if one.home is not None]

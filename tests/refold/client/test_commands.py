"""Every command that reads says over HTTP what it says of the file; those that write say what goes over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from refold import open_log
from refold.cli.exit_codes import INTERRUPTED, LOG, OK, USAGE
from refold.cli.group import refold

from .served import TOKEN, Server, fill

pytestmark = pytest.mark.slow


class Both:
    """One log, as a file and behind a server."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self.url = path, url
        self._runner = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "REFOLD_TOKEN": TOKEN})

    def __call__(self, place: str | Path, *words: str, **env: str) -> Result:
        result = self._runner.invoke(refold, ["--db", str(place), *words], env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def there(self, *words: str) -> Result:
        """Run a command over HTTP."""
        return self(self.url, *words)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    path = tmp_path_factory.mktemp("served") / "refold.db"
    asyncio.run(fill(path))
    with Server(path) as server:
        yield Both(path, server.url)
        assert server.told == []


READING = [
    ["ls"],
    ["ls", "-n", "2"],
    ["ls", "--status", "waiting"],
    ["ls", "--title", "way", "--json"],
    ["tree"],
    ["tree", "oslo"],
    ["tree", "oslo", "--json"],
    ["search", "coat"],
    ["search", "BERGEN", "--session", "oslo", "--json"],
    ["search", "nowhere to be found"],
    ["show", "oslo"],
    ["show", "last"],
    ["show", "oslo", "--json"],
    ["show", "oslo", "--full", "--at", "12"],
    ["show", "oslo", "--events"],
    ["show", "oslo", "--updates", "--json"],
    ["show", "dropped", "--updates"],
    ["show", "failed"],
    ["show", "waits/for somebody"],
    ["show", "umbrella"],
    ["show", "oslo", "--html", "-"],
    ["show", "nobody"],
    ["context", "oslo"],
    ["context", "oslo", "--at", "12", "--json"],
    ["context", "oslo", "--at", "9999"],
    ["why", "oslo"],
    ["why", "oslo", "--json"],
    ["calls", "oslo"],
    ["calls", "oslo", "--failed", "--json"],
    ["usage"],
    ["usage", "oslo"],
    ["usage", "--json"],
    ["timeline", "oslo"],
    ["timeline", "oslo", "--json"],
    ["diff", "oslo", "another way"],
    ["diff", "oslo", "another way", "--json"],
    ["export", "oslo"],
    ["export", "dropped"],
    ["export", "another way"],
    ["export", "oslo", "--format", "markdown"],
    ["export", "oslo", "--format", "html"],
    ["export", "oslo", "--format", "claude-code"],
    ["export", "oslo", "--format", "openai-chat", "--at", "12"],
    ["replay", "oslo"],
    ["replay", "another way", "--json"],
    ["waits"],
    ["waits", "--json"],
    ["waits", "waits/for somebody"],
    ["runs"],
    ["runs", "--json"],
    ["runs", "--task", "survey", "--tag", "autumn"],
    ["usage", "--by", "session"],
    ["usage", "--by", "day", "--json"],
    ["usage", "--since", "1d", "--json"],
    ["runs", "--status", "waiting", "--json"],
    ["waits", "--tag", "poll"],
    ["export", "oslo", "--format", "codex"],
    ["replay", "oslo", "--at", "12"],
    ["verify"],
    ["verify", "--json"],
    ["verify", "oslo"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_command_that_reads_says_the_same_over_http(both: Both, words: list[str]) -> None:
    here, there = both(both.path, *words), both.there(*words)
    assert there.exit_code == here.exit_code
    assert there.stdout == here.stdout.replace(str(both.path), both.url)
    assert there.stderr == here.stderr.replace(str(both.path), both.url)
    assert here.stdout or here.exit_code != OK


def test_a_run_of_a_task_is_shown_over_http_as_it_is_here(both: Both) -> None:
    (run,) = json.loads(both(both.path, "runs", "--task", "survey", "--json").stdout)
    for words in (["show"], ["runs"], ["runs", "--json"], ["waits"], ["timeline"], ["replay"], ["show", "--json"]):
        here, there = (both(place, *words[:1], run["id"], *words[1:]) for place in (both.path, both.url))
        assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout)
        assert here.stdout


def test_the_log_that_the_environment_names_may_be_one_on_a_server(both: Both) -> None:
    runner = CliRunner(env={"REFOLD_DB": f"{both.url}/#token={TOKEN}"})
    rows = json.loads(runner.invoke(refold, ["ls", "--json"], env={"REFOLD_TOKEN": ""}).stdout)
    assert [row["id"] for row in rows] == [row["id"] for row in json.loads(both(both.path, "ls", "--json").stdout)]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Both]:
    """A log of its own, to be written to."""
    asyncio.run(fill(tmp_path / "refold.db"))
    with Server(tmp_path / "refold.db") as server:
        yield Both(tmp_path / "refold.db", server.url)
        assert server.told == []


def events(both: Both, session: str, *, after: int = 0) -> list[dict[str, object]]:
    found = json.loads(both(both.path, "show", session, "--events", "--json").stdout)["events"]
    return [one["event"] for one in found if one["seq"] > after]


def head(both: Both, session: str) -> int:
    return int(json.loads(both(both.path, "show", session, "--json").stdout)["head"])


def test_what_is_said_to_a_session_is_said_over_http(fresh: Both) -> None:
    before = head(fresh, "umbrella")
    for words in (
        ["steer", "umbrella", "In Celsius, please."],
        ["steer", "umbrella", "And tomorrow?", "--later"],
        ["abort", "umbrella"],
        ["label", "umbrella", "good", "--at", "3"],
    ):
        done = fresh.there(*words)
        assert (done.exit_code, "Traceback" in done.stderr) == (OK, False), done.stderr
    assert [
        (one["type"], one.get("queue") or one.get("by") or one.get("target_seq"))
        for one in events(fresh, "umbrella", after=before)
    ] == [
        ("queue_push", "steering"),
        ("queue_push", "follow_up"),
        ("abort_request", "`refold abort`"),
        ("label", 3),
    ]
    assert fresh.there("label", "umbrella", "rain").exit_code == OK
    assert "rain" in fresh(fresh.path, "ls").stdout


def test_waits_are_decided_over_http_once(fresh: Both) -> None:
    waits = json.loads(fresh.there("waits", "--json").stdout)
    (asked,) = (one["token"] for one in waits if one["reason"] == "approval")
    (poll,) = (one["token"] for one in waits if one["tags"] == ["poll"])
    wrong = fresh.there("decide", asked, "--approve", "--arguments", '{"target": 3}')
    assert (wrong.exit_code, "does not take this value" in wrong.stderr) == (USAGE, True)
    assert fresh.there("decide", asked, "--deny", "--reason", "Too late.", "--by", "somebody").exit_code == OK
    (end,) = (one for one in events(fresh, "waits/for somebody") if one["type"] == "wait_end")
    assert (end["value"], end["decided_by"]) == ({"approve": False, "reason": "Too late."}, "somebody")
    assert fresh.there("complete", poll, '"blue"').exit_code == OK
    again = fresh.there("complete", poll, '"red"')
    assert (again.exit_code, "was decided already: completed" in again.stderr) == (USAGE, True)


def test_a_task_is_sent_messages_and_cancelled_over_http(fresh: Both) -> None:
    (run,) = json.loads(fresh.there("runs", "--task", "survey", "--json").stdout)
    session, before = run["id"], head(fresh, run["id"])
    for _ in range(2):
        assert fresh.there("send", session, '{"vote": 3}', "--key", "v3").exit_code == OK
    assert fresh.there("send", session, "Anything else?").exit_code == OK
    assert fresh.there("cancel", session, "--reason", "enough").exit_code == OK
    said = [one.get("message") or one.get("cause") for one in events(fresh, session, after=before)]
    assert said == [
        {"role": "custom", "kind": "value", "body": {"value": {"vote": 3}}},
        {"role": "user", "content": "Anything else?"},
        "cancel",
    ]
    unread = fresh.there("send", "oslo", "Hello?")
    assert (unread.exit_code, "nobody would read this message" in unread.stderr) == (USAGE, True)


def test_a_session_is_forked_over_http_as_it_is_here(fresh: Both) -> None:
    said = json.loads(fresh.there("show", "oslo", "--json").stdout)["transcript"]
    prompt = [one["seq"] for one in said if one["role"] == "user"][1]
    for words in (
        ["--at", "6"],
        ["--at", "good"],
        ["--before", str(prompt)],
        ["--edit", str(prompt), "And in Molde?"],
        [],
    ):
        there = json.loads(fresh.there("fork", "oslo", *words, "--title", "there", "--json").stdout)
        here = json.loads(fresh(fresh.path, "fork", "oslo", *words, "--title", "there", "--json").stdout)
        assert there["fork_seq"] == here["fork_seq"]
        assert events(fresh, there["id"], after=there["fork_seq"]) == events(fresh, here["id"], after=here["fork_seq"])
    answer = next(one["seq"] for one in said if one["role"] == "assistant")
    number = len(json.loads(fresh(fresh.path, "ls", "--json").stdout))
    refused = fresh.there("fork", "oslo", "--edit", str(answer), "Nothing.")
    assert (refused.exit_code, "over HTTP" in refused.stderr) == (USAGE, True)
    assert len(json.loads(fresh(fresh.path, "ls", "--json").stdout)) == number


@pytest.mark.parametrize(
    "words",
    [
        ["run", "Hello?", "-m", "scripted"],
        ["run", "Hello?", "-m", "scripted", "--session", "failed"],
        ["continue", "failed", "-m", "scripted", "--prompt", "Hello?"],
        ["compact", "oslo", "-m", "scripted"],
        ["adopt", "dropped", "6", "--from", "oslo"],
        ["erase", "oslo", "2", "--yes"],
        ["delete", "another way", "--yes"],
        ["archive", "oslo"],
        ["vacuum"],
        ["db", "rebuild"],
        ["db", "check"],
        ["db", "copy", "x.db"],
        ["worker", "tests.refold.client.served:survey"],
        ["trigger", "tests.refold.client.served:survey", "{}"],
        ["import", "--watch", "--from", "codex"],
        ["record", "--", "true"],
        ["proxy", "--port", "0"],
        ["ui", "--port", "0"],
        ["backup", "copy.db"],
        ["demo"],
        ["serve"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_the_log_itself_says_so_and_changes_nothing(
    both: Both, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = both(both.path, "verify").stdout, both(both.path, "ls", "-n", "0").stdout
    refused = both.there(*words)
    assert refused.exit_code in (LOG, USAGE)
    assert "over HTTP" in refused.stderr, refused.stderr
    assert (both(both.path, "verify").stdout, both(both.path, "ls", "-n", "0").stdout) == before
    assert list(tmp_path.iterdir()) == []


SECRET = "a-secret-token-0123456789"


@pytest.mark.parametrize(
    ("place", "code", "says"),
    [
        ("{url}", LOG, "asks for another token"),
        ("{url}/#token=" + SECRET, LOG, "asks for another token"),
        ("http://somebody:" + SECRET + "@127.0.0.1:1", USAGE, "found a user in it"),
        ("http://127.0.0.1:1/?token=" + SECRET, USAGE, "found parameters in it"),
        ("http://127.0.0.1:1/#token=" + SECRET, LOG, "no server answers there"),
        ("http://127.0.0.1:x/#token=" + SECRET, USAGE, "found no address"),
        ("unix:///nowhere.sock#token=" + SECRET, LOG, "no server answers there"),
        ("unix://#token=" + SECRET, USAGE, "no path of a socket"),
        ("ftp://127.0.0.1/" + SECRET, LOG, "no such store"),
    ],
)
def test_a_token_is_never_printed(both: Both, place: str, code: int, says: str) -> None:
    for words in (["ls"], ["ls", "--json"], ["label", "oslo", "x"], ["follow", "oslo"]):
        said = both(place.format(url=both.url), *words, REFOLD_TOKEN=SECRET)
        assert (said.exit_code, says in said.stderr) == (code, True), said.stderr
        assert SECRET not in said.stdout + said.stderr


def test_commands_that_are_printed_to_be_copied_hold_no_token(fresh: Both) -> None:
    told = fresh(f"{fresh.url}#token={TOKEN}", "label", "oslo", "another name", REFOLD_TOKEN="")
    assert f"--db {fresh.url} " in told.stdout + told.stderr
    assert TOKEN not in told.stdout + told.stderr


@pytest.mark.parametrize("options", [[], ["--tree"], ["--updates"], ["--json"], ["--json", "--tree", "--updates"]])
def test_events_are_followed_from_a_server_as_from_the_file(both: Both, options: list[str]) -> None:
    number = both(both.path, "show", "oslo", "--updates").stdout.count("\n")
    words = ["oslo", "--after", "0", *options]
    here = both(both.path, "follow", *words, "--limit", "20")
    assert (here.exit_code, here.stdout.count("\n")) == (OK, 20)
    there = both.there("follow", *words, "--limit", "20")
    (row,) = json.loads(both(both.path, "ls", "--title", "oslo", "--json").stdout)
    runner = CliRunner(env={"REFOLD_DB": "nowhere.db", "REFOLD_TOKEN": TOKEN, "COLUMNS": "100", "NO_COLOR": "1"})
    for address in (f"{both.url}/v1/sessions/oslo", f"{both.url}/v1/sessions/{row['id']}"):
        named = runner.invoke(refold, ["follow", address, *words[1:], "--limit", "20"])
        assert (named.exit_code, named.stdout) == (OK, there.stdout), named.stderr
    if "--tree" not in options:  # of a tree, sessions may come in another order each time
        assert there.stdout == here.stdout
    if "--json" in options:
        found = [json.loads(line) for line in there.stdout.splitlines()]
        assert {"session", "seq", "at_us", "event"} == set(found[0])
    assert number > 20


def test_an_address_and_a_log_are_not_both_named(both: Both) -> None:
    refused = both.there("follow", f"{both.url}/v1/sessions/oslo")
    assert (refused.exit_code, "give one of" in refused.stderr) == (USAGE, True)


async def test_what_comes_to_a_tree_is_printed_from_now_on_until_ctrl_c(fresh: Both) -> None:
    words = [sys.executable, "-c", "from refold.cli import main; main()", "--db", fresh.url, "follow", "oslo", "--tree"]
    env = {**os.environ, "REFOLD_TOKEN": TOKEN, "NO_COLOR": "1"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, env=env, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"--after 0 prints these too" in await process.stderr.readline()
    async with open_log(fresh.path) as log:
        oslo = await log.find("oslo")
        child = next(info.id for info in await log.list() if info.started_by == oslo.id)
        await (await log.find(child)).label("of the child", 1)
        assert b"of the child" in await process.stdout.readline()
        await oslo.label("of the session", 1)
        assert b"of the session" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert await process.wait() == INTERRUPTED

"""No sign of a log, a title, an id or a file name reaches a terminal raw, whichever command tells it."""

from __future__ import annotations

import ast
import asyncio
import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest
from msgspec import Raw

from eventsource.control_characters import escaped_json, one_line, plain
from eventsource.events import Custom, Label, MetadataSet, TaskStart, TokenCreate, WaitStart
from eventsource.messages import TextContent, UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, fail, think
from refold import Agent, open_log, tool
from refold.cli.group import refold
from replay.formats.refold.read import import_refold
from replay.formats.refold.write import export_session
from tests.refold.shell import Shell

SIGNS = "\x1b\x07\x08\r\x9b\x85\x7f\u202e\u2066\u200f\u061c\u200b\ufeff\u2028\U000e0041"
EVIL = f"\x1b]0;other\x07\x1b[2K\rwas{SIGNS}here"
FILE = "\x1b[2J\u202efile\udcff.jsonl"
ROOT = Path(__file__).parents[3]

SECONDS: Mapping[str, Sequence[Sequence[str]]] = {
    # what each command is asked, besides what every command is: ID stands for the session, END for its last seq
    "demo": [[]],
    "db": [["upgrade"], ["rebuild"], ["check"], ["copy", f"{EVIL}.db"], ["copy", EVIL, "--role", EVIL]],
    "archive": [["ODD"], [EVIL], ["--older-than", EVIL]],
    "vacuum": [[]],
    "run": [
        [EVIL, "-m", "scripted:evil.json"],
        [EVIL, "-m", "scripted:evil.json", "--session", "ID"],
        [EVIL, "-m", EVIL],
    ],
    "chat": [["-m", EVIL]],
    "continue": [["ID", "-m", "scripted:evil.json", "--prompt", EVIL], ["ID"]],
    "steer": [["ID", EVIL]],
    "abort": [["ID"]],
    "waits": [[], ["ID"]],
    "decide": [["ID", EVIL, "--approve"], ["WAITING", EVIL, EVIL], ["WAITING", "no", "--approve"]],
    "complete": [[EVIL, EVIL]],
    "send": [["WAITING", EVIL]],
    "trigger": [[EVIL], [f"json:{EVIL}", EVIL]],
    "runs": [[], ["WAITING"]],
    "cancel": [["ID"]],
    "worker": [[EVIL], [f"json:{EVIL}"]],
    "ls": [[]],
    "tree": [[], ["ID"]],
    "search": [["here"], [EVIL]],
    "show": [["ID"], ["ID", "--full"], ["ID", "--events"], ["ID", "--updates"], ["ODD"], ["WAITING", "--events"]],
    "follow": [
        ["ID", "--after", "0", "--limit", "30", "--updates"],
        ["ID", "--after", "0", "--limit", "9", "--tree"],
        [EVIL],
    ],
    "context": [["ID"], ["ID", "--full"], ["ID", "--wire"], ["ID", "--at", "4"]],
    "why": [["ID", "4"], ["ID", "5"], ["ID", "14"]],
    "calls": [["ID"]],
    "usage": [[], ["ID"]],
    "timeline": [["ID"]],
    "replay": [["ID"], ["ID", "--play"]],
    "reexecute": [["ID"], ["ID", "--agent", EVIL], ["bad.jsonl", "--agent", EVIL]],
    "fork": [["ID", "--at", "3", "--title", EVIL], ["ID", "--at", EVIL]],
    "diff": [["ID", "FORK"], ["ID", "ODD"]],
    "adopt": [["FORK", "2"]],
    "compact": [["ID"], ["ID", "-m", "scripted:evil.json"]],
    "label": [["ID", EVIL], ["ID", EVIL, "2"]],
    "import": [[FILE], ["bad.jsonl"], ["lines.jsonl"], ["claude.jsonl"], ["claude.jsonl", "--again", "--dry-run"]],
    "export": [
        ["ID"],
        ["ID", "--format", "pi"],
        ["ID", "--format", "claude-code"],
        ["ID", "--format", "openai-chat"],
        ["ID", "--format", "anthropic"],
        ["ID", "--format", "pydantic-ai"],
        ["ID", "-o", FILE],
        ["ID", "--format", "pi", "--to-agent"],
        ["ID", "--format", "markdown"],
        ["ID", "--format", "html"],
        ["ID", "--format", "html", "--family"],
        ["ID", "--format", "markdown", "--omit", "thinking"],
    ],
    "verify": [[], ["ODD"]],
    "backup": [[FILE]],
    "erase": [["ID", "1"], ["ID", "1", "--yes", "--reason", EVIL]],
    "delete": [["ODD"], ["FORK", "--yes"]],
    "resume-in": [
        ["codex", "ID"],
        ["claude-code", "FORK", "--folder", "."],
        ["pi", "ID", "--json", "--", EVIL],
        ["pi", EVIL],
    ],
    "record": [["--", EVIL], ["--", "true", EVIL]],
    "proxy": [["--upstream", EVIL], ["--replay", EVIL]],
    "ui": [["--agent", EVIL], ["--from", EVIL], ["--host", EVIL]],
    "serve": [["--agent", EVIL], ["--tasks", EVIL], ["--host", EVIL]],
    "serve-script": [[FILE], ["bad.jsonl"]],
}
"""Whoever adds a command adds a line here that makes it tell what a session holds."""


@tool
def evil() -> str:
    """Fail with an error that holds signs."""
    raise ValueError(EVIL)


async def build(folder: Path) -> Mapping[str, str]:
    """Make a log whose every text holds signs. Returns: names of its sessions."""
    answers: Sequence[Answer] = [
        [think(EVIL), EVIL, call("evil", {}), call(EVIL, {EVIL: EVIL})],
        [EVIL, "."],
        [fail(EVIL)],
    ]
    model = scripted(*answers, by="request")
    agent = Agent(model, system=EVIL, tools=[evil])
    async with open_log(folder / "refold.db") as log:
        session = await log.session(EVIL)
        await agent.run(EVIL, session=session)
        await agent.run([TextContent(text=EVIL)], session=session)
        await session.core.append(
            [
                Label(text=EVIL, target_seq=2),
                Custom(kind=EVIL, data=Raw(json.dumps(EVIL, ensure_ascii=False).encode())),
                MetadataSet(name=EVIL, value=Raw(json.dumps([EVIL]).encode())),
            ]
        )
        fork = await session.fork(at=6, title=EVIL)
        waiting = await log.session(f"waits {EVIL}")
        await waiting.core.append([TaskStart(task=EVIL, payload=Raw(json.dumps(EVIL).encode()), tags=(EVIL,))])
        await waiting.core.append([TokenCreate(key=EVIL, tags=(EVIL,)), WaitStart(key=EVIL, reason=EVIL)])
        odd = await log.session("odd")
        await odd.core.push("steering", UserMessage(content=EVIL))
        names = {"ID": session.id, "FORK": fork.id, "WAITING": waiting.id, "ODD": f"odd-{EVIL}"}
        odd_id = odd.id
    with sqlite3.connect(folder / "refold.db") as file:
        rule = "sessions_keep_their_place"
        (made,) = file.execute("SELECT sql FROM sqlite_master WHERE name = ?", (rule,)).fetchone()
        file.execute(f"DROP TRIGGER {rule}")
        file.execute("UPDATE sessions SET id = ? WHERE id = ?", (names["ODD"], odd_id))
        file.execute(made)
    file.close()
    (folder / "evil.json").write_text(json.dumps([[EVIL, {"tool": EVIL, "arguments": {EVIL: EVIL}}], [EVIL]]))
    (folder / "bad.jsonl").write_text(EVIL)
    said = {"message": {"role": "user", "content": EVIL}, "cwd": EVIL, "gitBranch": EVIL, "customTitle": EVIL}
    named = {"type": "user", "uuid": EVIL, "parentUuid": EVIL, "sessionId": EVIL}
    (folder / "claude.jsonl").write_text(json.dumps({**named, **said}) + "\n")
    (folder / "lines.jsonl").write_text(
        json.dumps({"type": "session", "version": 3, "id": EVIL, "cwd": EVIL}) + "\n" + EVIL
    )
    (folder / f"{EVIL.replace('/', '')}.txt").write_text(EVIL)
    return names


def raw_signs(data: bytes) -> list[str]:
    text = data.decode("utf-8", "surrogateescape")
    return [sign for sign in text if sign not in "\n\t" and plain(sign) != sign]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("signs")
    return folder, asyncio.run(build(folder))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(refold.list_commands(click.Context(refold))))
def test_no_command_sends_a_sign(
    name: str, built: tuple[Path, Mapping[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # where agents keep their sessions
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "PI_CODING_AGENT_DIR", "PI_CODING_AGENT_SESSION_DIR"):
        monkeypatch.delenv(variable, raising=False)
    shutil.copytree(built[0], tmp_path, dirs_exist_ok=True)
    names = built[1]
    shell = Shell(tmp_path)
    asked = [*SECONDS[name], [EVIL], [EVIL, EVIL], ["--help"], [f"--{EVIL}"]]
    told = b""
    for words in asked:
        line = [names.get(word, word) for word in words]
        for form in ([], ["--json"]):
            result = shell(name, *line, *form)
            for data in (result.stdout_bytes, result.stderr_bytes):
                assert raw_signs(data) == [], (words, form, data)
            told += result.stdout_bytes + result.stderr_bytes
    assert b"was" in told or name in ("abort", "usage", "timeline", "cancel", "backup", "steer", "demo", "verify"), told


def test_json_and_exports_say_the_same_escaped(tmp_path: Path) -> None:
    """An import of the export has the same digest, whatever is kept as received."""
    names = asyncio.run(build(tmp_path))

    async def there_and_back() -> None:
        async with open_log(tmp_path / "refold.db") as log:
            session = await log.find(names["ID"])
            data = await export_session(log.store, session.id)
            assert raw_signs(data) == []
            page = await session.html()
            assert [sign for sign in raw_signs(page.encode()) if sign < "\xa0" or sign in "\u202e\u2066"] == []
            digest = (await log.store.cursor(session.id)).digest
        (tmp_path / "out.jsonl").write_bytes(data)
        async with open_log() as other:
            report = await import_refold(other.store, str(tmp_path / "out.jsonl"))
            assert (await other.store.cursor(report.session)).digest == digest
            assert report.lost == ()

    asyncio.run(there_and_back())
    told = Shell(tmp_path).json("show", names["ID"])
    assert isinstance(told, dict)
    assert told["title"] == EVIL


def test_signs_are_shown_and_letters_stay() -> None:
    assert plain("a\x1b[1m\tb\r\nc") == "a\u241b[1m\tb\nc"
    assert plain("\u202e\ud800\x7f") == "\ufffd\ufffd\u2421"
    for text in ("שלום, مرحبا", "👩\u200d👧", "e\u0301", "a b"):
        assert plain(text) == text
        assert escaped_json(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)
    assert one_line("a\n\x1b b") == "a ␛ b"
    assert json.loads(escaped_json(json.dumps(EVIL, ensure_ascii=False))) == EVIL


def test_nothing_but_the_screen_writes_to_the_terminal() -> None:
    """Echo, print, confirm and consoles are called in screen.py and console.py alone; what is below prints nothing."""
    # these programs of their own write to a file or to a pipe of ours
    own = {"eventsource/machine/diagram.py", "refold/toolset/grep_program.py"}
    bare, of_click = {"echo", "secho", "print", "Console"}, {"echo", "secho", "confirm", "prompt", "echo_via_pager"}
    wrong = []
    for package in ("eventsource", "projections", "replay", "refold"):
        for file in sorted((ROOT / package).rglob("*.py")):
            name = str(file.relative_to(ROOT))
            if name in {"refold/cli/terminal/screen.py", "refold/cli/terminal/console.py", *own}:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    owner, _, word = ast.unparse(node.func).rpartition(".")
                    written = word == "write" and (owner.startswith("sys.std") or owner.endswith(".file"))
                    if written or (not owner and word in bare) or (owner == "click" and word in of_click):
                        wrong.append(f"{name}:{node.lineno} {ast.unparse(node.func)}")
    assert wrong == []


def test_a_recording_that_differs_sends_no_sign_through_pytest() -> None:
    from replay.pytest_plugin import _fail

    with pytest.raises(pytest.fail.Exception) as caught:
        _fail(EVIL)
    assert raw_signs(str(caught.value).encode()) == []

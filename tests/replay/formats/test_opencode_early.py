"""Sessions of the first versions of opencode (0.1 to 0.5), which each project kept in a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventsource.events import Compaction
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from projections import CONTEXT, USAGE, parts, project
from replay.formats import detect, import_file
from replay.formats.finding import Finder, FoundFile

from .first_class import check_first_class
from .test_opencode import words

Record = dict[str, Any]
SESSION, CHILD = "ses_dd8d64933ffe5hOBQpNW8jn4fN", "ses_dd8cf3a50ffevMFcqQxEawA317"
AT = 1_752_000_000_000
BASH = {"command": "ls; exit 3", "description": "Lists files"}
SYSTEM = ["You are opencode.", "Here is the folder: /w"]
TOKENS = {"input": 100, "output": 10, "reasoning": 0, "cache": {"write": 3, "read": 7}}


def _write(path: Path, value: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _session(name: str, version: str, **more: Any) -> Record:
    return {
        "id": name,
        "version": version,
        "title": f"About {name[-1]}",
        "time": {"created": AT, "updated": AT},
        **more,
    }


def _answer(number: int, parent: str = "", **more: Any) -> Record:
    """Make what an answer of 0.5 says of itself."""
    time = {"created": AT + number * 1_000, "completed": AT + number * 1_000 + 500}
    said = {"role": "assistant", "system": SYSTEM, "mode": "build", "path": {"cwd": "/w", "root": "/w"}, "cost": 0.01}
    return {**said, "tokens": TOKENS, "modelID": "claude-sonnet-4", "providerID": "anthropic", "time": time, **more}


def _tool(call: str, tool: str, status: str, **state: Any) -> Record:
    told = {"status": status, "input": BASH if tool == "bash" else {"prompt": "Dig"}, "time": {"start": AT, "end": AT}}
    return {"type": "tool", "tool": tool, "callID": call, "state": {**told, **state}}


FINISH = {"type": "step-finish", "tokens": TOKENS, "cost": 0.01}
STARTED = {"type": "step-start"}
FIRST: list[tuple[Record, list[Record]]] = [
    ({"role": "user", "time": {"created": AT + 1_000}}, [{"type": "text", "text": "Look around"}]),
    (
        _answer(2),
        [
            STARTED,
            {"type": "reasoning", "text": "Hm."},
            {"type": "text", "text": "Both at once."},
            _tool("c1", "bash", "completed", output="a.txt\n", title="ls", metadata={"exit": 3}),
            _tool("c2", "task", "completed", output="Found.", title="digs", metadata={"sessionID": CHILD}),
            FINISH,
            STARTED,
            _tool("c3", "bash", "error", error="Error: no shell"),
            FINISH,
            STARTED,
            {"type": "text", "text": "Done."},
            FINISH,
        ],
    ),
]
SUMMARY: list[tuple[Record, list[Record]]] = [
    (_answer(3, summary=True, system=["Sum up."]), [STARTED, {"type": "text", "text": "One file was seen."}, FINISH]),
    ({"role": "user", "time": {"created": AT + 4_000}}, [{"type": "text", "text": "Go on"}]),
    (_answer(5), [STARTED, {"type": "text", "text": "On."}, FINISH]),
]


def project_of(home: Path, messages: list[tuple[Record, list[Record]]]) -> Path:
    """Write a session and that of a sub-agent as version 0.5 does. Returns: the file of the first."""
    folder = home / "project" / "w" / "storage" / "session"
    below = [({"role": "user", "time": {"created": AT}}, [{"type": "text", "text": "Dig"}])]
    for session, own in ((SESSION, messages), (CHILD, below)):
        more = {"parentID": SESSION} if session == CHILD else {}
        _write(folder / "info" / f"{session}.json", _session(session, "0.5.29", **more))
        for number, (info, told) in enumerate(own):
            name = f"msg_{number}{session[-4:]}"
            _write(folder / "message" / session / f"{name}.json", {**info, "id": name, "sessionID": session})
            for place, part in enumerate(told):
                named = {"id": f"prt_{place:02}", "messageID": name, "sessionID": session}
                _write(folder / "part" / session / name / f"prt_{place:02}.json", {**part, **named})
    return folder / "info" / f"{SESSION}.json"


TOLD = ["Look around", "Both at once.", "→bash", "→task", "←bash", "←task", "→bash", "←bash!", "Done."]


async def test_a_session_of_version_0_5(log: EventLog, tmp_path: Path) -> None:
    path = project_of(tmp_path, FIRST)
    assert detect(str(path)) == "opencode"
    report = await import_file(log, str(path))
    assert await words(log, report.session) == TOLD
    info = await log.info(report.session)
    assert (info.title, info.folder, info.model) == ("About N", "/w", "anthropic/claude-sonnet-4")
    recorded = await log.read(report.session, limit=1_000)
    assert fold(recorded).config.system_prompt == "You are opencode.\n\nHere is the folder: /w"
    usage = project(USAGE, recorded).total
    assert (usage.input_tokens, usage.output_tokens, usage.cost_microusd) == (300, 30, 30_000)
    (child,) = report.children
    assert (await words(log, child.session), report.kept, report.lost) == (["Dig"], (), ())


def _without_system(messages: list[tuple[Record, list[Record]]]) -> list[tuple[Record, list[Record]]]:
    return [({name: value for name, value in info.items() if name != "system"}, told) for info, told in messages]


@pytest.mark.parametrize("version", ["0.5", "1.0.61"])
async def test_a_summary_that_nobody_asked_for_is_the_first_that_the_model_reads(
    log: EventLog, tmp_path: Path, version: str
) -> None:
    whole = [*FIRST, *SUMMARY] if version == "0.5" else _without_system([*FIRST, *SUMMARY])
    before = await import_file(log, str(project_of(tmp_path, whole[: len(FIRST)])))
    report = await import_file(log, str(project_of(tmp_path, whole)))
    assert (report.session, report.messages) == (before.session, 3)
    recorded = await log.read(report.session, limit=1_000)
    assert [one.event.summary for one in recorded if isinstance(one.event, Compaction)] == ["One file was seen."]
    read = [part.message for part in parts(project(CONTEXT, recorded))]
    assert [getattr(one, "text", "") or one.content[0].text for one in read] == ["One file was seen.", "Go on", "On."]  # type: ignore[union-attr]  # messages with texts
    prompt = "You are opencode.\n\nHere is the folder: /w" if version == "0.5" else ""
    assert fold(recorded).config.system_prompt == prompt
    assert not (await import_file(log, str(project_of(tmp_path, whole)))).branches


async def test_projects_of_version_0_5_are_found_by_their_folders(tmp_path: Path) -> None:
    path = project_of(tmp_path / "opencode", FIRST)
    _, found = Finder().kept_by("opencode", {"XDG_DATA_HOME": str(tmp_path)})
    assert [(one.path, one.folder) for one in found if isinstance(one, FoundFile)] == [(path, "/w")]
    assert [one.path for one in Finder().among([tmp_path]) if isinstance(one, FoundFile)] == [path]
    await check_first_class(path, tmp_path)


def _early(number: int, role: str, told: list[Record], **metadata: Any) -> Record:
    time = {"created": AT + number, "completed": AT + number}
    said = {"time": time, "sessionID": SESSION, "tool": {}, **metadata}
    return {"id": f"msg_{number}", "role": role, "parts": told, "metadata": said}


def _invoked(call: str, tool: str, result: str | None) -> Record:
    ended = {"state": "call"} if result is None else {"state": "result", "result": result}
    return {
        "type": "tool-invocation",
        "toolInvocation": {"toolCallId": call, "toolName": tool, "args": BASH, **ended},
    }


def first_project_of(home: Path) -> Path:
    """Write a session as version 0.1 does. Returns: its file."""
    ran = {"title": "ls", "time": {"start": AT, "end": AT + 5}}
    failed = {"error": True, "message": "no shell", **ran}
    answered = {"system": SYSTEM, "path": {"cwd": "/w", "root": "/w"}, "cost": 0.01, "tokens": TOKENS}
    answered |= {"modelID": "claude-sonnet-4", "providerID": "anthropic"}
    told = [
        STARTED,
        {"type": "text", "text": "I look."},
        _invoked("a", "bash", "a.txt"),
        _invoked("b", "bash", "Error"),
    ]
    told += [_invoked("c", "bash", None), STARTED, {"type": "text", "text": "Done."}]
    picture = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"}
    stopped = {"name": "UnknownError", "data": {"message": "It broke"}}
    messages = [
        _early(1, "user", [{"type": "text", "text": "Look"}, picture]),
        _early(2, "assistant", told, assistant=answered, tool={"a": ran, "b": failed}),
        _early(3, "user", [{"type": "text", "text": "More"}]),
        _early(4, "assistant", [], assistant=answered, error=stopped),
    ]
    folder = home / "project" / "w" / "storage" / "session"
    _write(folder / "info" / f"{SESSION}.json", _session(SESSION, "0.1.174"))
    for one in messages:
        _write(folder / "message" / SESSION / f"{one['id']}.json", one)
    return folder / "info" / f"{SESSION}.json"


async def test_messages_of_version_0_1_have_their_parts_within_them(log: EventLog, tmp_path: Path) -> None:
    path = first_project_of(tmp_path)
    report = await import_file(log, str(path))
    assert await words(log, report.session) == [
        *("Look[image]", "I look.", "→bash", "→bash", "→bash", "←bash", "←bash!", "Done.", "More", "It broke")
    ]
    recorded = await log.read(report.session, limit=1_000)
    usage = project(USAGE, recorded).total
    assert (usage.input_tokens, usage.cost_microusd) == (200, 20_000)
    assert fold(recorded).config.system_prompt == "You are opencode.\n\nHere is the folder: /w"
    assert ((await log.info(report.session)).folder, report.kept, report.lost) == ("/w", (), ())
    assert detect(str(path.parents[1] / "message" / SESSION / "msg_1.json")) == "opencode"
    assert [one.path for one in Finder().among([tmp_path]) if isinstance(one, FoundFile)] == [path]

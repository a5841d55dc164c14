"""What pi's system says, and what it changes of what the model reads, hold in the session from there on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eventsource.codec import to_json
from eventsource.events import ConfigChange, MessageAdopt, Origin
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.message_text import whole_text
from eventsource.messages import UserMessage
from projections import CONTEXT, parts, project
from replay.formats import ImportReport, WarmFiles, import_file
from replay.formats.pi.write import TO_PI, export_pi
from replay.formats.to_agent import hand_over

Line = dict[str, Any]
TIME = "2026-01-01T00:00:00.000Z"
HEADER: Line = {"type": "session", "version": 3, "id": "0193", "timestamp": TIME, "cwd": "/tmp"}
LOOK = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}


def entry(name: str, parent: str | None, kind: str = "message", **fields: Any) -> Line:
    return {"type": kind, "id": name, "parentId": parent, "timestamp": TIME, **fields}


def said(name: str, parent: str | None, role: str, content: object, **fields: Any) -> Line:
    return entry(name, parent, message={"role": role, "content": content, **fields})


def edit(name: str, parent: str, target: str, content: object) -> Line:
    return entry(
        name, parent, "context_edit", targetId=target, replacement=None if content is None else {"content": content}
    )


def answer(name: str, parent: str, text: str) -> Line:
    shown = [{"type": "text", "text": text}]
    return said(name, parent, "assistant", shown, api="a", provider="p", model="m", stopReason="stop")


async def put(
    log: EventLog, folder: Path, lines: Sequence[Line], *, warm: WarmFiles | None = None, growing: bool = False
) -> ImportReport:
    path = folder / "session.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *lines)))
    return await import_file(log, str(path), warm=warm, growing=growing)


async def read(log: EventLog, session: str) -> list[str]:
    return [whole_text(part.message) for part in parts(project(CONTEXT, await log.read(session)))]


async def back(log: EventLog, session: str) -> list[Line]:
    return [json.loads(line) for line in (await export_pi(log, session)).splitlines()]


async def test_system_messages_change_sections_and_tools_and_are_no_messages(log: EventLog, tmp_path: Path) -> None:
    first = {"sections": {"preamble": "You look.", "where": "/tmp"}, "toolsAdded": [LOOK, {**LOOK, "name": "peek"}]}
    later = {"sections": {"where": None, "skills": "Peeking."}, "toolsRemoved": [{"name": "peek"}]}
    lines = [
        *(said("s", None, "system", "", **first), said("u", "s", "user", "hello"), answer("a", "u", "Hi.")),
        *(said("t", "a", "system", "Be brief.", **later), said("v", "t", "user", "again")),
    ]
    report = await put(log, tmp_path, lines)
    assert report.kept == ()
    changes = [one.event for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    told = [(one.system_prompt, one.tools and [tool.name for tool in one.tools]) for one in changes if not one.model]
    assert told == [("You look.\n\n/tmp", ["look", "peek"]), ("Be brief.\n\nYou look.\n\nPeeking.", ["look"])]
    assert await read(log, report.session) == ["hello", "Hi.", "again"]
    assert await back(log, report.session) == [HEADER, *lines]


async def test_a_compaction_says_the_whole_prompt_anew(log: EventLog, tmp_path: Path) -> None:
    checkpoint = {"role": "system", "content": "You look on.", "toolsAdded": [], "timestamp": 1}
    lines = [
        *(said("s", None, "system", "You look.", toolsAdded=[LOOK]), said("u", "s", "user", "hello")),
        entry(
            "c", "u", "compaction", summary="Greeted.", firstKeptEntryId="c", tokensBefore=9, systemMessage=checkpoint
        ),
        said("v", "c", "user", "again"),
    ]
    session = (await put(log, tmp_path, lines)).session
    config = fold(await log.read(session)).config
    assert (config.system_prompt, config.tools) == ("You look on.", ())
    assert (await read(log, session))[1:] == ["again"]
    assert await back(log, session) == [HEADER, *lines]


async def test_a_message_without_a_role_says_nothing_for_the_system(log: EventLog, tmp_path: Path) -> None:
    nobody = entry("n", None, message={"content": "obey", "toolsAdded": [LOOK]})
    report = await put(log, tmp_path, [nobody, said("u", "n", "user", "hello")])
    config = fold(await log.read(report.session)).config
    assert (config.system_prompt, config.tools) == ("", ())
    assert "role" in report.kept[0].problem
    assert await read(log, report.session) == ["hello"]


EDITED = [
    *(said("u", None, "user", "a long one"), answer("a", "u", "A long answer."), said("v", "a", "user", "go on")),
    entry("n", "v", "custom_message", customType="note", content="A long note.", display=True),
    *(
        edit("e", "n", "u", "short"),
        edit("f", "e", "a", "Short."),
        edit("g", "f", "v", None),
        edit("h", "g", "n", "Note."),
    ),
    *(edit("i", "h", "u", "shorter"), said("w", "i", "user", "and now?")),
]


async def test_an_entry_is_read_as_the_last_edit_on_its_branch_says(log: EventLog, tmp_path: Path) -> None:
    aside = said("x", "n", "user", "aside")
    report = await put(log, tmp_path, [*EDITED, aside, said("y", "w", "user", "last")])
    assert await read(log, report.session) == ["shorter", "Short.", "Note.", "and now?", "last"]
    (fork,) = (one.session for one in report.branches if one.parent)
    assert await read(log, fork) == ["a long one", "A long answer.", "go on", "A long note.", "aside"]
    assert await back(log, report.session) == [HEADER, *EDITED, aside, said("y", "w", "user", "last")]


async def test_an_edit_of_what_is_nowhere_before_it_is_named(log: EventLog, tmp_path: Path) -> None:
    lines = [said("u", None, "user", "hello"), edit("e", "u", "gone", "x"), entry("m", "e", "model_change")]
    report = await put(log, tmp_path, [*lines, edit("f", "m", "m", None), said("v", "f", "user", "on")])
    assert [note.problem for note in report.kept] == [
        "2 records with a change of what is nowhere before it or sent to no model"
    ]
    assert await read(log, report.session) == ["hello", "on"]


async def test_edits_in_a_file_that_grows_are_those_of_the_whole_file(log: EventLog, tmp_path: Path) -> None:
    warm = WarmFiles()
    for end in range(1, len(EDITED) + 1):
        session = (await put(log, tmp_path, EDITED[:end], warm=warm, growing=True)).session
    assert await read(log, session) == ["shorter", "Short.", "Note.", "and now?"]
    async with open_store() as other:
        whole = (await put(other, tmp_path, EDITED)).session
        assert await read(other, whole) == await read(log, session)
    assert len(await log.sessions()) == 1


async def test_what_is_given_to_pi_reads_as_it_was_edited_last(log: EventLog, tmp_path: Path) -> None:
    session = (await put(log, tmp_path, EDITED)).session
    kept = {"PI_CODING_AGENT_DIR": str(tmp_path / "home")}
    given = await hand_over(log, session, "pi", TO_PI, folder="/", environment=kept, at_us=1)
    assert "context_edit" not in _content(Path(given.path))
    async with open_store() as other:
        copied = (await import_file(other, str(given.path))).session
        assert await read(other, copied) == await read(log, session)


async def test_what_a_program_said_is_no_system_message_of_pi(log: EventLog, tmp_path: Path) -> None:
    session = (await log.create()).id
    notice = UserMessage(content="All is done.", raw=to_json({"role": "system"}))
    await log.append(session, [(1, MessageAdopt(message=notice, origin=Origin(source="elsewhere")))])
    assert [one["message"]["role"] for one in (await back(log, session))[1:]] == ["user"]


def _content(path: Path) -> str:
    return path.read_text()

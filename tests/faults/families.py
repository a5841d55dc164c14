"""Sessions of several files: those that name each other, or copy each other, and those of a file for each message."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from tests.replay.formats.opencode_store import ROWS
from tests.replay.formats.test_opencode import spread
from tests.replay.formats.test_opencode_early import FIRST, SUMMARY, first_project_of, project_of

from .corpora import Corpus, Record, encoded, pairs

NAMES = [str(UUID(int=number << 64 | number)) for number in range(1, 8)]
Fields = dict[str, Any]


def beside(prefix: str) -> Any:
    """Write files into a folder of their own, and return the last one; each record is the name of a file and a line."""

    def write(path: Path, records: Sequence[Record]) -> Path:
        folder = path.with_name("family")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        files: dict[str, list[Any]] = {}
        for name, fields in pairs(records):
            files.setdefault(name if name in NAMES else NAMES[-1], []).append(fields)
        for name, told in files.items():
            lines = b"".join(encoded(one) + b"\n" for one in told)
            (folder / f"{prefix}{name}.jsonl").write_bytes(lines)
        return folder / f"{prefix}{next(reversed(files), NAMES[-1])}.jsonl" if files else _empty(path)

    return write


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def spread_out(path: Path, records: Sequence[Record]) -> Path:
    """Write a file for each record, which is its place and its value. Returns: the one of the session."""
    folder = path.with_name("spread")
    shutil.rmtree(folder, ignore_errors=True)
    session = _empty(path)
    for name, value in pairs(records):
        if name in _PLACES:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(encoded(value))
            session = place if name in _SESSIONS else session
    return session


def _opencode() -> Iterator[tuple[str, list[Record]]]:
    """Give the place of a session's own file and all its files, as versions 0.1, 0.5 and 1.0 keep them."""
    with TemporaryDirectory() as made:
        first, second, third = (Path(made) / version for version in ("0.1", "0.5", "1.0"))
        wrote = {
            first: first_project_of(first),
            second: project_of(second, [*FIRST, *SUMMARY]),
            third: spread(third / "storage", ROWS),
        }
        for folder, session in wrote.items():
            files = sorted(one for one in folder.rglob("*") if one.is_file())
            told = [[str(one.relative_to(made)), json.loads(one.read_bytes())] for one in files]
            yield str(session.relative_to(made)), told


_SESSIONS = dict(_opencode())
_PLACES = {name for files in _SESSIONS.values() for name, _ in files}


def _told(*files: Sequence[Fields]) -> list[Record]:
    return [[NAMES[number], one] for number, file in enumerate(files) for one in file]


def _codex() -> list[Record]:
    def line(kind: str, **payload: Any) -> Fields:
        return {"timestamp": "2026-01-01T00:00:01.000Z", "type": kind, "payload": payload}

    def meta(number: int, **more: Any) -> Fields:
        return line("session_meta", id=NAMES[number], cwd="/work", cli_version="0.171.0", **more)

    def said(text: str, role: str = "user") -> Fields:
        part = "output_text" if role == "assistant" else "input_text"
        return line("response_item", type="message", role=role, content=[{"type": part, "text": text}])

    def called(call: str) -> Fields:
        return line("response_item", type="function_call", name="spawn_agent", arguments="{}", call_id=call)

    def output(call: str, session: str) -> Fields:
        return line(
            "response_item", type="function_call_output", call_id=call, output=json.dumps({"agent_id": session})
        )

    first = [meta(0), said("one"), called("x"), output("x", NAMES[1]), said("One.", "assistant"), said("two")]
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": NAMES[0]}}}
    agent = [meta(1, parent_thread_id=NAMES[0], source=spawn), said("dig"), said("Dug.", "assistant")]
    upto = {"forked_from_id": NAMES[0], "forked_from_ordinal_exclusive": 5}
    second = [meta(2, **upto), said("three"), said("Three.", "assistant")]
    third = [meta(3, forked_from_id=NAMES[2]), *second[1:], said("four")]
    numbered = [
        [{**one, "ordinal": place} for place, one in enumerate(file, at)] for file, at in ((first, 0), (second, 5))
    ]
    return _told(numbered[0], agent, numbered[1], third)


def _claude_code() -> list[Record]:
    def line(name: int, parent: int | None, session: int, kind: str, **more: Any) -> Fields:
        named = {"uuid": str(UUID(int=name)), "parentUuid": str(UUID(int=parent)) if parent else None}
        time = f"2026-01-01T00:00:{name:02d}.000Z"
        return {**named, "type": kind, "sessionId": NAMES[session], "timestamp": time, "cwd": "/work", **more}

    def said(name: int, parent: int | None, text: str, session: int = 0) -> Fields:
        return line(name, parent, session, "user", message={"role": "user", "content": text})

    def answer(name: int, parent: int, session: int = 0) -> Fields:
        content = [{"type": "text", "text": "Yes."}]
        message = {"id": f"m{name}", "role": "assistant", "model": "claude-x", "content": content}
        return line(name, parent, session, "assistant", message=message)

    first = [said(1, None, "one"), answer(2, 1), said(3, 2, "two")]
    second = [*({**one, "sessionId": NAMES[1]} for one in first[:2]), said(4, 2, "aside", 1), answer(5, 4, 1)]
    third = [*({**one, "sessionId": NAMES[2]} for one in second), said(6, 5, "further", 2)]
    return _told(first, second, third)


def _pi() -> list[Record]:
    def header(number: int, **more: Any) -> Fields:
        return {"type": "session", "version": 3, "id": NAMES[number], "timestamp": "2026-01-01T00:00:00Z", **more}

    def said(name: str, parent: str | None, text: str) -> Fields:
        message = {"role": "user", "content": text, "timestamp": 1}
        named = {"id": name, "parentId": parent, "timestamp": "2026-01-01T00:00:01Z"}
        return {"type": "message", **named, "message": message}

    first = [header(0), said("a", None, "one"), said("b", "a", "two")]
    second = [header(1, parentSession=f"/gone/{NAMES[0]}.jsonl"), first[1], said("c", "a", "aside")]
    third = [header(2, parentSession=f"/gone/{NAMES[1]}.jsonl"), *second[1:], said("d", "c", "further")]
    return _told(first, second, third)


FAMILIES = {
    "codex family": Corpus(form="codex", samples=[_codex()], write=beside("rollout-x-")),
    "claude-code family": Corpus(form="claude-code", samples=[_claude_code()], write=beside("")),
    "pi family": Corpus(form="pi", samples=[_pi()], write=beside("")),
    "opencode files": Corpus(form="opencode", samples=list(_SESSIONS.values()), write=spread_out),
}
"""By their names; each is damaged as one."""

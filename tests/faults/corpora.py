"""Session files of each format that is read here, as records that can be damaged, cut off or left out one by one."""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay.formats.inspect.archive import archive_of
from tests.replay.formats.opencode_store import ROWS, store

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve() / "transcripts"
FIXTURES = Path(__file__).parents[1] / "replay" / "formats" / "fixtures"
Record = Any
"""A line as bytes; or the value of an entry, whatever that is in a format."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Files of one format.

    `samples`: the records of each. `sound`: of those that no one put together of pieces (None: of all). `write`: makes
    a file of records.
    """

    form: str
    samples: Sequence[Sequence[Record]]
    sound: Sequence[Sequence[Record]] | None = None
    write: Callable[[Path, Sequence[Record]], Path]


def lines(path: Path, records: Sequence[Record]) -> Path:
    """Write lines."""
    path.write_bytes(b"".join(records))
    return path


def listed(path: Path, records: Sequence[Record]) -> Path:
    """Write a document that is a list."""
    path.write_bytes(encoded(list(records)))
    return path


def framed(name: str) -> Callable[[Path, Sequence[Record]], Path]:
    """Write documents whose first record holds the others under a name."""

    def write(path: Path, records: Sequence[Record]) -> Path:
        frame = records[0] if records and isinstance(records[0], dict) else {}
        path.write_bytes(encoded({**frame, name: list(records[1:])}))
        return path

    return write


def archived(path: Path, records: Sequence[Record]) -> Path:
    """Write a log of Inspect; each record is the name of a member and its value."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a member that comes twice
        for name, value in pairs(records):
            file.writestr(name.encode("utf-8", "replace").decode() or "unnamed", encoded(value))
    return path


def opencode_rows(path: Path, records: Sequence[Record]) -> Path:
    """Write a database of opencode; each record is the name of a table and a row."""
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in ROWS}
    for table, row in pairs(records):
        if table in rows:
            rows[table].append(row if isinstance(row, dict) else {})
    return store(path, rows)


def agents_rows(path: Path, records: Sequence[Record]) -> Path:
    """Write a database of the OpenAI Agents SDK; each record is the name of a table and a row."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_TABLES)
        connection.execute("PRAGMA foreign_keys = OFF")
        for table, row in pairs(records):
            columns = _COLUMNS.get(table, ())
            values = [_stored(row.get(name) if isinstance(row, dict) else row) for name in columns]
            if columns:
                places = ", ".join("?" * len(columns))
                with suppress(sqlite3.IntegrityError):  # SQLite itself keeps such a row out
                    connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", values)
    return path


def pairs(records: Iterable[Record]) -> Iterable[tuple[str, Any]]:
    """Give the records that are still a name and a value."""
    return ((one[0], one[1]) for one in records if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str))


def encoded(value: object) -> bytes:
    """Write JSON, with whatever texts."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _stored(value: Any) -> Any:
    """Return a value as it can stand in a column."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    large = isinstance(value, int) and abs(value) >= 1 << 63
    return json.dumps(value) if large or isinstance(value, dict | list) else value


def _dumped() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript((FIXTURES / "openai-agents-branches.sql").read_text())
    return connection


def _agents() -> tuple[str, dict[str, tuple[str, ...]], list[Record]]:
    """Read the fixture. Returns: its tables, their columns, and its rows, with messages as values."""
    with closing(_dumped()) as connection:
        made = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL") if sql]
        made = [sql for sql in made if "sqlite_sequence" not in sql]
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns: dict[str, tuple[str, ...]] = {}
        rows: list[Record] = []
        for table in (name for name in names if not name.startswith("sqlite_")):
            cursor = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")
            columns[table] = tuple(one[0] for one in cursor.description)
            for values in cursor:
                row = dict(zip(columns[table], values, strict=True))
                if isinstance(row.get("message_data"), str):
                    row["message_data"] = json.loads(row["message_data"])
                rows.append([table, row])
    rows.sort(key=lambda one: (one[1].get("message_id") or one[1].get("id") or 0, one[0]))  # as they were written
    return ";\n".join(made), columns, rows


_TABLES, _COLUMNS, _ROWS = _agents()


def _text(*paths: Path) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def _files(folder: str, pattern: str = "*.jsonl") -> list[bytes]:
    return _text(*sorted((DATA / folder).glob(pattern)))


def _made(pattern: str) -> list[bytes]:
    return _text(*sorted(FIXTURES.glob(pattern)))


def _lines_of(*contents: bytes) -> list[list[Record]]:
    return [data.splitlines(keepends=True) for data in contents]


def _sound(folder: str) -> list[list[Record]]:
    return _lines_of(*_files(folder, "[!s]*.jsonl"))  # those called stage0 are pieces


def _each(values: Iterable[Any]) -> list[Record]:
    return [encoded(value) + b"\n" for value in values]


def _gemini() -> list[dict[str, Any]]:
    return [json.loads(data) for data in _files("gemini-cli", "*.json")]


def _frames(documents: Iterable[Mapping[str, Any]], name: str) -> list[list[Record]]:
    split = ((one, {key: value for key, value in one.items() if key != name}) for one in documents)
    return [[frame, *one.get(name, [])] for one, frame in split]


def _histories() -> list[list[Record]]:
    """The events of evaluations of OpenHands, as lists of events."""
    told = [json.loads(line) for data in _files("openhands-v0") for line in data.splitlines()]
    return [[one for one in line["history"] if isinstance(one, dict)] for line in told]


def _archives() -> list[list[Record]]:
    paths = [*sorted((DATA / "inspect-ai").glob("*.eval")), *sorted(FIXTURES.glob("inspect-*.eval"))]
    logs = [archive_of(path) for path in paths if "zstandard" not in path.name]
    return [[[name, json.loads(log.read(name))] for name in log.members if name.endswith(".json")] for log in logs]


def _chats() -> list[list[Record]]:
    """Requests that grow, with their answers; lines for fine-tuning; and messages by themselves."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    said: list[Record] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is up?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cloud"},
        {"role": "assistant", "content": "A cloud.", "reasoning_content": "Hm."},
        {"role": "user", "content": "And now?"},
    ]
    answers = [said[2], said[4], {"role": "assistant", "content": "Rain."}]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    logged = [
        {
            "timestamp": f"2026-01-01T00:00:0{number}Z",
            "request": {"model": "gpt-4o", "messages": said[:end], "tools": [tool]},
            "response": {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion",
                "created": 1_760_000_000 + number,
                "model": "gpt-4o",
                "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 2},
            },
        }
        for number, (end, answer) in enumerate(zip((2, 4, 6), answers, strict=True))
    ]
    tuning = [{"messages": [*said[:2], {"role": "assistant", "content": str(number)}]} for number in range(3)]
    return [_each(logged), _each(tuning), _each(said)]


def _documents() -> list[list[Record]]:
    """Logs of Inspect that are one document: those that are, and archives written as such."""
    told = [json.loads(data) for data in _files("inspect-ai", "*.json")]
    frames = _frames([one for one in told if isinstance(one, dict) and one.get("samples")], "samples")
    for members in _archives():
        samples = [value for name, value in members if name.startswith("samples/") and isinstance(value, dict)]
        frames += [[value, *samples] for name, value in members if name == "header.json"]
    return frames


def _opencode() -> list[Record]:
    """The rows in the order in which they were written."""
    tables = ("session", "message", "part")
    rows = [[table, row] for table, rows in ROWS.items() for row in rows]
    return sorted(rows, key=lambda one: (one[1].get("time_created", 0), tables.index(one[0]), one[1]["id"]))


def _messages() -> list[list[Record]]:
    return [[json.loads(line) for line in sample] for sample in _chats()[2:]]


def _pydantic() -> list[list[Record]]:
    return [json.loads(path.read_bytes()) for path in sorted(FIXTURES.glob("pydantic-ai*.json"))]


def _corpora() -> dict[str, Corpus]:
    exported = json.loads((FIXTURES / "opencode-export.json").read_bytes())
    gemini = _gemini()
    told = [[{**one, "messages": None}, *one.get("messages", []), {"$set": one}] for one in gemini]
    events = _lines_of(*_files("openhands-v1", "*.jsonl"), *_files("openhands-v1", "*/events.jsonl"))
    return {
        "claude-code": Corpus(
            form="claude-code",
            samples=_lines_of(*_files("claude-code"), *_made("claude-code-*/*.jsonl")),
            sound=_sound("claude-code"),
            write=lines,
        ),
        "codex": Corpus(form="codex", samples=_lines_of(*_files("codex")), sound=_sound("codex"), write=lines),
        "pi": Corpus(form="pi", samples=_lines_of(*_files("pi"), *_made("pi-*.jsonl")), write=lines),
        "gemini": Corpus(form="gemini", samples=[_each(one) for one in told], write=lines),
        "gemini document": Corpus(form="gemini", samples=_frames(gemini, "messages"), write=framed("messages")),
        "gemini checkpoint": Corpus(
            form="gemini",
            samples=_frames([json.loads(one) for one in _made("gemini-checkpoint-*.json")], "history"),
            write=framed("history"),
        ),
        "opencode": Corpus(form="opencode", samples=[_opencode()], write=opencode_rows),
        "opencode export": Corpus(form="opencode", samples=_frames([exported], "messages"), write=framed("messages")),
        "openai-agents": Corpus(form="openai-agents", samples=[_ROWS], write=agents_rows),
        "pydantic-ai": Corpus(form="pydantic-ai", samples=_pydantic(), write=listed),
        "inspect": Corpus(form="inspect", samples=_archives(), write=archived),
        "inspect document": Corpus(form="inspect", samples=_documents(), write=framed("samples")),
        "openhands lines": Corpus(form="openhands", samples=_lines_of(*_files("openhands-v0")), write=lines),
        "openhands list": Corpus(form="openhands", samples=_histories(), write=listed),
        "openhands events": Corpus(form="openhands", samples=events, write=lines),
        "openai-chat": Corpus(form="openai-chat", samples=_chats(), write=lines),
        "openai-chat list": Corpus(form="openai-chat", samples=_messages(), write=listed),
    }


CORPORA = _corpora() if DATA.is_dir() else {}
"""What there is of each format, by its name and the kind of file; none without recorded sessions."""


def size_of(sample: Sequence[Record]) -> int:
    """Return about how many bytes a file of records has."""
    return sum(len(one) if isinstance(one, bytes) else len(encoded(one)) for one in sample)

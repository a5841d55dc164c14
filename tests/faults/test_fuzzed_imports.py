"""Session files that were damaged in any way: a sentence, or an import with what was found; never a crash."""

from __future__ import annotations

import json
import os
import random
import resource
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from eventsource.errors import TranscriptError
from eventsource.log import open_store
from eventsource.machine.evolve import fold
from replay.formats import import_file
from replay.formats.inspect.archive import archive_of
from tests.replay.formats.opencode_store import ROWS, store

FULL = os.environ.get("REFOLD_FAULTS") == "full"
DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve() / "transcripts"
FORMS = ("claude-code", "codex", "pi", "openhands-v0", "openhands-v1")
FILES = {name: sorted((DATA / name).glob("*.jsonl")) for name in FORMS}
FIXTURES = Path(__file__).parents[1] / "replay" / "formats" / "fixtures"
FILES |= {name: sorted((DATA / name).glob("*.json")) for name in ("gemini-cli",)}
FILES["opencode"] = [FIXTURES / "opencode-export.json"]
TRIES, LARGEST = (20_000, 1 << 20) if FULL else (60, 1 << 17)
GROWN_KB = 200 << 10
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(not all(FILES.values()), reason=f"needs recorded sessions in {DATA} (set REFOLD_DATA)"),
]
NAMES = ("type", "id", "uuid", "parentUuid", "role", "content", "payload", "kind", "message", "action", "")
VALUES: list[Any] = [None, True, 0, -1, 1e308, 2**70, "", "\ud800", "x" * 5_000, [], {}, [[]], {"type": "text"}]


def flip(lines: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    line = bytearray(lines[at])
    for _ in range(chance.randint(1, 8)):
        line[chance.randrange(len(line))] = chance.randrange(256)
    lines[at] = bytes(line)


def cut(lines: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    lines[at] = lines[at][: chance.randrange(len(lines[at]))]
    if chance.random() < 0.5:
        del lines[at + 1 :]


def shuffle(lines: list[bytes], chance: random.Random) -> None:
    chance.shuffle(lines)


def repeat(lines: list[bytes], chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))


def drop(lines: list[bytes], chance: random.Random) -> None:
    del lines[chance.randrange(len(lines))]


def join(lines: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    lines[at] = lines[at].rstrip(b"\n")


def nest(lines: list[bytes], chance: random.Random) -> None:
    depth = chance.choice((50, 300, 5_000))
    lines.insert(chance.randrange(len(lines)), b'{"type":"user","message":' * depth + b"1" + b"}" * depth + b"\n")


def change(lines: list[bytes], chance: random.Random) -> None:
    """Put another value at some place of a record, however deep."""
    at = chance.randrange(len(lines))
    try:
        record = json.loads(lines[at])
    except (ValueError, RecursionError):
        return
    places = list(_places(record))
    if places:
        holder, key = chance.choice(places)
        other, name = chance.choice(places)
        holder[key] = chance.choice([*VALUES, deepcopy(other[name])])
        lines[at] = json.dumps(record).encode("utf-8", "surrogatepass") + b"\n"


def rename(lines: list[bytes], chance: random.Random) -> None:
    """Put a value of a record where another belongs."""
    at = chance.randrange(len(lines))
    try:
        record = json.loads(lines[at])
    except (ValueError, RecursionError):
        return
    places = [pair for pair in _places(record) if isinstance(pair[0], dict)]
    if places:
        holder, key = chance.choice(places)
        holder[chance.choice(NAMES)] = holder.pop(key)
        lines[at] = json.dumps(record).encode("utf-8", "surrogatepass") + b"\n"


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, item in items:
            found.append((one, key))
            waiting.append(item)
    return found


DAMAGES: list[Callable[[list[bytes], random.Random], None]] = [
    *(flip, cut, shuffle, repeat, drop, join, nest),
    *[change] * 6,
    *[rename] * 3,
]


@pytest.mark.parametrize("form", FILES)
async def test_a_damaged_file_is_a_sentence_or_an_import_with_what_was_found(form: str, tmp_path: Path) -> None:
    files = [data for path in FILES[form] for data in _contents(path) if len(data) < LARGEST]
    path = tmp_path / "session.jsonl"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(TRIES):
        chance = random.Random(f"{form} {number}")
        lines = chance.choice(files).splitlines(keepends=True)
        for _ in range(chance.randint(1, 4)):
            if lines and (lines := [line for line in lines if line]):
                chance.choice(DAMAGES)(lines, chance)
        _write(path, b"".join(lines))
        await imported_or_named(path, number)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWN_KB, f"{grown} kB"


async def imported_or_named(path: Path, number: int) -> None:
    """Import a damaged file: what comes of it folds, and the same again adds nothing."""
    async with open_store() as log:
        try:
            await import_file(log, str(path))
        except TranscriptError:
            return
        for info in await log.sessions(limit=1_000):
            fold(await log.read(info.id, limit=1_000_000))
        again = await import_file(log, str(path))
        assert not any(one.branches for one in (again, *again.others)), number


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _contents(path: Path) -> list[bytes]:
    """Read a file; of a document also what it is on one line, and as lines, so that its values can be damaged."""
    data = _content(path)
    if path.suffix == ".jsonl":
        return [data]
    document = json.loads(data)
    rest = {name: value for name, value in document.items() if name != "messages"}
    records = [rest, *document.get("messages", []), {"$set": document}]
    lines = "".join(json.dumps(one) + "\n" for one in records)
    return [data, json.dumps(document).encode() + b"\n", lines.encode()]


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def damaged(value: Any, chance: random.Random) -> Any:
    """Put another value at some place of a document, or take one away."""
    changed = deepcopy(value)
    for _ in range(chance.randint(1, 4)):
        places = list(_places(changed))
        holder, key = chance.choice(places)
        other, name = chance.choice(places)
        if chance.random() < 0.2:
            del holder[key]
        else:
            holder[key] = chance.choice([*VALUES, deepcopy(other[name])])
        if not list(_places(changed)):
            return value
    return changed


def archive(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)


@pytest.mark.skipif(not (DATA / "inspect-ai").is_dir(), reason=f"needs recorded sessions in {DATA} (set REFOLD_DATA)")
async def test_a_damaged_log_of_inspect_is_a_sentence_or_an_import(tmp_path: Path) -> None:
    files = sorted((DATA / "inspect-ai").glob("*.eval")) + sorted((FIXTURES).glob("inspect-*s*.eval"))
    path = tmp_path / "log.eval"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(TRIES):
        chance = random.Random(f"inspect {number}")
        data = bytearray(_content(chance.choice(files)))
        if number % 3 == 0:
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            _write(path, bytes(data[: chance.randint(1, len(data))] if chance.random() < 0.4 else data))
        else:
            found = archive_of(chance.choice(files[:4]))
            members = {name: found.read(name) for name in found.members}
            name = chance.choice([name for name in members if name.startswith(("samples/", "header"))])
            members[name] = json.dumps(damaged(json.loads(members[name]), chance)).encode("utf-8", "surrogatepass")
            archive(path, members)
        await imported_or_named(path, number)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWN_KB, f"{grown} kB"


async def test_a_damaged_store_of_opencode_is_a_sentence_or_an_import(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    for number in range(TRIES):
        chance = random.Random(f"opencode store {number}")
        path.unlink(missing_ok=True)
        if number % 3 == 0:
            data = bytearray(_content(store(path, ROWS)))
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(100, len(data))] = chance.randrange(256)
            _write(path, bytes(data[: chance.randint(100, len(data))] if chance.random() < 0.4 else data))
        else:
            rows = deepcopy(ROWS)
            table = chance.choice(("session", "message", "part"))
            place = chance.randrange(len(rows[table]))
            row = damaged(rows[table][place], chance)
            rows[table][place] = row if isinstance(row, dict) else {}
            store(path, rows)
        await imported_or_named(path, number)

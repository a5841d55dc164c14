"""Session files damaged in any way, by numbers: the same number is the same file; and what must come of each."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from eventsource.errors import TranscriptError
from eventsource.log import open_store
from eventsource.machine.evolve import fold
from replay.formats import import_file

from .corpora import CORPORA, Record, encoded, lines as write_lines, size_of
from .families import FAMILIES


class Looked(NamedTuple):
    """What came of a damaged file: how long it took, and whether it was refused, or imported with or without notes."""

    took_s: float
    came_to: str


GROWN_KB = 200 << 10
LONGEST_S = 1.0
"""Of the processor, for one file."""
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


def shuffle(lines: list[Record], chance: random.Random) -> None:
    chance.shuffle(lines)


def repeat(lines: list[Record], chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))


def drop(lines: list[Record], chance: random.Random) -> None:
    del lines[chance.randrange(len(lines))]


def join(lines: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    lines[at] = lines[at].rstrip(b"\n")


def nest(lines: list[bytes], chance: random.Random) -> None:
    depth = chance.choice((50, 300, 5_000))
    lines.insert(chance.randrange(len(lines)), b'{"type":"user","message":' * depth + b"1" + b"}" * depth + b"\n")


def change(records: list[Record], chance: random.Random) -> None:
    """Put another value at some place of a record, however deep."""
    with _opened(records, chance) as record:
        places = list(_places(record))
        if places:
            holder, key = chance.choice(places)
            other, name = chance.choice(places)
            holder[key] = chance.choice([*VALUES, _copied(other[name])])


def rename(records: list[Record], chance: random.Random) -> None:
    """Put a value of a record where another belongs."""
    with _opened(records, chance) as record:
        places = [pair for pair in _places(record) if isinstance(pair[0], dict)]
        if places:
            holder, key = chance.choice(places)
            holder[chance.choice(NAMES)] = holder.pop(key)


def leave_out(records: list[Record], chance: random.Random) -> None:
    """Take a value away."""
    with _opened(records, chance) as record:
        places = list(_places(record))
        if places:
            holder, key = chance.choice(places)
            del holder[key]


@contextmanager
def _opened(records: list[Record], chance: random.Random) -> Iterator[Any]:
    """Give one record as a value that can be changed; a line that is none is left alone."""
    at = chance.randrange(len(records))
    record = records[at]
    if isinstance(record, bytes):
        try:
            value = json.loads(record)
        except (ValueError, RecursionError):
            yield None
            return
        yield value
        with suppress(RecursionError):  # too deep to be written: it stays as it was
            records[at] = encoded(value) + b"\n"
    else:
        records[at] = value = _copied(record)
        yield value


def _copied(value: Any) -> Any:
    """Copy a value, however deep."""
    whole = [value]
    waiting: list[tuple[Any, Any]] = [(whole, 0)]
    while waiting:
        holder, key = waiting.pop()
        one = holder[key]
        if isinstance(one, dict | list):
            holder[key] = one = one.copy()
            waiting += [(one, inner) for inner in (one if isinstance(one, dict) else range(len(one)))]
    return whole[0]


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


ALL = {**CORPORA, **FAMILIES}
OF_RECORDS: list[Callable[[list[Record], random.Random], None]] = [
    *(shuffle, repeat, drop),
    *[change] * 6,
    *[rename] * 3,
    leave_out,
]
OF_LINES: list[Callable[[list[bytes], random.Random], None]] = [flip, cut, join, nest]


def damaged(name: str, number: int, folder: Path, *, largest: int) -> Path:
    """Write the damaged file of a number: records are damaged, and what they are written as.

    Args:
        name: of the corpus that it is made of.
        largest: bytes of the sound file, if there are smaller ones.
    """
    corpus, chance = ALL[name], random.Random(f"{name} {number}")
    fitting = [sample for sample in corpus.samples if size_of(sample) < largest]
    records = list(chance.choice(fitting or corpus.samples))
    in_lines = corpus.write is write_lines
    for _ in range(chance.randint(1, 4)):
        if records := [one for one in records if one != b""]:
            _damage(records, chance, in_lines=in_lines)
    path = corpus.write(folder / f"damaged{_SUFFIX.get(corpus.form, '.jsonl')}", records)
    if not in_lines and chance.random() < 0.3 and path.stat().st_size:
        _damage_bytes(path, chance)
    return path


def _damage(records: list[Record], chance: random.Random, *, in_lines: bool) -> None:
    if in_lines and chance.random() < len(OF_LINES) / (len(OF_LINES) + len(OF_RECORDS)):
        chance.choice(OF_LINES)(records, chance)
    else:
        chance.choice(OF_RECORDS)(records, chance)


def _damage_bytes(path: Path, chance: random.Random) -> None:
    whole = [path.read_bytes()]
    chance.choice((flip, cut))(whole, chance)
    path.write_bytes(whole[0])


_SUFFIX = {"inspect": ".eval", "opencode": ".db", "openai-agents": ".db"}


async def look(name: str, number: int, folder: Path, *, largest: int) -> Looked:
    """Import a damaged file: what comes of it folds, and the same again adds nothing.

    So do the files beside it, if it is one of a family: once all are there, since two may be called the same.

    Raises: whatever an importer lets out that is no TranscriptError; AssertionError.
    """
    return await look_at(damaged(name, number, folder, largest=largest))


async def look_at(path: Path) -> Looked:
    """Import a file, as `look` does."""
    files = sorted(path.parent.glob("*.jsonl"), reverse=True) if path.parent.name == "family" else []
    async with open_store() as log:
        began = time.process_time()
        try:
            report = await import_file(log, str(path))
        except TranscriptError:
            return Looked(time.process_time() - began, "refused")
        took = time.process_time() - began
        for info in await log.sessions(limit=1_000):
            fold(await log.read(info.id, limit=1_000_000))
        for file in (*files, *files):
            with suppress(TranscriptError):
                await import_file(log, str(file))
        for one in (path, *files):
            with suppress(TranscriptError):
                again = await import_file(log, str(one))
                new = [each.source for each in (again, *again.others) if each.branches]
                assert not new, f"imported again, it adds to {new}"
    return Looked(took, "noted" if report.lost or report.recovered or report.kept else "imported")

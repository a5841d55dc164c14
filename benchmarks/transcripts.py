"""Session files of other agents: how fast a large one comes in, and the most memory that it takes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from eventsource.events import Event
from eventsource.log import open_store
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.protocol import EventLog
from replay.formats import WarmFiles, import_file

from .exchange import SESSION
from .measure import compare
from .memory import peak_mb
from .rows import Row, ratio_row, row
from .stores import new_folder

_MORE = 50  # records that are written while a file is followed
_AT_ONCE = 1_000  # events of one append, as an import makes them
_SLOW = (
    "A record is read twice, placed, written back and compared with what was read, so that nothing of it is lost; that "
    "is five times the work of appending what comes of it."
)
_APPEND = (
    "Each record is two facts, its message and what else it says, so twice as many facts are appended. Half of the "
    "processor's time is admitting and encoding them, with reading each back before it counts; a fifth is SQLite; the "
    "rest is the session's folds, the chain of digests, and rows."
)


def run(quick: bool) -> list[Row]:
    """Import a made session of Claude Code, and append the same events as they are; then a large one in a process."""
    few, many = (200, 500) if quick else (20_000, 1_000_000)
    place = new_folder()
    small, large = _write(place / "small.jsonl", few), _write(place / "large.jsonl", many)
    appended = []

    def append() -> float:
        appended.append(asyncio.run(_appended(small)))
        return appended[-1]

    found = compare(1 if quick else 3, lambda: asyncio.run(_imported(small)), append)
    command = ["import", "--db", str(place / "large.db"), str(large)]
    short, long = (100, 300) if quick else (1_000, 15_000)
    grown = compare(1 if quick else 3, partial(_one_more, place, long), partial(_one_more, place, short))
    return [
        row("adopted messages appended, a second of CPU", appended, "messages/s", goal=">= 50,000", missed=_APPEND),
        ratio_row("records imported, to that", found, "records/s", goal=">= 0.9x", missed=_SLOW),
        ratio_row(
            f"one more record of a followed file of {long:,} (beside: {short:,})",
            grown,
            "ms",
            goal="<= 1.5x",
            beside=True,
        ),
        row(f"refold import, a file of {many:,} records", [peak_mb(command)], "MB", goal="<= 300"),
    ]


def _write(path: Path, records: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(one)}\n" for one in _records(records))
    return path


def _records(count: int) -> Iterator[dict[str, object]]:
    """Make records as Claude Code writes them: a person and a model in turns."""
    before = None
    for number in range(count):
        name = f"00000000-0000-4000-8000-{number:012x}"
        place = {"parentUuid": before, "isSidechain": False, "sessionId": "bench", "cwd": "/code", "version": "2.1.14"}
        said: dict[str, object] = {"role": "user", "content": f"please look at part {number} of it " * 8}
        if number % 2:
            answer = [{"type": "text", "text": f"part {number} is like the others " * 10}]
            usage = {"input_tokens": 3, "cache_read_input_tokens": 20_000, "output_tokens": 90}
            said = {"role": "assistant", "model": "claude-opus-4-5", "id": f"msg_{number}", "content": answer}
            said |= {"type": "message", "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
        kind = "assistant" if number % 2 else "user"
        time = (
            f"2026-01-{1 + number // 86_400 % 28:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        )
        yield {**place, "type": kind, "message": said, "uuid": name, "timestamp": time}
        before = name


async def _imported(path: Path) -> float:
    async with open_store(new_folder() / "imported.db") as log:
        began = time.process_time()
        report = await import_file(log, str(path))
        return report.entries / (time.process_time() - began)


def _one_more(place: Path, records: int) -> float:
    path = place / f"followed-{records}.jsonl"
    lines = [f"{json.dumps(one)}\n" for one in _records(records + _MORE)]
    path.write_text("".join(lines[:records]), encoding="utf-8")
    return asyncio.run(_followed(path, lines[records:]))


async def _followed(path: Path, more: list[str]) -> float:
    """Follow a file that grows record by record. Returns: what one more record takes (ms of CPU)."""
    warm, took = WarmFiles(), 0.0
    async with open_store(new_folder() / "followed.db") as log:
        await import_file(log, str(path), growing=True, warm=warm)
        for number, line in enumerate(more):
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
            began = time.process_time()
            await import_file(log, str(path), format="claude-code", growing=True, warm=warm)
            took += time.process_time() - began if number else 0.0  # the first one takes note of all that was there
    return 1_000 * took / (len(more) - 1)


async def _appended(path: Path) -> float:
    """Append what an import of the file wrote, which is made beforehand."""
    async with open_store() as made:
        report = await import_file(made, str(path))
        events = [(one.at_us, one.event) for one in await made.read(report.session, limit=10_000_000)]
    async with open_store(new_folder() / "appended.db") as log:
        return await _append(log, events, report.entries)


async def _append(log: EventLog, events: list[tuple[int, Event]], messages: int) -> float:
    await log.create(SESSION)
    began, head = time.process_time(), 0
    for first in range(0, len(events), _AT_ONCE):
        head = await append_admitted(log, SESSION, admitted(events[first : first + _AT_ONCE]), expected=head)
    return messages / (time.process_time() - began)

"""Stories that nobody wrote hold too: what each program keeps is what passed, and it can be worked with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from refold import Log, open_log
from replay.formats import ImportReport, import_file
from replay.formats.claude_code.write import claude_code_parts
from replay.formats.codex.write import codex_parts
from replay.formats.gemini.write import gemini_parts
from replay.formats.jsonl import read_lines
from replay.formats.pi.write import pi_parts

from .differences import Table
from .programs import PROGRAMS, Program
from .running import Ran
from .test_clients import AT_ONCE, differences
from .wild import wild

SEEDS: Mapping[str, Sequence[int]] = {"claude-code": (0, 2), "codex": (0, 3), "pi": (4, 5), "gemini": (4, 6)}
WANTED = os.environ.get("REFOLD_WILD", "")
"""Other seeds, as `FIRST:COUNT`: `REFOLD_WILD=100:50 pytest tests/clients/test_wild.py -k codex`."""
WRITERS: Mapping[str, Callable[[EventLog, str], AsyncIterator[bytes]]] = {
    "claude-code": claude_code_parts,
    "codex": codex_parts,
    "gemini": gemini_parts,
    "pi": pi_parts,
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_stories_made_by_chance_hold(program: Program, tmp_path: Path) -> None:
    if program.missing:
        pytest.skip(program.missing)
    first, _, count = WANTED.partition(":")
    seeds = range(int(first), int(first) + int(count or 1)) if WANTED else SEEDS[program.name]
    room = asyncio.Semaphore(AT_ONCE)

    async def account(seed: int) -> str:
        async with room:
            work = tmp_path / str(seed) / "work"
            work.mkdir(parents=True)
            ran = Ran(home=tmp_path / str(seed) / "home", work=work)
            try:
                told = await differences(
                    program, wild(program, work, str(seed)), Table(program.name, by_chance=True), ran
                )
            except TimeoutError:
                return "the program did not end"
            return "\n".join([told, *[one async for one in unsound(program, ran)]]).strip()

    told = dict(zip(seeds, await asyncio.gather(*map(account, seeds)), strict=True))
    assert not any(told.values()), "\n\n".join(f"seed {seed}: {problem}" for seed, problem in told.items() if problem)


async def unsound(program: Program, ran: Ran) -> AsyncIterator[str]:
    """Say what is wrong with the sessions that were imported of a story."""
    async with open_log(ran.home.with_name("import.db")) as log:
        for file in ran.files:
            again = await import_file(log.store, str(file))
            if any(_added(again)):
                yield f"{file.name}: imported again, it adds something"
        for info in await log.store.sessions(limit=1_000):
            async for problem in _broken(log, info.id):
                yield f"session {info.id}: {problem}"
    for file in ran.files:
        async with open_log() as log:
            report = await import_file(log.store, str(file))
            if report.kept:
                yield f"{file.name}: not understood: {', '.join(note.problem for note in report.kept)}"
            if (await log.store.info(report.session)).parent is not None:
                continue  # what it copied stands in the log once, as it stood where it came from
            back = b"".join([part async for part in WRITERS[program.name](log.store, report.session)])
            if _records(back) != _records(file.read_bytes()):
                yield f"{file.name}: it is not written back as it was read"


async def _broken(log: Log, name: str) -> AsyncIterator[str]:
    session = await log.find(name)
    if not (await session.verify()).ok:
        yield "it does not verify"
    if (difference := (await session.replay()).difference) is not None:
        yield f"its replay differs: {difference}"
    events = await log.store.read(name, limit=1_000_000)
    for end in range(1, len(events) + 1, max(1, len(events) // 8)):
        if fold(events[:end]).phase is not Phase.IDLE:
            yield f"nothing goes on from seq {end}"


def _added(report: ImportReport) -> Iterator[bool]:
    yield bool(report.branches)
    for one in (*report.children, *report.others):
        yield from _added(one)


def _records(data: bytes) -> list[Mapping[str, object]]:
    return [record.fields for record in read_lines(data, lambda fields: True).records]

"""The oracle that nobody here wrote: a program's own file, imported, says what the proxy recorded of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from refold import open_log
from replay.formats import FORMATS, import_file

from .compare import contexts, exchanges, headless, parted
from .differences import Table
from .programs import PROGRAMS, Program
from .running import Ran, proxied, run_turns
from .stories import STORIES, Story

AT_ONCE = 2
"""Stories of a program that are run at the same time."""


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_its_files_say_what_the_proxy_recorded(program: Program, tmp_path: Path) -> None:
    if program.missing:
        pytest.skip(program.missing)
    if program.name not in {form.name for form in FORMATS}:
        pytest.skip(f"files of {program.name} are not read here")
    table, room = Table(program.name), asyncio.Semaphore(AT_ONCE)

    async def account(name: str) -> str:
        async with room:
            (tmp_path / name / "work").mkdir(parents=True)
            ran = Ran(home=tmp_path / name / "home", work=tmp_path / name / "work")
            return await differences(program, STORIES[name](program, ran.work), table, ran)

    names = [name for name in STORIES if program.agent is not None or name != "sub_agent"]
    told = dict(zip(names, await asyncio.gather(*map(account, names)), strict=True))
    assert not any(told.values()), "\n\n".join(f"{name}: {problem}" for name, problem in told.items() if problem)
    assert [row.why for row in table.rows if row.program and row not in table.used] == []


async def differences(program: Program, story: Story, table: Table, ran: Ran) -> str:
    """Run a story, and import the program's files. Returns: where they part from what passed; empty: nowhere."""
    async with open_log(ran.home.with_name("proxy.db")) as log:
        async with proxied(log, story.script) as url:
            await run_turns(program, story.turns, url, ran, log)
        asked, recorded = await exchanges(log), await log.store.sessions(limit=1_000)
    async with open_log(ran.home.with_name("import.db")) as log:
        reports = [await import_file(log.store, str(file)) for file in ran.files]
        file, heads = headless(table.file(await contexts(log)))
        wire, _ = headless(table.wire(asked, file))
        begun, _ = headless(table.begun(asked))
        wire += [one for one in begun if any(other[: len(one)] == one for other in file)]
        roots = [one for one in await log.store.sessions(limit=1_000) if one.parent is None and not one.started_by]
    prompts = [one.request.system_prompt for one in asked]
    problems = [parted(wire, file)]
    apart = 0 if program.says_forks else sum(turn.fork for turn in story.turns)
    if len(roots) != 1 + apart:
        problems.append(f"{len(roots)} sessions below no other, where {1 + apart} should be")
    problems += [
        f"{report.path} was read as one of {report.format}" for report in reports if report.format != program.name
    ]
    problems += [f"lost of {report.path}: {note.problem}" for report in reports for note in report.lost]
    problems += [f"the proxy left the session {info.id} open" for info in recorded if info.open]
    problems += [f"in no system prompt: {head!r}" for head in heads if not any(head in one for one in prompts)]
    return "\n".join(problem for problem in problems if problem)

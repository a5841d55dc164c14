"""A program does not notice the proxy: it says and keeps what it says and keeps without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refold import open_log
from replay.formats import FORMATS, import_file

from .compare import Conversation, contexts, parted
from .programs import PROGRAMS, Program
from .running import Ran, provided, proxied, run_turns
from .stories import every_shape

OF_THE_RUN = re.compile(r"Chunk ID: \w+|Wall time: [\d.]+|PGID: \d+|- Today's date.*", re.DOTALL)
"""What differs from one run to the next: numbers of processes and pieces, times."""


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_a_program_says_and_keeps_the_same_with_and_without_the_proxy(program: Program, tmp_path: Path) -> None:
    if program.missing:
        pytest.skip(program.missing)
    if program.name not in {form.name for form in FORMATS}:
        pytest.skip(f"files of {program.name} are not read here")
    told: list[tuple[list[str], list[Conversation]]] = []
    for place in ("with", "none"):
        (tmp_path / place / "work").mkdir(parents=True)
        ran = Ran(home=tmp_path / place / "home", work=tmp_path / place / "work")
        story = every_shape(program, ran.work)
        async with open_log() as log:
            serving = proxied(log, story.script) if place == "with" else provided(story.script)
            async with serving as url:
                await run_turns(program, story.turns, url, ran)
        async with open_log() as log:
            for file in ran.files:
                await import_file(log.store, str(file))
            kept = [
                tuple(one._replace(text=_settled(one.text, tmp_path / place)) for one in said)
                for said in await contexts(log)
            ]
        told.append((ran.outputs, kept))
    (through, kept), (without, kept_without) = told
    assert (through, parted(kept, kept_without)) == (without, "")


def _settled(text: str, folder: Path) -> str:
    return OF_THE_RUN.sub("", text.replace(str(folder), ""))

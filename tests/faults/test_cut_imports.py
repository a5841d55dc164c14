"""Session files that end after any of their records: what they hold comes in, and the rest goes on from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from eventsource.errors import TranscriptError
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from projections import CONTEXT, history, project
from replay.formats import import_file

from .corpora import CORPORA, DATA, Corpus, Record, archived, lines, size_of

FULL = os.environ.get("REFOLD_FAULTS") == "full"
SAMPLES, CUTS, LARGEST = (1_000, 1_000, 1 << 20) if FULL else (3, 8, 1 << 17)
"""How many files of a corpus, how many cuts of each, and how large they may be."""
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(not CORPORA, reason=f"needs recorded sessions in {DATA} (set REFOLD_DATA)"),
]
Told = list[bytes]
_SUFFIX = {"inspect": ".eval", "opencode": ".db", "openai-agents": ".db"}


@pytest.mark.parametrize("name", CORPORA)
async def test_a_file_that_ends_after_any_record_is_a_beginning_and_the_whole_one_goes_on(
    name: str, tmp_path: Path
) -> None:
    corpus = CORPORA[name]
    samples = corpus.samples if corpus.sound is None else corpus.sound
    least = 1 if corpus.write is lines else 2
    fitting = sorted((one for one in samples if len(one) > least and size_of(one) < LARGEST), key=len, reverse=True)
    assert fitting
    for sample in fitting[:SAMPLES]:
        await _check_cuts(corpus, sample, tmp_path)


async def _check_cuts(corpus: Corpus, sample: Sequence[Record], folder: Path) -> None:
    path = folder / f"session{_SUFFIX.get(corpus.form, '.jsonl')}"
    async with open_store() as log:
        corpus.write(path, sample)
        try:
            await import_file(log, str(path))
        except TranscriptError:  # a sample that is none
            return
        wanted = await _all_told(log)
    cuts = range(1, len(sample), max(1, len(sample) // CUTS))
    begun = [await _check_cut(corpus, sample, cut, path, wanted) for cut in cuts]
    assert any(begun), "at least one cut has a session"


async def _check_cut(corpus: Corpus, sample: Sequence[Record], cut: int, path: Path, wanted: list[Told]) -> bool:
    """Import what stands before a cut, and then all of it. Returns: whether something stood there."""
    async with open_store() as log:
        _write_cut(corpus, sample[:cut], path)
        try:
            await import_file(log, str(path))
        except TranscriptError:
            return False
        for one in await _all_told(log):
            begins = max(_shared(one, other) for other in wanted)
            assert begins >= len(one) - 1, f"cut after {cut}: only what came last may not have come whole"
        corpus.write(path, sample)
        await import_file(log, str(path))
        grown = await _all_told(log)
        assert all(one in grown for one in wanted), f"cut after {cut}, and imported again"
    return True


def _write_cut(corpus: Corpus, records: Sequence[Record], path: Path) -> None:
    """Write the first records; of an archive without the table at its end, which is written last."""
    corpus.write(path, records)
    if corpus.write is archived:
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b"PK\x01\x02")])


def _shared(one: Told, other: Told) -> int:
    return next(
        (n for n, (own, its) in enumerate(zip(one, other, strict=False)) if own != its), min(len(one), len(other))
    )


async def _all_told(log: EventLog) -> list[Told]:
    """Return what is said in each session that is a whole one."""
    found: list[Told] = []
    for info in await log.sessions(limit=1_000):
        recorded = await log.read(info.id, limit=1_000_000)
        assert fold(recorded).phase is Phase.IDLE
        entries = history(project(CONTEXT, recorded))
        found.append([msgspec.json.encode(getattr(entry.message, "content", None)) for entry in entries])
    return found

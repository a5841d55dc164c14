"""Session files that were damaged in any way: a sentence, or an import with what was found; never a crash."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from replay.formats import FORMATS

from .corpora import CORPORA, DATA
from .damage import ALL, GROWN_KB, LONGEST_S, look, look_at

FULL = os.environ.get("REFOLD_FAULTS") == "full"
TRIES, LARGEST = (2_000, 1 << 20) if FULL else (60, 1 << 17)
"""`python -m tests.faults.fuzz` goes through 20,000 of each, on all processors."""
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(not CORPORA, reason=f"needs recorded sessions in {DATA} (set REFOLD_DATA)"),
]


def test_every_format_has_files_to_damage() -> None:
    assert {corpus.form for corpus in CORPORA.values()} == {form.name for form in FORMATS}
    assert all(corpus.samples for corpus in CORPORA.values())


@pytest.mark.parametrize("name", ALL)
async def test_a_damaged_file_is_a_sentence_or_an_import_with_what_was_found(name: str, tmp_path: Path) -> None:
    corpus = ALL[name]
    await look_at(corpus.write(tmp_path / "sound", corpus.samples[0]))  # which loads what it takes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(TRIES):
        looked = await look(name, number, tmp_path, largest=LARGEST)
        assert looked.took_s < LONGEST_S, f"{number}: {looked.took_s:.2f} s"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWN_KB, f"{grown} kB"

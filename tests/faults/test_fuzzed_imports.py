"""Session files that were damaged in any way: a sentence, or an import with what was found; never a crash."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import pytest

from replay.formats import FORMATS

from .corpora import CORPORA, DATA
from .damage import ALL, GROWN_KB, LONGEST_S, look, look_at

FULL = os.environ.get("REFOLD_FAULTS") == "full"
TRIES, LARGEST = (2_000, 1 << 20) if FULL else (60, 1 << 17)
"""`python -m tests.faults.fuzz` goes through 20,000 of each, on all processors."""
WORK_S = 0.05
"""Of the processor, for what `slowness` does, where no file took more than a quarter of `LONGEST_S`."""
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(not CORPORA, reason=f"needs recorded sessions in {DATA} (set REFOLD_DATA)"),
]


def test_every_format_has_files_to_damage() -> None:
    assert {corpus.form for corpus in CORPORA.values()} == {form.name for form in FORMATS}
    assert all(corpus.samples for corpus in CORPORA.values())


def slowness() -> float:
    """Say how many times as slow as it was where `LONGEST_S` was set this machine is now, at least once."""
    took_s = list[float]()
    for _ in range(3):
        began = time.process_time()
        for _ in range(40):
            json.loads(json.dumps([{"n": n, "text": str(n)} for n in range(1_000)]))
        took_s.append(time.process_time() - began)
    return max(1.0, min(took_s) / WORK_S)


@pytest.mark.parametrize("name", ALL)
async def test_a_damaged_file_is_a_sentence_or_an_import_with_what_was_found(name: str, tmp_path: Path) -> None:
    corpus = ALL[name]
    await look_at(corpus.write(tmp_path / "sound", corpus.samples[0]))  # which loads what it takes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(TRIES):
        looked = await look(name, number, tmp_path, largest=LARGEST)
        if looked.took_s >= LONGEST_S:
            again = [(await look(name, number, tmp_path, largest=LARGEST)).took_s for _ in range(3)]
            took_s, times = min(again), slowness()
            assert took_s < LONGEST_S * times, f"{number}: {took_s:.2f} s, on a machine {times:.1f} times as slow"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWN_KB, f"{grown} kB"

"""Write a release's random histories: `python -m tests.golden.write_histories 0.1.0`. They are never written again.

histories.jsonl.xz: one history a line, a list of events, seqs from 1. Each was legal by the release's table and guards:
whoever drives a session by hand could write it. Most walk the table at random, the others are runs as the machine makes
them, with what comes from outside at any moment. Together they hold every kind in every phase that allows it.
"""

from __future__ import annotations

import lzma
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.machine.evolve import evolve
from eventsource.machine.guards import kind_of
from eventsource.machine.state import Kind, Phase, State
from refold.testing.history_strategies import walk
from tests.interpreter import played

WALKS, RUNS, TRIED = 320, 80, 6_000


def seen(history: Sequence[Recorded]) -> set[tuple[Phase, Kind, str]]:
    """Say which kinds a history holds in which phase, and in which situation of a task, a wait, a child or a fork."""
    found, state = set(), State()
    for recorded in history:
        about = (state.task, state.retry_at_us, state.cancelled, state.waits, state.children, state.wanted, state.taken)
        situation = "".join("-+"[bool(one)] for one in about)
        found.add((state.phase, kind_of(state, recorded.event), situation))
        state = evolve(state, recorded)
    return found


def chosen(chance: random.Random) -> list[Sequence[Recorded]]:
    """Choose histories: those that hold most that the ones before do not."""
    tried = [walk([chance.randrange(2**24) for _ in range(chance.randrange(5, 70))]) for _ in range(TRIED)]
    holds = [seen(history) for history in tried]
    known: set[tuple[Phase, Kind, str]] = set()
    found: list[Sequence[Recorded]] = []
    for _ in range(WALKS):
        best = max(range(len(tried)), key=lambda n: len(holds[n] - known) / (len(tried[n]) + 20))
        known |= holds.pop(best)
        found.append(tried.pop(best))
    runs = [played([chance.randrange(2**24) for _ in range(chance.randrange(10, 60))]) for _ in range(RUNS)]
    return [*found, *runs]


def main(release: str) -> None:
    """Write the file; one that is there stays."""
    path = Path(__file__).parent / release / "histories.jsonl.xz"
    if path.exists():
        raise SystemExit(f"{path} is there, and stays")
    histories = chosen(random.Random(release))
    lines = [b"[" + b",".join(encode(recorded.event) for recorded in history) + b"]\n" for history in histories]
    path.write_bytes(lzma.compress(b"".join(lines), preset=9))


if __name__ == "__main__":
    main(sys.argv[1])

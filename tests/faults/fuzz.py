"""Import 20,000 damaged files of each format, on all processors: `python -m tests.faults.fuzz`.

Each file has a number, and is the same each time: `--only codex --first 1234 --count 1` is one of them again, and shows
where it failed. Ends with 1 when one failed, took longer than a second or more than 200 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import resource
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .corpora import DATA
from .damage import ALL, GROWN_KB, LONGEST_S, look, look_at

CHUNK = 500
STUCK_S = 300


class Part(NamedTuple):
    """Damaged files of one corpus: the first number, and how many."""

    name: str
    first: int
    tries: int


class Found(NamedTuple):
    """What became of them: how many were refused, noted or imported; the slowest; the memory; and what failed."""

    part: Part
    came_to: Counter[str]
    slowest_s: float
    grown_kb: int
    failed: Sequence[str]


def look_through(part: Part, largest: int) -> Found:
    """Import the files of a part, in a process that does nothing else."""
    with TemporaryDirectory() as folder:
        return asyncio.run(_look_through(part, Path(folder), largest))


async def _look_through(part: Part, folder: Path, largest: int) -> Found:
    corpus = ALL[part.name]
    await look_at(corpus.write(folder / "sound", corpus.samples[0]))  # which loads what it takes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    came_to, slowest_s, failed = Counter[str](), 0.0, list[str]()
    for number in range(part.first, part.first + part.tries):
        faulthandler.dump_traceback_later(STUCK_S, exit=True)
        try:
            looked = await look(part.name, number, folder, largest=largest)
        except Exception:  # each is a finding
            failed.append(f"{part.name} {number}: {traceback.format_exc()}")
            continue
        came_to[looked.came_to] += 1
        slowest_s = max(slowest_s, looked.took_s)
        if looked.took_s > LONGEST_S:
            failed.append(f"{part.name} {number}: took {looked.took_s:.2f} s")
    faulthandler.cancel_dump_traceback_later()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > GROWN_KB:
        failed.append(f"{part.name} {part.first} to {part.first + part.tries - 1}: took {grown >> 10} MB")
    return Found(part, came_to, slowest_s, grown, failed)


def parts_of(names: Sequence[str], first: int, count: int) -> Iterator[Part]:
    """Part the work, so that some of each corpus is done early."""
    for start in range(first, first + count, CHUNK):
        for name in names:
            yield Part(name, start, min(CHUNK, first + count - start))


def main() -> int:
    """Look through all of them, and say what became of each corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="files of each corpus")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--only", action="append", choices=[*ALL], help="corpora, all without")
    parser.add_argument(
        "--largest", type=int, default=1 << 17, help="bytes of the sound file, if there are smaller ones"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    told = parser.parse_args()
    if not ALL:
        print(f"needs recorded sessions in {DATA} (set REFOLD_DATA)", file=sys.stderr)
        return 2
    parts = list(parts_of(told.only or [*ALL], told.first, told.count))
    totals = {name: Found(Part(name, told.first, 0), Counter(), 0.0, 0, []) for name in told.only or ALL}
    with ProcessPoolExecutor(told.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        running: list[Future[Found]] = [pool.submit(look_through, part, told.largest) for part in parts]
        for ended in as_completed(running):
            found = ended.result()
            for one in found.failed:
                print(one, flush=True)
            totals[found.part.name] = _added(totals[found.part.name], found)
            print(_line(totals[found.part.name]), file=sys.stderr, flush=True)
    print(*map(_line, totals.values()), sep="\n")
    return 1 if any(total.failed for total in totals.values()) else 0


def _added(total: Found, found: Found) -> Found:
    part = total.part._replace(tries=total.part.tries + found.part.tries)
    slowest, grown = max(total.slowest_s, found.slowest_s), max(total.grown_kb, found.grown_kb)
    return Found(part, total.came_to + found.came_to, slowest, grown, [*total.failed, *found.failed])


def _line(found: Found) -> str:
    came = ", ".join(f"{count:,} {what}" for what, count in sorted(found.came_to.items()))
    memory = f"at most {found.slowest_s:.2f} s and {found.grown_kb >> 10} MB"
    return f"{found.part.name}: {found.part.tries:,} files; {came}; {memory}; {len(found.failed)} failed"


if __name__ == "__main__":
    sys.exit(main())

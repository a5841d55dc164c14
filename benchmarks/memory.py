"""Memory: the most that a command needs for a session of 1,000,000 events, in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from eventsource.log import open_store

from .exchange import SESSION, exchanges
from .measure import environment
from .rows import Row, row
from .stores import folder

_RUN = """
import sys
from pathlib import Path
from refold.cli import main
sys.argv[0] = "refold"
try:
    main()
finally:
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says counts the process that started this one, up to then, on Linux
        peak_kb = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    else:
        import resource
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (10 if sys.platform == "darwin" else 0)
    print(peak_kb >> 10, file=sys.stderr)
"""
_COMMANDS = (
    ["export", SESSION],
    ["timeline", SESSION],
    ["timeline", SESSION, "--json"],
    ["show", SESSION],
    ["show", SESSION, "--events"],
    ["show", SESSION, "--updates"],
    ["show", SESSION, "--updates", "--json"],
)
_CONTEXT = (
    "It folds the whole context and shows what was said of it: four messages of each 19 facts, 210,000 of 1,000,000. "
    "What goes event by event, `show --events` and `export`, takes 40 MB of the same session."
)
_KINDS = (("long streamed answers", 2_500), ("facts only", 0))


def run(quick: bool) -> list[Row]:
    """Measure each command on a session of streamed answers, and on one of facts."""
    events = 2_000 if quick else 1_000_000
    rows = []
    for kind, deltas in _KINDS[: 1 if quick else None]:
        path = folder() / f"memory-{deltas}.db"
        head = asyncio.run(_fill(path, events, deltas))
        for words in _COMMANDS:
            name = f"refold {' '.join(words)}, {head:,} events: {kind}".replace(f" {SESSION}", "")
            command = [*words[:1], "--db", str(path), *words[1:]]
            missed = _CONTEXT if words == ["show", SESSION] else ""
            rows.append(row(name, [peak_mb(command)], "MB", goal="<= 100", missed=missed))
    return rows


async def _fill(path: Path, events: int, deltas: int) -> int:
    async with open_store(path) as log:
        await log.create(SESSION)
        head = 0
        for made in exchanges(events, deltas=deltas):
            head = await log.append(SESSION, [event for append in made for event in append])
            if head >= events:
                break
    return head


def peak_mb(words: list[str]) -> float:
    """Run a command in a process of its own. Returns: the most memory that it took, in MB."""
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    return float(ended.stderr.split()[-1])

"""What holds of every imported session: it folds, verifies, forks, replays and is gone on with."""

from __future__ import annotations

from pathlib import Path

from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from refold import Agent, open_log
from refold.log import Log
from refold.testing import scripted
from replay.formats import ImportReport, import_file


async def check_first_class(path: Path, folder: Path) -> ImportReport:
    """Import a file into a log of its own, twice, and do with each of its sessions what one does with sessions."""
    async with open_log(folder / "first-class.db") as log:
        first = await import_file(log.store, str(path))
        again = await import_file(log.store, str(path))
        assert all(one.known and not one.branches for one in (again, *again.others))
        for report in (first, *first.others):
            for branch in report.branches:
                await _check(log, branch.session)
    return first


async def _check(log: Log, session: str) -> None:
    found = await log.find(session)
    assert (await log.store.verify(session)).ok
    head = (await log.store.info(session)).head
    for seq in range(1, head + 1, max(1, head // 20)):
        fork = await log.store.fork(session, seq, at_us=1)
        assert fold(await log.store.read(fork.id, limit=1_000_000)).phase is Phase.IDLE
    assert (await found.replay()).difference is None
    run = await Agent(scripted("Done."), system="Be brief.").run("Go on.", session=found)
    assert run.text == "Done."
    assert (await found.replay()).difference is None

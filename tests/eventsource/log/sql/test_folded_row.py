"""A session's row keeps all that its events come to: who reads it goes on as who has written it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.events import Fork, QueuePush, TaskEnd, TaskStart
from eventsource.log import open_store
from eventsource.log.row import Folds, step
from eventsource.log.sql.folded_row import folds_of, folds_row
from eventsource.messages import UserMessage
from refold.testing import histories


@given(histories())
def test_what_a_row_keeps_is_what_was_folded_in_forks_too(history: tuple[Recorded, ...]) -> None:
    folds = Folds()
    for recorded in history:
        folds = step(folds, recorded.seq, recorded.event)
        for one in (folds, step(folds, recorded.seq + 1, Fork())):
            assert folds_of(folds_row(one)) == one


async def test_what_one_program_appends_behind_another_leaves_a_row_that_verifies(tmp_path: Path) -> None:
    said = UserMessage(content="hello")
    async with open_store(tmp_path / "x.db") as one, open_store(tmp_path / "x.db") as other:
        await one.create("a")
        await one.append("a", [(1, TaskStart(task="t", retries=2)), (2, QueuePush(queue="inbox", message=said))])
        await one.append("a", [(3, TaskEnd())])
        await other.append("a", [(4, QueuePush(queue="prompt", message=said))])
        assert (await one.verify()).findings == ()
        assert await one.rebuild() == 0

"""What is told of all sessions together: what they used, and which runs of tasks there are."""

from __future__ import annotations

from ....spending import added_up
from ....tasks.runs import fields_of, run_page
from ...interface.overviews import QUARTER_US, RunList, RunsQuery, UsageEntries, UsageEntry, UsageQuery
from ..routes import Call, Nothing, Route


async def read_all_usage(call: Call[UsageQuery, Nothing]) -> UsageEntries:
    """Add up what the answers of all sessions used, each counted once, in the session that recorded it.

    It reads every session, and takes its time.
    """
    asked = call.query
    found = await added_up(call.served.log.store, asked.by, since_us=asked.since_us, day=_quarter)
    return UsageEntries(
        tuple(UsageEntry(one.model, one.spent, one.session, int(one.day) if one.day else None) for one in found)
    )


def _quarter(at_us: int) -> str:
    return str(at_us - at_us % QUARTER_US)


async def list_runs(call: Call[RunsQuery, Nothing]) -> RunList:
    """List runs of tasks: how each stands, and what came of it."""
    asked = call.query
    found, after = await run_page(
        call.served.log,
        status=asked.status,
        task=asked.task,
        tag=asked.tag,
        unfinished=asked.unfinished,
        after=asked.after,
        limit=asked.limit,
    )
    return RunList(tuple(map(fields_of, found)), after)


OVERVIEWS = (
    Route(method="GET", path="/v1/usage", does=read_all_usage, tag="views"),
    Route(method="GET", path="/v1/runs", does=list_runs, tag="views", errors=(404,)),
)

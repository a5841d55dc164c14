"""The command `usage`: count tokens and money, by model, day or session."""

from __future__ import annotations

from collections.abc import Sequence

import click

from projections.usage import added

from ..log import Log
from ..spending import Spending, SpendingEntry, SpentBy, spending, summed, total_spending
from .arguments.options import since
from .command import command
from .terminal.screen import Screen
from .terminal.spending import print_entries, print_spending


@command(
    "usage",
    ("refold usage ID", "tokens and money of one session, by model"),
    ("refold usage --since 7d", "of all sessions, in the last seven days"),
    ("refold usage --by day", "of all sessions, day by day"),
)
@click.argument("session", required=False)
@click.option(
    "--by", type=click.Choice(["model", "day", "session"]), default="model", help="Add up by. [default: model]"
)
@click.option("--since", metavar="WHEN", callback=since, help="Only answers since then: `7d`, `12h`, `2026-11-20`.")
async def usage(screen: Screen, log: Log, session: str | None, by: SpentBy, since: int) -> None:
    """Count what answers used: of one session, or of all.

    Each answer counts once, in the session that recorded it: a fork does not count what it inherited, nor a session
    what its children used; of one session both are said beside it.
    """
    if session is not None:
        spent = await spending(log.store, (await log.find(session)).id, since_us=since)
        if screen.as_json:
            screen.json(_session_fields(spent, by))
        else:
            print_spending(screen, spent, by)
        return
    with screen.busy("reading every session"):
        entries = await total_spending(log.store, by, since_us=since)
    if screen.as_json:
        screen.json(_json(entries, by))
    elif not entries:
        screen.note("No answer says what it used.")
    else:
        print_entries(screen, entries, by)


def _json(entries: Sequence[SpendingEntry], by: str) -> dict[str, object]:
    total = added(entry.spent for entry in entries)
    unpriced = sorted({entry.model for entry in entries if entry.spent.unpriced})
    return {
        "calls": total.calls,
        "unpriced": total.unpriced,
        "unpriced_models": unpriced,
        "total": total.usage,
        f"by_{by}": [
            {by: name, "calls": spent.calls, "unpriced": spent.unpriced, "usage": spent.usage}
            for name, spent in summed(entries, by).items()
        ],
    }


def _session_fields(spent: Spending, by: str) -> dict[str, object]:
    """Return what one session spent; `total` is its own, what is counted elsewhere stands beside it."""
    children = {"ids": spent.child_ids, "spent": spent.children}
    elsewhere = {"inherited": spent.inherited, "adopted": spent.adopted, "children": children}
    return {"id": spent.session, **_json(spent.entries, by), **elsewhere}

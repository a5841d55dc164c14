"""The command `tree`: draw sessions and their forks."""

from __future__ import annotations

import click

from projections import fork_tree, tree_lines
from projections.tree import Labels

from ..log import Log
from ..session_tree import related_sessions, session_rows
from .command import command
from .terminal.screen import Screen
from .terminal.session_rows import stored_row


@command(
    "tree",
    ("refold tree", "all sessions"),
    ("refold tree ID", "one session's whole family, with its bookmarks"),
)
@click.argument("session", required=False)
async def tree(screen: Screen, log: Log, session: str | None) -> None:
    """Draw sessions, their forks and their children; `at N` is the last seq that a fork shares.

    A child is a session that another one started: an agent that is its tool, or a task. In JSON, an array of sessions,
    a child's with `started_by`.
    """
    if session is None:
        rows = await session_rows(log.store)
        labels: dict[str, Labels] = {}
        own = labels
    else:
        rows, labels, own = await related_sessions(log.store, (await log.find(session)).id)
    if screen.as_json:
        bare = [stored_row(info) for info in rows]
        known = [{**one, "labels": labels.get(info.id, ())} for one, info in zip(bare, rows, strict=True)]
        screen.json(known if session is not None else bare)
        return
    screen.cut_lines(tree_lines(fork_tree(rows, own)))

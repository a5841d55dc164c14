"""Commands that look at many sessions: ls, tree, search."""

from __future__ import annotations

from collections.abc import AsyncIterator

import click
import msgspec

from eventsource.envelope import SessionInfo
from eventsource.log.load import load
from eventsource.signs import plain
from projections import CONTEXT, find_text, fork_tree, tree_lines
from projections.tree import Labels

from ..family import family, labels_of, rows_of, started_by
from ..log import Log
from ..spending import inherited_tokens
from ..status import STATUSES, Standing, find_standing, row_statuses
from .command import command
from .exits import NO
from .screen import Screen
from .wording import day_or_time, moment

_SHOWN = 100
_TOKENS = ("tokens", "inherited")


@command(
    "ls",
    ("refold ls", "the latest hundred"),
    ("refold ls --open", "runs that are unfinished, as after a crash"),
    ("refold ls --title oslo", "whose title holds a text"),
    ("refold ls --json", "all of them, as an array of objects with `id`"),
)
@click.option("--open", "unfinished", is_flag=True, help="Only sessions whose run is unfinished.")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    help="Only sessions that stand so.",
)
@click.option("--title", metavar="TEXT", help="Only sessions whose title holds a text, in any case.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="At most so many; 0: all. [default: 100, all in JSON]",
)
async def ls(
    screen: Screen, log: Log, unfinished: bool, status: str | None, title: str | None, limit: int | None
) -> None:
    """List sessions, latest updated first; the first one can be named `last`.

    Tokens are a session's own, read and written (cached ones are not among them); a fork's `inherited` ones were its
    parent's. For each fork that is listed, its own events are read.
    """
    wanted = limit if limit is not None else 0 if screen.as_json else _SHOWN
    rows: list[tuple[SessionInfo, Standing]] = []
    more = False
    among = row_statuses(status) if status is not None else ()
    only = among[0] if len(among) == 1 else None
    async for info in rows_of(log.store, unfinished=unfinished or None, status=only, title=title):
        if among and info.status not in among:
            continue
        stands = await find_standing(log.store, info)
        if status is not None and stands.status != status:
            continue
        more = bool(wanted) and len(rows) == wanted
        if more:
            break
        rows.append((info, stands))
    inherited = {info.id: await inherited_tokens(log.store, info) for info, _ in rows}
    starters = {info.id: await started_by(log.store, info) for info, _ in rows}
    if screen.as_json:
        told = [({**row_json(one, inherited[one.id]), "started_by": starters[one.id]}, stands) for one, stands in rows]
        screen.json([{**row, "status": stands.status, "reason": stands.reason} for row, stands in told])
    elif rows:
        when = day_or_time if screen.out.is_terminal else moment
        lines = [
            _ls_row(info, stands, inherited[info.id], when(info.updated_at_us), starters[info.id])
            for info, stands in rows
        ]
        screen.table(("id", "updated", "status", "msgs", *_TOKENS, "title"), lines, right=("msgs", *_TOKENS))
    if more:
        screen.note((f"There are more than these {wanted}; -n 0 lists all.", "dim"))
    elif not rows and not (unfinished or status or title):
        screen.note(f"No sessions yet in {screen.log.path}; begin with `refold demo` or `refold run`.")


def _row(info: SessionInfo) -> dict[str, object]:
    row: dict[str, object] = msgspec.to_builtins(info)
    return row


def _ls_row(
    info: SessionInfo, stands: Standing, inherited: tuple[int, int], updated: str, starter: str
) -> tuple[str, ...]:
    tokens, before = info.input_tokens + info.output_tokens - sum(inherited), sum(inherited)
    figures = (f"{info.messages:,}", f"{tokens:,}" if tokens else "", f"{before:,}" if before else "")
    fork = f"  (fork of {info.parent} at {info.fork_seq})" if info.parent is not None else ""
    fork = f"  (child of {starter})" if starter else fork
    reason = f"  ({stands.reason})" if stands.reason else ""
    return (info.id, updated, stands.status, *figures, f"{info.title}{fork}{reason}".strip())


def row_json(info: SessionInfo, inherited: tuple[int, int]) -> dict[str, object]:
    """Write a session's row as JSON, with what of its tokens it inherited."""
    return {**_row(info), "inherited_input_tokens": inherited[0], "inherited_output_tokens": inherited[1]}


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
        rows = [info async for info in rows_of(log.store)]
        starters = {info.id: await started_by(log.store, info) for info in rows}
        labels: dict[str, Labels] = {}
    else:
        rows, starters = await family(log.store, (await log.find(session)).id)
        labels = {info.id: await labels_of(log.store, info.id) for info in rows}
    if screen.as_json:
        bare = [{**_row(info), "started_by": starters.get(info.id, "")} for info in rows]
        known = [{**one, "labels": labels.get(info.id, ())} for one, info in zip(bare, rows, strict=True)]
        screen.json(known if session is not None else bare)
        return
    for line in tree_lines(fork_tree(rows, labels, starters)):
        screen.cut_line(line)


@command(
    "search",
    ("refold search coat", "in every session"),
    ("refold search 'rain, rain' --session oslo", "in one"),
)
@click.argument("text")
@click.option("--session", metavar="ID", help="Only in this session.")
async def search(screen: Screen, log: Log, text: str, session: str | None) -> int | None:
    """Find a text, in any case, in messages, thinking, calls and results. The exit code is 1 when it is nowhere.

    What a fork shares with its parent is found in the parent only.
    """
    if not text:
        raise click.UsageError("say what to look for")
    named = None if session is None else await (await log.find(session)).info()
    hits: list[dict[str, object]] = []
    with screen.busy("searching"):
        async for info in _these(named) if named is not None else rows_of(log.store):
            _, _, view = await load(log.store, info.id, context=CONTEXT)
            shared = 0 if named is not None else info.fork_seq
            for found in find_text(view, text):
                if found.seq > shared:
                    hits.append({"id": info.id, "seq": found.seq, "role": found.role, "excerpt": found.excerpt})
                    if not screen.as_json:
                        screen.cut_line(
                            (f"{info.id:<15}", "dim"), f"  {found.seq:>6}  {found.role:<11}  ", found.excerpt
                        )
    if screen.as_json:
        screen.json(hits)
    elif not hits:
        screen.note(f"{plain(text)!r} is nowhere in {info_name(named)}")
    return None if hits else NO


def info_name(info: SessionInfo | None) -> str:
    """Name what was looked at."""
    return f"session {info.id}" if info is not None else "the log"


async def _these(info: SessionInfo) -> AsyncIterator[SessionInfo]:
    yield info

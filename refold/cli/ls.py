"""The command `ls`: list sessions."""

from __future__ import annotations

import os
from pathlib import Path

import click

from eventsource.envelope import SessionInfo

from ..log import Log
from ..session_tree import PAGE, session_pages
from ..status import STATUSES, SessionStatus, find_statuses, row_statuses
from .command import command
from .terminal.formatting import date_time, short_time
from .terminal.screen import Screen
from .terminal.session_rows import stored_row

_SHOWN = 100

_TOKENS = ("tokens", "inherited")


def _absolute(context: click.Context, option: click.Parameter, folder: str | None) -> str | None:
    return None if folder is None else os.path.abspath(Path(folder).expanduser())


@command(
    "ls",
    ("refold ls", "the latest hundred"),
    ("refold ls --open", "runs that are unfinished, as after a crash"),
    ("refold ls --title oslo", "whose title holds a text"),
    ("refold ls --agent claude-code --folder .", "of an agent, in this folder or below"),
    ("refold ls --json", "all of them, as an array of objects with `id`"),
)
@click.option("--open", "unfinished", is_flag=True, help="Only sessions whose run is unfinished.")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    help="Only sessions that stand so.",
)
@click.option("--title", metavar="TEXT", help="Only sessions whose title holds a text, in any case.")
@click.option("--agent", metavar="NAME", help="Only sessions of an agent: `claude-code`, `codex`.")
@click.option("--folder", metavar="PATH", callback=_absolute, help="Only sessions whose agent worked there or below.")
@click.option("--branch", metavar="NAME", help="Only sessions whose agent worked on that Git branch.")
@click.option("--model", metavar="TEXT", help="Only sessions in which a model answered whose name holds a text.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="At most so many; 0: all. [default: 100, all in JSON]",
)
async def ls(
    screen: Screen,
    log: Log,
    unfinished: bool,
    status: str | None,
    title: str | None,
    agent: str | None,
    folder: str | None,
    branch: str | None,
    model: str | None,
    limit: int | None,
) -> None:
    """List sessions, latest updated first; the first one can be named `last`.

    Tokens are a session's own, read and written (cached ones are not among them); a fork's `inherited` ones were its
    parent's.
    """
    wanted = limit if limit is not None else 0 if screen.as_json else _SHOWN
    when = short_time if not screen.as_json and screen.out.is_terminal else date_time
    shown: list[dict[str, object]] = []
    lines: list[tuple[str, ...]] = []
    more = False
    among = row_statuses(status) if status is not None else ()
    only = among[0] if len(among) == 1 else None
    at_once = min(wanted + 1, PAGE) if wanted and not among else PAGE
    pages = session_pages(
        log.store,
        unfinished=unfinished or None,
        status=only,
        title=title,
        agent=agent,
        folder=folder,
        branch=branch,
        model=model,
        limit=at_once,
    )
    async for page in pages:
        kept = [info for info in page if not among or info.status in among]
        told = zip(kept, await find_statuses(log.store, kept), strict=True)
        rows = [one for one in told if status is None or one[1].status == status]
        left = wanted - len(shown) - len(lines)
        if more := bool(wanted) and len(rows) > left:
            del rows[left:]
        if screen.as_json:
            shown += ({**stored_row(info), "status": stands.status, "reason": stands.reason} for info, stands in rows)
        else:
            lines += (_row(info, stands, when(info.updated_at_us)) for info, stands in rows)
        if more:
            break
    if screen.as_json:
        screen.json(shown)
    elif lines:
        screen.table(("id", "updated", "status", "msgs", *_TOKENS, "title"), lines, right=("msgs", *_TOKENS))
    if more:
        screen.note((f"There are more than these {wanted}; -n 0 lists all.", "dim"))
    elif not (shown or lines):
        asked = unfinished or any((status, title, agent, folder, branch, model))
        none = f"No sessions yet in {screen.log.shown}; begin with `refold demo` or `refold run`."
        screen.note("No session is like that." if asked else none)


def _row(info: SessionInfo, stands: SessionStatus, updated: str) -> tuple[str, ...]:
    before = info.inherited_input_tokens + info.inherited_output_tokens
    tokens = info.input_tokens + info.output_tokens - before
    figures = (f"{info.messages:,}", f"{tokens:,}" if tokens else "", f"{before:,}" if before else "")
    fork = f"  (fork of {info.parent} at {info.fork_seq})" if info.parent is not None else ""
    fork = f"  (child of {info.started_by})" if info.started_by and info.parent is None else fork
    reason = f"  ({stands.reason})" if stands.reason else ""
    return (info.id, updated, stands.status, *figures, f"{info.title}{fork}{reason}".strip())

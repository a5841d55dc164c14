"""The command `search`: find a text in what was said."""

from __future__ import annotations

import click

from eventsource.control_characters import plain
from eventsource.envelope import FoundText

from ..log import Log
from .command import command
from .exit_codes import NO
from .terminal.screen import Screen

_SHOWN, _PAGE = 100, 500


@command(
    "search",
    ("refold search coat", "in every session"),
    ("refold search 'rain, rain' --session oslo", "in one"),
)
@click.argument("text")
@click.option("--session", metavar="ID", help="Only in this session.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="At most so many; 0: all. [default: 100, all in JSON]",
)
async def search(screen: Screen, log: Log, text: str, session: str | None, limit: int | None) -> int | None:
    """Find a text, in any case, in messages, thinking, calls, results and summaries; exit code 1 when it is nowhere.

    The session that was made last comes first, and of one session what was said last. What a fork shares with its
    parent is found in the parent only. The first search in a log of an earlier release makes an index, which takes a
    while.
    """
    if not text:
        raise click.UsageError("say what to look for")
    named = None if session is None else (await log.find(session)).id
    wanted = limit if limit is not None else 0 if screen.as_json else _SHOWN
    hits: list[FoundText] = []
    with screen.busy("searching"):
        while not wanted or len(hits) <= wanted:
            page = await log.store.search(text, session=named, after=hits[-1] if hits else None, limit=_PAGE)
            hits += page
            if len(page) < _PAGE:
                break
    more = wanted and len(hits) > wanted
    hits = hits[:wanted] if more else hits
    if screen.as_json:
        screen.json([{"id": one.session, "seq": one.seq, "role": one.role, "excerpt": one.excerpt} for one in hits])
    for found in hits if not screen.as_json else ():
        place = f"  {found.seq:>6}  {found.role:<11}  "
        screen.cut_line((f"{found.session:<15}", "dim"), place, found.excerpt)
    if more:
        screen.note((f"There is more than these {wanted}; -n 0 lists all.", "dim"))
    elif not hits and not screen.as_json:
        screen.note(f"{plain(text)!r} is nowhere in {'the log' if named is None else f'session {named}'}")
    return None if hits else NO

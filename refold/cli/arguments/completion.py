"""What a shell offers where a session is named: ids and titles. It never fails, and prints nothing of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from eventsource.control_characters import one_line
from eventsource.envelope import SessionInfo

from ...log import LAST, open_log
from .log_file import log_file
from .options import SharedOptions

_LISTED = 200

_WAIT_S = 1.0

NAMES = ("session", "left", "right", "source")
"""Arguments and options that name a session."""


class SessionName(click.ParamType[str]):
    """A session, by its id, the beginning of one, its title, or `last`."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer `last`, and of the sessions that were updated last the ids and titles that begin so."""
        found = [CompletionItem(LAST, help="the one updated last")] if LAST.startswith(incomplete) else []
        with suppress(Exception):  # whatever it is, a shell is no place to say it
            for info in asyncio.run(_listed(ctx.find_object(SharedOptions) or SharedOptions())):
                title = one_line(info.title)
                if info.id.startswith(incomplete):
                    found.append(CompletionItem(info.id, help=title or info.status))
                elif incomplete and title.startswith(incomplete):
                    found.append(CompletionItem(title, help=info.id))
        return found


async def _listed(choices: SharedOptions) -> Sequence[SessionInfo]:
    file = log_file(choices.db)
    if file.path is not None and not file.path.exists():
        return ()
    async with asyncio.timeout(_WAIT_S), open_log(file.place) as log:
        return await log.list(limit=_LISTED)

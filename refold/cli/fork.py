"""The command `fork`: begin a session that shares another's events up to a seq."""

from __future__ import annotations

import click

from eventsource.errors import RefoldError
from eventsource.events import RepeatedTools
from eventsource.log.place import is_http
from eventsource.messages import UserMessage

from ..log import Log
from ..session import Session
from .command import command
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command(
    "fork",
    ("refold fork ID --at 42", "share events 1 to 42: any seq, also inside an answer"),
    ("refold fork ID --at good", "up to the bookmark `good`, see `refold label`"),
    ("refold fork ID --before 57", "share all before the message 57"),
    (
        "refold fork ID --edit 57 'It rains.'",
        "up to the message 57, which reads so then: a prompt, an answer, a result",
    ),
    ("refold fork ID --at 42 --repeated recorded", "a mail that was sent behind 42 is not sent again by it"),
    ("refold continue $(refold fork ID --at 42) -m scripted", "stdout has the new id, and nothing else"),
)
@click.argument("session")
@click.option("--at", "at", metavar="N|LABEL", help="The last seq that is shared, or a bookmark.")
@click.option("--before", type=click.IntRange(min=1), metavar="N", help="A message, by the seq `show` gives it.")
@click.option(
    "--edit",
    "edits",
    nargs=2,
    type=(click.IntRange(min=1), str),
    multiple=True,
    metavar="N TEXT",
    help="What a message says in the fork, by the seq `show` gives it; without --at the fork ends there.",
)
@click.option("--title", default="", metavar="TEXT", help="What the fork is called.")
@click.option(
    "--repeated",
    type=click.Choice(["live", "recorded", "ask"]),
    help="What becomes of calls with an effect that are made again, see above.  [default: ask]",
)
async def fork(
    screen: Screen,
    log: Log,
    session: str,
    at: str | None,
    before: int | None,
    edits: tuple[tuple[int, str], ...],
    title: str,
    repeated: RepeatedTools | None,
) -> None:
    """Begin a session that shares another's events up to a seq, the head if none is given. Nothing is copied.

    A message that is edited reads otherwise for the model alone. A prompt at which the fork ends waits to be said.

    If the fork calls a tool that has its effect once, as the original did behind that place (same name, same
    arguments), --repeated says what becomes of the call: it is made (live), gets the result on record (recorded), or
    waits for `decide` (ask).
    """
    if sum((at is not None, before is not None)) > 1 or (before is not None and edits):
        raise click.UsageError("--before goes with neither --at nor --edit")
    found = await log.find(session)
    place = int(at) if at is not None and at.isdecimal() else at
    if edits:
        new = await _edited(screen, log, found, place, edits, title, repeated)
    else:
        new = await found.fork(at=place, before=before, title=title, tools=repeated)
    info = await new.info()
    if screen.as_json:
        screen.json(info)
        return
    screen.line(new.id)
    screen.note((f"It shares events 1 to {info.fork_seq} of {found.id}.", "dim"))
    print_next(screen, await continue_command(screen, new))


async def _edited(
    screen: Screen,
    log: Log,
    session: Session,
    at: int | str | None,
    edits: tuple[tuple[int, str], ...],
    title: str,
    repeated: RepeatedTools | None,
) -> Session:
    """Fork a session, with other words in some messages. Raises: RefoldError, and there is no fork."""
    if at is None and len(edits) == 1:
        seq, text = edits[0]
        said = next((one.message for one in await session.messages() if one.seq == seq), None)
        if isinstance(said, UserMessage):
            return await session.edit(seq, text, title=title, tools=repeated)
    if is_http(screen.log.place):
        raise click.UsageError(
            "over HTTP it is what a person said that is edited, where the fork ends: one --edit alone"
        )
    new = await session.fork(at=at if at is not None else max(seq for seq, _ in edits), title=title, tools=repeated)
    try:
        for seq, text in edits:
            await new.replace(seq, text)
    except RefoldError:
        await log.delete(new.id)
        raise
    return new

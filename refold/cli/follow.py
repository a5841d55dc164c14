"""The command `follow`: print the events of a session as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.events import UPDATE_TYPES
from eventsource.log.place import is_http

from ..log import LAST, Log
from ..session_tree import above, session_rows
from .command import command
from .terminal.events import print_event
from .terminal.formatting import count
from .terminal.screen import Screen

if TYPE_CHECKING:
    from ..client.connection import Connection


def _is_address(values: Mapping[str, object]) -> bool:
    return is_http(values["session"])


@command(
    "follow",
    ("refold follow ID", "each event that comes, a line each, until Ctrl-C"),
    ("refold follow ID --tree --after 0", "what is there too, and of all sessions that it started"),
    ("refold follow http://host:8799/v1/sessions/oslo", "on a server (`refold serve`); it goes on when it is lost"),
    ("refold follow --json --updates", "of the session updated last, also streamed pieces, as lines of JSON"),
    opens=lambda values: not _is_address(values),
)
@click.argument("session", required=False, metavar="[SESSION|URL]")
@click.option("--after", type=click.IntRange(min=0), metavar="N", help="Begin behind this seq. [default: the head]")
@click.option("--tree", is_flag=True, help="Also follow all sessions that it starts, or has started.")
@click.option("--updates", is_flag=True, help="Show streamed pieces too.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many events.")
async def follow(
    screen: Screen,
    log: Log,
    session: str | None,
    after: int | None,
    tree: bool,
    updates: bool,
    limit: int | None,
) -> None:
    """Print each event of a session as it comes, from any process, until Ctrl-C.

    With --json each event is a line of JSON of its own, with its session, seq and time. Over HTTP it goes on after lost
    connections and restarts of the server; nothing is left out, and nothing comes twice.
    """
    place: object = session if is_http(session) else screen.log.place
    if place is session and screen.log.named_by == "option":
        raise click.UsageError("an address names its log: give one of --db and the address")
    async with AsyncExitStack() as stack:
        reached = _reach(screen, place, session) if is_http(place) else None
        if reached is not None:
            log, session = await stack.enter_async_context(reached.log), reached.session
        found = await log.find(session or LAST)
        head = (await found.info()).head
        places = await _heads(log, found.id) if tree and after is None else {found.id: head if after is None else after}
        if reached is not None:
            from ..client.session import ClientSession

            there = ClientSession(reached.connection, found.id)
            whole, own = there.follow_tree(places, updates=updates), there.follow(places[found.id], updates=updates)
        else:
            whole, own = found.follow_tree(places), found.follow(places[found.id])
        if after is None and head and not screen.as_json:
            screen.note((f"{found.id} has {count(head, 'event')}; --after 0 prints these too.", "dim"))
        events = whole if tree else _named(found.id, own)
        await _print(screen, found.id, events, len(str(head)), updates=updates, limit=limit)


class _Reached(NamedTuple):
    """A server that is reached: its log, and the name of a session there."""

    connection: Connection
    log: Log
    session: str | None


def _reach(screen: Screen, place: str, session: str | None) -> _Reached:
    from ..client.address import read_address
    from ..client.connection import Connection
    from ..client.remote_log import RemoteLog

    address = read_address(place, where="follow", of_session=place is session)
    connection = Connection(address, tell=lambda what: screen.note((what, "dim")))
    return _Reached(
        connection, Log(RemoteLog(connection)), address.session or (session if place is not session else None)
    )


async def _heads(log: Log, session: str) -> dict[str, int]:
    """Read where a session ends, and all that it started."""
    rows = sorted(await session_rows(log.store, tree=session), key=lambda info: info.number)
    found: dict[str, int] = {}
    for info in rows:
        if info.id == session or (info.parent is None and above(info) in found):
            found[info.id] = info.head
    return found


async def _named(session: str, events: AsyncIterator[Recorded]) -> AsyncIterator[tuple[str, Recorded]]:
    async for one in events:
        yield session, one


async def _print(
    screen: Screen,
    session: str,
    events: AsyncIterator[tuple[str, Recorded]],
    width: int,
    *,
    updates: bool,
    limit: int | None,
) -> None:
    printed = 0
    async for name, one in events:
        if isinstance(one.event, UPDATE_TYPES) and not updates:
            continue
        if screen.as_json:
            event = msgspec.Raw(encode(one.event))
            screen.raw_json(msgspec.json.encode({"session": name, "seq": one.seq, "at_us": one.at_us, "event": event}))
        else:
            print_event(screen, one, width, session="" if name == session else name)
        printed += 1
        if printed == limit:
            return

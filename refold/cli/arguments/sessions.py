"""Which session a command line names: one that is there, or a new one."""

from __future__ import annotations

from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.machine.state import Config

from ...log import LAST, Log
from ...session import Session
from ..terminal.formatting import shorten
from ..terminal.screen import Screen

ID_PREFIX = 6
"""How many signs of an id name its session where an unknown name begins a new one; ids have twelve."""

SESSION_HELP = (
    f"Where: a title, new or not, an id, or the beginning of one ({ID_PREFIX} signs at least); else a new session."
)


async def find_or_create_session(screen: Screen, log: Log, name: str | None) -> Session:
    """Find the session that a name means, or create one of that title; print which, where a name only begins its id."""
    if name is None:
        return await log.session()
    found = await find_session(log, name)
    if found is None:
        return await log.session(name)
    if found.id.startswith(name) and found.id != name:
        info = await found.info()
        screen.note(f"goes on in {found.id}", f", {shorten(info.title)}" if info.title else "")
    return found


async def recorded_config(log: Log, name: str | None, *, exists: bool) -> Config:
    """Read the configuration that a session has; none if it is not there, unless it has to be."""
    if name is None:
        return Config()
    found = await find_session(log, name)
    if found is None:
        if exists:
            raise UnknownSessionError(name)
        return Config()
    return (await found.state()).config


async def find_session(log: Log, name: str) -> Session | None:
    """Find a session by its title, its id or a beginning of it that is long enough to be no new title."""
    if name == LAST:
        return await log.find(name)
    try:
        return await log.find(await log.store.resolve(name, prefix=len(name) >= ID_PREFIX))
    except UnknownSessionError as error:
        if error.candidates:
            raise
    return None


def is_running(log: Log, info: SessionInfo) -> bool:
    """Return whether a process holds a session now."""
    return bool(info.owner) and info.expires_at_us > log.clock()

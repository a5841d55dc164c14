"""How a command line names a wait, and who decides it.

A wait is named by its session and its key, or by both in one word, `SESSION:KEY`, as `refold waits` prints it.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import TypeVar

import click

from ...log import Log
from ...session import Session

F = TypeVar("F", bound=Callable[..., object])


def decided_by_option(function: F) -> F:
    """Add the option that says who decides."""
    return click.option("--by", metavar="NAME", help="Who decides.  [default: the name you are logged in as]")(function)


async def parse_token(log: Log, token: str) -> tuple[Session, str]:
    """Read SESSION:KEY. Raises: UsageError; UnknownSessionError."""
    name, _, key = token.partition(":")
    if not name or not key:
        raise click.UsageError(f"{token}: expected SESSION:KEY, as `refold waits` prints it, or SESSION KEY")
    return await log.find(name), key


def decided_by(by: str | None) -> str:
    """Return who decides: whom the command line names, else who is logged in."""
    if by is not None:
        if not by.strip() or by == "machine":
            raise click.UsageError(f"--by {by!r}: expected the name of whoever decides")
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nobody is logged in, as in some containers
        return ""

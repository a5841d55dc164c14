"""Appending what has been admitted: all that the packages append to a log, but for the runner's own batches."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from ..admission import Admitted, Redact, admit
from ..errors import OutcomeUnknownError
from ..events import Event
from ..models.secrets import know_environment
from .protocol import EventLog

T = TypeVar("T")
_TRIES = 4
"""How often a change is made again, besides the last time: a store waits by itself until it can be asked."""


def admitted(pairs: Iterable[tuple[int, Event]], *, redact: Redact | None = None) -> list[Admitted]:
    """Admit (at_us, event) pairs, without what is known to be secret, the environment's secrets included.

    Args:
        redact: replaces what the caller knows besides.

    Raises: InvalidTextError when one holds JSON that is none.
    """
    know_environment(os.environ)
    return [admit(at_us, event, redact) for at_us, event in pairs]


async def append_admitted(
    log: EventLog,
    session: str,
    events: Sequence[Admitted],
    *,
    expected: int | None = None,
    epoch: int | None = None,
    key: str | None = None,
    durable: bool = True,
) -> int:
    """Append as `EventLog.append` does, and nothing that was not admitted; under a key, again while nobody knows.

    Returns: the new head.
    """

    async def append() -> int:
        return await log.append(session, events, expected=expected, epoch=epoch, key=key, durable=durable)

    return await append() if key is None else await until_known(append)


async def until_known(change: Callable[[], Awaitable[T]]) -> T:
    """Make a change that comes to the same when it is made twice: again while nobody knows whether it was made.

    Raises: what the change raises, OutcomeUnknownError too when it raises that each time.
    """
    for _ in range(_TRIES):
        with suppress(OutcomeUnknownError):
            return await change()
    return await change()

"""Appending what has been admitted: all that the packages append to a log, but for the runner's own batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..admission import Admitted, Redact, admit
from ..events import Event
from ..models.secrets import know_environment
from .protocol import EventLog


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
    """Append as `EventLog.append` does, and nothing that was not admitted. Returns: the new head."""
    return await log.append(session, events, expected=expected, epoch=epoch, key=key, durable=durable)

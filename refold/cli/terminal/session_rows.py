"""A session's row as JSON."""

from __future__ import annotations

import msgspec

from eventsource.envelope import SessionInfo


def stored_row(info: SessionInfo) -> dict[str, object]:
    """Return a session's row as it is stored."""
    row: dict[str, object] = msgspec.to_builtins(info)
    return row

"""A session's row as JSON."""

from __future__ import annotations

import msgspec

from eventsource.envelope import SessionInfo


def stored_row(info: SessionInfo) -> dict[str, object]:
    """Return a session's row as it is stored."""
    row: dict[str, object] = msgspec.to_builtins(info)
    return row


def row_fields(info: SessionInfo, inherited: tuple[int, int]) -> dict[str, object]:
    """Return a session's row, with what of its tokens it inherited."""
    return {**stored_row(info), "inherited_input_tokens": inherited[0], "inherited_output_tokens": inherited[1]}

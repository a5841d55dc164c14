"""A session as a row of JSON."""

from __future__ import annotations

import msgspec

from eventsource.envelope import SessionInfo


def bare_row(info: SessionInfo) -> dict[str, object]:
    """Return a session's row as it is stored."""
    row: dict[str, object] = msgspec.to_builtins(info)
    return row


def row_json(info: SessionInfo, inherited: tuple[int, int]) -> dict[str, object]:
    """Write a session's row as JSON, with what of its tokens it inherited."""
    return {**bare_row(info), "inherited_input_tokens": inherited[0], "inherited_output_tokens": inherited[1]}

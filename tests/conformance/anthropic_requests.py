"""When two request bodies of Anthropic's protocol count as equal."""

from __future__ import annotations

from typing import Any

from tests.conformance.exchanges import plain


def normal(value: Any) -> Any:
    """Write a body's equal forms one way.

    A text alone is a list of one text; an empty description, `is_error: false`, a direct caller, and what is null or an
    empty list say nothing. Ours always stream.
    """
    if isinstance(value, list):
        return [normal(item) for item in value]
    if not isinstance(value, dict):
        return plain(value) if isinstance(value, str) else value
    result = {name: normal(item) for name, item in value.items() if item is not None and item != []}
    for name in ("content", "system"):
        if isinstance(result.get(name), str):
            result[name] = [{"type": "text", "text": result[name]}]
    for name, silent in (("description", ""), ("is_error", False), ("caller", {"type": "direct"})):
        if result.get(name) == silent:
            del result[name]
    if "messages" in result:
        result.pop("stream", None)
    return result

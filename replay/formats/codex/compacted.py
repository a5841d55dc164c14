"""What a session of Codex goes on with after a compaction that gives no list: computed as Codex computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields

_SUMMARY = "Another language model started to solve this problem"  # begins one that was made before
TOLD = ("<", "# AGENTS.md")  # begins what Codex says in the person's place
_MOST_TOKENS = 20_000  # of what people said that are kept: COMPACT_USER_MESSAGE_MAX_TOKENS in codex-rs/core
_TOKEN_BYTES = 4
_NO_SUMMARY = "(no summary available)"


def rebuilt(said: Sequence[Fields], summary: str) -> list[Fields]:
    """Compute the history: what was said before the person, what the person said last, and the summary.

    Args:
        said: the messages so far that are not the model's, without earlier summaries, in their order.
    """
    typed = [place for place, item in enumerate(said) if is_typed(item)]
    opening = list(said[: typed[0]] if typed else said)
    kept: list[Fields] = []
    left = _MOST_TOKENS
    for place in reversed(typed):
        text = text_in(said[place])
        tokens = -(-len(text.encode("utf-8", "replace")) // _TOKEN_BYTES)
        if tokens > left:
            if left:
                kept.append(_message(_cut(text, left)))
            break
        kept.append(said[place])
        left -= tokens
    return [*opening, *reversed(kept), _message(summary or _NO_SUMMARY)]


def is_typed(item: Fields) -> bool:
    """Return whether a message is what a person typed."""
    return item.get("role") == "user" and not text_in(item).lstrip().startswith((*TOLD, _SUMMARY))


def text_in(item: Fields) -> str:
    """Return the text of a message."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    return "".join(text_of(fields_of(part).get("text")) for part in list_of(content))


def _message(text: str) -> Mapping[str, object]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _cut(text: str, tokens: int) -> str:
    """Take the middle out of a text."""
    size = tokens * _TOKEN_BYTES // 2
    data = text.encode("utf-8", "replace")
    gone = -(-(len(data) - 2 * size) // _TOKEN_BYTES)
    before, after = data[:size].decode("utf-8", "ignore"), data[len(data) - size :].decode("utf-8", "ignore")
    return f"{before}…{gone} tokens truncated…{after}"

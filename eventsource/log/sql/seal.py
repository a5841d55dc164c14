"""Sealing: the rows of a message's updates become fewer and shorter, by reference into the message they made."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import groupby

from ...events import MessageUpdate
from ...messages import AssistantContent, ProviderContent, ThinkingContent, ToolCall
from .packs import (
    ARGUMENTS,
    CODES,
    DELTAS,
    FROM_BLOCK,
    MAX_COUNT,
    Delta,
    Pack,
    Single,
    block_text,
    dropped_row,
    from_block,
    pack,
    to_row,
    unpack,
)

_SAYS = {
    "text_end": DELTAS[CODES["text_delta"]],
    "thinking_start": ThinkingContent,
    "thinking_end": ThinkingContent,
    "tool_call_start": ToolCall,
    "tool_call_end": ToolCall,
    "provider_block": ProviderContent,
}


def seal(rows: Sequence[Pack], content: Sequence[AssistantContent], end: int) -> list[Pack]:
    """Refer the rows of a message's updates to the message, and join those that lie side by side.

    What the message does not say as it was streamed stays in its row, so every row rebuilds the same events.

    Args:
        rows: packed ones in order, from the message's first update on; they are taken over.
        end: seq of the `message_end` that holds the content.
    """
    at = [0] * len(content)
    sealed: list[Pack] = []
    for row in rows:
        if sealed and sealed[-1].last + 1 == row.first:
            _set_offset(row.runs[0], row.at_us - sealed[-1].until_us)
        else:
            sealed.append(Pack(row.first, row.at_us))
        for run in row.runs:
            _put(sealed, run, refers=_refer(run, content, at), end=end)
    return sealed


def redact(row: Pack, content: Sequence[AssistantContent], gone: Container[int]) -> list[tuple[int, int, int, bytes]]:
    """Write a row again without the content of some of its updates."""
    rows: list[tuple[int, int, int, bytes]] = []
    for dropped, group in groupby(unpack(row, content), lambda recorded: recorded.seq in gone):
        part = list(group)
        if dropped:
            rows.append(dropped_row(part[-1].seq, [recorded.at_us for recorded in part]))
        else:
            rows += map(to_row, pack(part[0].seq, [(recorded.at_us, recorded.event) for recorded in part]))
    return rows


def _refer(run: Delta | Single, content: Sequence[AssistantContent], at: list[int]) -> bool:
    """Let the message speak for a run if it says the same. Returns: whether it does."""
    if isinstance(run, Single):
        return _refer_single(run, content)
    text = run.text
    if not 0 <= run.index < len(content) or not isinstance(text, str):
        return False
    block, start = content[run.index], at[run.index]
    if not isinstance(block, DELTAS[run.code]):
        return False
    at[run.index] += len(text)
    if not block_text(block).startswith(text, start):
        return False
    run.text = start
    return True


def _refer_single(run: Single, content: Sequence[AssistantContent]) -> bool:
    event = run.event
    if not isinstance(event, MessageUpdate) or not 0 <= event.content_index < len(content):
        return False
    if not isinstance(content[event.content_index], _SAYS.get(event.kind, ())):
        return False
    for code in (FROM_BLOCK, FROM_BLOCK | ARGUMENTS)[: 2 if event.kind == "tool_call_end" else 1]:
        reference = Single(CODES[event.kind] | code, event.content_index, run.offset, None)
        if from_block(reference, content) == event:
            run.code, run.index, run.event = reference.code, reference.index, None
            return True
    return False


def _put(sealed: list[Pack], run: Delta | Single, *, refers: bool, end: int) -> None:
    row = sealed[-1]
    if row.count >= MAX_COUNT:
        row = Pack(row.last + 1, row.until_us + _offset(run))
        _set_offset(run, 0)
        sealed.append(row)
    if refers:
        row.end = end
    if isinstance(run, Single):
        row.add(run)
        return
    room = MAX_COUNT - row.count
    rest = _split(run, room) if len(run.lengths) > room else None
    before = row.runs[-1] if row.runs else None
    if isinstance(before, Delta) and before.code == run.code and before.index == run.index and _follows(before, run):
        before.lengths += run.lengths
        before.offsets += run.offsets
        row.count += len(run.lengths)
        row.until_us += sum(run.offsets)
    else:
        row.add(run)
    if rest is not None:
        _put(sealed, rest, refers=refers, end=end)


def _follows(before: Delta, run: Delta) -> bool:
    """Return whether two runs of one block are one; texts held in the row are joined."""
    if isinstance(before.text, str) and isinstance(run.text, str):
        before.text += run.text
        return True
    return isinstance(before.text, int) and isinstance(run.text, int)


def _split(run: Delta, count: int) -> Delta:
    """Cut a run after `count` deltas. Returns: the rest."""
    length = sum(run.lengths[:count])
    if isinstance(run.text, int):
        text: str | int = run.text + length
    else:
        run.text, text = run.text[:length], run.text[length:]
    rest = Delta(run.code, run.index, text, run.lengths[count:], run.offsets[count:])
    del run.lengths[count:], run.offsets[count:]
    return rest


def _offset(run: Delta | Single) -> int:
    return run.offsets[0] if isinstance(run, Delta) else run.offset


def _set_offset(run: Delta | Single, offset: int) -> None:
    if isinstance(run, Delta):
        run.offsets[0] = offset
    else:
        run.offset = offset

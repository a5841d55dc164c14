"""The rows of a session's list: columns for all of it at once, and the first words of a window of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from eventsource.first_words import typed_words
from eventsource.message_text import text_of
from eventsource.messages import AssistantMessage, ToolCall, UserMessage
from projections.context import ContextView, entry_of
from replay.request_parts import shown

from .columns import NONE, ROW_KINDS, Columns, RowKind

_BLOCK = re.compile(r"\s*<([A-Za-z][\w.-]*)(?:\s[^<>]*)?>.*?</\1\s*>", re.DOTALL)
_LOOKED = 20_000  # characters of a prompt

PREVIEW_CHARACTERS = 80
_MOST_BEHIND = PREVIEW_CHARACTERS // 2
PIECE_ROWS = 10_000
"""Rows of which a column is written at once: some 2 ms of work."""


class RowColumns(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of a session, a list for each field: the numbers of `seq` and `at_us` are steps from the row before.

    `last_seq`: how many seqs behind its own the row goes on. `name`: how many behind its own stands the message that it
    shows, -1 without one. `kind` and `who` are places in `kinds` and `whos`. `flags`: 1 it failed, 2 it lasts still, 4
    it came from elsewhere, 8 it was refused, 16 it was cut off, 32 hidden from the model, 64 compacted away.
    `duration_us` is -1 where nobody measured it. `indexed_to`: the seq up to which they are told.
    """

    indexed_to: int
    kinds: tuple[RowKind, ...]
    whos: list[str]
    seq: list[int]
    last_seq: list[int]
    name: list[int]
    kind: list[int]
    who: list[int]
    flags: list[int]
    at_us: list[int]
    duration_us: list[int]
    tokens: list[int]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row, by its number among them; see `RowColumns`. `name`: of its message, 0 without one."""

    row: int
    seq: int
    last_seq: int
    name: int
    kind: RowKind
    who: str
    flags: int
    at_us: int
    duration_us: int
    tokens: int
    preview: str = ""
    text_tail: str = ""


def row_columns(columns: Columns) -> RowColumns:
    """List all rows."""
    seqs, names = columns.seqs, columns.names
    return RowColumns(
        indexed_to=columns.taken,
        kinds=ROW_KINDS,
        whos=list(columns.who_names),
        seq=_steps(seqs),
        last_seq=[last - seq for last, seq in zip(columns.lasts, seqs, strict=True)],
        name=[name - seq if name else NONE for name, seq in zip(names, seqs, strict=True)],
        kind=list(columns.kinds),
        who=list(columns.whos),
        flags=[columns.flags_of(row) for row in range(len(columns))],
        at_us=_steps(columns.at_us),
        duration_us=list(columns.durations_us),
        tokens=list(columns.tokens),
    )


def row_pieces(columns: Columns) -> Iterator[bytes]:
    """Write all rows as `row_columns` lists them, as JSON, in pieces of a few milliseconds of work.

    Rows that come while it is written are left out; what changes of the others meanwhile may be told or not.
    """
    count, taken, whos = len(columns), columns.taken, list(columns.who_names)
    seqs, at_us, names, lasts = (some[:count] for some in (columns.seqs, columns.at_us, columns.names, columns.lasts))
    lists: Sequence[tuple[str, Callable[[int, int], list[int]]]] = (
        ("seq", lambda start, stop: _steps(seqs[start:stop], seqs[start - 1] if start else 0)),
        ("last_seq", lambda start, stop: [lasts[row] - seqs[row] for row in range(start, stop)]),
        ("name", lambda start, stop: [names[row] - seqs[row] if names[row] else NONE for row in range(start, stop)]),
        ("kind", lambda start, stop: list(columns.kinds[start:stop])),
        ("who", lambda start, stop: list(columns.whos[start:stop])),
        ("flags", lambda start, stop: [columns.flags_of(row) for row in range(start, stop)]),
        ("at_us", lambda start, stop: _steps(at_us[start:stop], at_us[start - 1] if start else 0)),
        ("duration_us", lambda start, stop: list(columns.durations_us[start:stop])),
        ("tokens", lambda start, stop: list(columns.tokens[start:stop])),
    )
    yield msgspec.json.encode({"indexed_to": taken, "kinds": ROW_KINDS, "whos": whos})[:-1]
    for name, some in lists:
        yield b',"%b":[' % name.encode()
        for start in range(0, count, PIECE_ROWS):
            numbers = msgspec.json.encode(some(start, min(start + PIECE_ROWS, count)))[1:-1]
            yield b",%b" % numbers if start else numbers
        yield b"]"
    yield b"}"


def _steps(numbers: Iterable[int], before: int = 0) -> list[int]:
    steps = list[int]()
    for number in numbers:
        steps.append(number - before)
        before = number
    return steps


def some_rows(columns: Columns, view: ContextView, rows: Iterable[int]) -> tuple[Row, ...]:
    """List some rows, with their first words; `view` is what the session's context is at its head."""
    return tuple(
        Row(
            row=row,
            seq=columns.seqs[row],
            last_seq=columns.lasts[row],
            name=columns.names[row],
            kind=ROW_KINDS[columns.kinds[row]],
            who=columns.who_names[columns.whos[row]],
            flags=columns.flags_of(row),
            at_us=columns.at_us[row],
            duration_us=columns.durations_us[row],
            tokens=columns.tokens[row],
            preview=preview(columns, view, row),
        )
        for row in rows
        if 0 <= row < len(columns)
    )


def preview(columns: Columns, view: ContextView, row: int) -> str:
    """Return the first words of a row: of a call what it was called with, of a message what it says.

    Calls have rows of their own: an answer that says something is not told by them, but for those that came from
    elsewhere without a result. Of a prompt it is what a person typed, if anything, not what a program put around it.
    """
    place = columns.places.get(row)
    if place is not None:
        call = _call(view, *place)
        if call is not None:
            return _cut(f"{call.name} {call.arguments}" if ROW_KINDS[columns.kinds[row]] == "wait" else call.arguments)
    entry = entry_of(view, columns.names[row]) if columns.names[row] else None
    if entry is not None and entry.message is not None:
        said = ""
        if isinstance(entry.message, AssistantMessage):
            said = text_of(entry.message)
        elif isinstance(entry.message, UserMessage):
            said = _typed(text_of(entry.message)[:_LOOKED])
        missing = ", ".join(dict.fromkeys(columns.unanswered.get(entry.seq, {}).values()))
        behind = f" · no result of {missing}" if missing else ""
        if said.strip():
            return _cut(said.lstrip(), behind)
        return _cut(shown(entry.message, PREVIEW_CHARACTERS), behind)
    return _cut(columns.texts.get(row, ""))


def _typed(prompt: str) -> str:
    """Return what stands behind the blocks in tags that a prompt begins with, or was typed within; empty: as it is."""
    end = 0
    while (block := _BLOCK.match(prompt, end)) is not None:
        end = block.end()
    return (prompt[end:].strip() or typed_words(prompt)) if end else ""


def _call(view: ContextView, message_seq: int, content_index: int) -> ToolCall | None:
    entry = entry_of(view, message_seq)
    if entry is None or not isinstance(entry.message, AssistantMessage):
        return None
    content = entry.message.content
    block = content[content_index] if content_index < len(content) else None
    return block if isinstance(block, ToolCall) else None


def _cut(text: str, behind: str = "") -> str:
    """Cut a text to what a row shows; `behind`: what is to be read there in any case."""
    line = " ".join(text[: 4 * PREVIEW_CHARACTERS].split())
    behind = behind if len(behind) <= _MOST_BEHIND else f"{behind[: _MOST_BEHIND - 1]}…"
    most = PREVIEW_CHARACTERS - len(behind)
    return (line if len(line) <= most else f"{line[: most - 1]}…") + behind

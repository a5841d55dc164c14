"""What a page that watches a session is told: the rows that changed, and what is being said."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from eventsource.assemble import Assembler
from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import MessageStart, MessageUpdate, UpdateKind

from .columns import OPEN, ROW_KINDS, Columns
from .index import Indexed
from .rows import Row, some_rows

MOST_ROWS = 500
"""Rows of a batch; where more have changed, the page reads them anew."""
TAIL_CHARACTERS = 200


class LiveText(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the message that is being said: deltas of one block that came close together, as one."""

    first_seq: int
    seq: int
    kind: UpdateKind
    content_index: int
    name: str
    text: str


class LiveBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What happened behind a seq, up to another.

    `rows`: those that were begun or changed, the one that is being said with `text_tail`; `rows_in_all` is how many
    there are. `texts`: what was said of the message that is open. `reload`: more has changed than is told here, so that
    rows and messages are to be read anew.
    """

    after: int
    seq: int
    info: SessionInfo
    phase: str
    rows: tuple[Row, ...]
    rows_in_all: int
    texts: tuple[LiveText, ...]
    reload: bool = False


class OpenText:
    """The message that is being said, as far as it has come."""

    def __init__(self) -> None:
        self._assembler: Assembler | None = None

    def take(self, events: Sequence[Recorded]) -> None:
        """Take what came next."""
        for event in (one.event for one in events):
            if isinstance(event, MessageStart) and event.role == "assistant":
                self._assembler = self._assembler or Assembler()
            elif isinstance(event, MessageUpdate):
                self._assembler = self._assembler or Assembler()
                self._assembler.add(event)
            elif event.type == "message_end":
                self._assembler = None

    @property
    def tail(self) -> str:
        """The end of what is being said, or thought, or of the arguments of a call."""
        content = self._assembler.content() if self._assembler is not None else ()
        for block in reversed(content):
            said = getattr(block, "text", "") or getattr(block, "thinking", "") or getattr(block, "arguments", "")
            if isinstance(said, str) and said:
                return said[-TAIL_CHARACTERS:]
        return ""


def live_batch(
    info: SessionInfo, whole: Indexed, after: int, texts: Sequence[LiveText], tail: str, *, reload: bool = False
) -> LiveBatch:
    """Tell what happened behind a seq.

    Args:
        texts: what was said of the message that is open.
        tail: the end of it.
        reload: it is known already that more has changed than is told.
    """
    columns = whole.columns
    rows = columns.touched_after(after)
    said = open_row(columns)
    if said is not None and (texts or said in rows):
        rows = sorted({*rows, said})
    compacted = any(
        ROW_KINDS[columns.kinds[row]] == "compaction" for row in rows
    )  # which is another flag of all before
    reload = reload or compacted or len(rows) > MOST_ROWS
    shown = some_rows(columns, whole.seen.trace.view, () if reload else rows)
    return LiveBatch(
        after=after,
        seq=info.head,
        info=info,
        phase=whole.state.phase.value,
        rows=tuple(replace(row, last_seq=info.head, text_tail=tail) if row.row == said else row for row in shown),
        rows_in_all=len(columns),
        texts=() if reload else tuple(texts),
        reload=reload,
    )


def open_row(columns: Columns) -> int | None:
    """Find the row of the answer that is being waited for, or given."""
    for row in range(len(columns) - 1, max(len(columns) - MOST_ROWS, 0) - 1, -1):
        if columns.flags[row] & OPEN and ROW_KINDS[columns.kinds[row]] == "assistant":
            return row
    return None

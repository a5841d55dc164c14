"""What was said, by windows around a seq: messages with their calls and what came of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from eventsource.errors import UnknownSeqError
from eventsource.messages import ImageContent, TextContent
from eventsource.values import Place, ToolResult
from projections.calls import CallView, calls_by_message, tool_calls, trail_of
from projections.context import ContextView, Entry, entry_of
from projections.transcript import read_transcript
from replay.request_parts import shown

from .columns import Columns
from .cutting import CutText, cut_text
from .index import At
from .requests import Absence, Absences

PAGE_CHARACTERS = 500_000
"""What the texts of a window take: so long ones are cut shorter when there are many."""
_SHORTEST = 2_000


TextOf: TypeAlias = Literal["text", "thinking"]
"""Which of its texts, of a message."""


class ChatCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call and what came of it; see `projections.calls.CallView`.

    `result_seq`: the message that told the model, 0 without one.
    """

    place: Place
    name: str
    arguments: CutText
    status: str
    asked: CutText | None
    attempts: int
    refused: str
    decided: str
    is_error: bool
    adopted: bool
    started_at_us: int | None
    ended_at_us: int | None
    result: CutText | None
    images: int
    result_seq: int
    children: tuple[str, ...]


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was said; see `projections.transcript.TranscriptMessage`.

    `row`: its row in the list, -1 without one. `not_read`, `not_read_seq`: why no model reads it any more at the seq
    that the window is of, and the event that says so; empty where one does. `instead`: what stands there for it.
    """

    seq: int
    row: int
    at_us: int
    role: str
    text: CutText
    thinking: CutText | None
    images: int
    calls: tuple[ChatCall, ...]
    tool: str
    call: Place | None
    is_error: bool
    note: str
    not_read: Absence | None
    not_read_seq: int
    instead: str


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """Messages in order, as they stood at a seq. `before`, `after`: how many more there are on either side.

    Results that stand with their calls in the window are not repeated as messages.
    """

    session: str
    seq: int
    indexed_to: int
    before: int
    after: int
    messages: tuple[ChatMessage, ...]


def transcript_window(at: At, around: int, before: int, after: int) -> Transcript:
    """List the messages around a seq: so many that end before it, and so many from it on."""
    view = at.view
    entries = view.entries
    middle = entries.find(around, _entry_seq)
    first, last = max(middle - before, 0), min(middle + after, len(entries))
    window = [entry for entry in entries.between(first, last) if not entry.edits and entry.message is not None]
    said = _messages(at, view, window) if window else ()
    return Transcript(
        session=at.info.id,
        seq=at.seq,
        indexed_to=at.whole.reached,
        before=_count(view, 0, first),
        after=_count(view, last, len(entries)),
        messages=said,
    )


def whole_of_message(at: At, seq: int, of: TextOf) -> str:
    """Return all of a text of a message, by its name. Raises: UnknownSeqError when there is no such message."""
    entry = entry_of(at.view, seq)
    if entry is None or entry.message is None or entry.edits:
        raise UnknownSeqError(at.info.id, seq, at.seq, "no message of this name")
    [said] = read_transcript(at.view, [entry])
    return said.text if of == "text" else said.thinking


def _count(view: ContextView, first: int, last: int) -> int:
    """Count the messages between two places of the history."""
    edits = view.edits
    if first >= last:
        return 0
    entries = view.entries
    begun = edits.find(entries[first].seq, _entry_seq)
    ended = edits.find(entries[last - 1].seq + 1, _entry_seq)
    return last - first - (ended - begun)


def _messages(at: At, view: ContextView, window: Sequence[Entry]) -> tuple[ChatMessage, ...]:
    columns: Columns = at.whole.columns
    trail = trail_of(at.seen.calls, view.entries, window[0].seq, window[-1].seq)
    calls = calls_by_message(tool_calls(trail))
    results = {_key(entry.call): entry.seq for entry in window if entry.call is not None}
    absent, most = Absences(view), max(PAGE_CHARACTERS // len(window), _SHORTEST)
    inside, made = {entry.seq for entry in window}, _made(calls)
    edits = {edit.edits: edit for edit in view.edits.between(view.edits.find(window[0].seq, _entry_seq))}
    listed = []
    for entry, said in zip(window, read_transcript(view, window), strict=True):
        if entry.call is not None and entry.call.message_seq in inside and _key(entry.call) in made:
            continue  # it stands with its call
        reason, reason_seq = absent.reason(entry) if not said.seen else (None, 0)
        edit = edits.get(entry.seq)
        row = columns.row_named(entry.seq)
        listed.append(
            ChatMessage(
                seq=entry.seq,
                row=row if row is not None else -1,
                at_us=said.at_us,
                role=said.role,
                text=cut_text(said.text, most),
                thinking=cut_text(said.thinking, most) if said.thinking else None,
                images=said.images,
                calls=tuple(_call(one, results.get(_key(one.place), 0), most) for one in calls.get(entry.seq, ())),
                tool=said.tool,
                call=said.call,
                is_error=said.is_error,
                note=said.note,
                not_read=reason,
                not_read_seq=reason_seq,
                instead=shown(edit.message, _SHORTEST) if edit is not None and edit.message is not None else "",
            )
        )
    return tuple(listed)


def _made(calls: dict[int, list[CallView]]) -> set[tuple[int, int]]:
    return {_key(call.place) for found in calls.values() for call in found}


def _key(place: Place) -> tuple[int, int]:
    return place.message_seq, place.content_index


def _call(call: CallView, result_seq: int, most: int) -> ChatCall:
    result = call.result
    return ChatCall(
        place=call.place,
        name=call.name,
        arguments=cut_text(call.arguments, most),
        status=call.status,
        asked=cut_text(call.asked, most) if call.asked is not None else None,
        attempts=call.attempts,
        refused=call.refused,
        decided=call.decided.words if call.decided is not None else "",
        is_error=call.is_error,
        adopted=call.adopted,
        started_at_us=call.started_at_us,
        ended_at_us=call.ended_at_us,
        result=cut_text(_text(result), most) if result is not None else None,
        images=sum(isinstance(block, ImageContent) for block in result.content) if result is not None else 0,
        result_seq=result_seq,
        children=tuple(child.session for child in call.children),
    )


def _text(result: ToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def _entry_seq(entry: Entry) -> int:
    return entry.seq

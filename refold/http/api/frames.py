"""Events as server-sent events: an id to resume from, a type, and the stored JSON in its envelope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.events import UPDATE_TYPES, MessageUpdate

from ..interface.events import SentEvent, StreamNotice, Updates

RETRY = b"retry: 500\n\n"
PING = b": ping\n\n"
_DELTAS = ("text_delta", "thinking_delta", "tool_call_delta")


def sent_event(session: str, recorded: Recorded, first_seq: int = 0) -> SentEvent:
    """Put an event into its envelope."""
    return SentEvent(session, recorded.seq, recorded.at_us, msgspec.Raw(encode(recorded.event)), first_seq)


def event_frame(session: str, recorded: Recorded, *, name: str = "", first_seq: int = 0) -> bytes:
    """Write an event. `name`: the id to resume from, its seq by default."""
    data = msgspec.json.encode(sent_event(session, recorded, first_seq))
    said = (name or str(recorded.seq)).encode(), recorded.event.type.encode(), data
    return b"id: %b\nevent: %b\ndata: %b\n\n" % said


def notice_frame(kind: Literal["end", "reset"], notice: StreamNotice) -> bytes:
    """Write what is no event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(notice))


class Joined(msgspec.Struct, frozen=True):
    """An event, and the seq of the first one if it stands for several."""

    recorded: Recorded
    first_seq: int = 0


def select(page: Iterable[Recorded], updates: Updates) -> Sequence[Joined]:
    """Choose what of a page is sent: with `joined`, deltas of one block that follow each other become one."""
    if updates == "none":
        return [Joined(one) for one in page if not isinstance(one.event, UPDATE_TYPES)]
    if updates == "all":
        return [Joined(one) for one in page]
    found: list[Joined] = []
    for one in page:
        if found and (joined := _join(found[-1], one)) is not None:
            found[-1] = joined
        else:
            found.append(Joined(one))
    return found


def _join(before: Joined, one: Recorded) -> Joined | None:
    """Join a delta with the one before it; None when they are not of one block, or not next to each other."""
    was, event = before.recorded.event, one.event
    if not isinstance(was, MessageUpdate) or not isinstance(event, MessageUpdate) or was.kind not in _DELTAS:
        return None
    if (was.kind, was.content_index) != (event.kind, event.content_index) or before.recorded.seq + 1 != one.seq:
        return None
    whole = replace(event, delta=was.delta + event.delta)
    return Joined(Recorded(one.seq, one.at_us, whole), before.first_seq or before.recorded.seq)

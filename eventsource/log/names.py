"""Rules every store keeps alike: what an id may be, which session a name means, what goes with an erased seq."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..envelope import Recorded
from ..errors import ArgumentError, InvalidTextError, UnknownSessionError
from ..events import MessageEnd, MessageUpdate, ToolExecutionEnd, ToolExecutionUpdate
from .lineage import closed_messages

_MAX_ID = 200


def check_id(session: str) -> str:
    """Give back an id that can be stored and typed.

    Raises: InvalidTextError for an empty or overlong id, white space, control characters and surrogates.
    """
    if not session or len(session) > _MAX_ID or not session.isprintable() or any(sign.isspace() for sign in session):
        raise InvalidTextError(
            "session id", f"{session[:_MAX_ID]!r} must be 1 to {_MAX_ID} printable characters without spaces"
        )
    return session


def check_title(title: str) -> str:
    """Give back a title that can be stored. Raises: InvalidTextError for lone surrogates."""
    try:
        title.encode()
    except UnicodeEncodeError as error:
        raise InvalidTextError("title", "the text holds a lone surrogate") from error
    return title


def choose(name: str, titled: Sequence[str], prefixed: Sequence[str]) -> str:
    """Decide which session a name that is no id means: the one with that title, else the one whose id begins so.

    Raises: UnknownSessionError, with the candidates when there is more than one.
    """
    for candidates in (titled if name else (), prefixed if name else ()):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UnknownSessionError(name, tuple(sorted(candidates)))
    raise UnknownSessionError(name)


def choose_whole(name: str, titled: Sequence[str], *, is_id: bool) -> str:
    """Decide which session a whole name means: the one with that id or that title.

    Raises: UnknownSessionError, with the candidates when it is the id of one and the title of another, or two titles.
    """
    found: list[str] = sorted({*([name] if is_id else ()), *(titled if name else ())})
    if len(found) == 1:
        return found[0]
    raise UnknownSessionError(name, tuple(found))


def erasable_updates(own: Iterable[Recorded], seq: int) -> set[int]:
    """Find the updates that hold what the event at `seq` holds: of the message or the call it ends."""
    recorded = list(own)
    event = next((one.event for one in recorded if one.seq == seq), None)
    if isinstance(event, MessageEnd):
        start = next((start for start, end in closed_messages(recorded) if end == seq), seq)
        return {one.seq for one in recorded if start < one.seq < seq and isinstance(one.event, MessageUpdate)}
    if isinstance(event, ToolExecutionEnd):
        place = (event.message_seq, event.content_index)
        return {
            one.seq
            for one in recorded
            if isinstance(one.event, ToolExecutionUpdate) and (one.event.message_seq, one.event.content_index) == place
        }
    return set()


def read_base(text: str) -> bytes:
    """Read the digest that a fork keeps of its parent (`Removed.base`). Raises: ArgumentError."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ArgumentError("fork", "base", "hexadecimal digits", repr(text)) from None

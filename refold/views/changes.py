"""What is otherwise in one request than in another: parts first, words inside a part."""

from __future__ import annotations

from typing import Literal

import msgspec

from eventsource.message_text import whole_text
from eventsource.messages import Message
from replay.request_changes import BuiltRequest, FoundChange, find_changes
from replay.request_parts import RequestPart, SentRequest
from replay.word_diff import Piece, word_diff

from .cutting import TEXT_CHARACTERS
from .index import At
from .requests import SHOWN_CHARACTERS, WindowRequests

_MARK = 80
"""What is cut says so at its end, in so many characters at the most."""


class PartChange(msgspec.Struct, frozen=True, kw_only=True):
    """A part that came, that is gone, or that is another one; `truncated`: it is the beginning of what it was.

    `part`: of what is gone, who took it out, and `before` who had put it there. `characters`: how much more or less is
    said. `pieces`: the words that were changed; `is_cut`: of texts that are too long only the beginnings were compared.
    """

    kind: Literal["added", "removed", "changed", "truncated"]
    part: RequestPart
    before: RequestPart | None
    characters: int
    pieces: tuple[Piece, ...]
    is_cut: bool


class RequestChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise than in another request; 0 stands for one that was not sent yet.

    `more`: how many more changes there are than are listed.
    """

    session: str
    request_seq: int
    against_session: str
    against_seq: int
    added: int
    removed: int
    changed: int
    changes: tuple[PartChange, ...]
    more: int


def request_changes(
    new: At, old: At | None, start: int, limit: int, *, shared_seq: int | None = None
) -> RequestChanges:
    """Compare the request that a seq is about with the one that another is about, by default the one before it.

    `shared_seq`: of another session's, up to where both share what happened.
    """
    asked, before = new.seen.trace.about()
    there, then = (old, old.seen.trace.about()[0]) if old is not None else (new, before)
    shared = _shared(new, asked, there, then) if then is not None else 0
    this = BuiltRequest(new.seen.trace, asked, WindowRequests(new, shared), SHOWN_CHARACTERS)
    found: list[FoundChange] = []
    if then is not None:
        was = BuiltRequest(there.seen.trace, then, WindowRequests(there, shared), SHOWN_CHARACTERS)
        found = find_changes(was, this, shared_seq=shared_seq)
    kinds = [one.kind for one in found]
    page = found[start : start + limit]
    return RequestChanges(
        session=new.info.id,
        request_seq=asked.seq,
        against_session=there.info.id,
        against_seq=then.seq if then is not None else 0,
        added=kinds.count("added"),
        removed=kinds.count("removed"),
        changed=kinds.count("changed"),
        changes=tuple(map(described, page)),
        more=max(len(found) - start - len(page), 0),
    )


def _shared(new: At, asked: SentRequest, old: At, then: SentRequest) -> int:
    """Return up to which place two requests hold the same messages, if the index knows; of chosen ones it does not."""
    if any(one.event is not None and one.event.selection is not None for one in (asked, then)):
        return 0
    return new.whole.windows.at(asked.view).shared(old.whole.windows.at(then.view))


def described(one: FoundChange) -> PartChange:
    """Describe a change, with the words that were changed."""
    change = one.describe()
    is_message = one.before is not None or one.after is not None
    was = _text(one.before) if is_message else change.before.text if change.before is not None else ""
    now = _text(one.after) if is_message else change.part.text if change.kind != "removed" else ""
    is_shorter = change.kind == "changed" and is_message and 0 < len(now) < len(was)
    is_truncated = is_shorter and was.startswith(now[: max(len(now) - _MARK, 1)])
    pieces = word_diff(was[:TEXT_CHARACTERS], now[:TEXT_CHARACTERS]) if change.kind == "changed" else ()
    return PartChange(
        kind="truncated" if is_truncated else change.kind,
        part=change.part,
        before=change.before,
        characters=len(now) - len(was),
        pieces=pieces,
        is_cut=change.kind == "changed" and max(len(was), len(now)) > TEXT_CHARACTERS,
    )


def _text(message: Message | None) -> str:
    return whole_text(message) if message is not None else ""

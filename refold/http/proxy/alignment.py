"""How the messages of a request lie beside those of a session, also where a client writes its history anew. Pure.

Clients change what was said: they call a tool by its new name, shorten an old result, or move a reminder. Where the ids
of calls and their places are the same, it is the same conversation, and what is written now stands for what was said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from eventsource.messages import AssistantMessage, Message, ToolResultMessage, UserMessage
from eventsource.models.scripted.script import plain_arguments

from .prefix_match import message_digest
from .surroundings import without_surroundings

_LONGEST_GAP = 1_000  # messages that are looked through for the next call that both have


class Said(msgspec.Struct, frozen=True, gc=False):
    """What of a message counts: the digest of what it says, and the ids by which it is known though it was rewritten.

    `calls`: ids of an answer's calls, with `names` and `arguments`; `result`: id of the call that it answers.
    `role`: of a prompt that is not the user's. `rest`: the digest of a prompt without what its program says of the
    folder, which it says anew when a session is resumed; empty: it says nothing of the kind.
    """

    digest: bytes
    answer: bool = False
    role: bytes = b""
    calls: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    arguments: tuple[int, ...] = ()
    result: str = ""
    rest: bytes = b""

    @property
    def lasting(self) -> bytes:
        """The digest of what stays the same when a session is resumed."""
        return self.rest or self.digest

    @property
    def name(self) -> tuple[str, ...]:
        """What it is known by; empty: by what it says alone."""
        return ("result", self.result) if self.result else self.calls


def said(message: Message) -> Said:
    """Reduce a message to what counts of it."""
    digest = message_digest(message)
    if isinstance(message, ToolResultMessage):
        return Said(digest, result=message.tool_call_id)
    if isinstance(message, UserMessage) and not isinstance(message.raw, msgspec.UnsetType):
        return Said(digest, role=bytes(message.raw))
    if isinstance(message, UserMessage) and (split := without_surroundings(message)) is not None:
        folder, rest = split
        return Said(digest, rest=hashlib.sha256(folder.encode() + message_digest(rest)).digest())
    if not isinstance(message, AssistantMessage):
        return Said(digest)
    calls = message.tool_calls
    return Said(
        digest,
        answer=True,
        calls=tuple(call.id for call in calls) if all(call.id for call in calls) else (),
        names=tuple(call.name for call in calls),
        arguments=tuple(hash(str(plain_arguments(call.arguments))) for call in calls),
    )


class Rewrite(msgspec.Struct, frozen=True, gc=False):
    """A message of a session, by its place there, and the place of the one that now stands for it; None: none does."""

    own: int
    asked: int | None


class Alignment(msgspec.Struct, frozen=True):
    """How many messages of a session, and of a request, are the same from the beginning, and which of them differ.

    `answers`: how many of them a model gave.
    """

    own: int = 0
    asked: int = 0
    answers: int = 0
    rewritten: tuple[Rewrite, ...] = ()

    @property
    def begins_anew(self) -> bool:
        """True when the beginning was written anew, or left out."""
        return any(one.own == 0 or one.asked is None for one in self.rewritten)


def align(own: Sequence[Said], asked: Sequence[Said], *, named: bool) -> Alignment:
    """Lay a request beside a session.

    Args:
        named: the client says that they are of one conversation. Else only what a call's id and place show to be the
            same counts, and only if the session is gone on from.
    """
    exact, told_anew = _same_beginning(own, asked)
    found = _aligned(own, asked, exact, named=named)
    found = msgspec.structs.replace(found, rewritten=(*told_anew, *found.rewritten))
    if not named and found.own < len(own):
        return Alignment(exact, exact, _answers(own, exact), told_anew)
    if found.own == len(own):
        return found
    kept = found.own  # what is no longer gone on from behind a rewritten message was said anew
    while found.rewritten and any(one.own == kept - 1 for one in found.rewritten):
        kept -= 1
    if kept == found.own:
        return found
    left = tuple(one for one in found.rewritten if one.own < kept)
    moved = found.asked - (found.own - kept)
    return Alignment(kept, moved, _answers(own, kept), left)


def _same_beginning(own: Sequence[Said], asked: Sequence[Said]) -> tuple[int, tuple[Rewrite, ...]]:
    """Count the messages that are the same, and list those in which a program tells of the folder anew.

    That counts only where an answer is the same as well: else it is another conversation that begins in the same words.
    """
    pairs = list(zip(own, asked, strict=False))
    exact = next((n for n, (one, other) in enumerate(pairs) if one.digest != other.digest), len(pairs))
    lasting = next((n for n, (one, other) in enumerate(pairs) if one.lasting != other.lasting), len(pairs))
    if not _answers(own, lasting):
        return exact, ()
    anew = [n for n, (one, other) in enumerate(pairs[:lasting]) if one.digest != other.digest]
    return lasting, tuple(Rewrite(n, n) for n in anew)


def _aligned(own: Sequence[Said], asked: Sequence[Said], begin: int, *, named: bool) -> Alignment:
    places = _places(own, begin, named=named)
    here, there = begin, begin
    rewritten: list[Rewrite] = []
    while here < len(own) and there < len(asked):
        if own[here].digest != asked[there].digest:
            found = _next_same(own, asked, here, there, places, named=named)
            if found is None or (_says_answers(own[here : found[0]]) and not asked[found[1]].name):
                break  # words alone do not show that answers were left out
            rewritten += _between(own, asked, (here, there), found)
            here, there = found
            if own[here].digest != asked[there].digest:
                rewritten.append(Rewrite(here, there))
        here, there = here + 1, there + 1
    return Alignment(here, there, _answers(own, here), tuple(rewritten))


def _says_answers(own: Sequence[Said]) -> bool:
    return any(one.answer or one.result for one in own)


def _answers(own: Sequence[Said], upto: int) -> int:
    return sum(one.answer for one in own[:upto])


def _places(own: Sequence[Said], begin: int, *, named: bool) -> Mapping[object, list[int]]:
    """Find where a session has what is known by its ids, or (of a client that names it) an answer by its words."""
    places: dict[object, list[int]] = {}
    for place in range(begin, len(own)):
        one = own[place]
        if one.name:
            places.setdefault(one.name, []).append(place)
        elif named and one.answer:
            places.setdefault(one.digest, []).append(place)
    return places


def _next_same(
    own: Sequence[Said],
    asked: Sequence[Said],
    here: int,
    there: int,
    places: Mapping[object, list[int]],
    *,
    named: bool,
) -> tuple[int, int] | None:
    """Find the next message that both have."""
    for at in range(there, min(len(asked), there + _LONGEST_GAP)):
        one = asked[at]
        listed = places.get(one.name if one.name else one.digest if one.answer else None, ())
        place = next((place for place in listed if place >= here), None)
        if place is None:
            continue
        if named:
            return place, at
        if place - here == at - there and _is_same(own[place], one):
            return place, at
    return None


def _is_same(one: Said, other: Said) -> bool:
    """Return whether two messages of one id are the same, of a client that does not say so."""
    return one.name == other.name and (one.names == other.names or one.arguments == other.arguments)


def _between(own: Sequence[Said], asked: Sequence[Said], begin: tuple[int, int], end: tuple[int, int]) -> list[Rewrite]:
    """Say what became of the messages of a session up to the next one that a request has too."""
    rewritten: list[Rewrite] = []
    there = list(range(begin[1], end[1]))
    for here in range(begin[0], end[0]):
        one = own[here]
        same = [at for at in there if asked[at].digest == one.digest]
        alike = [at for at in there if _kind(asked[at]) == _kind(one)]
        at = next(iter(same or alike), None)
        there = there if at is None else [left for left in there if left > at]
        if not same:
            rewritten.append(Rewrite(here, at))
    return rewritten


def _kind(one: Said) -> tuple[bool, bool, bytes]:
    return one.answer, bool(one.result), one.role

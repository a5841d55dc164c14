"""Where a model has its words from: the parts of its request that said them, found by comparing plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias, TypeVar

import msgspec

from eventsource.message_text import whole_text
from eventsource.messages import AssistantMessage, Message, ToolCall
from projections.context import Entry
from projections.pairing import ContextMessage
from replay.request_parts import PartKind, PartSources, Source

from .requests import Absence, Absences, AskedRequest, head_of

T = TypeVar("T")
MOST_TERMS = 100
"""Terms of one answer that are looked for; how many more there are is told."""
_SHORTEST = 3
_TOGETHER = 200
"""Texts that are looked through together, before the one is found that holds a term."""
TermKind: TypeAlias = Literal["path", "identifier", "number"]
_TERM = re.compile(
    r"(?P<path>(?:~|\.{1,2}|[A-Za-z]:|[\w.@+-]+)?(?:[/\\][\w.@+-]+)+)"
    r"|(?P<number>\b\d+(?:[.,:]\d+)*\b)"
    r"|(?P<identifier>\b[A-Za-z_][\w]*(?:[_.:-]+\w+)+\b|\b[a-z]+[A-Z]\w*\b|\b[A-Z][a-z0-9]+[A-Z]\w*\b)"
)


class SaidTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A path, identifier or number of an answer, and the last part of its request in which it stands.

    `place`: the part's among the messages, -1 for one that is none, None where no part says it. Then `left_out` tells
    why the last message that does was not sent, if there is one: `name` is that message's. `source`, `seq`: who put the
    part there, or what kept the message out.
    """

    term: str
    kind: TermKind
    place: int | None = None
    what: PartKind | None = None
    source: Source | None = None
    left_out: Absence | None = None
    name: int = 0
    seq: int = 0


class SaidWhere(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of an answer or a call, in the order in which they stand; `more`: how many more there are.

    `message_seq`: of the answer; `request_seq`: of the request that it answers, 0 where none is on record.
    """

    session: str
    message_seq: int
    request_seq: int
    terms: tuple[SaidTerm, ...]
    more: int


def terms_of(text: str) -> list[tuple[str, TermKind]]:
    """List the paths, identifiers and numbers of a text, each once, in order."""
    found: dict[str, TermKind] = {}
    for match in _TERM.finditer(text):
        term = match[0].rstrip(".,:;")
        if len(term) >= _SHORTEST:
            for kind in ("path", "identifier", "number"):
                if match[kind] is not None:
                    found.setdefault(term, kind)
    return list(found.items())


def answer_text(message: AssistantMessage, content_index: int | None) -> str:
    """Return what an answer says, or what one of its calls is called with."""
    if content_index is None:
        return whole_text(message)
    block = message.content[content_index] if content_index < len(message.content) else None
    return block.arguments if isinstance(block, ToolCall) else ""


def said_where(asked: AskedRequest, message_seq: int, text: str) -> SaidWhere:
    """Find where the terms of an answer stand in the request that it answers; it may be done in another thread.

    Args:
        asked: the request that the seq before the answer's name is about.
        text: what is looked at of the answer.
    """
    terms = terms_of(text)
    left = dict(terms[:MOST_TERMS])
    found: dict[str, SaidTerm] = {}
    parts = asked.between(0, len(asked))
    for term, (place, part) in _search(left, list(enumerate(parts)), lambda one: whole_text(one[1].message)):
        found[term] = _in_message(asked, term, left[term], place, part)
    for term, described in _in_config(asked, [term for term in left if term not in found]):
        found[term] = msgspec.structs.replace(described, kind=left[term])
    missing = {term: kind for term, kind in left.items() if term not in found}
    sent = {part.seq for part in parts}
    absent = Absences(asked.view)
    gone = [entry for entry in asked.view.entries if absent.is_message(entry) and entry.seq not in sent]
    for term, entry in _search(missing, gone, _words):
        found[term] = _left_out(asked, absent, term, missing[term], entry)
    return SaidWhere(
        session=asked.at.info.id,
        message_seq=message_seq,
        request_seq=asked.asked.seq,
        terms=tuple(found.get(term) or SaidTerm(term=term, kind=kind) for term, kind in left.items()),
        more=max(len(terms) - MOST_TERMS, 0),
    )


def _in_message(asked: AskedRequest, term: str, kind: TermKind, place: int, part: ContextMessage) -> SaidTerm:
    described = asked.described(part)
    return SaidTerm(
        term=term,
        kind=kind,
        place=place,
        what="message",
        source=described.source,
        name=max(part.seq, 0),
        seq=described.seq,
    )


def _in_config(asked: AskedRequest, terms: Sequence[str]) -> Iterator[tuple[str, SaidTerm]]:
    """Find terms in the parts of a request that are no messages."""
    for part, content in PartSources(asked.trace, asked.asked).config_parts(head_of(asked.view)):
        text = part.text + msgspec.json.encode(content).decode()
        for term in terms:
            if term in text:
                yield term, SaidTerm(term=term, kind="path", place=-1, what=part.what, source=part.source, seq=part.seq)


def _left_out(asked: AskedRequest, absent: Absences, term: str, kind: TermKind, entry: Entry) -> SaidTerm:
    reason, seq = absent.reason(entry)
    if asked.chosen is not None and entry.seq in asked.offered:
        reason, seq = "hook", asked.asked.seq
    return SaidTerm(term=term, kind=kind, left_out=reason, name=entry.seq, seq=seq)


def _words(entry: Entry) -> str:
    message: Message | None = entry.message
    return whole_text(message) if message is not None else ""


def _search(terms: Iterable[str], items: Sequence[T], text_of: Callable[[T], str]) -> Iterator[tuple[str, T]]:
    """Find for each term the last of some items whose text holds it."""
    left = list(terms)
    for end in range(len(items), 0, -_TOGETHER):
        if not left:
            return
        part = items[max(end - _TOGETHER, 0) : end]
        texts = [text_of(one) for one in part]
        whole = "\n".join(texts)
        for term in [one for one in left if one in whole]:
            place = next((n for n in reversed(range(len(part))) if term in texts[n]), None)
            if place is not None:
                left.remove(term)
                yield term, part[place]

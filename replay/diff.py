"""Comparing two sessions: branches by their lineage, unrelated runs by what was said in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher, unified_diff
from itertools import takewhile
from typing import Literal, TypeAlias

import msgspec

from eventsource.codec import from_json
from eventsource.log.load import read_all
from eventsource.machine.state import Config
from eventsource.messages import Usage
from eventsource.session import SessionHandle
from projections.calls import CALLS, CallView, calls_by_message, tool_calls
from projections.context import CONTEXT, Entry, history
from projections.timeline import TIMELINE, spans
from projections.transcript import TranscriptMessage, read_transcript
from projections.usage import USAGE, UsageView

from .diff_text import fingerprint, pretty, readable
from .lineage import shared_seq

PairKind: TypeAlias = Literal["same", "changed", "left", "right"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of two sessions, and what it came to after the part that both share: times in microseconds.

    `unpriced` counts answers whose price is not known.
    """

    session: str
    title: str
    head: int
    status: str
    messages: int
    usage: Usage
    unpriced: int
    model_calls: int
    tool_calls: int
    model_us: int
    tool_us: int


class CallPair(msgspec.Struct, frozen=True, kw_only=True):
    """Two tool calls that stand at the same place of the same message, or one that has no counterpart."""

    left: CallView | None = None
    right: CallView | None = None


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two messages that belong together, or one that only one side has; `lines` is the difference of their texts."""

    kind: PairKind
    left: TranscriptMessage | None = None
    right: TranscriptMessage | None = None
    calls: tuple[CallPair, ...] = ()
    lines: tuple[str, ...] = ()


class ConfigPair(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the configuration that differs at the two heads, as text."""

    field: str
    left: str
    right: str
    lines: tuple[str, ...]


class SessionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What tells two sessions apart.

    `shared_seq`: up to there both have the same events (0: no common ancestor). `pairs`: the messages after it, aligned
    in order, equal ones too; and shared messages that an edit of one side hides or replaces. `same_messages`: with so
    many messages both begin, those up to `shared_seq` and equal ones right after them.
    """

    left: Side
    right: Side
    shared_seq: int
    same_messages: int
    pairs: tuple[Pair, ...]
    config: tuple[ConfigPair, ...]

    @property
    def changes(self) -> tuple[Pair, ...]:
        """The pairs that are not the same."""
        return tuple(pair for pair in self.pairs if pair.kind != "same")

    def __bool__(self) -> bool:
        """False when nothing was said or configured differently."""
        return bool(self.changes or self.config)

    def pretty(self) -> str:
        """Write it for a terminal, without colours."""
        return pretty(self)

    def json(self) -> str:
        """Write it as one JSON object."""
        return msgspec.json.encode(self).decode()


class _Item(msgspec.Struct, frozen=True):
    """A message as it is compared: the key says whether two are equal, the sort whether they can belong together."""

    key: bytes
    sort: str
    said: TranscriptMessage
    calls: tuple[CallView, ...]
    text: tuple[str, ...]


class _Read(msgspec.Struct, frozen=True):
    side: Side
    items: tuple[_Item, ...]
    config: Config


async def diff(left: SessionHandle, right: SessionHandle) -> SessionDiff:
    """Compare two sessions of one log or of two.

    Branches are compared from the last event that they share, unrelated sessions as a whole. Provider ids, times,
    usage and seqs do not make messages different.

    Raises: UnknownSessionError.
    """
    shared = await shared_seq(left.log, left.id, right.id) if left.log is right.log else 0
    read_left, read_right = await _read(left, shared), await _read(right, shared)
    edited = tuple(_shared_pairs(read_left.items, read_right.items, shared))
    own = tuple(_align(_own(read_left.items, shared), _own(read_right.items, shared)))
    until = min((pair.left.seq for pair in edited if pair.left is not None), default=shared + 1)
    same = sum(item.said.seq < until for item in read_left.items)
    if not edited:
        same += sum(1 for _ in takewhile(lambda pair: pair.kind == "same", own))
    return SessionDiff(
        left=read_left.side,
        right=read_right.side,
        shared_seq=shared,
        same_messages=same,
        pairs=(*edited, *own),
        config=tuple(_config_pairs(read_left.config, read_right.config)),
    )


async def _read(session: SessionHandle, shared: int) -> _Read:
    view, usage, times, calls = CONTEXT.initial, USAGE.initial, TIMELINE.initial, CALLS.initial
    info = await session.info()
    async for recorded in read_all(session.log, session.id, upto=info.head, updates=False):
        view, calls = CONTEXT.step(view, recorded), CALLS.step(calls, recorded)
        usage, times = USAGE.step(usage, recorded), TIMELINE.step(times, recorded)
        if recorded.seq == shared:
            usage = UsageView(model=usage.model)
    made = calls_by_message(tool_calls(calls))
    edits = {entry.edits: entry for entry in view.entries if entry.edits}
    said = zip(read_transcript(view), [e for e in history(view) if e.message is not None], strict=True)
    items = tuple(_item(one, entry, edits.get(entry.seq), made.get(entry.seq, ())) for one, entry in said)
    own = [span for span in spans(times) if (span.end_seq or span.start_seq) > shared]
    took = {kind: [span.duration_us or 0 for span in own if span.kind == kind] for kind in ("model", "tool")}
    side = Side(
        session=info.id,
        title=info.title,
        head=info.head,
        status=info.status,
        messages=sum(item.said.seq > shared for item in items),
        usage=usage.total,
        unpriced=(usage.own + usage.inherited).unpriced,
        model_calls=len(took["model"]),
        tool_calls=len(took["tool"]),
        model_us=sum(took["model"]),
        tool_us=sum(took["tool"]),
    )
    return _Read(side, items, view.config)


def _item(said: TranscriptMessage, entry: Entry, edit: Entry | None, made: Sequence[CallView]) -> _Item:
    key = fingerprint(entry, edit, made)
    return _Item(key, f"{said.role} {said.tool}", said, tuple(made), readable(said, entry, edit, made))


def _own(items: Sequence[_Item], shared: int) -> list[_Item]:
    return [item for item in items if item.said.seq > shared]


def _shared_pairs(left: Sequence[_Item], right: Sequence[_Item], shared: int) -> Iterator[Pair]:
    """Pair shared messages that an edit or a call that was open at the fork has made different."""
    there = {item.said.seq: item for item in right}
    for one in left:
        other = there.get(one.said.seq)
        if other is not None and one.said.seq <= shared and one.key != other.key:
            yield _pair("changed", one, other)


def _align(left: Sequence[_Item], right: Sequence[_Item]) -> Iterator[Pair]:
    """Pair equal messages, and between two of those the ones of one role and tool, in order."""
    keys = SequenceMatcher(None, [item.key for item in left], [item.key for item in right], autojunk=False)
    for tag, at, end, to, stop in keys.get_opcodes():
        if tag == "equal":
            yield from (_pair("same", one, other) for one, other in zip(left[at:end], right[to:stop], strict=True))
            continue
        ours, theirs = left[at:end], right[to:stop]
        sorts = SequenceMatcher(None, [item.sort for item in ours], [item.sort for item in theirs], autojunk=False)
        for within, a, b, c, d in sorts.get_opcodes():
            if within == "equal":
                yield from (_pair("changed", one, other) for one, other in zip(ours[a:b], theirs[c:d], strict=True))
                continue
            yield from (_pair("left", one, None) for one in ours[a:b])
            yield from (_pair("right", None, other) for other in theirs[c:d])


def _pair(kind: PairKind, left: _Item | None, right: _Item | None) -> Pair:
    return Pair(
        kind=kind,
        left=left.said if left is not None else None,
        right=right.said if right is not None else None,
        calls=tuple(_call_pairs(left.calls if left is not None else (), right.calls if right is not None else ())),
        lines=() if kind == "same" else _lines(left.text if left else (), right.text if right else ()),
    )


def _call_pairs(left: Sequence[CallView], right: Sequence[CallView]) -> Iterator[CallPair]:
    names = SequenceMatcher(None, [call.name for call in left], [call.name for call in right], autojunk=False)
    for tag, at, end, to, stop in names.get_opcodes():
        if tag == "equal":
            both = zip(left[at:end], right[to:stop], strict=True)
            yield from (CallPair(left=one, right=other) for one, other in both)
            continue
        yield from (CallPair(left=one) for one in left[at:end])
        yield from (CallPair(right=other) for other in right[to:stop])


def _config_pairs(left: Config, right: Config) -> Iterator[ConfigPair]:
    ours, theirs = _config_texts(left), _config_texts(right)
    for field, one in ours.items():
        if one != theirs[field]:
            lines = _lines(one.splitlines(), theirs[field].splitlines())
            yield ConfigPair(field=field, left=one, right=theirs[field], lines=lines)


def _config_texts(config: Config) -> dict[str, str]:
    model, options = config.model, from_json(config.options)
    where = f" at {model.base_url}" if model is not None and model.base_url else ""
    tools = [msgspec.json.format(msgspec.json.encode(tool), indent=1).decode() for tool in config.tools]
    changed = [(name, value) for name, value in msgspec.structs.asdict(config.policies).items()]
    return {
        "model": f"{model.provider}:{model.model}{where}" if model is not None else "",
        "system_prompt": config.system_prompt,
        "tools": "\n".join(tools),
        "options": json.dumps(options, indent=1, ensure_ascii=False) if options is not None else "",
        "policies": "\n".join(f"{name}: {value}" for name, value in changed),
    }


def _lines(left: Sequence[str], right: Sequence[str]) -> tuple[str, ...]:
    """Write the difference as `-`, `+` and context lines, with `@@` between the places."""
    return tuple(line.rstrip() for line in unified_diff(left, right, lineterm="", n=2))[2:]

"""Comparing two sessions: branches by their lineage, unrelated runs by what was said in them."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher, unified_diff
from itertools import takewhile, zip_longest
from typing import Literal, TypeAlias

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import (
    ChildEnd,
    ChildStart,
    Event,
    MessageAdopt,
    MessageEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    WaitEnd,
    WaitStart,
)
from eventsource.log.load import load, read_all
from eventsource.machine.state import Config
from eventsource.messages import Usage
from eventsource.session import SessionHandle
from projections.calls import CALLS, CallView, calls_by_message, tool_calls, trail_of
from projections.context import CONTEXT, ContextView, Entry
from projections.projection import AppendOnlyList, Projection
from projections.timeline import SpanReader
from projections.transcript import TranscriptMessage, read_transcript
from projections.usage import USAGE, UsageView

from .diff_text import fingerprint, pretty, readable
from .lineage import shared_seq

PAGE_BYTES = 60_000
"""What the pairs of a page take as JSON; one that is larger stands alone."""
_AT_ONCE = 1_000
"""Messages that are compared at a time where a difference is looked for outside of a page."""
PairKind: TypeAlias = Literal["same", "changed", "left", "right"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of two sessions, and what it came to after the part that both share: times in microseconds.

    `unpriced` counts answers whose price is not known. A page of a comparison adds nothing up: usage, calls and times
    are None in it.
    """

    session: str
    title: str
    head: int
    status: str
    messages: int
    usage: Usage | None = None
    unpriced: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    model_us: int | None = None
    tool_us: int | None = None


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
    differs: bool
    next: tuple[int, int] | None = None
    left_out: tuple[int, int] = (0, 0)

    @property
    def changes(self) -> tuple[Pair, ...]:
        """The pairs that are not the same."""
        return tuple(pair for pair in self.pairs if pair.kind != "same")

    def __bool__(self) -> bool:
        """False when nothing was said or configured differently, in the whole of both sessions."""
        return self.differs

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


class _Folds(msgspec.Struct, frozen=True):
    """What of a session is compared."""

    context: ContextView = CONTEXT.initial
    calls: AppendOnlyList[Recorded] = CALLS.initial


def _step(folds: _Folds, recorded: Recorded) -> _Folds:
    context, calls = CONTEXT.step(folds.context, recorded), CALLS.step(folds.calls, recorded)
    return folds if context is folds.context and calls is folds.calls else _Folds(context, calls)


_FOLDS = Projection(name="diff", version=1, initial=_Folds(), step=_step)


async def diff(
    left: SessionHandle,
    right: SessionHandle,
    *,
    limit: int | None = None,
    after: tuple[int, int] = (0, 0),
    totals: bool | None = None,
) -> SessionDiff:
    """Compare two sessions of one log or of two.

    Branches are compared from the last event that they share, unrelated sessions as a whole. Provider ids, times,
    usage and seqs do not make messages different.

    Args:
        limit: make a page of so many pairs, in 64 kB, aligned within twice as many messages of each side.
        after: go on behind these seqs, the `next` of the page before.
        totals: add up what either side used and how long it took; by default where the comparison is no page.

    Raises: UnknownSessionError.
    """
    shared = await shared_seq(left.log, left.id, right.id) if left.log is right.log else 0
    ours, theirs = await _read(left, shared, after[0], limit), await _read(right, shared, after[1], limit)
    is_page = after != (0, 0)
    edited = tuple(_shared_pairs(ours, theirs))
    pairs = tuple(_align(ours.own(limit), theirs.own(limit)))
    reached = None
    most = _fitting(pairs, limit)
    if limit is not None and (len(pairs) > most or ours.has_more(limit) or theirs.has_more(limit)):
        pairs = pairs[:most]
        seqs = [pair.left.seq for pair in pairs if pair.left], [pair.right.seq for pair in pairs if pair.right]
        reached = (max(seqs[0], default=ours.begin), max(seqs[1], default=theirs.begin))
        is_page = True
    config = tuple(_config_pairs(ours.folds.context.config, theirs.folds.context.config))
    until = min((pair.left.seq for pair in edited if pair.left is not None), default=shared + 1)
    same = ours.count_messages(until)
    if not edited and after == (0, 0):
        same += sum(1 for _ in takewhile(lambda pair: pair.kind == "same", pairs))
    differs = bool(edited or config) or any(pair.kind != "same" for pair in pairs)
    adds_up = not is_page if totals is None else totals
    return SessionDiff(
        left=await _with_totals(left, ours.side, shared) if adds_up else ours.side,
        right=await _with_totals(right, theirs.side, shared) if adds_up else theirs.side,
        shared_seq=shared,
        same_messages=same,
        pairs=pairs if after != (0, 0) else (*edited, *pairs),
        config=config,
        differs=differs or (is_page and _differ(ours, theirs)),
        next=reached,
        left_out=(ours.count_after(reached[0]), theirs.count_after(reached[1])) if reached is not None else (0, 0),
    )


def _fitting(pairs: Sequence[Pair], limit: int | None) -> int:
    """Count how many pairs stand on a page: so many, within its bytes, and one at the least."""
    if limit is None:
        return len(pairs)
    size = 0
    for count, pair in enumerate(pairs[:limit]):
        size += len(msgspec.json.encode(pair))
        if size > PAGE_BYTES and count:
            return count
    return min(limit, len(pairs))


class _Read:
    """What is read of one side. `begin`: the seq behind which its messages are compared."""

    def __init__(self, info: SessionInfo, folds: _Folds, shared: int, begin: int) -> None:
        self.folds, self.shared, self.begin = folds, shared, begin
        self._entries = folds.context.entries
        self._edits = {entry.edits: entry for entry in folds.context.edits}
        self._messages = [entry for entry in self._entries if not entry.edits and entry.message is not None]
        self.side = Side(
            session=info.id,
            title=info.title,
            head=info.head,
            status=info.status,
            messages=self.count_after(shared),
        )

    def count_after(self, seq: int) -> int:
        """Count the messages behind a seq."""
        return len(self._messages) - self._place(seq + 1)

    def count_messages(self, seq: int) -> int:
        """Count the messages before a seq."""
        return self._place(seq)

    def has_more(self, limit: int) -> bool:
        """Return whether there are more messages than a page looks at."""
        return self.count_after(self.begin) > 2 * limit

    def own(self, limit: int | None) -> list[_Item]:
        """Make what is compared of its own messages."""
        window = self._window(None if limit is None else 2 * limit)
        return self._items(window)

    def all_own(self) -> Iterator[bytes]:
        """Yield what all its own messages are compared by."""
        rest = self._messages[self._place(self.shared + 1) :]
        for start in range(0, len(rest), _AT_ONCE):
            yield from (item.key for item in self._items(rest[start : start + _AT_ONCE]))

    def touched(self) -> set[int]:
        """List the shared messages that an edit, or what became of a call, may have made different."""
        if not self.shared:
            return set()
        named = {seq for seq, entry in self._edits.items() if entry.seq > self.shared}
        waits: set[str] = set()
        trail = self.folds.calls
        events = (recorded.event for recorded in trail.between(trail.find(self.shared + 1, _seq)))
        for event in (one for one in events if type(one) is not MessageEnd):
            if isinstance(event, WaitEnd | ChildEnd):
                waits.add(event.key)
            else:
                named.add(_message_of(event))
        if waits:
            begun = trail.between(0, trail.find(self.shared + 1, _seq))
            starts = [r.event for r in begun if isinstance(r.event, WaitStart | ChildStart)]
            named |= {_message_of(start) for start in starts if start.key in waits}
        return {seq for seq in named if 0 < seq <= self.shared}

    def shared_items(self, seqs: Iterable[int]) -> dict[int, _Item]:
        """Make what is compared of shared messages."""
        places = ((seq, self._place(seq)) for seq in sorted(seqs))
        found = [self._messages[at] for seq, at in places if at < len(self._messages) and self._messages[at].seq == seq]
        return {item.said.seq: item for item in self._items(found)}

    def _place(self, seq: int) -> int:
        """Return the place of the first message at a seq or later."""
        return bisect_left(self._messages, seq, key=_entry_seq)

    def _window(self, most: int | None) -> list[Entry]:
        at = self._place(self.begin + 1)
        return self._messages[at : None if most is None else at + most]

    def _items(self, entries: Sequence[Entry]) -> list[_Item]:
        if not entries:
            return []
        trail = trail_of(self.folds.calls, self._entries, entries[0].seq, entries[-1].seq)
        made = calls_by_message(tool_calls(trail))
        said = read_transcript(self.folds.context, entries)
        return [
            _item(one, entry, self._edits.get(entry.seq), made.get(entry.seq, ()))
            for one, entry in zip(said, entries, strict=True)
        ]


async def _read(session: SessionHandle, shared: int, after: int, limit: int | None) -> _Read:
    info = await session.info()
    _, _, folds = await load(session.log, session.id, context=_FOLDS, upto=info.head)
    return _Read(info, folds, shared, max(shared, after))


def _message_of(event: Event) -> int:
    """Return which message made the call that an event is about; 0: none."""
    match event:
        case ToolExecutionStart(message_seq=seq) | ToolExecutionEnd(message_seq=seq):
            return seq
        case WaitStart(call=call) | ChildStart(call=call) | MessageAdopt(call=call):
            return call.message_seq if call is not None else 0
        case _:
            return 0


def _entry_seq(entry: Entry) -> int:
    return entry.seq


def _seq(recorded: Recorded) -> int:
    return recorded.seq


def _differ(left: _Read, right: _Read) -> bool:
    """Return whether any of their own messages differ, as far as it takes to know."""
    return any(one != other for one, other in zip_longest(left.all_own(), right.all_own()))


async def _with_totals(session: SessionHandle, side: Side, shared: int) -> Side:
    """Add up what a session used and how long it took, after what is shared."""
    usage, times = USAGE.initial, SpanReader()
    async for recorded in read_all(session.log, session.id, upto=side.head, updates=False):
        usage = USAGE.step(usage, recorded)
        times.feed(recorded)
        if recorded.seq == shared:
            usage = UsageView(model=usage.model)
    own = [span for span in times if span.measured and (span.end_seq or span.start_seq) > shared]
    took = {kind: [span.duration_us or 0 for span in own if span.kind == kind] for kind in ("model", "tool")}
    return msgspec.structs.replace(
        side,
        usage=usage.total,
        unpriced=(usage.own + usage.inherited).unpriced,
        model_calls=len(took["model"]),
        tool_calls=len(took["tool"]),
        model_us=sum(took["model"]),
        tool_us=sum(took["tool"]),
    )


def _item(said: TranscriptMessage, entry: Entry, edit: Entry | None, made: Sequence[CallView]) -> _Item:
    key = fingerprint(entry, edit, made)
    return _Item(key, f"{said.role} {said.tool}", said, tuple(made), readable(said, entry, edit, made))


def _shared_pairs(left: _Read, right: _Read) -> Iterator[Pair]:
    """Pair shared messages that an edit or a call that was open at the fork has made different."""
    touched = left.touched() | right.touched()
    there = right.shared_items(touched)
    for seq, one in left.shared_items(touched).items():
        other = there.get(seq)
        if other is not None and one.key != other.key:
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

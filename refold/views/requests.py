"""What a model was, or would next be, sent: the head of a request, its parts by windows, and what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Literal, TypeAlias

import msgspec

from eventsource.events import Inserted, ModelRef, SeqRange
from eventsource.messages import AssistantMessage, Message
from eventsource.models.own_tools import own_tools
from eventsource.request import Request
from projections.compaction import message_tokens
from projections.context import UNKNOWN_MODEL, ContextView, Entry, edits_in_force, is_failed
from projections.pairing import ContextMessage, PairedParts
from projections.selection import apply_selection
from replay.request_parts import PartKind, PartSources, RequestPart, SentRequest, Source, Trace, shown

from .columns import Columns
from .cutting import TEXT_CHARACTERS, CutJson, cut_json
from .index import At

SLICE_PARTS = 5_000
"""Parts of a request that are taken at once: a few milliseconds of work."""
SHOWN_CHARACTERS = 200
CONTENT_BYTES = TEXT_CHARACTERS
"""What one part's content takes where several are given; all of it is fetched by its hash."""
Absence: TypeAlias = Literal["hook", "compaction", "edit", "failed", "interrupted", "application", "unpaired"]


class PartLine(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a request in a list of them. `place`: among the messages; -1 for a part that is none.

    `source` and `seq`: who put it there, and by which event; `name`: of a message, 0 without one. `tokens` are
    estimated by its length. `sha256` is that of its JSON, under which all of it is fetched.
    """

    place: int
    what: PartKind
    source: Source
    seq: int
    text: str
    sha256: str
    size_bytes: int
    tokens: int
    name: int = 0
    role: str = ""
    detail: str = ""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the history that was not sent: it would have stood before the message at `before`.

    `reason`, `seq`: what kept it out, and by which event. failed, interrupted: a model gets no answer that came to
    nothing; application: no model reads its kind; unpaired: a result without a call. `tokens` are estimated by its
    length.
    """

    before: int
    name: int
    role: str
    reason: Absence
    seq: int
    text: str
    tokens: int


class PartWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of a request from one place on, `messages` in all; and what was left out among them.

    `more_left_out`: how many more messages were left out there than are listed, all of them further ahead.
    """

    seq: int
    messages: int
    parts: tuple[PartLine, ...]
    left_out: tuple[LeftOut, ...]
    more_left_out: int = 0


class PartContent(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a request with its content, cut if it is long."""

    place: int
    sha256: str
    content: CutJson


class SentTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model was told of it; whether the answer called it."""

    name: str
    description: str
    schema: msgspec.Raw
    called: bool


class RequestHead(msgspec.Struct, frozen=True, kw_only=True):
    """A request but for its messages, of which there are so many.

    `seq`: where it was looked at. `request_seq`: its `model_request`, 0 when it is the one that would come next.
    `before_seq`: the request before it, 0 without one. `tokens`: of what was sent, as the answer's usage says; until
    that is known, estimated by its length (`estimated`). `recorded_sha256`: the digest on record.
    `adopted`: it led to an answer that was made elsewhere, and is put together from what had been said by then.
    """

    session: str
    seq: int
    request_seq: int
    before_seq: int
    at_us: int
    attempt: int
    model: ModelRef
    parts: tuple[PartLine, ...]
    tools: tuple[SentTool, ...]
    messages: int
    tokens: int
    estimated: bool
    recorded_sha256: str
    selected: bool
    adopted: bool


class WindowRequests:
    """Builds requests from what is paired in an index, or what stands in them from a place on; see `BuiltRequest`."""

    def __init__(self, at: At, start: int = 0) -> None:
        self._windows, self._parts, self._start = at.whole.windows, tuple[ContextMessage, ...](), start

    def build(self, view: ContextView, selection: Sequence[SeqRange | Inserted] | None = None) -> Request:
        """Build the next request, or the one that a selection describes."""
        return self.put_together(view, chain.from_iterable(self.slices(view)), selection)

    def slices(self, view: ContextView) -> Iterator[list[ContextMessage]]:
        """Yield what of a view is sent by default, some at a time."""
        found = self._windows.at(view)
        for start in range(self._start, len(found), SLICE_PARTS):
            yield found.between(start, start + SLICE_PARTS)

    def put_together(
        self,
        view: ContextView,
        parts: Iterable[ContextMessage],
        selection: Sequence[SeqRange | Inserted] | None = None,
    ) -> Request:
        """Build a request of the parts that are sent by default."""
        self._parts = tuple(parts)
        if selection is None:
            sent: Iterable[Message] = (part.message for part in self._parts)
        else:
            sent = apply_selection(self._parts, selection)
        return head_of(view, tuple(sent))

    def parts(self) -> tuple[ContextMessage, ...]:
        """Return what of the view that was built last is sent by default."""
        return self._parts


def head_of(view: ContextView, messages: tuple[Message, ...] = ()) -> Request:
    """Build a request of some messages with what is configured."""
    config = view.config
    return Request(
        model=config.model or UNKNOWN_MODEL,
        system_prompt=config.system_prompt,
        tools=config.tools,
        options=config.options,
        messages=messages,
    )


class AskedRequest:
    """The request that a seq belongs to, or else the one that would come next, to be read by windows."""

    def __init__(self, at: At) -> None:
        self.at = at
        self.trace: Trace = at.seen.trace
        self.asked, self.before = self.trace.about()
        self.view: ContextView = self.asked.view
        self.sources = PartSources(self.trace, self.asked, SHOWN_CHARACTERS)
        self.default: PairedParts = at.whole.windows.at(self.view)
        self.chosen: tuple[ContextMessage, ...] | None = None
        if self.asked.event is not None and self.asked.event.selection is not None:
            whole = tuple(self.default.between(0, len(self.default)))
            named = {id(part.message): part for part in whole}
            sent = apply_selection(whole, self.asked.event.selection)
            self.chosen = tuple(named.get(id(message), ContextMessage(-1, message)) for message in sent)

    def __len__(self) -> int:
        return len(self.default) if self.chosen is None else len(self.chosen)

    def between(self, start: int, stop: int) -> Sequence[ContextMessage]:
        """List the messages from one place up to another; one that a hook put in is named -1."""
        return self.default.between(start, stop) if self.chosen is None else self.chosen[max(start, 0) : stop]

    @cached_property
    def offered(self) -> set[int]:
        """The names of what would be sent if no hook chose."""
        return {part.seq for part in self.default.between(0, len(self.default))}

    def described(self, part: ContextMessage) -> RequestPart:
        """Describe a message."""
        return self.sources.inserted(part.message) if part.seq < 0 else self.sources.of(part)


def request_head(at: At) -> RequestHead:
    """Return the head of the request that a seq is about."""
    one = AskedRequest(at)
    head, event = head_of(one.view), one.asked.event
    called = _called(at, one.asked)
    tokens, estimated = request_tokens(at, one.asked)
    return RequestHead(
        session=at.info.id,
        seq=at.seq,
        request_seq=one.asked.seq,
        before_seq=one.before.seq if one.before is not None else 0,
        at_us=_asked_at_us(at.whole.columns, one.asked),
        attempt=event.attempt if event is not None else 0,
        model=head.model,
        parts=tuple(_config_line(part, content) for part, content in one.sources.config_parts(head)),
        tools=tuple(
            SentTool(name=tool.name, description=tool.description, schema=tool.schema, called=tool.name in called)
            for tool in chain(head.tools, own_tools(head.options))
        ),
        messages=len(one),
        tokens=tokens,
        estimated=estimated,
        recorded_sha256=event.request_sha256 if event is not None else "",
        selected=one.chosen is not None,
        adopted=one.asked.seq > 0 and event is None,
    )


def request_tokens(at: At, asked: SentRequest) -> tuple[int, bool]:
    """Return the tokens that a request was, as its answer says; else an estimate. Returns: them, and whether it is."""
    calls = at.whole.columns.calls
    place = calls.place(asked.seq) if asked.seq else len(calls)
    usage = calls.usages[place] if place < len(calls) and calls.seqs[place] == asked.seq else None
    said = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens if usage is not None else 0
    return (said, False) if said else (at.whole.windows.tokens(asked.view), True)


def _asked_at_us(columns: Columns, asked: SentRequest) -> int:
    place = columns.calls.place(asked.seq) if asked.seq else len(columns.calls)
    return columns.calls.at_us[place] if place < len(columns.calls) else 0


def _called(at: At, asked: SentRequest) -> set[str]:
    """Name the tools that the answer to a request called, if there is one yet."""
    calls = at.whole.columns.calls
    place = calls.place(asked.seq) if asked.seq else len(calls)
    entries = at.whole.seen.trace.view.entries
    if place >= len(calls) or calls.seqs[place] != asked.seq or calls.lasts[place] < 0:
        return set()
    found = entries.find(calls.lasts[place], _entry_seq)
    message = entries[found].message if found < len(entries) and entries[found].seq == calls.lasts[place] else None
    return {call.name for call in message.tool_calls} if isinstance(message, AssistantMessage) else set()


def part_window(at: At, start: int, limit: int) -> PartWindow:
    """List a request's messages from one place on, and what was left out among them."""
    one = AskedRequest(at)
    stop = min(start + limit, len(one))
    found = one.between(start, stop)
    left_out, more = _left_out(one, start, stop, found, limit)
    return PartWindow(
        seq=at.seq,
        messages=len(one),
        parts=tuple(_line(at, one, place, part) for place, part in enumerate(found, start)),
        left_out=left_out,
        more_left_out=more,
    )


def part_contents(at: At, start: int, limit: int) -> tuple[PartContent, ...]:
    """List a request's messages from one place on with their content."""
    one = AskedRequest(at)
    return tuple(
        PartContent(
            place=place,
            sha256=at.whole.hashes.of(part.message).hex(),
            content=cut_json(part.message, CONTENT_BYTES),
        )
        for place, part in enumerate(one.between(start, start + limit), start)
    )


def _line(at: At, one: AskedRequest, place: int, part: ContextMessage) -> PartLine:
    described = one.described(part)
    return PartLine(
        place=place,
        what=described.what,
        source=described.source,
        seq=described.seq,
        text=described.text,
        sha256=at.whole.hashes.of(part.message).hex(),
        size_bytes=len(msgspec.json.encode(part.message)),
        tokens=message_tokens(part.message),
        name=described.name,
        role=described.role,
        detail=described.detail,
    )


def _config_line(part: RequestPart, content: object) -> PartLine:
    encoded = msgspec.json.encode(content)
    return PartLine(
        place=-1,
        what=part.what,
        source=part.source,
        seq=part.seq,
        text=part.text[:SHOWN_CHARACTERS],
        sha256=hashlib.sha256(encoded).hexdigest(),
        size_bytes=len(encoded),
        tokens=-(-len(encoded) // 4),
    )


def _left_out(
    one: AskedRequest, start: int, stop: int, found: Sequence[ContextMessage], most: int
) -> tuple[tuple[LeftOut, ...], int]:
    """Find what was left out between the places of a window. Returns: the last so many of it, and how many more."""
    absent = Absences(one.view)
    if one.chosen is not None:
        places = {part.seq: place for place, part in enumerate(one.chosen) if part.seq > 0}
        entries: Iterable[Entry] = one.view.entries
        hooked = one.offered - places.keys()
    else:
        places = {part.seq: place for place, part in enumerate(found, start) if part.seq > 0}
        entries, hooked = _between(one, start, stop, found), set()
    last = stop >= len(one)
    listed: list[tuple[Entry, int]] = []
    waiting: list[Entry] = []
    for entry in entries:
        place = places.get(entry.seq)
        if place is None:
            if absent.is_message(entry):
                waiting.append(entry)
            continue
        if start <= place < stop:
            listed += [(gone, place) for gone in waiting]
        waiting = []
    listed += [(gone, stop) for gone in waiting] if last else []
    shown_ones = listed[max(len(listed) - most, 0) :]
    return tuple(_gone(one, absent, gone, place, hooked) for gone, place in shown_ones), len(listed) - len(shown_ones)


def _gone(one: AskedRequest, absent: Absences, gone: Entry, before: int, hooked: set[int]) -> LeftOut:
    reason, seq = absent.reason(gone)
    if gone.seq in hooked:
        reason, seq = "hook", one.asked.seq
    message = gone.message
    return LeftOut(
        before=before,
        name=gone.seq,
        role=str(message.__struct_config__.tag) if message is not None else "",
        reason=reason,
        seq=seq,
        text=shown(message, SHOWN_CHARACTERS) if message is not None else "",
        tokens=message_tokens(message) if message is not None else 0,
    )


def _between(one: AskedRequest, start: int, stop: int, found: Sequence[ContextMessage]) -> Iterator[Entry]:
    """Yield what of the history stands between the places of a window of parts that no hook chose.

    A compaction's summary stands first, in place of what it was made of.
    """
    entries, view = one.view.entries, one.view
    summary = view.entries[view.summary] if view.summary >= 0 else None
    before = _name_before(one.default, start)
    behind = next((part.seq for part in reversed(found) if part.seq), before)
    begun = view.kept if summary is not None and before == summary.seq else entries.find(before + 1, _entry_seq)
    if not before:
        begun = 0
    end = len(entries) if stop >= len(one) else entries.find(behind + 1, _entry_seq)
    if summary is not None and behind == summary.seq and stop < len(one):
        end = view.kept
    if summary is not None and begun < view.kept:
        yield from entries.between(begun, view.kept)
        yield summary
        begun = view.kept
    elif summary is not None and not before:
        yield summary
    yield from (entry for entry in entries.between(begun, end) if entry is not summary)


def _name_before(parts: PairedParts, place: int) -> int:
    """Return the name of the last message before a place that has one: results that were made have none."""
    step = 8
    while place > 0:
        ahead = parts.between(max(place - step, 0), place)
        name = next((part.seq for part in reversed(ahead) if part.seq), 0)
        if name:
            return name
        place, step = place - step, 2 * step
    return 0


class Absences:
    """Tells why a message of the history is not among what is sent by default."""

    def __init__(self, view: ContextView) -> None:
        self._view = view
        self._edits = edits_in_force(view)
        self._summary = view.entries[view.summary] if view.summary >= 0 else None
        self._first = view.entries[view.kept].seq if view.kept < len(view.entries) else None

    def is_message(self, entry: Entry) -> bool:
        """Return whether an entry is a message, and neither an edit nor the summary in force."""
        return not entry.edits and entry is not self._summary and entry.message is not None

    def is_compacted(self, entry: Entry) -> bool:
        """Return whether the summary in force stands in place of a message."""
        if self._summary is None or entry is self._summary:
            return False
        return entry.summary or self._first is None or entry.seq < self._first

    def reason(self, entry: Entry) -> tuple[Absence, int]:
        """Return what keeps a message out, and the seq of the event that says so."""
        if self.is_compacted(entry) and self._summary is not None:
            return "compaction", self._summary.seq
        edit = self._edits.get(entry.seq)
        if edit is not None and edit.sent is None:
            return "edit", edit.seq
        if entry.interrupted:
            return "interrupted", entry.seq
        if entry.message is not None and is_failed(entry.message):
            return "failed", entry.seq
        return ("application" if entry.sent is None else "unpaired"), entry.seq


def _entry_seq(entry: Entry) -> int:
    return entry.seq

"""What a model would be sent: the fold of events into the history, and from it the exact next request.

The history is an `AppendOnlyList` that all views share, so folding is linear and a view never changes. Its entries are
messages, the summaries of compactions, and edits of either. An entry is named by the seq of its
`message_end` (adopted: of its `message_adopt`; a summary: of its `compaction`). Each entry keeps its message in three
forms, built once, so that the same object goes into every request: as recorded, as it stands in the context, and as a
model gets it.

    history(view)     everything said, in order, also what failed and what was compacted away
    messages(view)    the context as agent messages: the last compaction's summary, the messages it kept, the rest;
                      edits applied; failed messages and those of applications included
    parts(view)       what is sent by default: failed messages are out with their calls, custom messages are rendered,
                      every call has a result
    request(view)     the parts with model, system prompt, tools and options; or, given a selection, what a hook chose

The cost of a request depends on the messages in the context, not on the tokens that were streamed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.events import (
    Compaction,
    ConfigChange,
    ContextEdit,
    Inserted,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    ModelRef,
    ModelRequest,
    Origin,
    Place,
    QueuePush,
    SeqRange,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
)
from eventsource.machine.refusals import refusal_result
from eventsource.machine.state import Config
from eventsource.messages import AssistantMessage, CustomMessage, Message, TextContent, ToolCall, ToolResultMessage
from eventsource.request import Request

from .custom_messages import COMPACTION_SUMMARY, render
from .pairing import ContextMessage, Pairing, hidden_result, paired
from .projection import AppendOnlyList, Projection
from .selection import apply_selection

M = TypeVar("M", bound=Message)
UNKNOWN_MODEL = ModelRef(api="", provider="", model="")
"""Stands in a request of a session whose log names no model."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing of the history.

    `message` is as recorded, `standing` as it stands in the context, `sent` as a model gets it; None: not there.
    `source_seq`: the event that holds its content. `call`: a result's call. `interrupted`: a later process closed it.
    `summary`: it is a compaction's. `origin`: of what was adopted.
    `edits`: an edit's target; its message is the replacement, or None to hide it. `says_hidden`: a result that is gone
    is not to read as a call without one.
    """

    seq: int
    source_seq: int
    at_us: int
    message: Message | None
    standing: Message | None
    sent: Message | None
    call: Place | None = None
    interrupted: bool = False
    summary: bool = False
    edits: int = 0
    says_hidden: bool = False
    origin: Origin | None = None


class ContextView(msgspec.Struct, frozen=True, kw_only=True):
    """The history so far, the configuration in force, and what is being delivered.

    `asked` is the model of the last request. `summary` is the place of the last compaction in the history (-1: none),
    `kept` that of the first entry it kept. `edits` are those of the entries that are one; `changed` is the place of the
    last entry that made what came before it stand otherwise, a compaction or an edit (-1: none).
    """

    entries: AppendOnlyList[Entry] = AppendOnlyList()
    edits: AppendOnlyList[Entry] = AppendOnlyList()
    changed: int = -1
    config: Config = Config()
    summary: int = -1
    kept: int = 0
    asked: ModelRef | None = None
    open: MessageStart | None = None
    pushes: AppendOnlyList[Recorded] = AppendOnlyList()
    calls: AppendOnlyList[Recorded] = AppendOnlyList()


def step(view: ContextView, recorded: Recorded) -> ContextView:
    """Fold one event into the view; most kinds do not concern it."""
    handler = _STEPS.get(type(recorded.event))
    return view if handler is None else handler(view, recorded, recorded.event)


def history(view: ContextView) -> tuple[Entry, ...]:
    """List every message in the order of the log, compacted and failed ones and summaries included."""
    return tuple(entry for entry in view.entries if not entry.edits)


def messages(view: ContextView, among: Iterable[Entry] | None = None) -> tuple[ContextMessage, ...]:
    """List the context as agent messages, each with its name; or what stands of some entries of the history."""
    found = in_force(view, among)
    return tuple(ContextMessage(entry.seq, entry.standing, entry.call) for entry in found if entry.standing is not None)


def shown(view: ContextView) -> tuple[ContextMessage, ...]:
    """List what hooks are shown of the context: its messages, and for a hidden result what a model reads of it."""
    found = ((entry, entry.sent if entry.standing is None else entry.standing) for entry in in_force(view))
    return tuple(ContextMessage(entry.seq, message, entry.call) for entry, message in found if message is not None)


def parts(view: ContextView) -> tuple[ContextMessage, ...]:
    """List what the next request holds if no hook changes it."""
    return paired(
        [ContextMessage(entry.seq, entry.sent, entry.call) for entry in in_force(view) if entry.sent is not None]
    )


def request(view: ContextView, selection: Sequence[SeqRange | Inserted] | None = None) -> Request:
    """Build the request that would be sent next; with a `model_request`'s selection, the one that was."""
    found = parts(view)
    return _request(
        view.config, [part.message for part in found] if selection is None else apply_selection(found, selection)
    )


def entry_of(view: ContextView, seq: int) -> Entry | None:
    """Find what the history has under a name."""
    place = view.entries.find(seq, _entry_seq)
    entry = view.entries[place] if place < len(view.entries) else None
    return entry if entry is not None and entry.seq == seq else None


def pushed(view: ContextView, seq: int) -> Message | None:
    """Find the message that was queued at a seq."""
    place = view.pushes.find(seq, _seq)
    push = view.pushes[place] if place < len(view.pushes) else None
    return push.event.message if push is not None and push.seq == seq and isinstance(push.event, QueuePush) else None


def sent_entries(view: ContextView) -> tuple[Entry, ...]:
    """List the entries whose messages the next request holds if no hook changes it."""
    return tuple(entry for entry in in_force(view) if entry.sent is not None)


class Requests:
    """Builds the requests of views that follow one another; each costs what came since the one before."""

    def __init__(self) -> None:
        self._pairing = Pairing()
        self._taken = 0
        self._last: Entry | None = None
        self.source: Sequence[Message] | None = None

    def build(self, view: ContextView, selection: Sequence[SeqRange | Inserted] | None = None) -> Request:
        """Build what `request` builds."""
        self._take(view)
        self.source = self._pairing.source if selection is None else None
        if selection is None:
            return _request(view.config, self._pairing.messages())
        return _request(view.config, apply_selection(self._pairing.parts(), selection))

    def parts(self) -> tuple[ContextMessage, ...]:
        """Return what `parts` lists of the view that was built last."""
        return self._pairing.parts()

    def copy(self) -> Requests:
        """Return what goes on from here by itself."""
        copied = Requests()
        copied._pairing, copied._taken, copied._last = self._pairing.copy(), self._taken, self._last
        return copied

    def _take(self, view: ContextView) -> None:
        """Pair what came since the last view; all that is in force, if what came changes what was there before."""
        entries, taken = view.entries, self._taken
        goes_on = 0 < taken <= len(entries) and entries[taken - 1] is self._last and view.changed < taken
        fresh: Iterable[Entry] = entries.between(taken) if goes_on else in_force(view)
        if not goes_on:
            self._pairing = Pairing()
        for entry in fresh:
            if entry.sent is not None:
                self._pairing.add(ContextMessage(entry.seq, entry.sent, entry.call))
        self._taken, self._last = len(entries), entries[len(entries) - 1] if len(entries) else None


def _request(config: Config, sent: Sequence[Message]) -> Request:
    return Request(
        model=config.model or UNKNOWN_MODEL,
        system_prompt=config.system_prompt,
        tools=config.tools,
        options=config.options,
        messages=tuple(sent),
    )


def convert(message: Message) -> Message | None:
    """Return what a model gets for an agent message: itself, a custom message's rendering, or nothing."""
    if isinstance(message, CustomMessage):
        return render(message)
    return None if is_failed(message) else message


def is_failed(message: Message) -> bool:
    """Return whether a message is an answer that failed or was aborted, which no model gets."""
    return isinstance(message, AssistantMessage) and message.stop_reason in ("error", "aborted")


def edits_in_force(view: ContextView) -> dict[int, Entry]:
    """Find the edits of what a compaction has left, the last of each entry, by the names of what they edit."""
    if view.kept >= len(view.entries):
        return {}
    first = view.edits.find(view.entries[view.kept].seq, _entry_seq)
    return {edit.edits: edit for edit in view.edits.between(first)}


def in_force(view: ContextView, among: Iterable[Entry] | None = None) -> Iterator[Entry]:
    """Yield the entries in force, in the order of the context, edits applied; or those among some of the history."""
    edits = edits_in_force(view)
    summary = view.entries[view.summary] if view.summary >= 0 else None
    if among is None:
        kept = (entry for entry in view.entries.between(view.kept) if not entry.summary)
        entries = [*([summary] if summary is not None else ()), *kept]
    else:
        first = view.entries[view.kept].seq if view.kept < len(view.entries) else sys.maxsize
        entries = [one for one in among if one is summary or (one.seq >= first and not one.summary)]
    for entry in entries:  # an earlier compaction contributes nothing
        if entry.edits:
            continue
        edit = edits.get(entry.seq)
        if edit is None:
            yield entry
            continue
        result, instead = entry.message, edit.message
        if edit.says_hidden and isinstance(result, ToolResultMessage) and not isinstance(instead, ToolResultMessage):
            hidden = hidden_result(result.tool_call_id, result.tool_name, result.is_error)
            yield replace(entry, source_seq=edit.source_seq, standing=None, sent=hidden)
        if instead is not None or not edit.says_hidden:
            yield replace(edit, seq=entry.seq, call=entry.call)


def _entry(recorded: Recorded, message: Message, *, source_seq: int = 0, call: Place | None = None) -> Entry:
    return Entry(
        seq=recorded.seq,
        source_seq=source_seq or recorded.seq,
        at_us=recorded.at_us,
        message=message,
        standing=message,
        sent=convert(message),
        call=call,
    )


def _with(view: ContextView, entry: Entry) -> ContextView:
    return replace(view, entries=view.entries.append(entry), open=None)


def _push(view: ContextView, recorded: Recorded, event: QueuePush) -> ContextView:
    return replace(view, pushes=view.pushes.append(recorded))


def _start(view: ContextView, recorded: Recorded, event: MessageStart) -> ContextView:
    return replace(view, open=event)


def _end(view: ContextView, recorded: Recorded, event: MessageEnd) -> ContextView:
    if event.message is not None:
        return _assistant(view, recorded, event.message, event)
    begun = view.open
    if begun is not None and begun.role == "input":
        message = pushed(view, begun.push_seq)
        if message is not None:
            return _with(view, _entry(recorded, message, source_seq=begun.push_seq))
    if begun is not None and begun.call is not None:
        source_seq, result = _result(view, begun.call)
        return _with(view, _entry(recorded, result, source_seq=source_seq, call=begun.call))
    return replace(view, open=None)


def _assistant(view: ContextView, recorded: Recorded, message: AssistantMessage, event: MessageEnd) -> ContextView:
    entry = replace(_entry(recorded, with_model(message, view.asked)), message=message)
    if event.interrupted is not None:
        kept = _text_only(with_model(message, view.asked)) if event.interrupted == "kept" else None
        entry = replace(entry, standing=kept, sent=kept, interrupted=True)
    return replace(_with(view, entry), calls=AppendOnlyList())


def _text_only(message: AssistantMessage) -> AssistantMessage | None:
    """Keep what a reader saw of a message that was cut off: its text, without thinking and calls."""
    texts = tuple(block for block in message.content if isinstance(block, TextContent) and block.text)
    return replace(message, content=texts, stop_reason="stop", raw_stop_reason="", error="") if texts else None


def _asked(view: ContextView, recorded: Recorded, event: ModelRequest) -> ContextView:
    return replace(view, asked=view.config.model)


def with_model(message: M, asked: ModelRef | None) -> M:
    """Fill in which model gave an answer; the log leaves out what is the same as of the model that was asked."""
    if asked is None or not isinstance(message, AssistantMessage):
        return message
    return replace(
        message,
        api=message.api or asked.api,
        provider=message.provider or asked.provider,
        model=message.model or asked.model,
    )


def _call(view: ContextView, recorded: Recorded, event: ToolExecutionStart | ToolExecutionEnd) -> ContextView:
    return replace(view, calls=view.calls.append(recorded))


def _result(view: ContextView, call: Place) -> tuple[int, ToolResultMessage]:
    """Build a result message from its call's start and end. Returns: the seq of the event with the result, and it."""
    start, end, source_seq = None, None, 0
    for recorded in view.calls:
        event = recorded.event
        if isinstance(event, ToolExecutionStart | ToolExecutionEnd) and _place(event) == call:
            source_seq = recorded.seq
            if isinstance(event, ToolExecutionStart):
                start = event
            else:
                end = event
    name, call_id = _called(view, call)
    result = end.result if end is not None else None
    if result is None:
        result = refusal_result(start) if start is not None else ToolResult()
    return source_seq, ToolResultMessage(
        tool_call_id=call_id,
        tool_name=start.name if start is not None else name,
        content=result.content,
        details=result.details,
        is_error=end.is_error if end is not None else False,
    )


def _place(event: ToolExecutionStart | ToolExecutionEnd) -> Place:
    return Place(message_seq=event.message_seq, content_index=event.content_index)


def _called(view: ContextView, call: Place) -> tuple[str, str]:
    """Look up a call's name and the provider's id for it."""
    entry = entry_of(view, call.message_seq)
    message = entry.message if entry is not None else None
    if isinstance(message, AssistantMessage) and call.content_index < len(message.content):
        block = message.content[call.content_index]
        if isinstance(block, ToolCall):
            return block.name, block.id
    return "", ""


def _adopt(view: ContextView, recorded: Recorded, event: MessageAdopt) -> ContextView:
    entry = _entry(recorded, event.message, call=event.call)
    return replace(
        view, entries=view.entries.append(replace(entry, at_us=event.sent_at_us or recorded.at_us, origin=event.origin))
    )


def _compaction(view: ContextView, recorded: Recorded, event: Compaction) -> ContextView:
    place = len(view.entries)
    kept = view.entries.find(event.first_kept_seq, _entry_seq) if event.first_kept_seq else place
    body = to_json({"summary": event.summary, "tokensBefore": event.tokens_before})
    entry = _entry(recorded, CustomMessage(kind=COMPACTION_SUMMARY, body=body))
    entry = replace(entry, summary=True, sent=None if event.silent else entry.sent)
    return replace(view, entries=view.entries.append(entry), changed=place, summary=place, kept=kept)


def _edit(view: ContextView, recorded: Recorded, event: ContextEdit) -> ContextView:
    if not event.message_seq:  # it names no message: nothing stands elsewhere than it did
        return view
    new = event.replacement
    entry = Entry(
        seq=recorded.seq,
        source_seq=recorded.seq,
        at_us=recorded.at_us,
        message=new,
        standing=new,
        sent=convert(new) if new is not None else None,
        edits=event.message_seq,
        says_hidden=event.says_hidden,
    )
    place = len(view.entries)
    return replace(view, entries=view.entries.append(entry), edits=view.edits.append(entry), changed=place)


def _config(view: ContextView, recorded: Recorded, event: ConfigChange) -> ContextView:
    config = view.config
    return replace(
        view,
        config=Config(
            model=config.model if event.model is None else event.model,
            system_prompt=config.system_prompt if event.system_prompt is None else event.system_prompt,
            tools=config.tools if event.tools is None else event.tools,
            options=config.options if isinstance(event.options, msgspec.UnsetType) else event.options,
            policies=config.policies if event.policies is None else event.policies,
        ),
    )


def _seq(recorded: Recorded) -> int:
    return recorded.seq


def _entry_seq(entry: Entry) -> int:
    return entry.seq


_STEPS: dict[type, Callable[[ContextView, Recorded, Any], ContextView]] = {
    QueuePush: _push,
    MessageStart: _start,
    MessageEnd: _end,
    ModelRequest: _asked,
    ToolExecutionStart: _call,
    ToolExecutionEnd: _call,
    MessageAdopt: _adopt,
    Compaction: _compaction,
    ContextEdit: _edit,
    ConfigChange: _config,
}

CONTEXT = Projection(name="context", version=1, initial=ContextView(), step=step)

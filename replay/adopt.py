"""Taking messages of one session into another, with their origin on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError
from eventsource.events import (
    ConfigChange,
    Event,
    MessageAdopt,
    MessageEnd,
    ModelRef,
    Origin,
    Place,
    ToolResult,
)
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.load import evolve_in, load_state, read_all
from eventsource.machine.repeated_calls import Repeat, adopted_pair
from eventsource.machine.state import CallState, Config, Phase, State
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage
from eventsource.runner.lease import hold
from eventsource.session import SessionHandle
from projections.context import CONTEXT, ContextView, Entry, history, with_model
from projections.pairing import ContextMessage

from .diff_text import canonical
from .lineage import shared_seq

SOURCE = "refold"
"""What `Origin.source` says of a message that another session of Refold recorded."""


class _SourceView(msgspec.Struct, frozen=True):
    """A history, and which model each of its assistant messages came from."""

    view: ContextView
    models: dict[int, ModelRef | None]


async def _read_source(source: SessionHandle) -> _SourceView:
    view, model, models = CONTEXT.initial, None, dict[int, ModelRef | None]()
    async for recorded in read_all(source.log, source.id, updates=False):
        event = recorded.event
        if isinstance(event, MessageEnd | MessageAdopt) and isinstance(event.message, AssistantMessage):
            models[recorded.seq] = model
        if isinstance(event, ConfigChange) and event.model is not None:
            model = event.model
        view = CONTEXT.step(view, recorded)
    return _SourceView(view, models)


async def adopt(
    target: SessionHandle, source: SessionHandle, chosen: Sequence[ContextMessage | int] | range
) -> tuple[int, ...]:
    """Append messages of another session, calls together with their results, in the order they have there.

    A `range` takes the messages whose names lie in it; a message that both sessions share is there already and is left
    out. In an idle session each becomes a `message_adopt`. In an open batch of tool calls that nobody runs, a result is
    taken for the call of the same name and arguments: it becomes an adopted start and end.

    Returns: the seqs of what was appended; in an idle session they name the adopted messages.
    Raises: UnknownSeqError for a name that is no message's; IllegalEventError when a run is under way; LeaseHeldError;
        ConflictError.
    """
    found = await _read_source(source)
    head, state = await load_state(target.log, target.id)
    names = await _names(source, found, chosen)
    if state.phase is Phase.TOOLS:
        async with hold(target.log, target.id) as held:
            events = await _results(target, state, source.id, found, names)
            return await _append(target, head, state, events, epoch=held.lease.epoch)
    shared = await shared_seq(target.log, target.id, source.id) if target.log is source.log else 0
    whole = [entry for entry in _with_partners(found, names) if entry.seq > shared]
    return await _append(target, head, state, _messages(source.id, found, whole, head, state.config), epoch=None)


async def _append(
    target: SessionHandle, head: int, state: State, events: Sequence[Event], *, epoch: int | None
) -> tuple[int, ...]:
    now = target.clock()
    pairs = admitted((now, event) for event in events)
    for seq, pair in enumerate(pairs, start=head + 1):
        state = evolve_in(target.id, state, Recorded(seq, *pair))
    if pairs:
        await append_admitted(target.log, target.id, pairs, expected=head, epoch=epoch)
    return tuple(range(head + 1, head + 1 + len(events)))


async def _names(source: SessionHandle, found: _SourceView, chosen: Sequence[ContextMessage | int] | range) -> set[int]:
    there = {entry.seq for entry in history(found.view) if entry.message is not None}
    if isinstance(chosen, range):
        return there.intersection(chosen)
    names = {one.seq if isinstance(one, ContextMessage) else one for one in chosen}
    for name in sorted(names - there):
        raise UnknownSeqError(source.id, name, (await source.info()).head, "no message of this name")
    return names


def _with_partners(found: _SourceView, names: set[int]) -> list[Entry]:
    """Add the results of chosen calls, and the calls and other results of chosen results."""
    entries = [entry for entry in history(found.view) if entry.message is not None]
    owners = _owners(entries)
    whole = {owners.get(name, (name, 0))[0] for name in names}
    return [entry for entry in entries if owners.get(entry.seq, (entry.seq, 0))[0] in whole or entry.seq in names]


def _owners(entries: Sequence[Entry]) -> dict[int, tuple[int, int]]:
    """Map each result to the call it answers: the name of the call's message, and the content index.

    A result without a place belongs to the latest unanswered call of its id before it.
    """
    waiting: list[tuple[int, int, str]] = []
    owners: dict[int, tuple[int, int]] = {}
    for entry in entries:
        message = entry.message
        if isinstance(message, AssistantMessage):
            calls = [(entry.seq, index, b.id) for index, b in enumerate(message.content) if isinstance(b, ToolCall)]
            waiting = [*reversed(calls), *waiting]
        elif isinstance(message, ToolResultMessage):
            place = (entry.call.message_seq, entry.call.content_index) if entry.call is not None else None
            fits = [c for c in waiting if (c[:2] == place if place is not None else c[2] == message.tool_call_id)]
            if fits:
                call = fits[0] if place is not None else min(c for c in fits if c[0] == fits[0][0])
                owners[entry.seq] = call[:2]
                waiting.remove(call)
    return owners


def _messages(source: str, found: _SourceView, entries: Sequence[Entry], head: int, config: Config) -> list[Event]:
    owners = _owners([entry for entry in history(found.view) if entry.message is not None])
    new = {entry.seq: seq for seq, entry in enumerate(entries, start=head + 1)}
    events: list[Event] = []
    for entry in entries:
        owner = owners.get(entry.seq)
        place = Place(message_seq=new[owner[0]], content_index=owner[1]) if owner and owner[0] in new else None
        events.append(
            MessageAdopt(
                message=_named(_recorded(entry), found.models.get(entry.seq), config),
                origin=Origin(source=SOURCE, session=source, entry=str(entry.seq)),
                sent_at_us=entry.at_us,
                call=place,
            )
        )
    return events


def _recorded(entry: Entry) -> Message:
    """Return an entry's message; of one that was cut off and kept, what a model saw of it."""
    message = entry.standing if entry.interrupted and entry.standing is not None else entry.message
    if message is None:
        raise ValueError(f"entry {entry.seq} holds no message")
    return message


def _named(message: Message, model: ModelRef | None, config: Config) -> Message:
    """Write down which model an answer came from, where the session that takes it has another one in force."""
    return message if model == config.model else with_model(message, model)


async def _results(
    target: SessionHandle, state: State, source: str, found: _SourceView, names: set[int]
) -> Sequence[Event]:
    """Settle open calls with the results of equal calls, each used once; what fits no call stays a message."""
    entries = {entry.seq: entry for entry in history(found.view) if entry.message is not None}
    owners = _owners(list(entries.values()))
    left = {name: _asked(entries, owners.get(name)) for name in sorted(names)}
    events: list[Event] = []
    for place, call, key in await _open_calls(target, state):
        name = next((name for name, asked in left.items() if asked == key), None)
        if name is not None:
            del left[name]
            events += adopted_pair(place, call.name, _taken(source, entries[name]), attempt=call.attempt + 1)
    return [*events, *_messages(source, found, [entries[name] for name in left], 0, state.config)]


def _asked(entries: Mapping[int, Entry], owner: tuple[int, int] | None) -> tuple[str, str] | None:
    message = entries[owner[0]].message if owner is not None else None
    block = message.content[owner[1]] if owner is not None and isinstance(message, AssistantMessage) else None
    return (block.name, canonical(block.arguments)) if isinstance(block, ToolCall) else None


async def _open_calls(session: SessionHandle, state: State) -> list[tuple[Place, CallState, tuple[str, str]]]:
    """List the calls of the open batch that have not ended, with what they ask."""
    batch = state.batch
    page = await session.events(after=batch.message_seq - 1, limit=1) if batch is not None else ()
    event = page[0].event if page else None
    if batch is None or not isinstance(event, MessageEnd) or event.message is None:
        return []
    content = event.message.content
    calls = [(call, content[call.content_index]) for call in batch.calls if not call.ended and not call.waiting]
    return [(batch.place(c), c, (b.name, canonical(b.arguments))) for c, b in calls if isinstance(b, ToolCall)]


def _taken(source: str, entry: Entry) -> Repeat:
    message = entry.message
    result = ToolResult()
    if isinstance(message, ToolResultMessage):
        result = ToolResult(content=message.content, details=message.details)
    is_error = isinstance(message, ToolResultMessage) and message.is_error
    origin = Origin(source=SOURCE, session=source, entry=str(entry.seq))
    return Repeat(origin=origin, result=result, is_error=is_error)

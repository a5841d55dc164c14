"""A session at one seq, as it is jumped to: what happened there, how the run stands, and where to go from there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventsource.assemble import Assembler
from eventsource.envelope import Recorded
from eventsource.events import MessageUpdate, Place
from eventsource.machine.state import State, Wait
from eventsource.messages import TextContent, ThinkingContent, ToolCall, Usage
from projections.context import ContextView, entry_of, pushed
from projections.usage import UsageView
from replay.request_parts import shown
from replay.why_text import standing_text

from ..waits import Waiting, describe_wait
from .columns import ROW_KINDS, Columns, before_and_after
from .cutting import EVENT_BYTES, CutJson, cut_json
from .index import At
from .links import caused_by, leads_to
from .requests import SHOWN_CHARACTERS, AskedRequest, request_tokens

TAIL_CHARACTERS = 4_000
"""What is shown of a block that is being streamed: its end."""
MOST_LISTED = 50
"""Of calls, queued messages and waits; how many there are is told."""


class CallThere(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the batch under way. `status`: not begun, running, waiting, refused, ended, delivered to the model."""

    place: Place
    name: str
    arguments: str
    status: str
    waits_for: str = ""
    child: str = ""


class QueuedThere(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits to be delivered."""

    seq: int
    queue: str
    role: str
    text: str


class StreamedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block of the message that is being streamed, as far as it had come: of a long one its end."""

    kind: str
    name: str
    text: str
    characters: int


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What was used: tokens by kind, and the cost in millionths of a dollar where it is known.

    `unpriced`: answers whose price is not known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_microusd: int | None = None
    unpriced: int = 0


class AskedThere(msgspec.Struct, frozen=True, kw_only=True):
    """The request that a seq is about; see `RequestHead`."""

    request_seq: int
    before_seq: int
    recorded_sha256: str
    messages: int
    tokens: int
    estimated: bool


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """The nearest seqs on one side; 0 where there is none. `tool`: of the same tool, at a call; else of any."""

    turn: int
    prompt: int
    error: int
    tool: int
    compaction: int
    fork: int
    row: int


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """A session at a seq.

    `row`: the number of the row that the event belongs to, -1 without one, and `row_seq` its seq. `event`: as it is
    stored, but for what is cut. `streaming`: the blocks of the message that is open there. `usage`: of the session so
    far, what it inherited included; `turn_usage`, `call_usage`: of the turn and of the model call there, as they ended.
    `caused_by`, `leads_to`: what led to the event (0: nothing of this session), and what came of it. `calls_in_all`,
    `queued_in_all`, `waits_in_all`: how many there are, where not all are listed.
    """

    session: str
    seq: int
    head: int
    indexed_to: int
    at_us: int
    type: str
    event: CutJson
    phase: str
    standing: str
    row: int
    row_seq: int
    request: AskedThere
    calls: tuple[CallThere, ...]
    calls_in_all: int
    queue: tuple[QueuedThere, ...]
    queued_in_all: int
    waits: tuple[Waiting, ...]
    waits_in_all: int
    streaming: tuple[StreamedBlock, ...]
    usage: Used
    turn_usage: Used
    call_usage: Used
    previous: Neighbours
    next: Neighbours
    caused_by: int
    leads_to: tuple[int, ...]


def jump_to(at: At, event: Recorded | None, updates: Sequence[Recorded] = (), forks: Sequence[int] = ()) -> Jump:
    """Return a session at a seq.

    Args:
        event: the one there; None when it is an update whose content was dropped.
        updates: those of the message that is open there, up to the seq.
        forks: the seqs at which other sessions begin as forks of this one, in order.
    """
    columns, state = at.whole.columns, at.state
    row = columns.row_at(at.seq, event.event if event is not None else None)
    asked, before = at.seen.trace.about()
    tokens, estimated = request_tokens(at, asked)
    previous, behind = _neighbours(columns, at.seq, row, forks)
    batch = state.batch.calls if state.batch is not None else ()
    return Jump(
        session=at.info.id,
        seq=at.seq,
        head=at.info.head,
        indexed_to=at.whole.reached,
        at_us=event.at_us if event is not None else 0,
        type=str(event.event.__struct_config__.tag) if event is not None else "",
        event=cut_json(event.event if event is not None else None, EVENT_BYTES),
        phase=state.phase.value,
        standing=standing_text(state),
        row=row if row is not None else -1,
        row_seq=columns.seqs[row] if row is not None else 0,
        request=AskedThere(
            request_seq=asked.seq,
            before_seq=before.seq if before is not None else 0,
            recorded_sha256=asked.event.request_sha256 if asked.event is not None else "",
            messages=len(AskedRequest(at)),
            tokens=tokens,
            estimated=estimated,
        ),
        calls=tuple(_calls(state, at.view)),
        calls_in_all=len(batch),
        queue=tuple(_queued(state, at.view)),
        queued_in_all=len(state.queue),
        waits=tuple(_waits(at, state.waits)),
        waits_in_all=len(state.waits),
        streaming=_streamed(updates),
        usage=_so_far(at.seen.usage),
        turn_usage=_turn_usage(columns, at.seq),
        call_usage=_call_usage(columns, asked.seq),
        previous=previous,
        next=behind,
        caused_by=caused_by(at, event) if event is not None else 0,
        leads_to=leads_to(at, event) if event is not None else (),
    )


def _calls(state: State, view: ContextView) -> list[CallThere]:
    batch = state.batch
    if batch is None:
        return []
    entry = entry_of(view, batch.message_seq)
    content = getattr(entry.message, "content", ()) if entry is not None else ()
    listed = []
    for call in batch.calls[:MOST_LISTED]:
        block = content[call.content_index] if call.content_index < len(content) else None
        status = (
            "delivered" if call.delivered
            else "ended" if call.ended
            else "refused" if call.refused is not None
            else "waiting" if call.waiting
            else "running" if call.started
            else "not begun"
        )  # fmt: skip
        listed.append(
            CallThere(
                place=batch.place(call),
                name=call.name,
                arguments=block.arguments[:SHOWN_CHARACTERS] if isinstance(block, ToolCall) else "",
                status=status,
                waits_for=call.waiting,
                child=call.child,
            )
        )
    return listed


def _queued(state: State, view: ContextView) -> list[QueuedThere]:
    listed = []
    for push in state.queue[:MOST_LISTED]:
        message = pushed(view, push.seq)
        text = shown(message, SHOWN_CHARACTERS) if message is not None else ""
        listed.append(QueuedThere(seq=push.seq, queue=push.queue, role=push.role, text=text))
    return listed


def _waits(at: At, waits: Sequence[Wait]) -> list[Waiting]:
    listed = []
    for wait in waits[:MOST_LISTED]:
        token = at.state.token(wait.key)
        listed.append(describe_wait(at.info.id, wait, at.view, token.tags if token is not None else ()))
    return listed


def _streamed(updates: Sequence[Recorded]) -> tuple[StreamedBlock, ...]:
    """Put together how far a message had come; a second start goes on with it."""
    assembler = Assembler()
    assembler.extend(one.event for one in updates if isinstance(one.event, MessageUpdate))
    blocks = []
    for block in assembler.content():
        match block:
            case TextContent(text=text):
                kind, name, said = "text", "", text
            case ThinkingContent(thinking=thinking):
                kind, name, said = "thinking", "", thinking
            case ToolCall():
                kind, name, said = "tool_call", block.name, block.arguments
            case _:
                kind, name, said = "provider", block.api, ""
        blocks.append(StreamedBlock(kind=kind, name=name, text=said[-TAIL_CHARACTERS:], characters=len(said)))
    return tuple(blocks)


def open_message_seq(at: At) -> int:
    """Return the seq at which the message began that is being streamed there; 0 when none is."""
    return at.state.stream.start_seq if at.state.stream is not None else 0


def _so_far(view: UsageView) -> Used:
    whole = view.own + view.inherited
    return used_of(whole.usage, whole.unpriced)


def used_of(usage: Usage | None, unpriced: int = 0) -> Used:
    """Return what was used, as it is shown."""
    if usage is None:
        return Used(unpriced=unpriced)
    return Used(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_microusd=usage.cost_microusd,
        unpriced=unpriced,
    )


def _turn_usage(columns: Columns, seq: int) -> Used:
    """Add up the model calls of the turn that a seq lies in."""
    begun, _ = before_and_after(columns.marks.turns, seq + 1)
    _, behind = before_and_after(columns.marks.turns, seq)
    calls = columns.calls
    if not begun:
        return Used()
    first, last = calls.place(begun), calls.place(behind) if behind else len(calls)
    used = [usage for usage in calls.usages[first:last] if usage is not None]
    return used_of(sum(used, Usage()), sum(usage.cost_microusd is None for usage in used))


def _call_usage(columns: Columns, request_seq: int) -> Used:
    calls = columns.calls
    place = calls.place(request_seq) if request_seq else len(calls)
    if place == len(calls) or calls.seqs[place] != request_seq:
        return Used()
    usage = calls.usages[place]
    return used_of(usage, int(usage is not None and usage.cost_microusd is None))


def _neighbours(columns: Columns, seq: int, row: int | None, forks: Sequence[int]) -> tuple[Neighbours, Neighbours]:
    marks = columns.marks
    name = columns.who_names[columns.whos[row]] if row is not None and ROW_KINDS[columns.kinds[row]] == "tool" else ""
    tool = before_and_after(marks.tools[name], seq) if name in marks.tools else _any_tool(columns, seq)
    found = {
        "turn": before_and_after(marks.turns, seq),
        "prompt": before_and_after(marks.prompts, seq),
        "error": before_and_after(marks.errors, seq),
        "tool": tool,
        "compaction": before_and_after(marks.compactions, seq),
        "fork": before_and_after(list(forks), seq),
        "row": before_and_after(columns.seqs, columns.seqs[row] if row is not None else seq),
    }
    return (
        Neighbours(**{what: pair[0] for what, pair in found.items()}),
        Neighbours(**{what: pair[1] for what, pair in found.items()}),
    )


def _any_tool(columns: Columns, seq: int) -> tuple[int, int]:
    pairs = [before_and_after(seqs, seq) for seqs in columns.marks.tools.values()]
    before = max((one for one, _ in pairs), default=0)
    return before, min((one for _, one in pairs if one), default=0)

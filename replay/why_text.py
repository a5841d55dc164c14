"""Words for where a run stands, and for why a request is as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from difflib import unified_diff
from typing import TYPE_CHECKING

from eventsource.machine.state import Batch, Phase, State

if TYPE_CHECKING:
    from .request_changes import Change
    from .request_parts import RequestPart
    from .why import Why

_LINE = 72
"""Characters shown of a message."""
_SOURCES = {
    "nobody": "never set",
    "config": "config_change",
    "prompt": "prompt queued at",
    "steering": "steering queued at",
    "follow_up": "follow-up queued at",
    "inbox": "put into the inbox at",
    "output": "asked again at",
    "answer": "answered at",
    "result": "result stored at",
    "adopted": "adopted at",
    "compaction": "summary of compaction",
    "edit": "context_edit",
    "hook": "put in by a hook at",
    "completed": "completed: its call has no result on record",
}
_GONE = {"hook": "left out by a hook at", "edit": "hidden by context_edit", "compaction": "compacted at"}


def standing_text(state: State) -> str:
    """Describe where a run stands."""
    said = _phase(state)
    if state.aborted is not None:
        said += f"; {state.aborted.cause} asked to end the run ({state.aborted.reason})"
    if state.queue:
        said += f"; {_count(len(state.queue), 'message')} queued"
    if state.waits:
        said += f"; waiting for {', '.join(wait.key for wait in state.waits)}"
    return said


def _phase(state: State) -> str:
    turn = f"turn {state.run.turns}" if state.run is not None else ""
    match state.phase:
        case Phase.IDLE:
            ended = f"the last run ended with {state.ended}" if state.ended is not None else "nothing has run here yet"
            return f"idle: {f'task {state.task} is open' if state.task else ended}"
        case Phase.STARTED:
            return "a run has begun, its first turn is about to begin"
        case Phase.OPEN:
            return f"{turn}: inputs are delivered, then the model is asked"
        case Phase.INPUT:
            return f"{turn}: an input is being delivered"
        case Phase.REQUESTED:
            return f"{turn}: the model was asked (attempt {state.run.attempt if state.run else 1}), nothing came yet"
        case Phase.STREAMING:
            blocks = len(state.stream.blocks) if state.stream is not None else 0
            return f"{turn}: the model is answering, {_count(blocks, 'block')} so far"
        case Phase.TOOLS:
            return f"{turn}: {_batch(state.batch)}"
        case Phase.RESULT:
            return f"{turn}: a tool's result is being delivered"
        case Phase.SETTLED:
            return f"{turn}: everything is answered, the turn is about to end"
        case Phase.FAILED:
            return f"{turn}: the answer failed: {state.run.error if state.run else ''}"
        case Phase.BETWEEN:
            return f"{turn} has ended: another one, or the end of the run"
        case Phase.ENDING:
            return f"{turn} has ended: the run is about to end"


def _batch(batch: Batch | None) -> str:
    calls = batch.calls if batch is not None else ()
    ended = sum(call.ended for call in calls)
    waiting = sum(bool(call.waiting) for call in calls)
    running = sum(call.started and not call.ended and not call.waiting for call in calls)
    left = len(calls) - ended - waiting - running
    counts = {"ended": ended, "running": running, "waiting": waiting, "not begun": left}
    return f"{_count(len(calls), 'tool call')}: " + ", ".join(f"{n} {what}" for what, n in counts.items() if n)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def pretty(found: Why, last: int | None) -> str:
    """Write it for a terminal, without colours; of the messages only the last so many (None: all)."""
    return "\n".join(_pretty(found, last)) + "\n"


def _pretty(found: Why, last: int | None) -> Iterator[str]:
    at = datetime.fromtimestamp(found.at_us / 1_000_000, UTC).isoformat(sep=" ", timespec="seconds")
    yield f"session {found.session}, seq {found.seq}: {found.event}, {at}"
    yield f"stood    {found.standing}"
    if found.adopted:
        yield f"request  of the answer adopted at seq {found.request_seq}: what was sent elsewhere is not on record"
    elif found.request_seq:
        yield f"request  sent at seq {found.request_seq}; its digest is {_agreement(found.digest)}"
        if found.body != "unchecked":
            settings = "; the model was called with settings of its own" if found.body == "differs" else ""
            yield f"body     {_agreement(found.body)}{settings}"
    else:
        yield "request  not sent: it is what the model would get next"
    said = [part for part in found.parts if part.what == "message"]
    left = max(len(said) - last, 0) if last is not None else 0
    listed = said[left:]
    place = _common_place(listed)
    if place is not None:
        yield f"from     {' '.join(filter(None, place[:2]))}{f', {place[2]}' if place[2] else ''}"
    yield ""
    yield from (_part(part) for part in found.parts if part.what != "message")
    if left + found.earlier:
        yield f"  … {_count(left + found.earlier, 'earlier message')} (--limit 0 shows all)"
    for part in listed:
        entry = part.origin.entry if part.origin is not None and place == _place(part) else ""
        yield _part(part, how=f"{_SOURCES[part.source]} {part.seq} ({entry})" if entry else "")
    yield from (_part(part, how=f"{_from(part)}, left out by a hook") for part in found.left_out)
    if not found.before_seq:
        return
    yield ""
    yield (
        f"changed since the request at seq {found.before_seq}:"
        if found.changes
        else (f"the same as the request at seq {found.before_seq}")
    )
    for change in found.changes:
        yield from _change(change)
    if found.more_changes:
        yield f"  … {_count(found.more_changes, 'more change')} (--limit 0 shows all)"


def _common_place(parts: Sequence[RequestPart]) -> tuple[str, str, str] | None:
    """Return from where most of the messages were adopted, if several were from one session: it is said once."""
    places = Counter(place for part in parts if (place := _place(part)) is not None)
    most = places.most_common(1)
    return most[0][0] if most and most[0][1] > 1 else None


def _place(part: RequestPart) -> tuple[str, str, str] | None:
    return None if part.origin is None else (part.origin.source, part.origin.session, part.file)


def _agreement(how: str) -> str:
    words = {"equal": "the recorded one", "differs": "NOT the recorded one"}
    return words.get(how, "not checkable any more: content was erased")


def _part(part: RequestPart, mark: str = " ", how: str = "") -> str:
    name = str(part.name) if part.name else "-"
    what = f"{name} {part.role}" if part.what == "message" else part.what.replace("_", " ")
    text = " ".join(part.text.split())
    cut = text if len(text) <= _LINE else text[: _LINE - 1] + "…"
    return f"{mark} {what:<16}  {how or _from(part):<22}  {cut or '-'}"


def _from(part: RequestPart) -> str:
    detail = f" ({part.detail})" if part.detail else ""
    return f"{_SOURCES[part.source]}{f' {part.seq}' if part.seq else ''}{detail}"


def _change(change: Change) -> Iterator[str]:
    if change.kind == "added":
        yield _part(change.part, "+")
        return
    if change.kind == "removed":
        gone = f"{_GONE.get(change.part.source, 'gone since')} {change.part.seq}"
        before = change.before or change.part
        yield _part(before, "-", gone if change.part.name else f"{_from(before)}, and only there")
        return
    yield _part(change.part, "~")
    if change.before is not None:
        old, new = change.before.text.splitlines(), change.part.text.splitlines()
        yield from (f"      {line}" for line in list(unified_diff(old, new, lineterm="", n=1))[2:] if line[:2] != "@@")

"""A session and its forks as one page that needs nothing else: no script, no network, light or dark as read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    Compaction,
    ConfigChange,
    ContextEdit,
    EventBase,
    Fork,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    ModelRequest,
    QueuePush,
    Retry,
    StreamUpdate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    TurnEnd,
    TurnStart,
)
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.machine.outcome import Ending, ending, outcome
from eventsource.messages import CustomMessage
from eventsource.session import SessionHandle
from projections.calls import CALLS, CallView, tool_calls
from projections.context import CONTEXT, Entry, history
from projections.transcript import TranscriptMessage, read_transcript, text_of
from projections.usage import USAGE, UsageView, cost_text

from ..lineage import forks_of
from .blocks import blocks, esc, folded, paragraph, pre, when
from .style import STYLE

_PAGE = 200
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TOLD: tuple[type[EventBase], ...] = (
    AgentStart,
    TurnStart,
    TurnEnd,
    MessageStart,
    MessageEnd,
    MessageAdopt,
    ModelRequest,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolExecutionEnd,
    QueuePush,
    Compaction,
    StreamUpdate,
    Fork,
)
"""Events that a page tells by its messages and calls; of all others there is a line."""


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a page: what was said and done in it after the part it inherited.

    `edits`: the last edit of each message, `calls`: by message and content index, `forks`: those that begin in it,
    `waits`: what it waits for, in words.
    """

    info: SessionInfo
    said: tuple[tuple[TranscriptMessage, Entry], ...]
    marks: tuple[Recorded, ...]
    calls: Mapping[int, Mapping[int, CallView]]
    edits: Mapping[int, Entry]
    usage: UsageView
    ending: Ending
    forks: tuple[SessionInfo, ...]
    waits: tuple[str, ...] = ()


FindWaits: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Say, in words, what a session waits for."""


async def session_page(session: SessionHandle, waits: FindWaits | None = None) -> str:
    """Write a session, and after it everything forked from it, as one HTML page.

    Raises: UnknownSessionError.
    """
    return page([chapter async for chapter in _chapters(session.log, session.id, waits)])


def page(chapters: Sequence[Chapter]) -> str:
    """Write the page; the first chapter is shown with what it inherited, the others as the forks they are."""
    first = chapters[0].info
    title = esc(first.title or first.id)
    body = "".join(part for chapter in chapters for part in _chapter(chapter, whole=chapter is chapters[0]))
    tree = f"<nav><ul>{_tree(chapters, first.id)}</ul></nav>" if len(chapters) > 1 else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{STYLE}</style></head>'
        f"<body><header><h1>{title}</h1>{_facts(chapters[0])}</header>{tree}<main>{body}</main></body></html>\n"
    )


async def _chapters(log: EventLog, root: str, waits: FindWaits | None) -> AsyncIterator[Chapter]:
    """Read a session, then its forks in the order of the seqs at which they begin, then theirs."""
    left = [root]
    while left:
        session = left.pop(0)
        chapter = await _read(log, session, whole=session == root)
        if waits is not None and chapter.info.status == "waiting":
            chapter = msgspec.structs.replace(chapter, waits=tuple(await waits(session)))
        left = [*(fork.id for fork in chapter.forks), *left]
        yield chapter


async def _read(log: EventLog, session: str, *, whole: bool) -> Chapter:
    info = await log.info(session)
    after = 0 if whole else info.fork_seq
    view, calls, usage, last = CONTEXT.initial, CALLS.initial, USAGE.initial, Ending()
    marks: list[Recorded] = []
    async for recorded in read_all(log, session, upto=info.head, updates=False):
        view, calls, usage = CONTEXT.step(view, recorded), CALLS.step(calls, recorded), USAGE.step(usage, recorded)
        last = ending(last, recorded.event)
        ended_well = isinstance(recorded.event, AgentEnd) and recorded.event.reason == "stop"
        if recorded.seq > after and not isinstance(recorded.event, _TOLD) and not ended_well:
            marks.append(recorded)
    said = zip(read_transcript(view), [e for e in history(view) if e.message is not None], strict=True)
    forks = await forks_of(log, session)
    return Chapter(
        info=info,
        said=tuple(both for both in said if both[0].seq > after),
        marks=tuple(marks),
        calls=_by_message(tool_calls(calls)),
        edits={entry.edits: entry for entry in view.edits},
        usage=usage,
        ending=last,
        forks=tuple(sorted(forks, key=lambda fork: (fork.fork_seq, fork.created_at_us))),
    )


def _by_message(calls: Sequence[CallView]) -> dict[int, dict[int, CallView]]:
    found: dict[int, dict[int, CallView]] = {}
    for call in calls:
        found.setdefault(call.place.message_seq, {})[call.place.content_index] = call
    return found


def _facts(chapter: Chapter) -> str:
    info, spent = chapter.info, chapter.usage.own
    used, inherited = spent.usage, chapter.usage.inherited.usage.total_tokens
    cost = f", {cost_text(spent)}" if spent.calls else ""
    models = ", ".join(name for name, _ in chapter.usage.by_model)
    lines = [
        f"{esc(info.id)} · {info.head:,} events · {info.messages:,} messages · {esc(info.status)}",
        f"{when(info.created_at_us)} to {when(info.updated_at_us)} UTC",
        f"{used.input_tokens:,} tokens in, {used.cache_read_tokens:,} cached, {used.output_tokens:,} out{cost}"
        + (f" · {esc(models)}" if models else "")
        + (f" · {inherited:,} tokens inherited" if inherited else ""),
    ]
    ended = outcome(chapter.ending)
    if info.status in ("idle", "failed") and ended.reason:
        lines.append(f'the last run ended as {ended.status}: <span class="bad">{esc(ended.reason)}</span>')
    elif info.status == "interrupted":
        lines.append('<span class="bad">its run is unfinished, and nobody ran it when this page was made</span>')
    elif info.status == "queued":
        lines.append("a queued message waits for the next run")
    lines += [f'<span class="bad">it {esc(wait)}</span>' for wait in chapter.waits]
    if info.parent is not None:
        lines.append(f"a fork of {esc(info.parent)} at {info.fork_seq}")
    return "".join(f'<p class="fact">{line}</p>' for line in lines)


def _tree(chapters: Sequence[Chapter], session: str) -> str:
    chapter = next(one for one in chapters if one.info.id == session)
    below = "".join(_tree(chapters, fork.id) for fork in chapter.forks)
    return f"<li>{_link(chapter.info)}{f'<ul>{below}</ul>' if below else ''}</li>"


def _link(info: SessionInfo) -> str:
    at = f"from {info.fork_seq}: " if info.parent is not None else ""
    return f'{at}<a href="#{esc(info.id)}">{esc(info.title or info.id)}</a>'


def _chapter(chapter: Chapter, *, whole: bool) -> Iterator[str]:
    """Write a session's messages, and between them a line for each other event and for each fork that begins there."""
    info = chapter.info
    yield f'<section id="{esc(info.id)}">'
    if not whole:
        yield f"<h2>{esc(info.title or info.id)}</h2>{_facts(chapter)}"
        yield f'<p class="mark"><a href="#at-{esc(info.id)}">where it begins</a></p>'
    answers = _answers(chapter)
    pieces = [(said.seq, 1, _said(chapter, said, entry, answers)) for said, entry in chapter.said]
    pieces += [(recorded.seq, 0, _mark(info, recorded)) for recorded in chapter.marks]
    for fork in chapter.forks:
        pieces.append((fork.fork_seq, 2, f'<p class="mark" id="at-{esc(fork.id)}">→ fork {_link(fork)}</p>'))
    yield from (text for _, _, text in sorted(pieces, key=lambda one: one[:2]))
    yield "</section>"


def _answers(chapter: Chapter) -> dict[int, dict[int, Entry]]:
    """Find the results that can be shown with their calls: by message, then by content index."""
    asked = {said.seq for said, _ in chapter.said}
    found: dict[int, dict[int, Entry]] = {}
    for _, entry in chapter.said:
        call = entry.call
        made = chapter.calls.get(call.message_seq, {}) if call is not None else {}
        if call is not None and call.message_seq in asked and call.content_index in made:
            found.setdefault(call.message_seq, {})[call.content_index] = entry
    return found


def _said(chapter: Chapter, said: TranscriptMessage, entry: Entry, answers: Mapping[int, Mapping[int, Entry]]) -> str:
    """Write a message; of a result that is shown with its call, only the place to link to."""
    message, call = entry.message, entry.call
    if message is None or (call is not None and answers.get(call.message_seq, {}).get(call.content_index) is entry):
        return f'<a id="{esc(chapter.info.id)}-{said.seq}"></a>'
    results = {index: answer.message for index, answer in answers.get(said.seq, {}).items()}
    found = {index: result for index, result in results.items() if result is not None}
    role = said.role if said.role in ("user", "assistant", "tool_result") else "other"
    bad = f'<span class="bad">{esc(said.note or "error")}</span>' if said.note or said.is_error else ""
    notes = [said.tool, "" if said.seen else "not in the model's context", _origin(entry)]
    head = bad + "".join(f"<span>{esc(note)}</span>" for note in notes if note)
    body = "".join(blocks(message, chapter.calls.get(said.seq, {}), found)) + _edited(chapter.edits.get(said.seq))
    if isinstance(message, CustomMessage) and entry.summary:
        body = paragraph(text_of(message))
    seen = "" if said.seen else " unseen"
    return (
        f'<article class="{role}{seen}" id="{esc(chapter.info.id)}-{said.seq}">'
        f'<h3><a href="#{esc(chapter.info.id)}-{said.seq}">{said.seq}</a><b>{esc(said.role.replace("_", " "))}</b>'
        f"{when(said.at_us)}{head}</h3>{body}</article>"
    )


def _origin(entry: Entry) -> str:
    origin = entry.origin
    return f"from {' '.join(filter(None, (origin.source, origin.session, origin.entry)))}" if origin is not None else ""


def _edited(edit: Entry | None) -> str:
    if edit is None:
        return ""
    if edit.message is None:
        return '<p class="mark">hidden from the model</p>'
    return folded("mark", "replaced for the model", "".join(blocks(edit.message, {}, {})), unfolded=True)


def _mark(info: SessionInfo, recorded: Recorded) -> str:
    """Write a line for an event that is no message and no call; what it holds opens on a click."""
    event = recorded.event
    kind = str(event.__struct_config__.tag).replace("_", " ")
    text = _words(event)
    name = f'<a href="#{esc(info.id)}-{recorded.seq}">{recorded.seq}</a> {esc(kind)}'
    bad = isinstance(event, AbortRequest | Retry) or (isinstance(event, AgentEnd) and event.reason != "stop")
    line = f'{name} <span class="bad">{esc(text)}</span>' if bad else f"{name} {esc(text)}".rstrip()
    fields = msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
    body = folded("", line, _config(event) if isinstance(event, ConfigChange) else pre(fields))
    return f'<div class="mark" id="{esc(info.id)}-{recorded.seq}">{body}</div>'


def _words(event: EventBase) -> str:
    match event:
        case ConfigChange():
            model = f"{event.model.provider}:{event.model.model}" if event.model is not None else ""
            tools = f"tools {', '.join(tool.name for tool in event.tools)}" if event.tools else ""
            prompt = "system prompt" if event.system_prompt else ""
            return ", ".join(filter(None, (model, prompt, tools, "options" if event.options else "")))
        case AgentEnd():
            return ": ".join(filter(None, (event.reason, event.error)))
        case AbortRequest():
            return ": ".join(filter(None, (f"{event.reason}, by {event.cause}", event.error)))
        case Retry(cause=cause):
            return cause
        case ContextEdit(message_seq=seq):
            return f"of {seq}"
        case _:
            words = (getattr(event, name, "") for name in ("why", "text", "key", "kind", "name", "task"))
            return next((word for word in words if isinstance(word, str) and word), "")


def _config(event: ConfigChange) -> str:
    prompt = paragraph(event.system_prompt or "")
    tools = "".join(
        folded("call", f"<b>{esc(tool.name)}</b> {esc(tool.description)}", pre(_json(tool.schema)))
        for tool in event.tools or ()
    )
    options = pre(_json(event.options)) if event.options else ""
    return prompt + tools + options + (pre(_json(event.policies)) if event.policies is not None else "")


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

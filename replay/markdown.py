"""A session as one Markdown document: what was said and done in it, in the order of the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from eventsource.control_characters import plain
from eventsource.envelope import SessionInfo
from eventsource.log.load import load
from eventsource.log.protocol import EventLog
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
)
from projections.context import CONTEXT, ContextView, Entry, history
from projections.transcript import TranscriptMessage, read_transcript, text_of

from .omitting import MAY_REPEAT

_LAST_US = 250_000_000_000_000_000  # in the year 9892; Python's calendar ends soon after


async def session_markdown(log: EventLog, session: str, *, left_out: Sequence[str] = ()) -> str:
    """Write a session, with what it inherited and without its forks.

    Args:
        left_out: what the log lacks of it, in words; it is said above everything.

    Raises: UnknownSessionError.
    """
    info = await log.info(session)
    _, _, view = await load(log, session, context=CONTEXT)
    return plain("\n\n".join(part for part in _document(info, view, left_out) if part)) + "\n"


def _document(info: SessionInfo, view: ContextView, left_out: Sequence[str]) -> Iterator[str]:
    yield f"# {_line(info.title or info.id)}"
    if left_out:
        yield f"> **Left out of this: {', '.join(left_out)}.** {MAY_REPEAT}"
    yield "\n".join(f"- {fact}" for fact in _facts(info))
    if view.config.system_prompt:
        yield f"## System prompt\n\n{_fenced(view.config.system_prompt, 'text')}"
    edits = {entry.edits: entry for entry in view.edits}
    entries = [entry for entry in history(view) if entry.message is not None]
    for said, entry in zip(read_transcript(view), entries, strict=True):
        yield from _said(said, entry, edits)


def _facts(info: SessionInfo) -> Sequence[str]:
    who = ", ".join(filter(None, (info.agent, *info.models)))
    where = " ".join(filter(None, (info.folder, f"({info.branch})" if info.branch else "")))
    cost = f", ${info.cost_microusd / 1_000_000:,.4f}" if info.cost_microusd else ""
    tokens = f"{info.input_tokens:,} tokens in, {info.cache_read_tokens:,} cached, {info.output_tokens:,} out{cost}"
    told = (
        f"session {_code(info.id)}: {info.messages:,} messages, {info.status}",
        f"{_when(info.created_at_us)} to {_when(info.updated_at_us)} UTC",
        _line(who),
        _code(where) if where else "",
        tokens,
        f"a fork of {_code(info.parent)} at {info.fork_seq}" if info.parent is not None else "",
    )
    return [one for one in told if one]


def _said(said: TranscriptMessage, entry: Entry, edits: Mapping[int, Entry]) -> Iterator[str]:
    """Write a message: its head, its content, and how a model reads it, if otherwise."""
    who = f"result of {_code(said.tool)}" if said.role == "tool_result" else said.role.replace("_", " ")
    notes = [said.note, "error" if said.is_error else "", "" if said.seen else "not in the model's context"]
    more = "".join(f", {_line(note)}" for note in notes if note)
    yield f"## {said.seq}: {_line(who)}\n\n*{_when(said.at_us)}{more}*"
    if entry.message is not None:
        yield from _content(entry.message)
    edit = edits.get(said.seq)
    if edit is not None:
        yield "*The model reads in its place:*" if edit.message is not None else "*It is hidden from the model.*"
        if edit.message is not None:
            yield from _content(edit.message)


def _content(message: Message) -> Iterator[str]:
    if not isinstance(message, AssistantMessage):
        text = text_of(message)
        yield _fenced(text, "text") if isinstance(message, ToolResultMessage) and text else _text(text)
        content = getattr(message, "content", ())
        yield from (f"*(an image: {_line(one.media_type)})*" for one in content if isinstance(one, ImageContent))
        return
    for block in message.content:
        match block:
            case TextContent(text=text):
                yield _text(text)
            case ThinkingContent(thinking=text):
                yield "\n".join(f"> {line}".rstrip() for line in text.splitlines())
            case ToolCall(name=name, arguments=arguments):
                yield f"**{_code(name)}**\n\n{_fenced(_indented(arguments), 'json')}"
            case ProviderContent(api=api, block=raw):
                yield f"*(a block of {_line(api)})*\n\n{_fenced(_indented(bytes(raw).decode()), 'json')}"


def _text(text: str) -> str:
    """Write what somebody said, which is Markdown of its own: its headings stand below those of the document."""
    fence = ""
    lines = []
    for line in text.strip("\n").splitlines():
        found = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if found and not fence:
            fence = found[1]
        elif found and line.strip().startswith(fence) and not line.strip(" `~"):
            fence = ""
        elif not fence and re.match(r" {0,3}#{1,4}(\s|$)", line):
            line = f"##{line.lstrip()}"
        elif not fence and re.fullmatch(r" {0,3}(=+|-+)\s*", line):
            line = f"\\{line.lstrip()}"  # would make a heading of the line before
        lines.append(line)
    return "\n".join([*lines, *([fence] if fence else [])])


def _fenced(text: str, language: str) -> str:
    """Write text as it is, between more marks than it has."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def _code(text: str) -> str:
    flat = _line(text)
    longest = max((len(found) for found in re.findall("`+", flat)), default=0)
    marks, space = "`" * (longest + 1), " " if longest else ""
    return f"{marks}{space}{flat}{space}{marks}" if flat else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _when(at_us: int) -> str:
    return f"{datetime.fromtimestamp(min(max(at_us, 0), _LAST_US) / 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def _indented(text: str) -> str:
    """Indent JSON; other text stays as it is."""
    with suppress(ValueError, RecursionError):
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text

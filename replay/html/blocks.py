"""Pieces of a page: texts that can do no harm, messages, tool calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from html import escape

from eventsource.messages import (
    CustomMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
)
from projections.calls import CallView
from projections.transcript import text_of

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]")
_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]{1,40}")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*=?\s*=?\s*")
_LAST_US = 250_000_000_000_000_000  # in the year 9892; Python's calendar ends soon after
_SHORT = 100


def esc(text: str) -> str:
    """Make any text safe in a page, in an attribute too; what a page cannot hold, or turns round, is replaced."""
    return escape(_UNPRINTABLE.sub("\ufffd", text), quote=True).replace("\r", "&#13;")


def when(at_us: int) -> str:
    """Write a time, UTC, to the second."""
    at = datetime.fromtimestamp(min(max(at_us, 0), _LAST_US) / 1_000_000, UTC)
    return f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M:%S}</time>'


def took(us: int | None) -> str:
    """Write a length of time."""
    return "" if us is None else f"{us / 1000:.0f} ms" if us < 1_000_000 else f"{us / 1_000_000:.1f} s"


def paragraph(text: str, kind: str = "text") -> str:
    """Write text as it was written, in the direction it reads."""
    return f'<div class="{kind}" dir="auto">{esc(text)}</div>' if text.strip() else ""


def pre(text: str) -> str:
    """Write text in which every space counts."""
    return f'<pre dir="auto">{esc(text)}</pre>' if text else ""


def folded(kind: str, summary: str, body: str, *, unfolded: bool = False) -> str:
    """Write something that opens on a click; `summary` and `body` are HTML."""
    is_open = " open" if unfolded else ""
    return f'<details class="{kind}"{is_open}><summary>{summary}</summary>{body}</details>'


def blocks(message: Message, calls: Mapping[int, CallView], answers: Mapping[int, Message]) -> Iterator[str]:
    """Write a message's content, each call with its result.

    Args:
        calls, answers: by content index, of an assistant message.
    """
    if isinstance(message, CustomMessage):
        yield paragraph(text_of(message)) or pre(_indented(bytes(message.body).decode()))
        return
    plain = pre if isinstance(message, ToolResultMessage) else paragraph
    content = (TextContent(text=message.content),) if isinstance(message.content, str) else message.content
    for index, block in enumerate(content):
        match block:
            case TextContent(text=text):
                yield plain(text)
            case ImageContent():
                yield _image(block)
            case ThinkingContent(thinking=thinking):
                yield folded("thinking", "thinking", paragraph(thinking or "(not shown by the provider)"))
            case ToolCall():
                yield _call(block, calls.get(index), answers.get(index))
            case ProviderContent(api=api, block=raw):
                yield folded("thinking", f"a block of {esc(api)}", pre(_indented(bytes(raw).decode())))


def _image(image: ImageContent) -> str:
    if not _MEDIA_TYPE.fullmatch(image.media_type) or not _BASE64.fullmatch(image.data):
        return f'<p class="mark">[an image that cannot be shown: {esc(image.media_type)}]</p>'
    data = "".join(image.data.split())
    return f'<img alt="{esc(image.media_type)}" src="data:{image.media_type};base64,{data}">'


def _call(block: ToolCall, call: CallView | None, answer: Message | None) -> str:
    arguments = call.arguments if call is not None else block.arguments
    status = call.status if call is not None else "open"
    words = [call.refused or ("" if status == "done" else status)] if call is not None else []
    words += ["run with other arguments than the model's" if arguments != block.arguments else ""]
    words += [took(call.duration_us) if call is not None else "", "adopted" if call and call.adopted else ""]
    words += [call.decided.words if call is not None and call.decided is not None else ""]
    words += [f"attempt {call.attempts}" if call is not None and call.attempts > 1 else ""]
    said = ", ".join(dict.fromkeys(word for word in words if word))
    failed = status == "failed" or (call is not None and call.is_error)
    flat = " ".join(arguments.split())
    cut = flat if len(flat) <= _SHORT else flat[: _SHORT - 1] + "…"
    summary = f"<b>{esc(block.name)}</b> <code>{esc(cut)}</code>{f' <small>{esc(said)}</small>' if said else ''}"
    body = pre(_indented(arguments))
    if arguments != block.arguments:
        body = f'<p class="mark">the model asked for:</p>{pre(_indented(block.arguments))}'
        body += f'<p class="mark">it was run with:</p>{pre(_indented(arguments))}'
    for child in call.children if call is not None else ():
        tokens = f", {child.tokens:,} tokens" if child.tokens else ""
        body += f'<p class="mark">worked on in session {esc(child.session)}: {child.status}{tokens}</p>'
    if answer is not None:
        body += "".join(blocks(answer, {}, {}))
    elif call is not None and call.result is not None:
        content = call.result.content
        body += "".join(pre(one.text) if isinstance(one, TextContent) else _image(one) for one in content)
    else:
        body += '<p class="mark">no result on record</p>'
    return folded(f"call{' failed' if failed else ''}", summary, body, unfolded=failed)


def _indented(text: str) -> str:
    """Indent JSON; other text stays as it is."""
    with suppress(ValueError):
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text

"""Which messages of applications a model sees, and as what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from eventsource.codec import read_object
from eventsource.messages import CustomMessage, ImageContent, TextContent, UserContent, UserMessage

Fields = Mapping[str, object]

COMPACTION_SUMMARY = "compactionSummary"
"""The kind that a compaction's summary has among the messages of a context."""


def render(message: CustomMessage) -> UserMessage | None:
    """Turn a custom message into what the model reads; None when it is not for the model, or of an unknown kind."""
    renderer = RENDERERS.get(message.kind)
    content = renderer(read_object(message.body)) if renderer is not None else ()
    return UserMessage(content=content) if content else None


def _text(text: str) -> tuple[UserContent, ...]:
    return (TextContent(text=text),)


def _compaction_summary(fields: Fields) -> tuple[UserContent, ...]:
    return _text(
        "The conversation history before this point was compacted into the following summary:\n\n"
        f"<summary>\n{fields.get('summary', '')}\n</summary>"
    )


def _branch_summary(fields: Fields) -> tuple[UserContent, ...]:
    return _text(
        "The following is a summary of a branch that this conversation came back from:\n\n"
        f"<summary>\n{fields.get('summary', '')}</summary>"
    )


def _bash_execution(fields: Fields) -> tuple[UserContent, ...]:
    if fields.get("excludeFromContext"):
        return ()
    output = fields.get("output")
    text = f"Ran `{fields.get('command', '')}`\n" + (f"```\n{output}\n```" if output else "(no output)")
    code = fields.get("exitCode")
    if fields.get("cancelled"):
        text += "\n\n(command cancelled)"
    elif code is not None and code != 0:
        text += f"\n\nCommand exited with code {code}"
    if fields.get("truncated") and fields.get("fullOutputPath"):
        text += f"\n\n[Output truncated. Full output: {fields['fullOutputPath']}]"
    return _text(text)


def _content(fields: Fields) -> tuple[UserContent, ...]:
    content = fields.get("content")
    if isinstance(content, str):
        return _text(content)
    blocks = (_block(block) for block in (content if isinstance(content, list) else ()))
    return tuple(block for block in blocks if block is not None)


def _block(block: object) -> UserContent | None:
    match block:
        case {"type": "text", "text": str(text)}:
            return TextContent(text=text)
        case {"type": "image", "data": str(data), "mimeType": str(media_type)}:
            return ImageContent(data=data, media_type=media_type)
        case _:
            return None


RENDERERS: Mapping[str, Callable[[Fields], tuple[UserContent, ...]]] = MappingProxyType(
    {
        "bashExecution": _bash_execution,
        "branchSummary": _branch_summary,
        COMPACTION_SUMMARY: _compaction_summary,
        "custom": _content,
        "hookMessage": _content,
    }
)
"""Kind of custom message -> its content for the model (empty: not sent)."""

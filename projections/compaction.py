"""Where a context may be cut so that a summary can stand for its beginning, and what a summariser reads of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)

from .context import ContextView, history, messages, parts
from .custom_messages import COMPACTION_SUMMARY
from .pairing import ContextMessage
from .transcript import text_of

CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = 1_200
"""Rough figures: what counts is when to compact, not what it costs."""
RESULT_CHARACTERS = 2_000
"""What a summariser reads of one tool result."""


def context_tokens(view: ContextView) -> int:
    """Estimate the tokens of the next request's messages.

    The last answer recorded here says what everything up to it came to, unless the context was changed after it; the
    rest is estimated by its length.
    """
    sent = parts(view)
    changed = view.entries[view.changed].seq if view.changed >= 0 else 0
    own = {entry.seq for entry in history(view) if entry.origin is None}
    for place in reversed(range(len(sent))):
        message = sent[place].message
        known = isinstance(message, AssistantMessage) and message.usage is not None and message.usage.total_tokens
        if known and sent[place].seq > changed and sent[place].seq in own:
            return known + sum(message_tokens(part.message) for part in sent[place + 1 :])
    return sum(message_tokens(part.message) for part in sent)


def message_tokens(message: Message) -> int:
    """Estimate the tokens of a message."""
    content = getattr(message, "content", ())
    if isinstance(content, str):
        return _tokens(content)
    return sum(_block_tokens(block) for block in content)


def _block_tokens(block: object) -> int:
    match block:
        case TextContent(text=text):
            return _tokens(text)
        case ThinkingContent(thinking=thinking):
            return _tokens(thinking)
        case ToolCall(name=name, arguments=arguments):
            return _tokens(name + arguments)
        case ImageContent():
            return IMAGE_TOKENS
        case _:
            return 0


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def cuts(view: ContextView) -> tuple[int, ...]:
    """List the places among the request's messages before which it may be cut, in order.

    Never between a call and its result, never after what the model has still to answer, and never so that nothing but
    an earlier summary would be summarised. The last place may be the end: then nothing is kept.
    """
    sent = parts(view)
    first = 2 if sent and _is_summary(view, sent[0]) else 1
    open_until = _last_results(sent)
    return tuple(
        place
        for place in range(first, _answered(sent) + 1)
        if place >= open_until[place] and (place == len(sent) or _begins(sent[place]))
    )


def _begins(part: ContextMessage) -> bool:
    return bool(part.seq) and not isinstance(part.message, ToolResultMessage)


def _is_summary(view: ContextView, part: ContextMessage) -> bool:
    return view.summary >= 0 and part.seq == view.entries[view.summary].seq


def _answered(sent: Sequence[ContextMessage]) -> int:
    """Return the place up to which everything was answered by the model."""
    place = len(sent)
    while place and isinstance(sent[place - 1].message, UserMessage):
        place -= 1
    while place and isinstance(sent[place - 1].message, ToolResultMessage):
        place -= 1
        if not place or not isinstance(sent[place - 1].message, ToolResultMessage):
            return max(place - 1, 0)
    return place


def _last_results(sent: Sequence[ContextMessage]) -> list[int]:
    """Compute for each place where the results of the calls before it end: 0, or the place after the last of them."""
    ends: dict[int, int] = {}
    for place, part in enumerate(sent):
        if isinstance(part.message, ToolResultMessage):
            owner = _owner(sent, place, part)
            ends[owner] = place + 1
    latest, found = 0, []
    for place in range(len(sent) + 1):
        found.append(latest)
        latest = max(latest, ends.get(place, 0))
    return found


def _owner(sent: Sequence[ContextMessage], place: int, part: ContextMessage) -> int:
    result = part.message
    for before in reversed(range(place)):
        message = sent[before].message
        if not isinstance(message, AssistantMessage):
            continue
        if part.call is not None and part.call.message_seq == sent[before].seq:
            return before
        ids = {call.id for call in message.tool_calls}
        if part.call is None and isinstance(result, ToolResultMessage) and result.tool_call_id in ids:
            return before
    return place


def choose_cut(view: ContextView, keep_tokens: int) -> int | None:
    """Choose the place that keeps as much of the end as fits, or as little as it must; None when nothing can be cut."""
    sent, allowed = parts(view), cuts(view)
    kept, sizes = 0, [0]
    for part in reversed(sent):
        kept += message_tokens(part.message)
        sizes.append(kept)
    fitting = (place for place in allowed if sizes[len(sent) - place] <= keep_tokens)
    return next(fitting, allowed[-1] if allowed else None)


def nearest_cut(view: ContextView, first_kept_seq: int) -> int | None:
    """Find the last allowed place that keeps the message of this name (0: none need be kept); None when there is none.

    Raises: ValueError when the request holds no message of this name.
    """
    names = [part.seq for part in parts(view)]
    if first_kept_seq and first_kept_seq not in names:
        raise ValueError(f"the context holds no message {first_kept_seq}")
    limit = names.index(first_kept_seq) if first_kept_seq else len(names)
    return max((place for place in cuts(view) if place <= limit), default=None)


def first_kept(view: ContextView, place: int) -> int:
    """Return the name of the message at a place; 0 for the end."""
    sent = parts(view)
    return sent[place].seq if place < len(sent) else 0


def before_cut(view: ContextView, place: int) -> tuple[ContextMessage, ...]:
    """List the messages before a cut as they stand in the context, an earlier summary first."""
    name = first_kept(view, place)
    standing = messages(view)
    end = next((n for n, one in enumerate(standing) if name and one.seq == name), len(standing))
    return standing[:end]


def as_text(said: Sequence[ContextMessage]) -> str:
    """Write messages as a summariser reads them: who said what, calls with arguments, results cut to a sane length."""
    return "\n\n".join(text for one in said for text in _spoken(one.message) if text)


def _spoken(message: Message) -> Iterator[str]:
    match message:
        case UserMessage():
            yield f"[User]\n{text_of(message)}"
        case AssistantMessage(content=content):
            if message.text:
                yield f"[Assistant]\n{message.text}"
            for block in content:
                if isinstance(block, ToolCall):
                    yield f"[Assistant calls {block.name}]\n{block.arguments or '{}'}"
        case ToolResultMessage(tool_name=name):
            text = text_of(message)
            left_out = len(text) - RESULT_CHARACTERS
            cut = f"{text[:RESULT_CHARACTERS]}\n[{left_out} more characters]" if left_out > 0 else text
            yield f"[{name} {'failed' if message.is_error else 'answered'}]\n{cut}"
        case _:
            kind = "Summary of what came before" if message.kind == COMPACTION_SUMMARY else message.kind
            yield f"[{kind}]\n{text_of(message)}"

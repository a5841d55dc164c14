"""The shape of an erased event: its form stays, every content becomes a marker.

What stays: the event's type and whatever has one of a few given values; seqs, places, times, counts and tokens; ids,
keys, tags and names (of tasks, tools, models, named values, runners, kinds, media types, origins); digests; the
provider's word for why it stopped; and what a person decided on a call. Everything else goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from ..codec import from_json, to_json
from ..envelope import Recorded
from ..events import (
    AbortRequest,
    AgentEnd,
    ChildEnd,
    Compaction,
    ConfigChange,
    ContextEdit,
    Custom,
    Erase,
    Event,
    Inserted,
    Label,
    LoopContext,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    MetadataSet,
    ModelRequest,
    QueuePush,
    Resume,
    Retry,
    SeqRange,
    StepEnd,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    WaitEnd,
    WaitStart,
)
from ..first_words import has_words
from ..messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Json,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from ..values import MARKER, WAIT_REASONS
from .lineage import closed_messages

_JSON = msgspec.Raw(b'"[erased]"')
_OBJECT = msgspec.Raw(b'{"content":"[erased]"}')
_SCHEMA = msgspec.Raw(b'{"type":"object"}')
_ANYTHING = msgspec.Raw(b"{}")
_replace = msgspec.structs.replace


def tombstone(event: Event) -> Event:
    """Build the event without its content; an equal event when it holds none."""
    left = tombstone_of_0_1(event)
    match left:
        case QueuePush(message=message) | MessageAdopt(message=message):
            return _replace(left, message=_without_figures(_with_words_as_before(event, message)))
        case MessageEnd(message=AssistantMessage() as message):
            return _replace(left, message=_assistant_figures(message))
        case MessageStart(usage=Usage() as usage):
            return _replace(left, usage=_replace(usage, raw=msgspec.UNSET))
        case ContextEdit(replacement=message) if message is not None:
            return _replace(left, replacement=_without_figures(message))
        case ModelRequest(selection=selection) if selection is not None:
            return _replace(left, selection=tuple(_selected(part, _without_figures) for part in selection))
        case ConfigChange(tools=tools) if tools is not None:
            return _replace(left, tools=tuple(_replace(tool, schema=_SCHEMA) for tool in tools))
        case TokenCreate(value_schema=msgspec.Raw()):
            return _replace(left, value_schema=_ANYTHING)
        case WaitEnd():
            return _replace(left, value=_with_marks(event, left))
        case WaitStart(reason=reason) if reason not in WAIT_REASONS:
            return _replace(left, reason=MARKER)
        case StepEnd(usage=Usage() as usage) | Retry(usage=Usage() as usage):
            return _replace(left, usage=_replace(usage, raw=msgspec.UNSET))
        case _:
            return left


def erasable_updates(own: Iterable[Recorded], seq: int) -> set[int]:
    """Find the updates that hold what the event at `seq` holds: of the message or the call it ends."""
    recorded = list(own)
    event = next((one.event for one in recorded if one.seq == seq), None)
    if isinstance(event, MessageEnd):
        start = next((start for start, end in closed_messages(recorded) if end == seq), seq)
        return {one.seq for one in recorded if start < one.seq < seq and isinstance(one.event, MessageUpdate)}
    if isinstance(event, ToolExecutionEnd):
        place = (event.message_seq, event.content_index)
        return {
            one.seq
            for one in recorded
            if isinstance(one.event, ToolExecutionUpdate) and (one.event.message_seq, one.event.content_index) == place
        }
    return set()


def is_erased(value: msgspec.Raw) -> bool:
    """Return whether a JSON value is what erasing leaves of one."""
    return bytes(value) == bytes(_JSON)


def is_tombstone(event: Event) -> bool:
    """Return whether an event is as erasing leaves it, this release's or 0.1's; so is one that never held anything."""
    return event in (tombstone(event), tombstone_of_0_1(event))


def _with_marks(event: Event, left: WaitEnd) -> Json:
    """Leave of a decision also that it had a reason, and arguments in place of the model's, though not which."""
    decision, kept = from_json(event.value) if isinstance(event, WaitEnd) else None, from_json(left.value)
    if not isinstance(decision, dict) or not isinstance(kept, dict):
        return left.value
    return to_json(kept | {name: MARKER for name in ("reason", "arguments") if decision.get(name)})


def _with_words_as_before(event: Event, left: Message) -> Message:
    """Leave of a person's message that has no words one that has none: a session is not shown by it."""
    match event, left:
        case (
            (QueuePush(message=UserMessage() as whole) | MessageAdopt(message=UserMessage() as whole)),
            UserMessage(),
        ):
            if has_words(whole):
                return left
            if isinstance(left.content, str):
                return _replace(left, content="")
            texts = (_replace(one, text="") if isinstance(one, TextContent) else one for one in left.content)
            return _replace(left, content=tuple(texts))
        case _:
            return left


def _without_figures(message: Message) -> Message:
    return _assistant_figures(message) if isinstance(message, AssistantMessage) else message


def _assistant_figures(message: AssistantMessage) -> AssistantMessage:
    usage = message.usage
    return message if usage is None else _replace(message, usage=_replace(usage, raw=msgspec.UNSET))


def tombstone_of_0_1(event: Event) -> Event:
    """Build what release 0.1 left of an event: schemas, a usage's raw figures and the words of a wait stayed then."""
    match event:
        case QueuePush(message=message) | MessageAdopt(message=message):
            return _replace(event, message=_message(message))
        case MessageEnd(message=assistant) if assistant is not None:
            return _replace(event, message=_assistant(assistant))
        case ContextEdit(replacement=message) if message is not None:
            return _replace(event, replacement=_message(message))
        case ModelRequest(selection=selection) if selection is not None:
            return _replace(event, selection=tuple(_selected(part, _message) for part in selection))
        case ToolExecutionStart(arguments=arguments):
            return _replace(event, arguments=None if arguments is None else MARKER, reason=_text(event.reason))
        case ToolExecutionEnd(result=result) if result is not None:
            return _replace(event, result=_result(result))
        case ConfigChange():
            return _config(event)
        case Compaction():
            return _replace(event, summary=MARKER, details=_json(event.details))
        case Label():
            return _replace(event, text=_text(event.text))
        case _:
            return _tombstone_of_rest(event)


def _tombstone_of_rest(event: Event) -> Event:
    match event:
        case AbortRequest():
            return _replace(event, error=_text(event.error), by=_text(event.by))
        case AgentEnd():
            return _replace(event, error=_text(event.error))
        case Retry():
            return _replace(event, cause=_text(event.cause))
        case Resume():
            return _replace(event, problem=_text(event.problem))
        case TokenCreate():
            return _replace(event, default=_decision(event.default))
        case WaitStart(arguments=arguments):
            return _replace(event, arguments=None if arguments is None else MARKER)
        case Erase():
            return _replace(event, reason=_text(event.reason))
        case WaitEnd():
            return _replace(event, value=_decision(event.value), decided_by=_text(event.decided_by))
        case MetadataSet():
            return _replace(event, value=_json(event.value))
        case StepEnd() | TaskEnd():
            return _replace(event, result=_json(event.result), error=_text(event.error))
        case ChildEnd():
            return _replace(event, result=_json(event.result))
        case TaskStart():
            return _replace(event, payload=_json(event.payload))
        case LoopContext():
            return _replace(event, patch=msgspec.Raw(b"[]"))
        case Custom():
            return _replace(event, data=_json(event.data))
        case _:
            return event


def _text(text: str) -> str:
    return MARKER if text else ""


def _json(value: Json) -> Json:
    return msgspec.UNSET if isinstance(value, msgspec.UnsetType) else _JSON


def _decision(value: Json) -> Json:
    """Keep of a decision on a call what was decided, since what came next depends on it; of anything else nothing."""
    decision = from_json(value)
    if decision in ("rerun", "adopt", "fail"):
        return value
    if isinstance(decision, dict) and isinstance(decision.get("approve"), bool):
        return to_json({"approve": decision["approve"]})
    return _json(value)


def _selected(part: SeqRange | Inserted, change: Callable[[Message], Message]) -> SeqRange | Inserted:
    return Inserted(message=change(part.message)) if isinstance(part, Inserted) else part


def _config(event: ConfigChange) -> ConfigChange:
    tools = event.tools
    return _replace(
        event,
        system_prompt=None if event.system_prompt is None else MARKER,
        tools=None if tools is None else tuple(_replace(tool, description=_text(tool.description)) for tool in tools),
        options=msgspec.UNSET if isinstance(event.options, msgspec.UnsetType) else msgspec.Raw(b"{}"),
    )


def _message(message: Message) -> Message:
    match message:
        case AssistantMessage():
            return _assistant(message)
        case UserMessage(content=content):
            return _replace(
                message, content=MARKER if isinstance(content, str) else _content(content), raw=msgspec.UNSET
            )
        case ToolResultMessage(content=content):
            return _replace(message, content=_content(content), details=_json(message.details), raw=msgspec.UNSET)
        case CustomMessage():
            return _replace(message, body=_OBJECT)


def _assistant(message: AssistantMessage) -> AssistantMessage:
    content = tuple(_block(block) for block in message.content)
    return _replace(message, content=content, error=_text(message.error), raw=msgspec.UNSET)


def _block(block: AssistantContent) -> AssistantContent:
    match block:
        case TextContent():
            return _replace(block, text=MARKER, signature="", raw=msgspec.UNSET)
        case ThinkingContent():
            return _replace(block, thinking=MARKER, signature="", raw=msgspec.UNSET)
        case ToolCall():
            return _replace(block, arguments=MARKER, signature="", raw=msgspec.UNSET)
        case ProviderContent():
            return _replace(block, block=_JSON)


def _content(content: tuple[TextContent | ImageContent, ...]) -> tuple[TextContent | ImageContent, ...]:
    return tuple(
        _replace(block, text=MARKER, signature="", raw=msgspec.UNSET)
        if isinstance(block, TextContent)
        else _replace(block, data=MARKER, raw=msgspec.UNSET)
        for block in content
    )


def _result(result: ToolResult) -> ToolResult:
    return _replace(result, content=_content(result.content), details=_json(result.details))

"""Events without some of what they hold: results of tools, images, thinking. Marks stand in its place.

What has no form that this program knows (fields of providers and of other programs, values of applications) goes with
anything that goes, since nobody can say what is in it; and so do digests of requests, by which it could be guessed.
What people and models say in words stays, even where they repeat what is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec.structs import replace

from eventsource.codec import from_json, read_object, to_json
from eventsource.events import (
    ChildEnd,
    Compaction,
    ContextEdit,
    Custom,
    Event,
    Inserted,
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
    StepStart,
    StreamUpdate,
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
from eventsource.messages import (
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
    UserContent,
    UserMessage,
)
from eventsource.values import WAIT_REASONS

Omitted: TypeAlias = Literal["results", "images", "thinking"]
"""What can be left out."""
OMITTED: tuple[Omitted, ...] = get_args(Omitted)
MARKS: Mapping[Omitted, str] = {
    "results": "[tool result left out]",
    "images": "[image left out]",
    "thinking": "[thinking left out]",
}
"""What stands where it was."""
MARK = "[left out]"
"""What stands where something of no known form was."""
MAY_REPEAT = "What people and models wrote stays, and may repeat it."

_JSON = to_json(MARK)
_NO_PATCH = msgspec.Raw(b"[]")
_PLACES = frozenset(("agent", "folder", "branch"))
"""Named values whose texts say where a session was made."""
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "bashExecution": ("command", "output", "exitCode", "cancelled", "truncated", "excludeFromContext"),
    "branchSummary": ("summary",),
    "compactionSummary": ("summary",),
    "custom": ("customType", "content", "display"),
    "hookMessage": ("customType", "content", "display"),
}
"""Of messages of applications, by their kinds, the fields that `projections.custom_messages` knows."""
V = TypeVar("V", msgspec.Raw, Json)


def left_out_words(kinds: Collection[Omitted], counts: Mapping[str, int]) -> tuple[str, ...]:
    """Say what was left out, and of each how many: also that there was none of what was asked for."""
    nouns = {
        "results": ("tool result", "tool results"),
        "images": ("image", "images"),
        "thinking": ("piece of thinking", "pieces of thinking"),
    }
    found = [f"{counts.get(one, 0):,} {nouns[one][counts.get(one, 0) != 1]}" for one in OMITTED if one in kinds]
    other = counts.get("other", 0)
    if other:
        found.append(f"{other:,} {'field' if other == 1 else 'fields'} of other programs")
    return tuple(found)


class Omitting:
    """Takes the events of one session in their order, and gives them back without what is left out of them.

    `counts`: of the last event, what was left out of it, by kinds; `other` is what has no known form.
    """

    def __init__(self, kinds: Collection[Omitted], *, is_task: bool = False) -> None:
        self._kinds = frozenset(kinds)
        self._is_task = is_task
        self.counts: Counter[str] = Counter()

    def take(self, event: Event) -> Event:
        """Return an event without what is left out; its place in the log, and what the machine does, stay the same."""
        self.counts = Counter()
        if not self._kinds:
            return event
        match event:
            case MessageUpdate() | ToolExecutionUpdate() | StreamUpdate():
                return _without_words(event)
            case QueuePush(message=message) | MessageAdopt(message=message):
                return replace(event, message=self._message(message))
            case MessageEnd(message=AssistantMessage() as message):
                return replace(event, message=self._assistant(message))
            case MessageStart(usage=Usage() as usage):
                return replace(event, usage=replace(usage, raw=msgspec.UNSET))
            case ContextEdit(replacement=message) if message is not None:
                return replace(event, replacement=self._message(message))
            case ModelRequest(selection=selection):
                chosen = None if selection is None else tuple(map(self._selected, selection))
                return replace(event, request_sha256="", body_sha256="", selection=chosen)
            case ToolExecutionStart(reason=reason) if reason:
                return replace(event, reason=self._result_text(reason))
            case ToolExecutionEnd(result=ToolResult() as result):
                content = self._result(result.content)
                return replace(event, result=replace(result, content=content, details=self._value(result.details)))
            case _:
                return self._rest(event)

    def _rest(self, event: Event) -> Event:
        match event:
            case Compaction():
                return replace(event, details=self._value(event.details))
            case ChildEnd():
                return replace(event, result=self._value(event.result))
            case StepStart():
                return replace(event, input_sha256="")
            case StepEnd() | TaskEnd():
                event = replace(event, result=self._value(event.result), error=self._result_text(event.error))
                usage = event.usage if isinstance(event, StepEnd) else None
                return event if usage is None else replace(event, usage=replace(usage, raw=msgspec.UNSET))
            case TaskStart():
                return replace(event, payload=self._value(event.payload))
            case Retry(cause=cause, usage=usage):
                used = None if usage is None else replace(usage, raw=msgspec.UNSET)
                return replace(event, cause=self._result_text(cause) if self._is_task else cause, usage=used)
            case Resume(problem=problem):
                return replace(event, problem=self._result_text(problem))
            case TokenCreate(default=default):
                return replace(event, default=self._decision(default))
            case WaitStart(reason=reason) if reason not in WAIT_REASONS:
                return replace(event, reason=self._result_text(reason))
            case WaitEnd(value=value):
                return replace(event, value=self._decision(value))
            case MetadataSet(name=name, value=value):
                said = from_json(value)
                is_kept = not isinstance(said, str | list | dict) or (name in _PLACES and isinstance(said, str))
                return event if is_kept else replace(event, value=self._value(value))
            case LoopContext():
                self.counts["other"] += 1
                return replace(event, patch=_NO_PATCH)
            case Custom():
                return replace(event, data=self._value(event.data))
            case _:
                return event

    def _message(self, message: Message) -> Message:
        match message:
            case UserMessage(content=content):
                kept = content if isinstance(content, str) else self._content(content)
                return replace(message, content=kept, raw=self._gone(message.raw))
            case AssistantMessage():
                return self._assistant(message)
            case ToolResultMessage(content=content):
                details, raw = self._value(message.details), self._gone(message.raw)
                return replace(message, content=self._result(content), details=details, raw=raw)
            case CustomMessage():
                return replace(message, body=self._body(message))

    def _assistant(self, message: AssistantMessage) -> AssistantMessage:
        usage = None if message.usage is None else replace(message.usage, raw=msgspec.UNSET)
        content = tuple(map(self._block, message.content))
        return replace(message, content=content, usage=usage, raw=self._gone(message.raw))

    def _block(self, block: AssistantContent) -> AssistantContent:
        match block:
            case ThinkingContent() if "thinking" in self._kinds:
                self.counts["thinking"] += 1
                return ThinkingContent(thinking=MARKS["thinking"])
            case TextContent() | ThinkingContent() | ToolCall():
                signature = "" if "thinking" in self._kinds else block.signature  # it may hold thinking, encrypted
                return replace(block, signature=signature, raw=self._gone(block.raw))
            case ProviderContent():
                return replace(block, block=self._value(block.block))

    def _selected(self, part: SeqRange | Inserted) -> SeqRange | Inserted:
        """Look at what a hook put into one request; mostly it stands there once more, and so it is not counted."""
        if not isinstance(part, Inserted):
            return part
        counts, self.counts = self.counts, Counter()
        message = self._message(part.message)
        self.counts = counts
        return Inserted(message=message)

    def _result(self, content: tuple[UserContent, ...]) -> tuple[UserContent, ...]:
        if "results" not in self._kinds or not content:
            return self._content(content)
        self.counts["results"] += 1
        return (TextContent(text=MARKS["results"]),)

    def _result_text(self, text: str) -> str:
        if "results" not in self._kinds or not text:
            return text
        self.counts["results"] += 1
        return MARKS["results"]

    def _content(self, content: tuple[UserContent, ...]) -> tuple[UserContent, ...]:
        return tuple(self._user_block(block) for block in content)

    def _user_block(self, block: UserContent) -> UserContent:
        if isinstance(block, ImageContent) and "images" in self._kinds:
            self.counts["images"] += 1
            return TextContent(text=MARKS["images"])
        kept = replace(block, raw=self._gone(block.raw))
        if isinstance(kept, TextContent) and kept.signature and "thinking" in self._kinds:
            return replace(kept, signature="")
        return kept

    def _body(self, message: CustomMessage) -> msgspec.Raw:
        """Keep of an application's message what is known of its kind."""
        fields, known = read_object(message.body), _FIELDS.get(message.kind)
        if known is None:
            self.counts["other"] += 1
            return to_json({"content": MARK})
        kept = {name: fields[name] for name in known if name in fields}
        if message.kind == "bashExecution" and isinstance(output := kept.get("output"), str):
            kept["output"] = self._result_text(output)
        if isinstance(content := kept.get("content"), list):
            kept["content"] = list(self._known_blocks(content))
        elif "content" in kept and not isinstance(content, str):
            kept["content"] = MARK
        if kept.keys() != fields.keys():
            self.counts["other"] += 1
        return to_json({name: value if _is_plain(value) or name == "content" else MARK for name, value in kept.items()})

    def _known_blocks(self, content: list[object]) -> Iterator[dict[str, str]]:
        for block in content:
            match block:
                case {"type": "text", "text": str(text)}:
                    yield {"type": "text", "text": text}
                case {"type": "image"} if "images" in self._kinds:
                    self.counts["images"] += 1
                    yield {"type": "text", "text": MARKS["images"]}
                case {"type": "image", "data": str(data), "mimeType": str(media_type)}:
                    yield {"type": "image", "data": data, "mimeType": media_type}
                case _:
                    self.counts["other"] += 1
                    yield {"type": "text", "text": MARK}

    def _value(self, value: V) -> V:
        """Put a mark in the place of a value."""
        if isinstance(value, msgspec.UnsetType):
            return value
        self.counts["other"] += 1
        return _JSON

    def _gone(self, value: Json) -> Json:
        """Leave nothing in the place of fields that belong to what stands there."""
        if not isinstance(value, msgspec.UnsetType):
            self.counts["other"] += 1
        return msgspec.UNSET

    def _decision(self, value: Json) -> Json:
        """Keep of a decision on a call what was decided, since what came next depends on it."""
        decision = from_json(value)
        if decision in ("rerun", "adopt", "fail"):
            return value
        if isinstance(decision, dict) and isinstance(decision.get("approve"), bool):
            kept = {"approve": decision["approve"]}
            if decision != kept:
                self.counts["other"] += 1
            return to_json(kept)
        return self._value(value)


def _without_words(event: MessageUpdate | ToolExecutionUpdate | StreamUpdate) -> Event:
    """Empty a streamed piece: that it came, and when, stays."""
    match event:
        case MessageUpdate(block=block):
            left = block if isinstance(block, msgspec.UnsetType) else _JSON
            return replace(event, delta="", arguments=None, signature="", block=left)
        case ToolExecutionUpdate():
            return replace(event, partial=ToolResult())
        case StreamUpdate():
            return replace(event, item=_JSON)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)

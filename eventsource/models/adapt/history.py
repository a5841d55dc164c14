"""A history of any provider's, adapted to one model: its messages are made to keep that model's rules.

The log and the neutral request stay as they are. Whatever is put in place of something says so, in round brackets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ...events import ModelRef
from ...messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from ..rules.limits import RESPONSES, Limits
from ..wire import json_object
from .images import NO_IMAGE, fewer_images, fit_image
from .reasoning import Items, is_foreign, kept_reasoning, paired_blocks, pauses, without_last_reasoning

NO_RESULT = "No result was recorded for this call."
NOT_SHOWN = "(what was said before is not shown)"
EMPTY = "(an empty message)"
FAILED = "(the tool failed and said nothing)"
NO_WORDS = "(the tool said nothing)"
IMAGES_FOLLOW = "(see the images that follow)"
GO_ON = "(go on)"
UNANSWERED = "(no answer was given here)"
NO_NAME = "unnamed"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a history is made for: protocol, model, what it takes, and the wire's names of tools that have others."""

    api: str
    model: ModelRef
    limits: Limits
    names: Mapping[str, str] = msgspec.field(default_factory=dict)


def adapt_history(messages: Sequence[Message], target: Target, *, answers: bool = True) -> tuple[Message, ...]:
    """Adapt a history to the model that is to read it.

    Every call has a legal name and id, and right after its message stands exactly one result with that id, in the order
    of the calls; a call without one gets an error result that says so, a result without a call becomes a user's text.
    Custom messages are left out. Then the rules of `target.limits` are kept. What is already sent stays the same when
    the history goes on, so that a provider's prompt cache holds; only what stands at the very end may differ.

    Args:
        answers: the assistant's last words may be gone on from, where the model takes that.
    """
    limits = target.limits
    history = list(_Exchanges(target).of(list(messages)))
    if limits.paired_blocks:
        history = paired_blocks(history)
    shown = fewer_images([said for message in history for said in _fit(message, limits)], limits)
    return tuple(_ended(list(_ordered(shown, limits)), limits, answers=answers))


class _Exchanges:
    """Puts calls and results together, with the names and ids that the wire takes."""

    def __init__(self, target: Target) -> None:
        self._target, self._limits = target, target.limits
        self._used: set[str] = set()
        self._items = Items(target.api, target.limits)

    def of(self, messages: list[Message]) -> Iterator[Message]:
        place = 0
        while place < len(messages):
            message = messages[place]
            place += 1
            match message:
                case AssistantMessage():
                    end = place
                    while end < len(messages) and not isinstance(messages[end], AssistantMessage):
                        end += 1
                    yield from self._exchange(message, messages[place:end])
                    place = end
                case ToolResultMessage():
                    yield _orphan(message)
                case UserMessage():
                    yield message
                case CustomMessage():
                    pass

    def _exchange(self, message: AssistantMessage, rest: list[Message]) -> Iterator[Message]:
        """Yield an assistant message, its results in the order of its calls, then what else followed."""
        foreign = is_foreign(message, self._target.api, self._target.model, self._limits)
        content: list[AssistantContent] = []
        results: list[ToolResultMessage] = []
        for block in message.content:
            kept = translated(block) if foreign else kept_reasoning(block, self._target.api, self._limits)
            if isinstance(kept, ToolCall):
                wire_id, name = self._id(kept.id), self.name(kept.name)
                results.append(_result(kept, wire_id, name, rest))
                if (kept.id, kept.name) != (wire_id, name):
                    kept = msgspec.structs.replace(kept, id=wire_id, name=name)
            if kept is not None:
                content.append(kept)
        whole = tuple(content)
        if not foreign and self._target.api == RESPONSES:
            whole = self._items.kept(message, whole)
        if not foreign and whole == message.content:
            yield message
        else:
            yield msgspec.structs.replace(message, content=whole, raw=msgspec.UNSET if foreign else message.raw)
        yield from self._results(results)
        yield from self.of(rest)

    def _results(self, results: list[ToolResultMessage]) -> Iterator[Message]:
        """Yield results, and the images that may not stand in them."""
        beside: list[UserContent] = []
        for result in results:
            content = [_fit_part(part, self._limits) for part in result.content]
            images = [part for part in content if isinstance(part, ImageContent)]
            texts = [part for part in content if _has_text(part, self._limits)]
            if self._limits.images_beside or (self._limits.errors_are_text and result.is_error):
                beside += images
                content = list(texts) if texts or not images else [TextContent(text=IMAGES_FOLLOW)]
            else:
                content = [part for part in content if isinstance(part, ImageContent) or part in texts]
            spoken = any(isinstance(part, TextContent) and part.text.strip() for part in content)
            if not spoken and result.is_error and (self._limits.words_of_errors or self._limits.words_of_results):
                content = [TextContent(text=FAILED), *(part for part in content if isinstance(part, ImageContent))]
            elif not spoken and self._limits.words_of_results:
                content = [TextContent(text=NO_WORDS), *(part for part in content if isinstance(part, ImageContent))]
            whole = tuple(content)
            yield result if whole == result.content else msgspec.structs.replace(result, content=whole)
        if beside:
            yield UserMessage(content=tuple(beside))

    def name(self, name: str) -> str:
        """Return the wire's name of a call."""
        return self._target.names.get(name) or legal_name(name, self._limits)

    def _id(self, call_id: str) -> str:
        limits = self._limits
        legal = re.sub(limits.id_refused, "_", call_id) if limits.id_refused else call_id
        legal = legal[: limits.id_chars or None]
        if limits.id_refused or limits.unique_ids:
            legal = legal or "call"
        found, number = legal, 1
        while limits.unique_ids and (found in self._used or (not call_id and number == 1)):
            number += 1
            suffix = f"_{number - (not call_id)}"
            found = f"{legal[: limits.id_chars - len(suffix)] if limits.id_chars else legal}{suffix}"
        if limits.id_exact:
            found = self._exact(found)
        self._used.add(found)
        return found

    def _exact(self, call_id: str) -> str:
        length = self._limits.id_exact
        found, number = call_id, 0
        while not re.fullmatch(rf"[a-zA-Z0-9]{{{length}}}", found) or (self._limits.unique_ids and found in self._used):
            found = hashlib.sha256(f"{call_id}{number or ''}".encode()).hexdigest()[:length]
            number += 1
        return found


def legal_name(name: str, limits: Limits) -> str:
    """Write a name as the wire takes it."""
    legal = re.sub(limits.name_refused, "_", name) if limits.name_refused else name
    if limits.name_refused and not legal:
        legal = NO_NAME
    if limits.name_first and not re.match(limits.name_first, legal):
        legal = f"_{legal}" if re.match(limits.name_first, "_") else f"x_{legal}"
    return legal[: limits.name_chars or None]


def _result(call: ToolCall, wire_id: str, name: str, rest: list[Message]) -> ToolResultMessage:
    """Take the first result with the call's id out of `rest`, or make one that says there is none."""
    for index, message in enumerate(rest):
        if isinstance(message, ToolResultMessage) and message.tool_call_id == call.id:
            del rest[index]
            return msgspec.structs.replace(message, tool_call_id=wire_id, tool_name=name)
    text = TextContent(text=NO_RESULT)
    return ToolResultMessage(tool_call_id=wire_id, tool_name=name, content=(text,), is_error=True)


def _orphan(message: ToolResultMessage) -> UserMessage:
    said = TextContent(text=f"Result of a call of the tool {message.tool_name or message.tool_call_id}:")
    return UserMessage(content=(said, *message.content))


def translated(block: AssistantContent) -> AssistantContent | None:
    """Rewrite a block of another provider's without what only that provider can read."""
    match block:
        case TextContent(text=text):
            return TextContent(text=text) if text else None
        case ThinkingContent(thinking=text):
            return TextContent(text=text) if text.strip() else None
        case ToolCall(id=call_id, name=name, arguments=arguments):
            return ToolCall(id=call_id, name=name, arguments=arguments)
        case ProviderContent():
            return None


def _fit(message: Message, limits: Limits) -> Iterator[Message]:
    """Leave out what is empty; a user's message of nothing says so, an answer of nothing is none."""
    match message:
        case UserMessage(content=str() as text):
            yield message if _has_text(TextContent(text=text), limits) else UserMessage(content=EMPTY)
        case UserMessage(content=parts) if not isinstance(parts, str):
            fit = tuple(
                part for part in (_fit_part(one, limits) for one in parts) if _has_text(part, limits, any_image=True)
            )
            if not fit and limits.texts != "any":
                yield UserMessage(content=EMPTY)
            else:
                yield message if fit == parts else msgspec.structs.replace(message, content=fit)
        case AssistantMessage(content=blocks):
            kept = tuple(block for block in blocks if _is_said(block, limits))
            if limits.reasoning_inside:
                kept = without_last_reasoning(kept)
            if limits.texts == "shown" and all(isinstance(one, TextContent) and not one.text.strip() for one in kept):
                kept = ()
            if limits.answers_speak and not any(_speaks(block) for block in kept):
                kept = ()
            if not kept and limits.texts != "any":
                return
            yield message if kept == blocks else msgspec.structs.replace(message, content=kept)
        case _:
            yield message


def _fit_part(part: UserContent, limits: Limits) -> UserContent:
    return fit_image(part, limits) if isinstance(part, ImageContent) else part


def _has_text(part: UserContent, limits: Limits, *, any_image: bool = False) -> bool:
    if isinstance(part, ImageContent):
        return any_image
    return limits.texts == "any" or bool(part.text.strip() if limits.texts == "shown" else part.text)


def _is_said(block: AssistantContent, limits: Limits) -> bool:
    if not isinstance(block, TextContent) or block.text or limits.texts == "any":
        return True
    return limits.texts == "some" and bool(block.signature)


def _speaks(block: AssistantContent) -> bool:
    return isinstance(block, ToolCall) or (isinstance(block, TextContent) and bool(block.text))


def _ordered(history: Sequence[Message], limits: Limits) -> Iterator[Message]:
    """Put a word between messages that may not follow each other."""
    before: Message | None = None
    for message in history:
        if before is None and isinstance(message, AssistantMessage) and limits.user_first:
            yield UserMessage(content=NOT_SHOWN)
        if limits.answer_after_results and isinstance(before, ToolResultMessage) and isinstance(message, UserMessage):
            yield AssistantMessage(content=(TextContent(text=UNANSWERED),))
        calls = isinstance(message, AssistantMessage) and bool(message.tool_calls)
        if limits.calls_after_user and calls and isinstance(before, AssistantMessage):
            yield UserMessage(content=GO_ON)
        yield message
        before = message


def _ended(history: list[Message], limits: Limits, *, answers: bool) -> list[Message]:
    """Let a request hold something, and end as the model takes it."""
    last = history[-1] if history else None
    if isinstance(last, AssistantMessage) and not (limits.paired_blocks and pauses(last)):
        if limits.user_last or not answers:
            return [*history, UserMessage(content=GO_ON)]
        block = last.content[-1] if last.content else None
        if limits.no_space_at_end and isinstance(block, TextContent) and block.text != block.text.rstrip():
            trimmed = (msgspec.structs.replace(block, text=block.text.rstrip()),) if block.text.strip() else ()
            left = (*last.content[:-1], *trimmed)
            left = without_last_reasoning(left) if limits.reasoning_inside else left
            last = msgspec.structs.replace(last, content=left)
            return _ended([*history[:-1], last] if last.content else history[:-1], limits, answers=answers)
    if not history and limits.some_message:
        return [UserMessage(content=EMPTY)]
    return history


def without_images(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Put a remark in place of each image, for a model that takes none."""
    remark = TextContent(text=NO_IMAGE)
    return tuple(
        msgspec.structs.replace(
            message, content=tuple(remark if isinstance(part, ImageContent) else part for part in message.content)
        )
        if isinstance(message, UserMessage | ToolResultMessage) and not isinstance(message.content, str)
        else message
        for message in messages
    )


def arguments_object(arguments: str) -> Mapping[str, object]:
    """Read arguments as the object a provider wants; what is none is quoted, so that the model sees what it wrote."""
    value = json_object(arguments or "{}")
    return {"invalid_arguments": arguments} if value is None else value

"""Scripts: what a scripted model says, item by item, and the stream that comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from ...assemble import Assembler
from ...codec import to_json
from ...errors import ArgumentError
from ...events import MessageUpdate, UpdateKind
from ...messages import AssistantMessage, StopReason, Usage
from ...request import Request
from ...user_code.argument_types import shown
from ..protocol import StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage


class ScriptItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing in an answer; its first field is its key in a script file."""


class SayItem(ScriptItem, frozen=True):
    """A block of text, delta by delta. `unfinished` leaves a block open, for what breaks off inside it."""

    say: str | tuple[str, ...]
    signature: str = ""
    unfinished: bool = False


class ThinkItem(ScriptItem, frozen=True):
    """A block of thinking, delta by delta."""

    think: str | tuple[str, ...]
    signature: str = ""
    redacted: bool = False
    unfinished: bool = False


class CallItem(ScriptItem, frozen=True):
    """A tool call. Arguments that are text are sent as they are, valid JSON or not; `deltas` cuts that text up."""

    call: str
    arguments: str | dict[str, object] = ""
    id: str = ""
    signature: str = ""
    deltas: tuple[str, ...] | None = None
    unfinished: bool = False


class StopItem(ScriptItem, frozen=True):
    """The answer is complete."""

    stop: StopReason = "stop"
    usage: Usage | None = None
    raw_stop_reason: str = ""
    response_id: str = ""


class FailItem(ScriptItem, frozen=True):
    """The answer ends in an error, with what was said so far."""

    fail: str
    reason: Literal["error", "aborted"] = "error"


class RetryItem(ScriptItem, frozen=True):
    """The call failed before anything was said and may be made again (the only item of its answer)."""

    retry: str
    not_before_us: int = 0


class PauseItem(ScriptItem, frozen=True):
    """Nothing comes for a while."""

    pause_ms: int


class StallItem(ScriptItem, frozen=True):
    """Nothing comes any more, until the call is aborted or closed."""

    stall: Literal[True] = True


class CutItem(ScriptItem, frozen=True):
    """The stream ends without a terminal event, which no real model adapter does."""

    cut: Literal[True] = True


class DeafItem(ScriptItem, frozen=True):
    """From here on the abort signal is not looked at."""

    deaf: Literal[True] = True


ScriptBlock: TypeAlias = SayItem | ThinkItem | CallItem
Control: TypeAlias = StopItem | FailItem | RetryItem | PauseItem | StallItem | CutItem | DeafItem
Action: TypeAlias = Control | StreamEvent | AssistantMessage | Callable[[], object]
Item: TypeAlias = str | ScriptBlock | Action
Answer: TypeAlias = str | AssistantMessage | ScriptBlock | Control | Sequence[Item]


def say(*deltas: str, signature: str = "", unfinished: bool = False) -> SayItem:
    """Make a block of text of its own (strings that stand side by side in an answer are one block already)."""
    return SayItem(say=deltas, signature=signature, unfinished=unfinished)


def think(*deltas: str, signature: str = "", redacted: bool = False, unfinished: bool = False) -> ThinkItem:
    """Make a block of thinking."""
    return ThinkItem(think=deltas, signature=signature, redacted=redacted, unfinished=unfinished)


def call(
    name: str,
    arguments: Mapping[str, object] | str = "",
    *,
    id: str = "",  # noqa: A002  # the field's name everywhere
    signature: str = "",
    deltas: Sequence[str] | None = None,
    unfinished: bool = False,
) -> CallItem:
    """Call a tool; without an id, the call gets `call_<answer>_<block>`."""
    given = arguments if isinstance(arguments, str) else dict(arguments)
    cut = None if deltas is None else tuple(deltas)
    return CallItem(call=name, arguments=given, id=id, signature=signature, deltas=cut, unfinished=unfinished)


def stop(reason: StopReason = "stop", *, usage: Usage | None = None, raw: str = "", response_id: str = "") -> StopItem:
    """Complete the answer; without this an answer ends by itself, in `tool_use` if it holds calls."""
    return StopItem(stop=reason, usage=usage, raw_stop_reason=raw, response_id=response_id)


def fail(error: str, reason: Literal["error", "aborted"] = "error") -> FailItem:
    """Fail, with what was said so far."""
    return FailItem(fail=error, reason=reason)


def retry(cause: str, *, not_before_us: int = 0) -> RetryItem:
    """Fail before anything is said, in a way that may be tried again."""
    return RetryItem(retry=cause, not_before_us=not_before_us)


def pause(ms: int) -> PauseItem:
    """Wait, by the sleep of the model."""
    return PauseItem(pause_ms=ms)


def stall() -> StallItem:
    """Stream nothing more until the call is aborted or closed."""
    return StallItem()


def cut() -> CutItem:
    """Break off without a terminal event."""
    return CutItem()


def deaf() -> DeafItem:
    """Ignore the abort signal from here on."""
    return DeafItem()


def read_answer(given: object, where: str) -> AssistantMessage | Sequence[Item]:
    """Read what a caller wrote as an answer. Raises: ArgumentError, naming what is none, and where."""
    if isinstance(given, AssistantMessage):
        return given
    items = given if isinstance(given, list | tuple) else [given]
    if not isinstance(given, str | ScriptItem | list | tuple):
        raise _no_item(where, given, "an answer")
    read = list[Item]()
    for place, item in enumerate(items, 1):
        if not isinstance(item, _ITEMS) and not callable(item):
            raise _no_item(f"{where}, item {place}", item, "an item of an answer")
        if isinstance(item, CallItem):
            _arguments(item)  # what is no JSON is said at once
        read.append(item)
    return read


def _no_item(where: str, found: object, what: str) -> ArgumentError:
    advice = "each argument is one answer, and a list is the pieces of one: scripted('first', ['se', 'cond'])"
    return ArgumentError(
        "scripted", where, f"{what}: a text, call(...), fail(...) or another of them", shown(found), advice
    )


# What a model does next; an AssistantMessage ends the answer and gets what was streamed as its content.
ScriptStep: TypeAlias = (
    StreamEvent | AssistantMessage | PauseItem | StallItem | CutItem | DeafItem | Callable[[], object]
)
Words: TypeAlias = tuple[tuple[str, ...], ...]


_TEXT: tuple[UpdateKind, ...] = ("text_start", "text_delta", "text_end")
_THINKING: tuple[UpdateKind, ...] = ("thinking_start", "thinking_delta", "thinking_end")
_CALL: tuple[UpdateKind, ...] = ("tool_call_start", "tool_call_delta", "tool_call_end")
_OPENING: tuple[UpdateKind, ...] = ("text_start", "thinking_start", "tool_call_start", "provider_block")
_WITHIN_TEXT = (str, PauseItem, StallItem, CutItem, DeafItem, FailItem, StreamStart, StreamUsage)
_ITEMS = (str, ScriptItem, AssistantMessage, MessageUpdate, StreamStart, StreamEnd, StreamRetry, StreamUsage)
_ENDS = (StopItem, FailItem, RetryItem, CutItem, StallItem, AssistantMessage, StreamEnd, StreamRetry)


def steps(answer: Answer, number: str) -> Iterator[ScriptStep]:
    """Spell an answer out: start, updates and end, in order. Its number makes the ids of its calls."""
    items = list(answer) if isinstance(answer, Sequence) and not isinstance(answer, str) else [answer]
    own_start = any(isinstance(item, StreamStart) for item in items)
    blocks, started, text_open, calls, ended = 0, False, False, False, False
    for item in [*items, None]:
        if text_open and not isinstance(item, _WITHIN_TEXT) and not callable(item):
            yield MessageUpdate(kind="text_end", content_index=blocks)
            blocks, text_open = blocks + started, False
        if not started and not own_start and isinstance(item, str | SayItem | ThinkItem | CallItem):
            yield StreamStart()
            started = True
        match item:
            case None:
                if not ended:
                    yield AssistantMessage(stop_reason="tool_use" if calls else "stop")
            case str():
                if not text_open:
                    yield MessageUpdate(kind="text_start", content_index=blocks)
                    text_open = True
                if item:
                    yield MessageUpdate(kind="text_delta", content_index=blocks, delta=item)
            case SayItem() | ThinkItem() | CallItem():
                yield from _block(item, blocks, f"call_{number}_{blocks}")
                blocks, calls = blocks + started, calls or isinstance(item, CallItem)
            case MessageUpdate():
                yield item
                blocks += started and item.kind in _OPENING
            case _:
                started = started or isinstance(item, StreamStart)
                if isinstance(item, _ENDS):
                    ended, text_open = True, False
                yield _plain(item)


def _plain(item: Action) -> ScriptStep:
    match item:
        case StopItem():
            return AssistantMessage(
                stop_reason=item.stop,
                usage=item.usage,
                raw_stop_reason=item.raw_stop_reason,
                response_id=item.response_id,
            )
        case FailItem():
            return AssistantMessage(stop_reason=item.reason, error=item.fail)
        case RetryItem():
            return StreamRetry(cause=item.retry, not_before_us=item.not_before_us)
        case AssistantMessage():
            return StreamEnd(message=item)
        case _:
            return item


def _block(item: ScriptBlock, index: int, call_id: str) -> Iterator[MessageUpdate]:
    """Open, fill and, unless it is unfinished, close one block."""
    arguments: str | None = None
    match item:
        case SayItem():
            start, delta, end = _TEXT
            given, opened = item.say, MessageUpdate(kind=start, content_index=index)
        case ThinkItem():
            start, delta, end = _THINKING
            given, opened = item.think, MessageUpdate(kind=start, content_index=index, redacted=item.redacted)
        case CallItem():
            start, delta, end = _CALL
            text = _arguments(item)
            given = (text,) if item.deltas is None else item.deltas
            arguments = text if text and text != "".join(given) else None
            opened = MessageUpdate(kind=start, content_index=index, id=item.id or call_id, name=item.call)
    yield opened
    for piece in (given,) if isinstance(given, str) else given:
        if piece:
            yield MessageUpdate(kind=delta, content_index=index, delta=piece)
    if not item.unfinished:
        yield MessageUpdate(kind=end, content_index=index, arguments=arguments, signature=item.signature)


def _arguments(item: CallItem) -> str:
    """Write a call's arguments as a model does."""
    return item.arguments if isinstance(item.arguments, str) else bytes(to_json(item.arguments)).decode()


class StreamedAnswer:
    """What was streamed so far; updates that no message could hold are left out."""

    def __init__(self) -> None:
        self._assembler, self._started = Assembler(), False

    def add(self, step: StreamStart | MessageUpdate) -> None:
        """Take the start or an update; before the start, updates do not count."""
        if isinstance(step, StreamStart):
            self._started = True
        elif self._started:
            try:
                self._assembler.add(step)
            except IndexError:
                pass

    def end(self, message: AssistantMessage) -> StreamEnd:
        """End the answer with this message and what was streamed as its content."""
        return StreamEnd(message=msgspec.structs.replace(message, content=self._assembler.content()))


def words(answer: Answer) -> Words | None:
    """Return what an answer leaves in a context, without thinking and ids; None when it fails, so leaves nothing."""
    transcript = StreamedAnswer()
    for step in steps(answer, "1"):
        match step:
            case StreamStart() | MessageUpdate():
                transcript.add(step)
            case AssistantMessage():
                return _words(transcript.end(step).message)
            case StreamEnd():
                return _words(step.message)
            case StreamRetry() | StallItem() | CutItem():
                return None
            case _:
                pass
    return None


def _words(message: AssistantMessage) -> Words | None:
    """Return what counts of a message: a protocol may join its texts, and write arguments anew on their way through."""
    if message.stop_reason in ("error", "aborted"):
        return None
    calls = (("call", block.name, plain_arguments(block.arguments)) for block in message.tool_calls)
    return (("text", message.text), *calls)


def plain_arguments(text: str) -> str:
    """Write arguments in one way; text that is no JSON stays as it is."""
    try:
        return json.dumps(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return text


def follows(script: Sequence[Words | None], request: Request) -> int:
    """Find the place in a script that comes after the last of its answers that the request holds; 0 when none is there.

    Where the script says the same more than once, what was said before decides, then the earlier place.
    """
    known = [(place, said) for place, said in enumerate(script) if said is not None]
    heard = [_words(message) for message in request.messages if isinstance(message, AssistantMessage)]
    for end in range(len(heard), 0, -1):
        best, longest = -1, 0
        for number, (place, _) in enumerate(known):
            same = 0
            while same <= number and same < end and known[number - same][1] == heard[end - 1 - same]:
                same += 1
            if same > longest:
                best, longest = place, same
        if longest:
            return best + 1
    return 0

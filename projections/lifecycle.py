"""The founding loop's event stream: each stored event with the whole messages that the log keeps only once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import (
    AgentEnd,
    AgentStart,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    Place,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    TurnEnd,
    TurnStart,
)
from eventsource.machine.outcome import ENDING_TYPES, Ending, RunOutcome, ending, outcome
from eventsource.machine.refusals import refusal_result
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
)


class LifecycleEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A stored event, and beside it what it refers to.

    message: of message_*, whole or so far; of turn_end, the assistant's. messages: of agent_end, all the run added.
    results: of turn_end, its tool results. call, result: of tool_execution_*. outcome: of agent_end, how the run ended
    and why.
    """

    seq: int
    at_us: int
    event: Event
    message: Message | None = None
    messages: tuple[Message, ...] = ()
    results: tuple[ToolResultMessage, ...] = ()
    call: ToolCall | None = None
    result: ToolResult | None = None
    outcome: RunOutcome | None = None

    @property
    def type(self) -> str:
        """The event's stored tag."""
        return self.event.type


def lifecycle(history: Iterable[Recorded]) -> Iterator[LifecycleEvent]:
    """Yield the stream of a history; events that the founding loop does not know are left out."""
    view = Lifecycle()
    for recorded in history:
        yield from view.feed(recorded)


class Lifecycle:
    """Converts events in order to the events of the stream: from a session's first one on, or from a run's.

    `pushed` finds what was queued before the first event that is given.
    """

    def __init__(self, pushed: Callable[[int], Message | None] = lambda seq: None) -> None:
        self._pushed = pushed
        self._pushes: dict[int, Message] = {}
        self._partial = AssistantMessage()
        self._answer: AssistantMessage | None = None
        self._answer_seq = 0
        self._open: Message | None = None
        self._starts: dict[int, ToolExecutionStart] = {}
        self._ends: dict[int, ToolExecutionEnd] = {}
        self._results: list[ToolResultMessage] = []
        self._run: list[Message] = []
        self._ending = Ending()
        self._held: LifecycleEvent | None = None

    def feed(self, recorded: Recorded) -> tuple[LifecycleEvent, ...]:
        """Take one event. Returns: it as the stream shows it, nothing when the stream does not know its kind.

        The start of a message that came whole is shown together with its end, since only then the message is known.
        """
        shown = self._show(recorded)
        if shown is None:
            return ()
        if isinstance(shown.event, MessageStart) and not shown.event.streamed:
            self._held = shown
            return ()
        held, self._held = self._held, None
        return (shown,) if held is None else (replace(held, message=shown.message), shown)

    def _show(self, recorded: Recorded) -> LifecycleEvent | None:
        event = recorded.event
        shown = LifecycleEvent(seq=recorded.seq, at_us=recorded.at_us, event=event)
        if isinstance(event, ENDING_TYPES):
            self._ending = ending(self._ending, event)
        match event:
            case MessageUpdate():
                self._partial = replace(self._partial, content=_updated(self._partial.content, event))
                return replace(shown, message=self._partial)
            case QueuePush():
                self._pushes[recorded.seq] = event.message
                return None
            case AgentStart():
                self._run = []
                return shown
            case TurnStart():
                self._answer, self._results = None, []
                return shown
            case MessageStart():
                return replace(shown, message=self._start(event))
            case MessageEnd():
                return replace(shown, message=self._end(recorded.seq, event))
            case ToolExecutionStart() | ToolExecutionUpdate() | ToolExecutionEnd():
                return self._tool(shown, event)
            case TurnEnd():
                return replace(shown, message=self._answer, results=tuple(self._results))
            case AgentEnd():
                return replace(shown, messages=tuple(self._run), outcome=outcome(self._ending))
            case _:
                return None

    def _start(self, event: MessageStart) -> Message | None:
        match event.role:
            case "input":
                self._open = self._pushes.pop(event.push_seq, None) or self._pushed(event.push_seq)
                return self._open
            case "tool_result":
                self._open = self._result(event.call)
                return self._open
            case "assistant":
                if self._open is not None or not event.streamed:
                    self._partial = AssistantMessage()
                named = replace(self._partial, api=event.api, provider=event.provider, model=event.model)
                self._open, self._partial = None, named
                return named

    def _end(self, seq: int, event: MessageEnd) -> Message | None:
        ended = event.message if event.message is not None else self._open
        self._open, self._partial = None, AssistantMessage()
        if isinstance(ended, ToolResultMessage) and event.message is None:
            self._results.append(ended)
        if event.message is not None:
            self._answer, self._answer_seq = event.message, seq
            self._starts, self._ends = {}, {}
        if ended is not None and event.interrupted is None:
            self._run.append(ended)
        return ended

    def _tool(
        self, shown: LifecycleEvent, event: ToolExecutionStart | ToolExecutionUpdate | ToolExecutionEnd
    ) -> LifecycleEvent:
        index = event.content_index
        call = self._call(index)
        if isinstance(event, ToolExecutionStart):
            self._starts[index] = event
            return replace(shown, call=call)
        if isinstance(event, ToolExecutionUpdate):
            return replace(shown, call=call, result=event.partial)
        self._ends[index] = event
        return replace(shown, call=call, result=_result_of(self._starts, event))

    def _call(self, index: int) -> ToolCall | None:
        content = self._answer.content if self._answer is not None else ()
        block = content[index] if 0 <= index < len(content) else None
        return block if isinstance(block, ToolCall) else None

    def _result(self, place: Place | None) -> ToolResultMessage | None:
        call = self._call(place.content_index) if place is not None else None
        end = self._ends.get(place.content_index) if place is not None else None
        if call is None or end is None:
            return None
        result = _result_of(self._starts, end)
        return ToolResultMessage(
            tool_call_id=call.id,
            tool_name=call.name,
            content=result.content,
            details=result.details,
            is_error=end.is_error,
        )


def _result_of(starts: Mapping[int, ToolExecutionStart], end: ToolExecutionEnd) -> ToolResult:
    if end.result is not None:
        return end.result
    start = starts.get(end.content_index)
    return refusal_result(start) if start is not None else ToolResult()


def _updated(content: tuple[AssistantContent, ...], update: MessageUpdate) -> tuple[AssistantContent, ...]:
    """Apply one update to the content so far; a call's arguments are JSON text that grows."""
    index = update.content_index
    match update.kind:
        case "text_start":
            return (*content, TextContent(text=""))
        case "thinking_start":
            return (*content, ThinkingContent(thinking="", redacted=update.redacted))
        case "tool_call_start":
            return (*content, ToolCall(id=update.id, name=update.name))
        case "provider_block":
            block = update.block
            return (*content, ProviderContent(api=update.api, block=block if block else msgspec.Raw(b"null")))
        case _:
            return (*content[:index], _grown(content[index], update), *content[index + 1 :])


def _grown(block: AssistantContent, update: MessageUpdate) -> AssistantContent:
    signature = update.signature
    match block:
        case TextContent():
            return replace(block, text=block.text + update.delta, signature=signature)
        case ThinkingContent():
            return replace(block, thinking=block.thinking + update.delta, signature=signature)
        case ToolCall():
            arguments = block.arguments + update.delta if update.arguments is None else update.arguments
            return replace(block, arguments=arguments, signature=signature)
        case ProviderContent():
            return block

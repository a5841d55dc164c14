"""Re-executing today's code against a recording: what it asks is looked up there; the first thing not there is named.

The loop is the loop of any run; its model, its tools and what comes from outside are the recording's. Answers are found
by what is asked (a request's digest, a call's name and arguments), not by ordinal.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentStart,
    EndReason,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRef,
    Place,
    QueuePush,
    Retry,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionUpdate,
    ToolResult,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.state import Config
from eventsource.messages import AssistantMessage, Message
from eventsource.models.protocol import (
    CallOptions,
    Model,
    StreamEnd,
    StreamEvent,
    StreamRetry,
    StreamStart,
    StreamUsage,
    WireBody,
)
from eventsource.request import PartHashes, Request, request_sha256
from eventsource.runner.hooks import ToolOutcomeShown, ToolRevision, ask
from eventsource.runner.loop import Program
from eventsource.tools.arguments import CheckedArguments
from eventsource.tools.context import ToolContext
from eventsource.tools.results import without_traceback
from eventsource.tools.tool import Tool

from .diff_text import canonical
from .mismatch import Mismatch, call_lines, request_lines, result_lines
from .recorded_answers import RecordedAnswer, RecordedCall, RecordingIndex, is_name

V = TypeVar("V")
Mode: TypeAlias = Literal["strict", "live"]
ToolsMode: TypeAlias = Literal["recorded", "live"]
NO_MODEL = "the re-execution went live, and this process has no such model to call"


class Reexecutor(Generic[V]):
    """Answers a program from a recording; nothing recorded is sent to a model or given to a tool.

    mode: `strict` ends at the first mismatch, `live` goes on from there with the program's own model and tools.
    tools: `recorded`, or `live`: pure tools really run, and must say what they said. `append` appends inputs to the
    session that runs.
    """

    def __init__(
        self,
        recording: RecordingIndex,
        program: Program[V],
        *,
        append: Callable[[Sequence[Event]], Awaitable[None]],
        mode: Mode = "strict",
        tools: ToolsMode = "recorded",
    ) -> None:
        self.mismatch: Mismatch | None = None
        self.requests = self.calls = 0
        self._recording, self._program, self._append, self._mode, self._tools = recording, program, append, mode, tools
        self._answers = [answer for answer in recording.answers if answer.end is not None]
        self._unanswered = [answer for answer in recording.answers if answer.end is None]
        self._calls = list(recording.calls)
        self._taken: dict[Place, tuple[RecordedCall, bool]] = {}
        self._live = self._ended = False
        self._inputs = self._reached = self._head = self._runs = 0
        self._names: list[int] = []
        self._waits: set[str] = set()
        self._hashes, self._lock = PartHashes(), asyncio.Lock()

    def program(self) -> Program[V]:
        """Make the program that is to run: the given one, answered by the recording."""
        given = self._program
        hooks = dataclasses.replace(
            given.hooks,
            get_steering_messages=lambda: self._poll("steering"),
            get_follow_up_messages=lambda: self._poll("follow_up"),
            after_tool_call=self._after,
            get_api_key=self._api_key,
        )
        return dataclasses.replace(
            given,
            model=_AnsweringModel(self, given.model.ref, given.model) if given.model is not None else None,
            find_model=self._find_model,
            tools={name: self._tool(tool) for name, tool in given.tools.items()},
            hooks=hooks,
            find_repeat=None,
            grace_s=0.0,
        )

    def listen(self, recorded: Recorded) -> None:
        """Fold an event of the session that runs."""
        self._head = recorded.seq
        if is_name(recorded.event):
            self._names.append(recorded.seq)
        match recorded.event:
            case WaitStart(key=key) | TokenCreate(key=key):
                self._waits.add(key)
            case WaitEnd(key=key):
                self._waits.discard(key)
            case _:
                pass
        if isinstance(recorded.event, AgentStart):
            self._runs += 1
            self._reach(self._recording.starts[min(self._runs, len(self._recording.starts)) - 1])

    def opening(self) -> Sequence[Event] | None:
        """Return what comes from outside before the next recorded run; None when there is none, or none can begin."""
        for start in self._recording.starts[self._runs :]:
            self._find_missing(start)
            due = () if self._ended else self._due(start) or self._due(self._recording.next_intent(start))
            if due or self._ended:
                return due or None
            problem = f"the recording goes on, at seq {start}, with a run that today's code does not come to"
            self._diverge(Mismatch(kind="run", seq=start, head=self._head, problem=problem))
        if not self._ended:
            self._find_missing(self._recording.last + 1)
        return None

    def waiting(self) -> Sequence[Event] | None:
        """Return what ends a wait, as somebody decided then; None when nobody did."""
        due = [] if self._live else self._due(self._recording.next_intent(self._reached))
        if not any(isinstance(event, WaitEnd) for event in due):
            seq, problem = self._recording.next_intent(self._reached), "today's code waits for what nobody decided then"
            self._diverge(Mismatch(kind="run", seq=seq, head=self._head, problem=problem))
            self._ended = True
        return None if self._ended else due

    async def answer(self, model: Model | None, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        """Answer a model call: from the recording, or live."""
        found = None if self._live else self._find_answer(request)
        if found is not None:
            async for event in self._play(found):
                yield event
        elif not self._live:
            await self._halt()
            await asyncio.Event().wait()  # until the abort has come round
        elif model is None:
            yield StreamEnd(message=AssistantMessage(stop_reason="error", error=NO_MODEL))
        else:
            stream = model.stream(request, options)
            try:
                async for event in stream:
                    yield event
            finally:
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()

    async def _play(self, found: RecordedAnswer) -> AsyncIterator[StreamEvent]:
        for one in found.items:
            await self._append_before(one.seq)
            event = one.event
            if isinstance(event, MessageStart) and event.streamed:
                if event.usage is not None:
                    yield StreamUsage(usage=event.usage)
                yield StreamStart(api=event.api, provider=event.provider, model=event.model)
            elif isinstance(event, MessageUpdate):
                yield event
        end = found.end
        if end is None:
            return
        await self._append_before(end.seq)
        self._reach(end.seq)
        match end.event:
            case Retry(cause=cause):
                yield StreamRetry(cause=cause)
            case MessageEnd(message=AssistantMessage() as message):
                yield StreamEnd(message=message)
            case _:
                pass

    def _find_answer(self, request: Request) -> RecordedAnswer | None:
        sha256 = request_sha256(request, self._hashes)
        found = next((answer for answer in self._answers if answer.sha256 == sha256), None)
        if found is not None:
            self._answers.remove(found)
            self.requests += 1
            return found
        left = [*self._answers, *self._unanswered]
        if any(answer.sha256 == sha256 for answer in left) or (not left and self._recording.unfinished):
            self._ended = True  # the recording ends here
            return None
        number, expected = self.requests + 1, next(iter(left), None)
        lines: tuple[str, ...] = ()
        problem, seq = f"model call {number} is not in the recording, which has no more of them", 0
        if expected is not None:
            seq = expected.seq
            problem = f"model call {number} asks something else than the recording at seq {seq}"
            lines = request_lines(self._recording.request(seq), request)
        self._diverge(Mismatch(kind="request", seq=seq, head=self._head, problem=problem, lines=lines))
        return None

    def _find_model(self, config: Config) -> Model | None:
        find = self._program.find_model
        real = find(config) if find is not None else None
        ref = real.ref if real is not None else config.model
        return _AnsweringModel(self, ref, real) if ref is not None else None

    def _tool(self, tool: Tool) -> Tool:
        async def call(arguments: CheckedArguments, context: ToolContext) -> object:
            return await self._call(tool, arguments, context)

        return dataclasses.replace(tool, function=call, _call=call)

    async def _call(self, tool: Tool, arguments: CheckedArguments, context: ToolContext) -> object:
        """Answer a tool call; what the recording says of it is put in place by `_after`."""
        found = None if self._live else self._find_call(tool.spec.name, arguments.text)
        if found is None and not self._live:
            await self._halt()
            return None
        if found is None:
            return await tool.execute(arguments, context)
        really = self._tools == "live" and tool.spec.effect == "pure"
        self._taken[context.call.place] = (found, really)
        if really:
            return await tool.execute(arguments, context)
        for one in found.updates:
            await self._append_before(one.seq)
            if isinstance(one.event, ToolExecutionUpdate):
                context.update(one.event.partial)
        if found.end is None:
            self._ended = True
            await self._halt()
        return None

    def _find_call(self, name: str, arguments: str) -> RecordedCall | None:
        wanted = (name, canonical(arguments))
        found = next((call for call in self._calls if (call.name, call.arguments) == wanted), None)
        if found is not None:
            self._calls.remove(found)
            self.calls += 1
            return found
        if not self._calls and self._recording.unfinished:
            self._ended = True  # the recording ends here
            return None
        alike = [call for call in self._calls if call.name == name] or self._calls
        expected = f"seq {alike[0].seq} holds {alike[0].name}" if alike else "it has no more calls"
        problem = f"tool call {self.calls + 1}, {name}, did not run with these arguments in the recording: {expected}"
        lines = call_lines(alike[0] if alike else None, name, arguments)
        seq = alike[0].seq if alike else 0
        self._diverge(Mismatch(kind="call", seq=seq, head=self._head, problem=problem, lines=lines))
        return None

    async def _after(self, shown: ToolOutcomeShown) -> ToolRevision | None:
        """Replace a call's result by the recorded one, as the hook of then left it; compare one that really ran."""
        found, really = self._taken.pop(shown.place, (None, True))
        end = found.end if found is not None else None
        revision = await self._revise(shown) if really else None
        if found is None or end is None or not isinstance(end.event, ToolExecutionEnd):
            return revision
        await self._append_before(end.seq)
        self._reach(end.seq)
        if not really:
            return ToolRevision(result=end.event.result, is_error=end.event.is_error)
        given = revision or ToolRevision()
        result = shown.result if given.result is None else given.result
        is_error = shown.is_error if given.is_error is None else given.is_error
        said, had = without_traceback(result), without_traceback(end.event.result or ToolResult())
        if (said, is_error) == (had, end.event.is_error):
            return ToolRevision(result=end.event.result, is_error=is_error)  # with the traceback of then
        problem = f"tool {found.name} ran and said something else than the recording at seq {end.seq}"
        lines = result_lines(end.event, result, is_error=is_error)
        self._diverge(Mismatch(kind="result", seq=end.seq, head=self._head, problem=problem, lines=lines))
        if self._ended:
            await self._halt()
        return revision

    async def _revise(self, shown: ToolOutcomeShown) -> ToolRevision | None:
        hook = self._program.hooks.after_tool_call
        return await ask(lambda: hook(shown)) if hook is not None else None

    async def _api_key(self, provider: str) -> str | None:
        hook = self._program.hooks.get_api_key
        return await ask(lambda: hook(provider)) if hook is not None and self._live else None

    async def _poll(self, queue: Literal["steering", "follow_up"]) -> Sequence[Message]:
        """Return what came from outside between two effects; once live, ask the program's own callback."""
        hooks = self._program.hooks
        hook = hooks.get_steering_messages if queue == "steering" else hooks.get_follow_up_messages
        if self._live:
            return await ask(hook) if hook is not None else ()
        due = self._due(self._recording.next_intent(self._reached))
        pushes = [event.message for event in due if isinstance(event, QueuePush) and event.queue == queue]
        if len(pushes) == len(due):
            return pushes
        await self._append(due)
        return ()

    async def _append_before(self, seq: int) -> None:
        async with self._lock:
            due = self._due(seq)
            if due:
                await self._append(due)

    def _due(self, until: int) -> Sequence[Event]:
        """Take the inputs recorded before a seq that are still to come, with the names of the session that runs."""
        inputs, first = self._recording.inputs, self._inputs
        while self._inputs < len(inputs) and inputs[self._inputs].seq < until:
            self._inputs += 1
        due = [self._recording.renamed(one.event, self._names, self._head) for one in inputs[first : self._inputs]]
        events = [event for event in due if event is not None]
        return [event for event in events if not isinstance(event, WaitEnd) or event.key in self._waits]

    def _reach(self, seq: int) -> None:
        self._reached = max(self._reached, seq)

    def _find_missing(self, until: int) -> None:
        missing = next((answer for answer in self._answers if answer.seq < until), None)
        if missing is not None and not self._live:
            problem = f"the recording has, at seq {missing.seq}, a model call that today's code does not make"
            self._diverge(Mismatch(kind="missing", seq=missing.seq, head=self._head, problem=problem))

    def _diverge(self, mismatch: Mismatch) -> None:
        """Keep the first mismatch, and end or go live."""
        self.mismatch = self.mismatch or mismatch
        if self._mode == "strict":
            self._ended = True
        else:
            self._live = True

    async def _halt(self) -> None:
        """Ask the run to end, as somebody from outside would."""
        reason: EndReason = "stop" if self.mismatch is None else "error"
        error = self.mismatch.problem if self.mismatch is not None else ""
        await self._append([AbortRequest(reason=reason, cause="callback", error=error)])


class _AnsweringModel:
    """A model whose calls are answered by the recording."""

    def __init__(self, reexecutor: Reexecutor[V], ref: ModelRef, real: Model | None) -> None:
        self.ref = ref
        self._reexecutor, self._real = reexecutor, real

    def encode(self, request: Request) -> WireBody | None:
        return self._real.encode(request) if self._real is not None else None

    def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        return self._reexecutor.answer(self._real, request, options)

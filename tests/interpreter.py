"""A shell of a few lines around the pure machine: it asks, does, appends, and waits for nothing.

Numbers decide what models, tools, callbacks and people do, one number at each turn; when they have run out everything
takes its plainest course, so that a run comes to its end. The judgements at the end look at events only, never at the
machine's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Raw
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ChildEnd,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    Refusal,
    Resume,
    Retry,
    TaskEnd,
    TaskStart,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.approvals import REASON, verdict
from eventsource.machine.closing_message import closing_message, streamed_content
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.guards import find_call, legal
from eventsource.machine.refusals import ABORTED, ABORTED_RUNNING
from eventsource.machine.state import CHILD, Kind, Phase
from eventsource.machine.steps import (
    CallModel,
    CallRun,
    CloseMessage,
    Poll,
    Record,
    RunTools,
    Step,
    Stop,
    Suspend,
    next_step,
    refused_end,
)
from eventsource.messages import AssistantMessage, ProviderContent, TextContent, ThinkingContent, ToolCall
from eventsource.request import request_sha256
from projections.context import CONTEXT, request
from projections.projection import project
from tests.candidates import CALLING, DONE, FAILED, FINAL, MESSAGES, candidates

DISTURBANCES = (
    Kind.QUEUE_PUSH,
    Kind.QUEUE_CLEAR,
    Kind.ABORT_REQUEST,
    Kind.CONFIG_CHANGE,
    Kind.COMPACTION,
    Kind.CONTEXT_EDIT,
    Kind.TOKEN_CREATE,
    Kind.WAIT_END,
    Kind.CHILD_END,
    Kind.METADATA_SET,
    Kind.STREAM_UPDATE,
    Kind.LABEL,
    Kind.CUSTOM,
)
"""What may come from outside while a model or a tool is at work."""

RESTARTS = (Kind.RESUME, Kind.FORK)
"""What begins a new process, which knows nothing of what was under way."""


class EndlessError(AssertionError):
    """A run that should have ended goes on and on."""


class Interpreter:
    """Drives one history to its end."""

    def __init__(self, history: Sequence[Recorded] = (), numbers: Sequence[int] = ()) -> None:
        self.history = list(history)
        self.state = fold(history)
        self._view = project(CONTEXT, history)
        self._numbers = list(reversed(numbers))

    def run(self, *, limit: int = 400) -> list[Recorded]:
        """Do one step after another until the machine stops. Raises: EndlessError after too many."""
        for _ in range(limit + 20 * len(self._numbers)):
            if self._pick(8) == 7:
                self._disturb(RESTARTS)
            step = next_step(self.state)
            if isinstance(step, Stop) and not self.state.task:
                if not self._numbers:
                    return self.history
                self.add(QueuePush(queue="prompt", message=MESSAGES[self._pick(len(MESSAGES))]))
                continue
            if not self._answers(step.polls):
                self._perform(step)
        raise EndlessError(f"{self.state.phase}: {next_step(self.state)}")

    def add(self, *events: Event) -> None:
        """Append events in one go."""
        for event in events:
            recorded = Recorded(len(self.history) + 1, 1_000 * len(self.history), event)
            self.state = evolve(self.state, recorded)
            self._view = CONTEXT.step(self._view, recorded)
            self.history.append(recorded)

    def digest(self) -> str:
        """Digest the request that would be sent now."""
        return request_sha256(request(self._view))

    def _pick(self, ways: int) -> int:
        return self._numbers.pop() % ways if self._numbers else 0

    def _disturb(self, kinds: Sequence[Kind] = DISTURBANCES) -> None:
        kind = kinds[self._pick(len(kinds))]
        found = [e for e in candidates(self.state, len(self.history) + 1, kind) if legal(self.state, e) is None]
        if found:
            self.add(found[self._pick(len(found))])

    def _perhaps_disturb(self) -> None:
        if self._pick(8) == 7:
            self._disturb()

    def _answers(self, polls: Sequence[Poll]) -> bool:
        for poll in polls:
            if self._pick(4) != 3:
                continue
            if poll == "stop":
                self.add(Resume(why="turn") if self._pick(2) else AbortRequest(reason="stop", cause="hook"))
            else:
                message = MESSAGES[self._pick(len(MESSAGES))]
                self.add(*[QueuePush(queue=poll, message=message)] * (1 + self._pick(2)))
            return True
        return False

    def _perform(self, step: Step) -> None:
        self._perhaps_disturb()
        if next_step(self.state) != step:
            return  # something came first, the machine is asked again
        match step:
            case Record():
                self.add(*step.events[: len(step.events) - self._pick(len(step.events))])
            case CallModel():
                judge_request(self.history)
                self.add(ModelRequest(attempt=step.attempt, request_sha256=self.digest()))
                self._answer()
            case RunTools():
                self._run_tools(step.calls)
            case CloseMessage():
                self._close(step)
            case Suspend() if self.state.closing and step.waits[0].reason == CHILD:
                self.add(ChildEnd(key=step.waits[0].key.removeprefix(f"{CHILD}:"), is_error=True))
            case Suspend() if step.waits[0].reason == "retry" and not step.waits[0].step:
                self.add(TaskStart(task=self.state.task, attempt=self.state.attempt + 1))
            case Suspend():
                self.add(WaitEnd(key=step.waits[0].key, outcome="completed", value=self._decision()))
            case Stop():
                self.add(TaskEnd())

    def _answer(self) -> None:
        """Be the model: answer, call tools, fail, ask for another try, or break off."""
        self._perhaps_disturb()
        if self.state.aborted is not None:
            return
        way = self._pick(8)
        if way == 6:
            return
        if way == 7:
            self.add(Retry(cause="overloaded"))
            return
        choices = FINAL if way < 2 else FAILED if way == 2 else CALLING
        message = choices[self._pick(len(choices))] if way else FINAL[0]
        streamed = self._pick(2) == 1
        self.add(MessageStart(role="assistant", streamed=streamed))
        if streamed and not self._stream(message):
            return
        self.add(MessageEnd(message=message))

    def _stream(self, message: AssistantMessage) -> bool:
        """Stream a message's content. Returns: False when the process ended before the message did."""
        for index, block in enumerate(message.content):
            for update in _updates(index, block):
                self._perhaps_disturb()
                if self.state.aborted is not None or self._pick(16) == 15:
                    return False
                self.add(update)
        return True

    def _run_tools(self, runs: Sequence[CallRun]) -> None:
        if self._pick(8) == 7:  # a person must agree first
            waiting = WaitStart(key=f"approval{len(self.history)}", call=runs[-1].place)
            self.add(waiting)
            return
        runs = [run for run in runs if not self._asks(run)]
        running: list[CallRun] = []
        for run in runs:  # the starts are one append, nothing comes between
            refused = run.refused or self._refusal()
            self.add(self._start(run, refused))
            if refused is None:
                running.append(run)
            else:
                self.add(refused_end(run.place))
        while running:
            self._perhaps_disturb()
            run = running.pop(self._pick(len(running)))
            if self._pick(8) == 7:
                return  # the process is gone
            if self._pick(2):
                place = run.place
                self.add(
                    ToolExecutionUpdate(message_seq=place.message_seq, content_index=place.content_index, partial=DONE)
                )
            self.add(self._end(run.place))

    def _asks(self, run: CallRun) -> bool:
        """Ask a person where the call's rule says so; by its arguments, at random."""
        call = find_call(self.state, run.place.message_seq, run.place.content_index)
        if call is None or run.refused is not None or call.approved or call.approval in (None, "never"):
            return False
        if call.approval == "by_arguments" and self._pick(2) == 0:
            return False
        arguments = '{"n":1}' if self._pick(4) == 3 else None
        key = f"approval:{len(self.history)}"
        self.add(WaitStart(key=key, reason=REASON, call=run.place, arguments=arguments))
        return True

    def _start(self, run: CallRun, refused: Refusal | None) -> ToolExecutionStart:
        start = _start(run, refused)
        call = find_call(self.state, run.place.message_seq, run.place.content_index)
        if call is None or not start.runs or call.approval in (None, "never"):
            return start
        if call.approved:
            return replace(start, arguments=call.approved[-1])
        return replace(start, no_approval_needed=True)

    def _refusal(self) -> Refusal | None:
        refusals: tuple[Refusal, ...] = ("invalid", "blocked")
        way = self._pick(8)
        return refusals[way - 6] if way > 5 else None

    def _end(self, place: Place) -> ToolExecutionEnd:
        end = ToolExecutionEnd(message_seq=place.message_seq, content_index=place.content_index, result=DONE)
        way = self._pick(4)
        if way == 1:
            return replace(end, result=ToolResult(terminate=True))
        if way == 2:
            return replace(end, is_error=True)
        if way == 3 and self.state.aborted is not None:
            given_up = ABORTED_RUNNING if self._pick(2) else ABORTED
            return replace(end, result=given_up, is_error=True, decided="machine")
        return end

    def _decision(self) -> Raw:
        """Be whoever decides on a call; what waits for something else takes any value."""
        way = self._pick(4)
        if way == 3:
            return verdict(approve=True, arguments={"n": 2})
        return verdict(approve=way < 2, reason="no" if way == 2 else "")

    def _close(self, step: CloseMessage) -> None:
        stream = self.state.stream
        content = streamed_content(self.history[stream.start_seq - 1 :] if stream is not None else ())
        message = closing_message(content, step.how, self.state.aborted)
        if stream is None:
            self.add(MessageStart(role="assistant", streamed=False))
        partial = self.state.config.policies.partial if step.how == "interrupted" else None
        self.add(MessageEnd(message=message, interrupted=partial))


def played(numbers: Sequence[int], *changes: Event) -> list[Recorded]:
    """Make a history as the machine makes it, from a prompt on, with whatever comes from outside meanwhile."""
    run = Interpreter(numbers=numbers)
    run.add(candidates(run.state, 1, Kind.CONFIG_CHANGE)[0], *changes)
    run.add(QueuePush(queue="prompt", message=MESSAGES[0]))
    return run.run()


def resumed(history: Sequence[Recorded], numbers: Sequence[int] = ()) -> list[Recorded]:
    """Go on from a history as another process would."""
    run = Interpreter(history, numbers)
    if run.state.phase is not Phase.IDLE:
        run.add(Resume(why="crash"))
    return run.run()


def _start(run: CallRun, refused: Refusal | None) -> ToolExecutionStart:
    return ToolExecutionStart(
        message_seq=run.place.message_seq,
        content_index=run.place.content_index,
        name=run.name,
        attempt=run.attempt,
        refused=refused,
        reason=run.reason or ("no" if refused == "blocked" else ""),
    )


def _updates(index: int, block: object) -> Iterator[MessageUpdate]:
    match block:
        case TextContent():
            yield MessageUpdate(kind="text_start", content_index=index)
            for letter in block.text:
                yield MessageUpdate(kind="text_delta", content_index=index, delta=letter)
            yield MessageUpdate(kind="text_end", content_index=index)
        case ThinkingContent():
            yield MessageUpdate(kind="thinking_start", content_index=index)
            yield MessageUpdate(kind="thinking_delta", content_index=index, delta=block.thinking)
            yield MessageUpdate(kind="thinking_end", content_index=index, signature=block.signature)
        case ToolCall():
            yield MessageUpdate(kind="tool_call_start", content_index=index, id=block.id, name=block.name)
            yield MessageUpdate(kind="tool_call_delta", content_index=index, delta=block.arguments)
            yield MessageUpdate(kind="tool_call_end", content_index=index)
        case ProviderContent():
            yield MessageUpdate(kind="provider_block", content_index=index, api=block.api, block=block.block)
        case _:
            pass


def judge_request(history: Sequence[Recorded]) -> None:
    """Hold that a model may be called now: every call has its result, and nobody asked the run to end."""
    assert calls_without_result(history) == set()
    assert not is_aborted(history)


def calls_without_result(history: Sequence[Recorded]) -> set[tuple[int, int]]:
    """Find the calls of this log's own batches whose result is no message yet."""
    left: set[tuple[int, int]] = set()
    answered: Place | None = None
    for recorded in history:
        event = recorded.event
        if isinstance(event, MessageStart):
            answered = event.call
        elif isinstance(event, MessageEnd) and event.message is None and answered is not None:
            left.discard((answered.message_seq, answered.content_index))
            answered = None
        elif isinstance(event, MessageEnd) and event.message is not None and event.interrupted is None:
            message = event.message
            calls = () if message.stop_reason in ("error", "aborted") else message.content
            left |= {(recorded.seq, index) for index, block in enumerate(calls) if isinstance(block, ToolCall)}
    return left


def is_aborted(history: Sequence[Recorded]) -> bool:
    """Say whether the run under way was asked to end."""
    running = aborted = False
    for recorded in history:
        match recorded.event:
            case AgentStart():
                running, aborted = True, False
            case AgentEnd():
                running = False
            case AbortRequest():
                aborted = aborted or running
            case _:
                pass
    return running and aborted

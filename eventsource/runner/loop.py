"""The loop: ask the machine, do what it says, append what came of it. No rule of a run lives here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, get_args

from ..admission import Admitted, admit, repair
from ..background import beside
from ..context_fold import ContextFold
from ..errors import InvalidTextError, MissingModelError, MissingToolError, RefoldError
from ..events import (
    AbortRequest,
    ConfigChange,
    Inserted,
    ModelRequest,
    QueuePush,
    RepeatedTools,
    Resume,
    SeqRange,
    TurnStart,
)
from ..machine.repeated_calls import FindRepeat
from ..machine.state import Config, Phase
from ..machine.steps import (
    CallModel,
    Poll,
    Record,
    RunTools,
    Step,
    Stop,
    Suspend,
    next_step,
    reject_answer,
)
from ..messages import AssistantMessage, Message, Usage
from ..models.protocol import CallOptions, Model
from ..models.secrets import Secrets
from ..request import Request, request_sha256
from ..tools.tool import Tool
from ..user_code.calls import CLEAN_UP_S, attempt
from ..user_code.error_words import words
from .advance import expire, perform
from .current_run import CURRENT_RUN, CurrentRun
from .flushing import flushing
from .hooks import HookAbortedError, HookError, Hooks, MaybeAwaitable, NextTurn, TurnEnded, answered
from .operator_log import log_raised
from .reply import FLUSH_UPDATES, ReplyReader, read_reply
from .tool_batch import BatchContext, BatchRunner
from .writer import Writer

V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")

NEWS_S = 0.1
"""Seconds between two times that a run takes in what others append; an abort must arrive within 0.25 s."""
_CLOCK_S = 10.0
"""The longest time for which a run does not read the clock that its deadline goes by."""


@dataclass(frozen=True, kw_only=True)
class Program(Generic[V]):
    """What a process brings to a run: it is compared with the log's configuration, never stored beside it.

    `model` answers; `find_model` finds another one when the log names it. `flush_updates`: so many updates are appended
    at once at the latest (a stalled stream is flushed after 50 ms anyway). `grace_s`: how long a tool may go on after
    an abort before it is given up. `deadline_us`: when the run must be over. `secrets`: values kept out of the log.
    `find_repeat`: knows the calls that another branch has made; `repeated_tools`: what becomes of those made again;
    without it, what the fork that the session began as says, else people are asked.
    `check_answer`: says what does not fit in an answer that a run may end with; empty if it fits.
    `before_request` may append inputs before a model is asked (a compaction); it is given what is set on abort.
    """

    model: Model | None
    context: ContextFold[V]
    clock: Callable[[], int]
    tools: Mapping[str, Tool] = field(default_factory=dict)
    hooks: Hooks = field(default_factory=Hooks)
    deps: object = None
    api_key: str | None = field(default=None, repr=False)
    find_model: Callable[[Config], Model | None] | None = None
    flush_updates: int = FLUSH_UPDATES
    grace_s: float = 1.0
    deadline_us: int | None = None
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    find_repeat: FindRepeat | None = None
    repeated_tools: RepeatedTools | None = None
    before_request: Callable[[Writer[V], asyncio.Event], Awaitable[None]] | None = None
    check_answer: Callable[[AssistantMessage], str] | None = None


def _read(make: Callable[[], A], what: str) -> A:
    """Let people's code make something, or read what it made.

    Raises: RefoldError as it is, but for what it gave and no log can hold; HookError with the words of anything else.
    """
    ended = attempt(make)
    if isinstance(ended.error, RefoldError) and not isinstance(ended.error, InvalidTextError):
        raise ended.error
    if ended.error is not None:
        raise HookError(f"{what} failed: {words(ended.error)}") from ended.error
    return ended.value  # type: ignore[return-value]  # what `make` returned


def _messages(chosen: Sequence[Message]) -> tuple[Message, ...]:
    for message in chosen:
        if not isinstance(message, get_args(Message)):
            raise TypeError(f"expected messages, found a {type(message).__name__} among them")
    return tuple(repair(message) for message in chosen)


def _finishing(answer: Literal["end", "continue"] | None) -> Literal["end", "continue"] | None:
    if answer not in ("end", "continue", None):
        raise HookError(f"finish_turn answered {answer!r}; it may answer 'end', 'continue' or None")
    return answer


def _key(key: str | None) -> str | None:
    if not isinstance(key, str | None):
        raise TypeError(f"expected a key or None, found a value of type {type(key).__name__}")
    return key


class Loop(Generic[V]):
    """Drives one session until nothing is left to do."""

    def __init__(self, writer: Writer[V], program: Program[V], signal: asyncio.Event | None = None) -> None:
        self.writer, self.program = writer, program
        self.signal = signal if signal is not None else asyncio.Event()
        self._has_signal = signal is not None
        self._aborting = asyncio.Event()
        self._end: AbortRequest | None = None
        self._leaving = False
        self._busy = self._asking = False
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._waited_us = 0
        self._used: Usage | None = None  # what the provider said of the call that was made last, if it has no end

    def end(self, request: AbortRequest) -> None:
        """End the run under way at its next step, for a reason; what listens to a run ends it so when it raises."""
        self._end = self._end or request

    def abort(self) -> None:
        """End the run under way at once, since what awaits it was cancelled, and begin no other."""
        self._leave(AbortRequest(by="the cancellation of the task that awaited it"))

    def _leave(self, request: AbortRequest) -> None:
        self.end(request)
        self._leaving = True
        self._aborting.set()

    async def run(self, *, until_agent_end: bool = False) -> Stop | Suspend:
        """Do one step after another; with `until_agent_end`, or once signalled, stop when the run has ended.

        Raises: MissingToolError, MissingModelError before anything of the step is appended; FencedError;
            OutcomeUnknownError when the store keeps failing.
        """
        began = False
        async with beside(*self._watches()), self._as_current_run():
            while True:
                if self._is_signalled():
                    await self.writer.flush()
                    self._note_signal()
                self._note_abort()
                step = next_step(self.writer.state)
                began = began or self.writer.state.run is not None
                if began and self.writer.state.run is None and (until_agent_end or self._leaving or self._stopped()):
                    await self.writer.flush()
                    if self.writer.state.run is None:
                        return Stop(self.writer.state.ended)
                    continue
                disturbed = self.writer.disturbed
                if step.polls and (await self._poll(step.polls) or self.writer.disturbed != disturbed):
                    continue
                if isinstance(step, Suspend) and expire(self.writer, self.program.clock()):
                    continue
                if isinstance(step, Stop | Suspend) and await self.writer.flush():
                    return step
                try:
                    await self._perform(step)
                except (MissingModelError, MissingToolError):
                    self.writer.forget_decisions()
                    await self.writer.flush()
                    raise

    @asynccontextmanager
    async def _as_current_run(self) -> AsyncIterator[None]:
        """Let what tools and callbacks call know which run calls them."""
        self._event_loop, writer = asyncio.get_running_loop(), self.writer
        run = CURRENT_RUN.set(CurrentRun(writer.log, writer.session, self._on_abort, CURRENT_RUN.get()))
        try:
            yield
        finally:
            CURRENT_RUN.reset(run)

    def _on_abort(self) -> None:
        """Take notice of an abort that is on record."""
        if asyncio.get_running_loop() is self._event_loop:
            self._aborting.set()
        elif self._event_loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._event_loop.call_soon_threadsafe(self._aborting.set)

    async def _perform(self, step: Step) -> None:
        match step:
            case CallModel():
                await self._call_model(step)
            case RunTools():
                await self._run_tools(step)
            case _:
                if not isinstance(step, Record) or await self._prepare(step):
                    called = self.writer.state.phase in (Phase.REQUESTED, Phase.STREAMING)
                    await perform(self.writer, step, self._used if called else None)

    def _watches(self) -> list[Coroutine[None, None, None]]:
        """List what is watched while the run goes on; nobody watches for what cannot come."""
        watches = [self._watch_news()]
        if self._has_signal:
            watches.append(self._watch_signal())
        if self.program.deadline_us is not None:
            watches.append(self._watch_deadline(self.program.deadline_us))
        return watches

    async def _watch_news(self) -> None:
        """Take in what others append while we are busy, above all an abort."""
        while True:
            await self.writer.wait_for_news()
            if self._busy:
                await self.writer.catch_up(lambda: self._busy)
                self._note_abort()
            elif self._asking and await self.writer.finds_abort():
                self._aborting.set()
            await asyncio.sleep(NEWS_S)  # what could not be taken in just now is looked at again

    async def _watch_signal(self) -> None:
        await self.signal.wait()
        self._aborting.set()

    async def _watch_deadline(self, deadline_us: int) -> None:
        """Wait until the run's time is over; the clock may be another than the event loop's, or be set."""
        while (left_us := deadline_us - self.program.clock()) > 0:
            await asyncio.sleep(min(max(left_us / 1_000_000, NEWS_S), _CLOCK_S))
        self._leave(AbortRequest(reason="limit", cause="budget", error="the run's time was over"))

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """Mark an effect as under way: what others append may be folded, since nothing is being decided."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _note_abort(self) -> None:
        """Pass on to whatever is under way that the run is to end.

        A new run begins with an event of its own: what still runs of the old one, though it was given up, may look.
        """
        if self.writer.state.aborted is not None:
            self._aborting.set()
        elif self.writer.state.run is None:
            self._aborting = asyncio.Event()

    def _is_signalled(self) -> bool:
        """Return whether the run under way is to end, and the log does not know it yet."""
        state = self.writer.state
        return state.run is not None and state.aborted is None and (self._end is not None or self.signal.is_set())

    def _note_signal(self) -> None:
        """Take it on record; what was decided before must be there already, since decisions may be forgotten."""
        if self._is_signalled():
            self.writer.outcome(self._end or AbortRequest())
            self._end = None

    async def _asked(self, answer: Callable[[], MaybeAwaitable[A]], read: Callable[[A], B]) -> B:
        """Ask a callback of the program, until the run is aborted. Raises: HookError."""
        self._asking = True
        try:
            return await answered(answer, read, stop=self._aborting, grace_s=self.program.grace_s)
        except HookAbortedError:
            await self.writer.catch_up(lambda: True)  # what was being decided is given up
            raise
        except HookError as error:
            self._log(error)
            raise
        finally:
            self._asking = False

    def _log(self, error: HookError) -> None:
        """Log once what a callback raised, with its traceback: the log of events has the words."""
        if not error.logged and error.__cause__ is not None:
            error.logged = True
            log_raised(self.writer.session, self.writer.head, error.__cause__, self.program.secrets.redact)

    def _note_hook_error(self, error: HookError, cause: Literal["hook", "callback"] = "hook") -> None:
        """Put on record what a callback raised; one that did not answer an aborted run leaves that abort's reason."""
        if not isinstance(error, HookAbortedError):
            self._log(error)
            self.writer.outcome(AbortRequest(reason="error", cause=cause, error=str(error)))

    async def _poll(self, polls: Sequence[Poll]) -> bool:
        """Ask the callbacks in order; the first answer becomes events and ends the asking."""
        hooks = self.program.hooks
        for poll in polls:
            hook: object = {
                "steering": hooks.get_steering_messages,
                "follow_up": hooks.get_follow_up_messages,
                "stop": hooks.should_stop_after_turn or hooks.finish_turn or self.program.check_answer,
            }[poll]
            if hook is None:
                continue
            if not await self.writer.flush():
                return True
            try:
                answered = await self._ask(poll)
            except HookError as error:
                self._note_hook_error(error, "callback")
                answered = True
            if answered:
                await self.writer.flush()
                return True
        return False

    async def _ask(self, poll: Poll) -> bool:
        hooks = self.program.hooks
        if poll == "stop":
            return await self._ask_stop()
        hook = hooks.get_steering_messages if poll == "steering" else hooks.get_follow_up_messages

        def admitted(messages: Sequence[Message] | None) -> list[Admitted]:
            return [self.writer.admit(QueuePush(queue=poll, message=message)) for message in messages or ()]

        pushes = [] if hook is None else await self._asked(hook, admitted)
        self.writer.outcome(*pushes)
        return bool(pushes)

    async def _ask_stop(self) -> bool:
        """Ask whether the run ends behind this turn, or goes on for one more."""
        last = self.program.context.answer(self.writer.view)
        stop, finish = self.program.hooks.should_stop_after_turn, self.program.hooks.finish_turn
        answer = None
        if stop is not None or finish is not None:
            shown = self._turn_ended()
            answer = "end" if stop is not None and await self._asked(lambda: stop(shown), bool) else None
            if answer is None and finish is not None:
                answer = await self._asked(lambda: finish(shown), _finishing)
        problem = self._problem(last) if answer != "continue" else ""
        if problem:
            rejected = reject_answer(self.writer.state, problem)
            ends = answer == "end" and isinstance(rejected, QueuePush)
            error = f"the answer does not fit the output type, and a hook asked the run to end: {problem}"
            self.writer.outcome(AbortRequest(reason="error", cause="output", error=error) if ends else rejected)
        elif answer is not None:
            self.writer.outcome(AbortRequest(reason="stop", cause="hook") if answer == "end" else Resume(why="turn"))
        return bool(problem) or answer is not None

    def _problem(self, message: AssistantMessage | None) -> str:
        """Return what does not fit in an answer that the run may end with."""
        check, state = self.program.check_answer, self.writer.state
        if check is None or message is None or message.stop_reason != "stop":
            return ""
        return "" if state.batch is not None or state.queued("steering") else check(message)

    def _turn_ended(self) -> TurnEnded:
        context, view = self.program.context, self.writer.view
        return TurnEnded(context.answer(view), context.messages(view))

    async def _prepare(self, step: Record) -> bool:
        """Let the program prepare the turn that a step begins; False when the machine must be asked again."""
        prepare = None if self.writer.state.aborted is not None else self.program.hooks.prepare_next_turn
        run = self.writer.state.run
        if prepare is not None and isinstance(step.events[0], TurnStart) and run is not None and run.turns:
            if not await self.writer.flush():
                return False
            shown = self._turn_ended()

            def admitted(turn: NextTurn | None) -> Admitted | None:
                if turn is None:
                    return None
                change = ConfigChange(
                    model=turn.model, system_prompt=turn.system_prompt, tools=turn.tools, options=turn.options
                )
                return self.writer.admit(change)

            try:
                prepared = await self._asked(lambda: prepare(shown), admitted)
            except HookError as error:
                self._note_hook_error(error)
                return False
            if prepared is not None:
                self.writer.decide(prepared)
        return True

    async def _call_model(self, step: CallModel) -> None:
        writer, hooks = self.writer, self.program.hooks
        before = self.program.before_request
        asks = hooks.transform_context or hooks.convert_to_llm or hooks.get_api_key
        if (asks and not await writer.flush()) or await self._waits_until(step.not_before_us):
            return
        disturbed = writer.disturbed
        try:
            model = self._model()
            if before is not None:
                with self._under_way():
                    await before(writer, self._aborting)
                if not isinstance(next_step(writer.state), CallModel):
                    return
                disturbed = writer.disturbed
            request, sent = await self._request(model, step.attempt)
            key = hooks.get_api_key
            api_key = None if key is None else await self._asked(lambda: key(model.ref.provider), _key)
            self.program.secrets.add(api_key)
        except HookError as error:
            self._note_hook_error(error)
            return
        self._used = None
        if writer.disturbed != disturbed or not await writer.intend(sent):
            return  # others came between: the machine is asked again
        if self.signal.is_set():
            return
        options = CallOptions(api_key=api_key or self.program.api_key, signal=self._aborting, attempt=step.attempt)
        reader = ReplyReader(writer, model.ref, self.program.flush_updates)
        with self._under_way():
            async with flushing(writer):
                await read_reply(
                    reader,
                    lambda: model.stream(request, options),
                    aborting=self._aborting,
                    stopped=self._stopped,
                    clean_up_s=CLEAN_UP_S * self.program.grace_s,
                )
        self._used = reader.usage if reader.message is None else None

    def _admit(self, selection: tuple[SeqRange | Inserted, ...] | None) -> tuple[SeqRange | Inserted, ...] | None:
        """Return a hook's messages as they are when they are read back, since that is what is hashed."""
        event = admit(0, ModelRequest(attempt=1, request_sha256="", selection=selection), self.writer.redact).event
        return event.selection if isinstance(event, ModelRequest) else selection

    async def _request(self, model: Model, attempt: int) -> tuple[Request, ModelRequest]:
        """Build the request, and the event that says which one it is."""
        await self.writer.reload_removed()
        context, hooks, view = self.program.context, self.program.hooks, self.writer.view
        requests, hashes = self.writer.builders()
        request = requests.build(view)
        selection = None
        if hooks.transform_context is not None or hooks.convert_to_llm is not None:
            chosen = await self._hooked(context.messages(view))
            selection = _read(lambda: self._admit(context.select(view, context.settle(chosen))), "what a hook selected")
            request = requests.build(view, selection)
        asked = request
        body = _read(lambda: model.encode(asked), "the model's encoding of a request")
        sent = ModelRequest(
            attempt=attempt,
            request_sha256=request_sha256(request, hashes, requests.source),
            body_sha256=hashlib.sha256(body.body).hexdigest() if body is not None else "",
            body_codec=body.codec if body is not None else "",
            selection=selection,
        )
        return request, sent

    async def _hooked(self, messages: tuple[Message, ...]) -> Sequence[Message]:
        hooks = self.program.hooks
        chosen: Sequence[Message] = messages
        if (transform := hooks.transform_context) is not None:
            given = list(chosen)
            chosen = await self._asked(lambda: transform(given), _messages)
        if (convert := hooks.convert_to_llm) is not None:
            shown = list(chosen)
            chosen = await self._asked(lambda: convert(shown), _messages)
        return chosen

    def _model(self) -> Model:
        program, config = self.program, self.writer.state.config
        if program.model is not None and (config.model is None or program.model.ref == config.model):
            return program.model
        find = program.find_model
        found = None if find is None else _read(lambda: find(config), "finding the model")
        if found is None:
            ref = config.model
            wanted = f"the log asks for model {ref.provider}:{ref.model}" if ref is not None else "no model is named"
            raise MissingModelError(self.writer.session, f"{wanted}, and this process has none to call")
        return found

    def _stopped(self) -> bool:
        return self.signal.is_set() or self._aborting.is_set() or self._end is not None

    async def _run_tools(self, step: RunTools) -> None:
        program = self.program
        for call in step.calls:
            if call.refused is None and call.name not in program.tools:
                raise MissingToolError(self.writer.session, call.name, tuple(sorted(program.tools)))
        batch_context = BatchContext(
            tools=program.tools,
            hooks=program.hooks,
            deps=program.deps,
            grace_s=program.grace_s,
            deadline_us=program.deadline_us,
            aborting=self._aborting,
            note_abort=self._note_signal,
            ask=self._asked,
            note_hook_error=self._note_hook_error,
            under_way=self._under_way,
            find_repeat=program.find_repeat,
            repeated_tools=program.repeated_tools or self.writer.state.repeated_tools or "ask",
        )
        asking = await self.writer.answer_at(step.calls[0].place.message_seq)
        if asking is not None:
            await BatchRunner(self.writer, batch_context, asking).run(step)

    async def _waits_until(self, not_before_us: int) -> bool:
        """Wait for a time, once; true when it waited, so that the machine must be asked again."""
        if not_before_us <= self._waited_us:
            return False
        delay_s = (not_before_us - self.program.clock()) / 1_000_000
        if await self.writer.flush():
            self._waited_us = not_before_us
            with self._under_way(), suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._aborting.wait()
        return True

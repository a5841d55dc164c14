"""The founding form: `agent_loop` and `agent_loop_continue`, the loop with its context and its event stream."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import msgspec

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.errors import ContinueRefusedError, SessionExistsError
from eventsource.events import AbortRequest, Event, MessageAdopt, ModelRef, Origin, Policies, QueuePush, Resume
from eventsource.log import MemoryLog, random_id, utc_now_us
from eventsource.log.protocol import EventLog
from eventsource.machine.config_diff import difference, with_defaults
from eventsource.machine.state import Config, Phase, State
from eventsource.machine.steps import resume_reason
from eventsource.messages import AssistantMessage, Message
from eventsource.models.protocol import CallOptions, Model, StreamEvent, WireBody
from eventsource.models.secrets import known_secrets
from eventsource.prompts import Prompt, as_messages
from eventsource.request import Request
from eventsource.runner.hooks import Hooks
from eventsource.runner.lease import hold
from eventsource.runner.loop import Loop, Program
from eventsource.runner.operator_log import log_raised
from eventsource.runner.reply import FLUSH_UPDATES
from eventsource.runner.writer import Writer
from eventsource.tools.tool import Tool, toolbox
from eventsource.user_code.argument_checks import check_fields, checked, checked_init
from eventsource.user_code.calls import attempt
from eventsource.user_code.error_words import words
from projections.context import ContextView
from projections.lifecycle import Lifecycle, LifecycleEvent

from .agent import MODEL, check_policies
from .context_fold import CONTEXT
from .log import Log
from .models import find_model
from .session import Session
from .session_runner import lifecycle_of
from .stream import BackgroundRun, misused

StreamFunction = Callable[
    [ModelRef, Request, CallOptions], AsyncIterator[StreamEvent] | Awaitable[AsyncIterator[StreamEvent]]
]


@checked_init
@dataclass(frozen=True, kw_only=True)
class AgentContext:
    """What a run begins with; it is copied, the caller's lists stay as they are."""

    system_prompt: str = ""
    messages: Sequence[Message] | Sequence[Mapping[str, object]] = ()
    tools: Sequence[Tool | Callable[..., object]] = ()

    def __post_init__(self) -> None:
        """Check what was given. Raises: ArgumentError."""
        check_fields(self)


@checked_init
@dataclass(frozen=True, kw_only=True)
class AgentLoopConfig(Hooks):
    """How a run goes: the model, the callbacks of `Hooks`, policies, and options passed through to the model.

    `on_event` is called synchronously with every event as soon as it is on record. `log`: where the run is recorded;
    without one, in memory. `session`: its id there, or a `Session` of that log; one that is there goes on, with what
    the context says beyond it, else it is made.
    """

    model: Model | ModelRef | str
    api_key: str | None = field(default=None, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    policies: Policies = field(default_factory=lambda: Policies(steering_queue="all", follow_up_queue="all"))
    on_event: Callable[[LifecycleEvent], None] | None = None
    log: Log | EventLog | None = None
    session: Session | str | None = None
    clock: Callable[[], int] = utc_now_us
    deps: object = None

    def __post_init__(self) -> None:
        """Check what was given. Raises: ArgumentError."""
        check_fields(self, model=MODEL)
        check_policies(self.policies, "AgentLoopConfig")


class AgentEventStream:
    """The events of a run in the founding form, as they are recorded: `async for shown in stream`; and its result.

    A reader that stops does not stop the run.
    """

    def __init__(self, start: Callable[[AgentEventStream], Coroutine[object, object, None]]) -> None:
        self._messages: tuple[Message, ...] = ()
        self.session = ""
        self._shown = BackgroundRun("agent_loop", lambda: start(self))

    def __aiter__(self) -> AsyncIterator[LifecycleEvent]:
        """Yield each event once."""
        return self._shown.read()

    def __iter__(self) -> NoReturn:
        misused("agent_loop", "messages = await stream.result()")

    def __await__(self) -> NoReturn:
        misused("agent_loop", "messages = await stream.result()")

    async def result(self) -> tuple[Message, ...]:
        """Wait for the end.

        Returns: every message the run added, inputs included. Raises: what kept the run from ending, if anything did.
        """
        await self._shown.wait()
        return self._messages

    def push(self, shown: LifecycleEvent) -> None:
        """Show an event to the reader."""
        if shown.type == "agent_end":
            self._messages = shown.messages
        self._shown.put(shown)


@checked("prompts")
def agent_loop(
    prompts: Prompt,
    context: AgentContext,
    config: AgentLoopConfig,
    signal: asyncio.Event | None = None,
    stream_fn: StreamFunction | None = None,
) -> AgentEventStream:
    """Run prompts on top of a context; must be called while an event loop runs. Without prompts, go on from there.

    Source: the founding document's `agentLoop`; docs/conformance.md lists where this one differs and why.
    """
    messages = () if prompts in ((), []) else as_messages(prompts, where="agent_loop", parameter="prompts")
    pushes = [QueuePush(queue="prompt", message=message) for message in messages]
    opening: list[Event] = [*pushes] if pushes else [Resume(why="continue")]
    return _start(opening, context, config, signal, stream_fn)


@checked()
def agent_loop_continue(
    context: AgentContext,
    config: AgentLoopConfig,
    signal: asyncio.Event | None = None,
    stream_fn: StreamFunction | None = None,
) -> AgentEventStream:
    """Run on from a context whose last message waits for an answer.

    Raises: ContinueRefusedError, before anything is written, for an empty context or a last message of the assistant.
    """
    if not context.messages:
        raise ContinueRefusedError("no messages in context")
    if isinstance(_messages(context)[-1], AssistantMessage):
        raise ContinueRefusedError("the last message is the assistant's")
    return _start([Resume(why="continue")], context, config, signal, stream_fn)


def _start(
    opening: Sequence[Event],
    context: AgentContext,
    config: AgentLoopConfig,
    signal: asyncio.Event | None,
    stream_fn: StreamFunction | None,
) -> AgentEventStream:
    """Copy what the caller gave, and run; nothing that the caller holds is changed."""
    tools, model = toolbox(context.tools), _model(config.model, stream_fn)
    wanted = Config(
        model=model.ref,
        system_prompt=context.system_prompt,
        tools=tuple(tool.spec for tool in tools.values()),
        options=to_json(dict(config.options), where="options") if config.options else msgspec.UNSET,
        policies=with_defaults(config.policies),
    )
    program: Program[ContextView] = Program(
        model=model,
        context=CONTEXT,
        clock=config.clock,
        tools=tools,
        hooks=config,
        deps=config.deps,
        api_key=config.api_key,
        secrets=known_secrets(model, config.api_key),
        flush_updates=1 if config.on_event is not None else FLUSH_UPDATES,
    )
    loop_inputs = _LoopInputs(_messages(context), wanted, tuple(opening))
    return AgentEventStream(lambda stream: _run(stream, loop_inputs, program, config, signal))


@dataclass(frozen=True)
class _LoopInputs:
    """What a run begins with, copied: the messages of its context, its configuration, and its prompts."""

    messages: tuple[Message, ...]
    wanted: Config
    opening: tuple[Event, ...]

    def events_for(self, state: State, known: Sequence[Message]) -> list[Event]:
        """List what a session lacks that is new, or has some of the messages. Raises: ContinueRefusedError."""
        shared = min(len(known), len(self.messages))
        if [_unsigned(one) for one in known[:shared]] != [_unsigned(one) for one in self.messages[:shared]]:
            raise ContinueRefusedError(
                "the context begins with other messages than its session has: give what the session has and more after "
                "it, or no messages, or another session"
            )
        adopted = [MessageAdopt(message=one, origin=Origin(source="caller")) for one in self.messages[shared:]]
        if adopted and state.phase is not Phase.IDLE:
            raise ContinueRefusedError("its session's last run is unfinished, so the context can have no more messages")
        change = difference(state.config, self.wanted)
        return [*adopted, *([change] if change is not None else []), *self.opening]


def _unsigned(message: Message) -> Message:
    """Remove the names of who answered: a context has them where a run's own result does not."""
    if isinstance(message, AssistantMessage):
        return msgspec.structs.replace(message, api="", provider="", model="")
    return message


def _messages(context: AgentContext) -> tuple[Message, ...]:
    if not context.messages:
        return ()
    return as_messages(context.messages, where="AgentContext", parameter="messages")


async def _session_of(config: AgentLoopConfig) -> tuple[EventLog, str]:
    """Find where a run is recorded: by title or id in an opened log, by its exact id in a store."""
    wanted, log = config.session, config.log
    if isinstance(wanted, Session):
        return wanted.core.log, wanted.id
    if isinstance(log, Log):
        return log.store, (await log.session(wanted)).id
    store = log if log is not None else MemoryLog(clock=config.clock, new_id=random_id)
    with suppress(SessionExistsError):
        return store, (await store.create(wanted)).id
    return store, wanted or ""


async def _run(
    stream: AgentEventStream,
    loop_inputs: _LoopInputs,
    program: Program[ContextView],
    config: AgentLoopConfig,
    signal: asyncio.Event | None,
) -> None:
    log, stream.session = await _session_of(config)
    view, listen = Lifecycle(), config.on_event or (lambda shown: None)

    def show(recorded: Sequence[Recorded]) -> None:
        for shown in (shown for item in recorded for shown in view.feed(item)):
            stream.push(shown)
            called = attempt(partial(listen, shown))
            if called.error is not None:
                log_raised(stream.session, recorded[-1].seq, called.error, redact)
                loop.end(AbortRequest(reason="error", cause="callback", error=words(called.error)))

    redact = program.secrets.redact
    writer = Writer(log, stream.session, context=CONTEXT, clock=config.clock, on_commit=show, redact=redact)
    loop = Loop(writer, program, signal)
    async with hold(log, stream.session, lost=lambda error: loop.abort()) as held:
        writer.lease = held.lease
        await writer.load()
        view = await lifecycle_of(writer)
        inputs = loop_inputs.events_for(writer.state, CONTEXT.messages(writer.view))
        if writer.state.phase is not Phase.IDLE:
            writer.outcome(Resume(why=resume_reason(writer.state), runner=held.lease.owner))
        writer.outcome(*inputs)
        await loop.run(until_agent_end=True)


def _model(model: Model | ModelRef | str, stream_fn: StreamFunction | None) -> Model:
    if isinstance(model, str):
        model = find_model(model)
    if stream_fn is not None:
        return _FunctionModel(model if isinstance(model, ModelRef) else model.ref, stream_fn)
    if isinstance(model, ModelRef):
        raise ContinueRefusedError("a model's name needs a stream_fn that calls it")
    return model


class _FunctionModel:
    """A stream function as a model."""

    def __init__(self, ref: ModelRef, function: StreamFunction) -> None:
        self.ref, self._function = ref, function

    def encode(self, request: Request) -> WireBody | None:
        return None

    async def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        stream = self._function(self.ref, request, options)
        if inspect.isawaitable(stream):
            stream = await stream
        async for item in stream:
            yield item

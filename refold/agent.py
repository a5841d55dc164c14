"""An agent: code, and no state; it runs sessions."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, overload

import msgspec

from eventsource.background import run_apart
from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.errors import ArgumentError
from eventsource.events import Compaction, Event, Policies, RepeatedTools
from eventsource.log.load import read_all
from eventsource.machine.config_diff import with_defaults
from eventsource.machine.state import Config
from eventsource.messages import AssistantMessage
from eventsource.models.protocol import Model
from eventsource.models.secrets import Secrets, known_secrets
from eventsource.prompts import Prompt as Prompt, as_pushes
from eventsource.runner.hooks import Hooks
from eventsource.runner.loop import Program
from eventsource.tools.tool import Tool, tool, toolbox
from eventsource.user_code.argument_checks import check_fields, checked, checked_init
from eventsource.user_code.argument_types import described, shown
from projections.context import ContextView
from projections.lifecycle import LifecycleEvent
from replay.repeated_calls import Repeats

from .compaction import CompactionPolicy, Compactor, compact
from .context_fold import CONTEXT
from .local_types import AnyType
from .log import Log, open_log
from .models import find_model, find_recorded_model
from .output import Output, recorded_check
from .run import Run
from .session import Session
from .session_runner import SessionRun, run_session
from .stream import AgentStream
from .tasks.agents import agent_tool

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .reexecution import Reexecution

    T = TypeVar("T", default=None)
else:
    from typing import TypeVar

    T = TypeVar("T")

MODEL = (
    "a model is named vendor:model, such as anthropic:claude-sonnet-4-5, or is a `Model` of `eventsource` "
    "(ref, encode, stream); clients of other libraries are none"
)


@checked_init
@dataclass(frozen=True)
class Agent(Generic[T]):
    """A model, a system prompt, tools, hooks and policies; every verb takes the session it works on.

    model: a name (`anthropic:claude-sonnet-4-5`, `scripted:answers.json`) or a model object. output: the type of the
    last answer (`run.output`), any that pydantic reads from JSON, or str for its text; what does not fit is asked for
    again (`Policies(output_retries=2)`), and then the run ends in error. deps_type: the type of what `deps=` hands to
    tools, checked when a run starts. options: for the model (temperature, max_tokens, thinking, ...). api_key: a key;
    else the environment has it. compaction: when the beginning of a long context is summarised, and by whom. name: what
    it is called as a child.
    """

    model: str | Model
    system: str = ""
    tools: Sequence[Tool | Callable[..., object]] = ()
    output: type[T] | None = None
    deps_type: type[object] | None = None
    hooks: Hooks = field(default_factory=Hooks)
    policies: Policies = field(default_factory=Policies)
    options: Mapping[str, object] = field(default_factory=dict)
    api_key: str | None = field(default=None, repr=False)
    compaction: CompactionPolicy = field(default_factory=CompactionPolicy)
    name: str = ""

    if TYPE_CHECKING:  # what the fields say, once more for an output type that is no class

        @overload
        def __init__(
            self,
            model: str | Model,
            system: str = "",
            tools: Sequence[Tool | Callable[..., object]] = (),
            output: type[T] | None = None,
            deps_type: AnyType | None = None,
            hooks: Hooks = ...,
            policies: Policies = ...,
            options: Mapping[str, object] = ...,
            api_key: str | None = None,
            compaction: CompactionPolicy = ...,
            name: str = "",
        ) -> None: ...
        @overload
        def __init__(
            self: Agent[Any],
            model: str | Model,
            system: str = "",
            tools: Sequence[Tool | Callable[..., object]] = (),
            output: AnyType | None = None,
            deps_type: AnyType | None = None,
            hooks: Hooks = ...,
            policies: Policies = ...,
            options: Mapping[str, object] = ...,
            api_key: str | None = None,
            compaction: CompactionPolicy = ...,
            name: str = "",
        ) -> None: ...
        def __init__(self, *args: object, **named: object) -> None: ...

    def __post_init__(self) -> None:
        """Register the key as a secret, and make tools of functions while their local types can be resolved."""
        check_fields(self, model=MODEL)
        check_policies(self.policies, "Agent")
        if self.deps_type is not None:
            _check_deps_type(self.deps_type)
        Secrets().add(self.api_key)
        if not all(isinstance(one, Tool) for one in self.tools):
            made = tuple(one if isinstance(one, Tool) else tool(one) for one in self.tools)
            object.__setattr__(self, "tools", made)
        _ = self.typed_output  # what is no type for an answer is said at once

    HOW_TO_GET: ClassVar[str] = "`Agent(model, ...)` makes one"

    def replace(self, **changes: object) -> Agent[T]:
        """Make an agent that differs in some fields."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # the fields are checked by dataclasses

    @checked("prompt")
    async def run(
        self,
        prompt: Prompt,
        *,
        session: Session | None = None,
        deps: object = None,
        signal: asyncio.Event | None = None,
        timeout_ms: int | None = None,
        key: str | None = None,
        tools: RepeatedTools | None = None,
    ) -> Run[T]:
        """Send a prompt to the model, and run until nothing is left to do.

        Without a session, in one that lives in memory. A session whose run is unfinished is finished first. `signal`
        aborts the run when set, `timeout_ms` ends it with status limit. A repeated `key` says nothing new, so a call
        that may have been made can be repeated.

        `tools`: in a fork, what becomes of a `once` call that its parent made after the fork point (same name, same
        arguments). It is made again (`live`), gets the parent's result (`recorded`), or waits (`ask`) for
        `session.decide(key, "rerun" | "adopt" | "fail")`. Without it, what the fork was made with, else it waits.

        Raises: LeaseHeldError when somebody else runs the session; MissingToolError, MissingModelError.
        """
        if session is None:
            async with open_log() as log:
                return await self.run(
                    prompt, session=await log.session(), deps=deps, signal=signal, timeout_ms=timeout_ms, key=key
                )
        opening = as_pushes(prompt, where="Agent.run")
        self.check_deps(deps)
        if key is not None:
            await session.core.push("prompt", *(push.message for push in opening), key=key)
            opening = ()
        return await self._run_in(session, opening, deps=deps, signal=signal, timeout_ms=timeout_ms, tools=tools)

    @checked("prompt")
    def run_sync(
        self, prompt: Prompt, *, session: str | None = None, log: str | Path | None = None, deps: object = None
    ) -> Run[T]:
        """Run from code that is not async: opens the log, runs the session of that name, closes the log.

        Where an event loop runs already (a notebook), it runs in a thread, and that loop stands still meanwhile; `await
        agent.run(...)` does not stop it.
        """
        opening = [push.message for push in as_pushes(prompt, where="Agent.run_sync")]
        self.config()  # what cannot begin makes no session
        self.check_deps(deps)

        async def run() -> Run[T]:
            async with open_log(log) as opened:
                return await self.run(opening, session=await opened.session(session), deps=deps)

        return run_apart(run)

    @checked()
    async def resume(
        self,
        session: Session,
        *,
        deps: object = None,
        signal: asyncio.Event | None = None,
        timeout_ms: int | None = None,
        tools: RepeatedTools | None = None,
    ) -> Run[T]:
        """Go on from wherever the log stops: after a crash, a wait, a failed answer, or in a fork.

        Where the last answer is complete and nothing is queued, nothing happens. `tools`: as in `run`.

        Raises: as `run`.
        """
        self.check_deps(deps)
        return await self._run_in(
            session, (), deps=deps, signal=signal, timeout_ms=timeout_ms, tools=tools, resume=True
        )

    @checked("prompt")
    def stream(
        self,
        prompt: Prompt | None,
        *,
        session: Session | None = None,
        deps: object = None,
        signal: asyncio.Event | None = None,
        timeout_ms: int | None = None,
        tools: RepeatedTools | None = None,
    ) -> AgentStream[T]:
        """Run as `run` does (without a prompt, as `resume`), showing each event as soon as it is on record.

        Returns: an async iterator of events; `await stream.run()` gives the Run. Leaving it does not stop the run.
        """
        opening = () if prompt is None else as_pushes(prompt, where="Agent.stream")
        self.check_deps(deps)

        async def start(target: Session, show: Callable[[LifecycleEvent], None]) -> Run[T]:
            return await self._run_in(
                target,
                opening,
                deps=deps,
                signal=signal,
                timeout_ms=timeout_ms,
                tools=tools,
                resume=prompt is None,
                show=show,
            )

        return AgentStream(session, start)

    @checked()
    async def reexecute(
        self,
        recording: Session | Sequence[Recorded],
        *,
        mode: Literal["strict", "live"] = "strict",
        tools: Literal["recorded", "live"] = "recorded",
        log: Log | None = None,
        deps: object = None,
    ) -> Reexecution[T]:
        """Run this agent against a recorded session, in a new session of a log (by default one in memory).

        Recorded answers and results are found by what is asked; prompts, steering and aborts come where they came.
        `mode`: `strict` ends at the first mismatch, `live` goes on from there with the agent's own model and tools.
        `tools`: `live` lets pure tools really run and compares what they say.

        Raises: TranscriptError when the recording holds no run.
        """
        if log is None:
            async with open_log() as opened:
                return await self.reexecute(recording, mode=mode, tools=tools, log=opened, deps=deps)
        from .reexecution import reexecute  # not needed by who only runs

        session = await log.session()
        if isinstance(recording, Session):
            recording = [one async for one in read_all(recording.core.log, recording.id)]
        return await reexecute(
            self.program(session, deps),
            recording,
            session,
            wanted=self.config(),
            output=self.typed_output,
            mode=mode,
            tools=tools,
        )

    @checked()
    async def compact(self, session: Session) -> Compaction | None:
        """Replace the beginning of an idle session's context by a summary, for the model only; the history stays.

        Returns: what was recorded; None when there is nothing that can be cut off.
        Raises: CompactionError when no summary was written, and nothing is lost; LeaseHeldError.
        """
        program: Program[ContextView] = Program(
            model=self._model,
            context=CONTEXT,
            clock=session.core.clock,
            api_key=self.api_key,
            secrets=known_secrets(self._model, self.api_key),
        )
        return await compact(session.core.log, session.id, self._compactor(session, program), program)

    @checked()
    def as_tool(self, *, name: str = "", description: str = "", deps: object = None) -> Tool:
        """Make a tool of this agent for other agents: each call works in a session of its own, started at most once.

        Its tokens count against the run that calls it, and an abort of that run reaches it. `deps` are for its tools.
        """
        return agent_tool(self, name or self.name or "agent", description or self.system, deps)

    @cached_property
    def _toolbox(self) -> dict[str, Tool]:
        return toolbox(self.tools)

    @property
    def typed_output(self) -> Output[T] | None:
        """How the last answer is read, if the agent declares a type."""
        return self._typed_output

    @cached_property
    def _typed_output(self) -> Output[T] | None:
        return Output(self.output) if self.output is not None else None

    @cached_property
    def _check_answer(self) -> Callable[[AssistantMessage], str] | None:
        return self.typed_output.problem if self.typed_output is not None else recorded_check(self.options)[0]

    @cached_property
    def _model(self) -> Model:
        return find_model(self.model) if isinstance(self.model, str) else self.model

    def config(self) -> Config:
        """Return this agent's configuration, as the log records it."""
        options = dict(self.options)
        if self.typed_output is not None and self.typed_output.schema is not None:
            options["output_schema"] = self.typed_output.schema
        return Config(
            model=self._model.ref,
            system_prompt=self.system,
            tools=tuple(tool.spec for tool in self._toolbox.values()),
            options=to_json(options, where="options") if options else msgspec.UNSET,
            policies=with_defaults(self.policies),
        )

    async def _run_in(
        self,
        session: Session,
        opening: Sequence[Event],
        *,
        deps: object,
        signal: asyncio.Event | None,
        timeout_ms: int | None,
        tools: RepeatedTools | None,
        resume: bool = False,
        show: Callable[[LifecycleEvent], None] | None = None,
    ) -> Run[T]:
        program = self._program(session, deps, timeout_ms=timeout_ms, tools=tools)
        if self.compaction.limit_tokens:
            compactor = self._compactor(session, program)
            program = dataclasses.replace(program, before_request=compactor.before_request)
        session_run: SessionRun = await run_session(
            session.core.log,
            session.id,
            program,
            wanted=self.config(),
            opening=opening,
            resume=resume,
            signal=signal,
            show=show,
        )
        return Run(session, session_run, self.typed_output)

    def _compactor(self, session: Session, program: Program[ContextView]) -> Compactor:
        named = self.compaction.model
        if named is not None:
            model = find_model(named) if isinstance(named, str) else named
            program = dataclasses.replace(program, model=model, api_key=None)
        return Compactor(session.core.log, self.compaction, program)

    @checked()
    def program(
        self, session: Session, deps: object, *, timeout_ms: int | None = None, tools: RepeatedTools | None = None
    ) -> Program[ContextView]:
        """Build what a run of this agent in a session needs; `tools`: as in `run`.

        Raises: ArgumentError for deps of another type.
        """
        self.check_deps(deps)
        return self._program(session, deps, timeout_ms=timeout_ms, tools=tools)

    def _program(
        self, session: Session, deps: object, *, timeout_ms: int | None, tools: RepeatedTools | None
    ) -> Program[ContextView]:
        return Program(
            model=self._model,
            context=CONTEXT,
            clock=session.core.clock,
            tools=self._toolbox,
            hooks=self.hooks,
            deps=deps,
            api_key=self.api_key,
            secrets=known_secrets(self._model, self.api_key),
            deadline_us=None if timeout_ms is None else session.core.clock() + timeout_ms * 1000,
            find_model=find_recorded_model,
            find_repeat=Repeats(session.core.log, session.id).find,
            repeated_tools=tools,
            check_answer=self._check_answer,
        )

    @checked("deps")
    def check_deps(self, deps: object) -> None:
        """Check that deps are what the agent's tools are made for. Raises: ArgumentError."""
        wanted, where = self.deps_type, f"Agent {self.name}".strip()
        if wanted is None:
            if deps is not None and not any(tool.takes_context for tool in self._toolbox.values()):
                advice = "no tool of this agent takes a ToolContext, so nothing would see them: leave `deps=` out"
                raise ArgumentError(where, "deps", "none", shown(deps), advice)
        elif not isinstance(deps, wanted):
            name = getattr(wanted, "__name__", wanted)
            value = f"{name}(...)" if type(wanted) is type else "..."
            advice = f"the agent has deps_type={name}: give `deps={value}` to run, stream and resume"
            raise ArgumentError(where, "deps", described(wanted), shown(deps), advice)


def _check_deps_type(kind: object) -> None:
    """Check that deps can be told to be of a type. Raises: ArgumentError."""
    try:
        isinstance(None, kind)  # type: ignore[arg-type]  # whether it may be asked is the question
    except TypeError as error:
        advice = "a protocol must be @runtime_checkable, and `list` stands for `list[int]`"
        raise ArgumentError("Agent", "deps_type", "a class that isinstance takes", str(error), advice) from error


def check_policies(policies: Policies, where: str) -> None:
    """Check the values of policies, which their class takes as they come. Raises: ArgumentError."""
    try:
        msgspec.convert(msgspec.to_builtins(policies), Policies)
    except (msgspec.ValidationError, TypeError) as error:
        raise ArgumentError(where, "policies", "values of their types", str(error)) from error

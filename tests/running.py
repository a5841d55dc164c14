"""Running a session for a test: a log in memory, a scripted model, small tools, a store that misbehaves on order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from itertools import count
from typing import Any, ParamSpec

from eventsource.envelope import Behind, Recorded, SessionInfo
from eventsource.errors import ConflictError, OutcomeUnknownError
from eventsource.events import Event, Policies, Resume
from eventsource.log import MemoryLog
from eventsource.log.load import read_all
from eventsource.machine.config_diff import difference
from eventsource.machine.state import Config, Phase
from eventsource.machine.steps import Stop, Suspend
from eventsource.models.protocol import Model
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.model import SCRIPTED
from eventsource.runner.hooks import Hooks
from eventsource.runner.loop import Loop, Program
from eventsource.runner.writer import Writer
from eventsource.session import SessionHandle
from eventsource.tools.tool import Tool, toolbox
from projections.context import ContextView
from refold.context_fold import CONTEXT

Appending = Sequence[tuple[int, Event]]
P = ParamSpec("P")


class Store(MemoryLog):
    """A log in memory in which somebody else may be faster, or whose disk fails at a commit.

    `meddle` is asked before each append of a runner: what it gives is appended first, by somebody else;
    `afterwards` after it, and what it gives comes behind. `fails` says of a runner's append whether it fails `before`
    or `after` it was stored, `refuses` whether it is a conflict with nobody.
    """

    def __init__(self) -> None:
        times, names = count(1), count(1)
        super().__init__(clock=lambda: 1_000 * next(times), new_id=lambda: f"session{next(names)}")
        self.meddle: Callable[[Appending], Sequence[Event]] = lambda events: ()
        self.afterwards: Callable[[Appending], Sequence[Event]] = lambda events: ()
        self.fails: Callable[[Appending], str] = lambda events: ""
        self.refuses: Callable[[Appending], bool] = lambda events: False
        self.appended: list[tuple[list[Event], bool]] = []
        self.rows_read = 0

    async def info(self, session: str) -> SessionInfo:
        self.rows_read += 1
        return await super().info(session)

    async def append(
        self,
        session: str,
        events: Appending,
        *,
        expected: int | None = None,
        epoch: int | None = None,
        key: str | None = None,
        durable: bool = True,
        behind: Behind | None = None,
    ) -> int:
        if expected is not None:
            others = self.meddle(events)
            if others:
                await super().append(session, [(0, event) for event in others])
            if self.refuses(events):
                raise ConflictError(session, expected, expected)
        failing = self.fails(events) if expected is not None else ""
        if failing == "before":
            raise OutcomeUnknownError(session, expected or 0, "the disk went away")
        head = await super().append(
            session, events, expected=expected, epoch=epoch, key=key, durable=durable, behind=behind
        )
        self.appended.append(([event for _, event in events], durable))
        if expected is not None and (others := self.afterwards(events)):
            await super().append(session, [(0, event) for event in others])
        if failing:
            raise OutcomeUnknownError(session, expected or 0, "the disk went away")
        return head


@dataclass
class Bench:
    """A session, and what a process brings to it."""

    model: Model | None
    tools: Sequence[Tool | Callable[..., object]] = ()
    hooks: Hooks = field(default_factory=Hooks)
    policies: Policies = field(default_factory=Policies)
    store: Store = field(default_factory=Store)
    flush_updates: int = 32
    grace_s: float = 0.01
    find_model: Callable[[Config], Model | None] | None = None
    id: str = "oslo"
    seen: list[Recorded] = field(default_factory=list)
    signal: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def session(self) -> SessionHandle:
        """A hand on the session that knows nothing of any runner."""
        return SessionHandle(self.store, self.id, clock=lambda: 0)

    @property
    def toolbox(self) -> Mapping[str, Tool]:
        return toolbox(self.tools)

    async def writer(self, *opening: Event) -> Writer[ContextView]:
        """Load the session, made if need be, and bring in the configuration and what opens the run."""
        if self.id not in {info.id for info in await self.store.sessions()}:
            await self.store.create(self.id)
        writer = Writer(
            self.store, self.id, context=CONTEXT, clock=lambda: 1_000 * (writer.head + 1), on_commit=self.seen.extend
        )
        await writer.load()
        specs = tuple(tool.spec for tool in self.toolbox.values())
        model = self.model.ref if self.model is not None else SCRIPTED
        change = difference(writer.state.config, Config(model=model, tools=specs, policies=self.policies))
        resumed = [Resume(why="crash")] if writer.state.phase is not Phase.IDLE else []
        writer.outcome(*resumed, *([change] if change is not None else []), *opening)
        return writer

    async def loop(self, *opening: Event) -> Loop[ContextView]:
        writer = await self.writer(*opening)
        program = Program(
            model=self.model,
            context=CONTEXT,
            clock=lambda: 0,
            tools=self.toolbox,
            hooks=self.hooks,
            find_model=self.find_model,
            flush_updates=self.flush_updates,
            grace_s=self.grace_s,
        )
        return Loop(writer, program, self.signal)

    async def run(self, *prompts: str) -> Stop | Suspend:
        """Queue prompts and run until nothing is left to do."""
        return await (await self.start(*prompts))

    async def start(self, *prompts: str) -> asyncio.Task[Stop | Suspend]:
        """Queue prompts and begin to run."""
        await self.writer()
        if prompts:
            await self.session.push("prompt", *prompts)
        return asyncio.create_task((await self.loop()).run())

    async def history(self) -> list[Recorded]:
        return [recorded async for recorded in read_all(self.store, self.id)]

    async def events(self, *kinds: type) -> list[Event]:
        """Read the events, or those of some types."""
        return [recorded.event for recorded in await self.history() if not kinds or isinstance(recorded.event, kinds)]

    async def seq_of(self, kind: type) -> int:
        """Find the first event of a type; 0 when there is none."""
        return next((recorded.seq for recorded in await self.history() if isinstance(recorded.event, kind)), 0)

    async def until(self, found: Callable[[Sequence[Event]], bool]) -> None:
        """Wait until the log holds something."""
        async with asyncio.timeout(60):
            known: list[Event] = []
            async for recorded in self.store.follow(self.id):
                known.append(recorded.event)
                if found(known):
                    return


def scripted(*answers: object) -> ScriptedModel:
    """Make a model that gives these answers, one a call."""
    return ScriptedModel(answers)  # type: ignore[arg-type]  # tests may write what the type of a script cannot say


def has(kind: type, times: int = 1) -> Callable[[Sequence[Event]], bool]:
    """Say that an event of a type has come so many times."""
    return lambda events: sum(isinstance(event, kind) for event in events) >= times


def once(kind: type, *others: Event) -> Callable[[Appending], Sequence[Event]]:
    """Let somebody else be faster when an event of a type is first appended."""
    left = list(others)

    def meddle(events: Appending) -> Sequence[Event]:
        found = left[:] if any(isinstance(event, kind) for _, event in events) else []
        del left[: len(found)]
        return found

    return meddle


def every_other(*others: Event) -> Callable[[Appending], Sequence[Event]]:
    """Let somebody else be faster at the first of each two attempts."""
    times = count()
    return lambda events: others if next(times) % 2 == 0 else ()


class _Leaping(selectors.DefaultSelector):
    """Waits for no time: says how long it would have waited."""

    def __init__(self, leap: Callable[[float], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look what is ready; whoever waits for a time and for nothing else has it behind him."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(0)
        if not found:
            self._leap(timeout)
        return found


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while there is something to do, and then leaps to what is due next.

    A slow machine is as fast by it as any other. It is for what waits for no thread and no process.
    """

    def __init__(self) -> None:
        self._now_s = 1_000.0
        super().__init__(_Leaping(self.leap))

    def time(self) -> float:
        return self._now_s

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds


def in_no_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a `LeapingLoop`: the times in it are exact, and none is waited for."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=LeapingLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def let_pass(seconds: float) -> None:
    """Let time pass in a test that runs in no time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LeapingLoop)
    loop.leap(seconds)

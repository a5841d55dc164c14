"""Executing the code of a session's open task, in one process, until it ends or nothing is left but waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

import msgspec

from eventsource.admission import Redact
from eventsource.background import stop
from eventsource.envelope import Recorded
from eventsource.errors import RefoldError
from eventsource.events import Event
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.load import read_all
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import next_attempts, next_step
from eventsource.runner.advance import expire, perform
from eventsource.runner.writer import Writer
from eventsource.user_code.argument_types import check_key
from eventsource.user_code.calls import CallResult, attempt_async, guarded_tasks
from projections.context import ContextView

from ..budget import Budget
from ..child_sessions import child_wait, child_waits, due_children, first_due
from ..context_fold import CONTEXT
from ..runtime import Runtime
from .errors import PathError
from .journal import Journal, OperationKey

T = TypeVar("T")
SCOPE: ContextVar[str] = ContextVar("scope", default="")
"""What the keys of the code that runs now begin with."""
WITHIN: ContextVar[str] = ContextVar("within", default="")
"""The step whose function runs now."""
_TURNS = 20
_WATCH_S = 0.1
"""Between two times that what others append is taken in."""
_CLOCK_S = 0.5
"""The longest time for which the clock is not looked at while a deadline is waited for."""
_DUE_S = 0.5
"""Between two times that code is told of the same child that has something to do."""


class Finished(msgspec.Struct, frozen=True):
    """What code returned, or what it raised."""

    value: object = None
    error: BaseException | None = None


class TaskExecution:
    """Runs the code of a session's open task, and has its log, its journal, and who waits for what.

    Operations of the code are counted: those at work, and those that wait for something from outside. When only waiting
    ones are left, the session is suspended: the code is cancelled, and runs again from the top when something has come.
    """

    def __init__(self, runtime: Runtime, session: str, *, root: str = "", outer: Budget | None = None) -> None:
        """Prepare.

        Args:
            root: the session at the root of the tree, if it is another.
            outer: the budget of its parent.
        """
        self.runtime, self.session, self.root = runtime, session, root
        self.token_limit: int | None = None
        self.budget = Budget(session, lambda: self.token_limit, lambda: self.state.spent_tokens, outer)
        self._for_root: list[Event] = []
        self.journal = Journal()
        self.redactors: list[Redact] = []
        self.writer: Writer[ContextView] = Writer(
            runtime.log, session, context=CONTEXT, clock=runtime.clock, on_commit=self._note, redact=self._redact
        )
        self.lost: BaseException | None = None
        self.turn_key = ""
        self.turn: asyncio.Task[object] | None = None
        self.steps = 0
        self._unvisited: dict[OperationKey, None] = {}
        self._active = self._waiting = self._moves = 0
        self._news = asyncio.Event()
        self._due: set[str] = set()
        self._stopping_s = 0.0
        self._left = False
        self._tick: asyncio.Future[None] | None = None
        self._watched: frozenset[str] = frozenset()
        self._children: asyncio.Task[None] | None = None
        self._counters: dict[tuple[str, str], int] = {}

    @property
    def state(self) -> State:
        """The session's state, with what is not appended yet."""
        return self.writer.state

    def now_us(self) -> int:
        """Read the clock."""
        return self.runtime.clock()

    async def load(self) -> None:
        """Fold the log up to its head."""
        await self.writer.load()
        async for recorded in read_all(self.runtime.log, self.session, upto=self.writer.head, updates=False):
            self.journal.feed(recorded)
        if self.state.phase is not Phase.IDLE or self.state.wanted:
            self.turn_key = self.journal.last_step

    def append_to_root(self, event: Event) -> None:
        """Show something in the session at the root of the tree too."""
        if self.root:
            self._for_root.append(event)

    def key(self, kind: str, name: str | None) -> str:
        """Return the key of an operation: its caller's, or its kind and number, within the scope of the code that runs.

        Raises: PathError within a step's function: what it does is not recorded, so it must not wait or record;
            ArgumentError for an empty key.
        """
        if step := WITHIN.get():
            raise PathError(self.session, step, f"what runs within it must not ask for a {kind}")
        check_key(name, kind)
        scope = SCOPE.get()
        if name is not None:
            return f"{scope}{name}"
        self._counters[scope, kind] = number = self._counters.get((scope, kind), 0) + 1
        return f"{scope}{kind}#{number}"

    def visit(self, kind: str, key: str) -> None:
        """Record that the code came to an operation whose result is on record."""
        self._unvisited.pop((kind, key), None)
        self._moves += 1

    def skip(self, is_skipped: Callable[[str], bool]) -> None:
        """Record that the code need not come to the operations of some keys."""
        for answer in [answer for answer in self._unvisited if is_skipped(answer[1])]:
            self.visit(*answer)

    def unvisited(self) -> str | None:
        """Return the first key that is answered and that the code did not come to; None when there is none."""
        return next((key for _, key in self._unvisited), None)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Count an operation as being at work; once the session is left, clean-up code gets no further."""
        self._go_on()
        self._active += 1
        self._move()
        try:
            yield
        finally:
            self._active -= 1
            self._move()

    def _go_on(self) -> None:
        """Go on, unless the session is left. Raises: CancelledError: what code does beside its end is not recorded."""
        if self._left:
            raise asyncio.CancelledError

    async def new(self, key: str) -> None:
        """Wait until the code, in all its branches, has come to all recorded operations, so that it may begin another.

        Raises: PathError.
        """
        while (missing := self.unvisited()) is not None:
            if not await self._is_still():
                continue
            await self.diverge(key, f"the log goes on with {missing!r} here: the code took another path than recorded")
        await self.begin()

    async def begin(self) -> None:
        """Suspend the code if the process is to stop, or cannot go on with the session; else it may begin an effect."""
        if self.runtime.stopping.is_set() or self.lost is not None:
            await self.wait_for(lambda: None)

    async def diverge(self, key: str, problem: str) -> None:
        """Stop the code for good, since it is not what the log was recorded with."""
        await self.give_up(PathError(self.session, key, problem))

    async def give_up(self, error: RefoldError) -> None:
        """Stop the code for good; `run` raises the error."""
        self.lose(error)
        await self.wait_for(lambda: None)

    @asynccontextmanager
    async def asking_the_log(self) -> AsyncIterator[None]:
        """Ask or change the log for the code: what keeps that from being done stops it, as no failure of its own."""
        try:
            yield
        except RefoldError as error:
            await self.give_up(error)

    async def idle(self, *events: Event) -> None:
        """Append an intent that may not stand within a turn, as soon as no turn is under way."""
        await self.wait_for(lambda: None if self.turn_key else True)
        await self.intend(*events)

    async def fail(self, end: Event) -> None:
        """Append how an attempt failed, together with what the machine says of the next one."""
        self._go_on()
        try:
            self.writer.outcome(end)
            await self.decide_attempts()
        except RefoldError as error:
            self.lose(error)
        if self.lost is not None:
            await self.wait_for(lambda: None)

    async def decide_attempts(self) -> None:
        """Append what waits, and what the machine says of next attempts; again when something came between."""
        self.writer.decide(*next_attempts(self.state))
        while not await self.writer.flush():
            self.writer.decide(*next_attempts(self.state))

    async def intend(self, *events: Event) -> None:
        """Append an intent before the code begins its effect; once the task is cancelled, suspend the code."""
        self._go_on()
        try:
            while not (self.state.closing or await self.writer.intend(*events)):
                pass
        except RefoldError as error:
            self.lose(error)
        if self.lost is not None or self.state.closing:
            await self.wait_for(lambda: None)

    async def append(self, *events: Event) -> None:
        """Append what came of the code's work; when that cannot be, the code goes no further."""
        self._go_on()
        try:
            self.writer.outcome(*events)
            await self.writer.flush()
        except RefoldError as error:
            self.lose(error)
        if self.lost is not None:
            await self.wait_for(lambda: None)

    async def wait_for(self, found: Callable[[], T | None]) -> T:
        """Wait for something from outside; `found` is asked whenever something has come."""
        while (result := found()) is None or self.lost is not None:
            news = self._news
            self._active -= 1
            self._waiting += 1
            self._move()
            try:
                await news.wait()
            finally:
                self._active += 1
                self._waiting -= 1
                self._move()
        return result

    def child_is_due(self, key: str) -> bool:
        """Return whether a suspended child has something to do."""
        return child_wait(key) in self._due

    def due_calls(self) -> list[str]:
        """List the waits of tool calls for children that have something to do."""
        return [wait.key for wait in self.state.waits if wait.call is not None and wait.key in self._due]

    def notify(self) -> None:
        """Wake everything that waits, so that it checks again."""
        self._move()
        self._news.set()
        self._news = asyncio.Event()

    async def run(self, code: Callable[[], Awaitable[object]]) -> Finished | None:
        """Run the code until it ends or nothing is left but waiting; None: it waits, or is handed back.

        Raises: what kept it from being recorded; PathError.
        """
        self._unvisited = dict(self.journal.answered)
        with guarded_tasks():
            return await self._run(code)

    async def _run(self, code: Callable[[], Awaitable[object]]) -> Finished | None:
        main = asyncio.ensure_future(_fresh(code))
        main.add_done_callback(lambda done: self._move())
        watches = [asyncio.create_task(self._watch()), asyncio.create_task(self._watch_stopping())]
        try:
            while not main.done():
                if self.lost is not None or self.state.cancelled is not None or self._is_late():
                    return None
                await self._flush()
                if self._waiting == 0 or self._active > 0:
                    await self._wait(main)
                elif await self._is_still() and not main.done() and not await self._advance():
                    return None
            ended = await main
            await self._flush()  # what it showed in the root just before it ended
            if isinstance(ended.error, PathError):
                raise ended.error
            return Finished(ended.value, ended.error)
        finally:
            self._left = True
            beside = (self.turn, self._children)  # code may end beside its turn
            tasks = [*watches, main, *(one for one in beside if one is not None)]
            await stop(*tasks, timeout_s=self.runtime.grace_s)
            if self.lost is not None:
                raise self.lost

    def _is_late(self) -> bool:
        """Return whether the process's grace period for stopping is over: what is still at work is given up."""
        if not self.runtime.stopping.is_set():
            return False
        now_s = asyncio.get_running_loop().time()
        self._stopping_s = self._stopping_s or now_s
        return now_s >= self._stopping_s + self.runtime.grace_s

    async def _is_still(self) -> bool:
        """Let everything run that can. Returns: whether nothing moved."""
        before = self._moves
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if self._moves != before:
                return False
        return True

    async def _advance(self) -> bool:
        """Perform what the machine decides while the code waits. Returns: whether there was anything."""
        if self.runtime.stopping.is_set():
            return False
        idle = self.state.phase is Phase.IDLE
        if (idle and await perform(self.writer, next_step(self.state))) or expire(self.writer, self.now_us()):
            await self._flush()
            return True
        return await self._look_at_children()

    async def _look_at_children(self) -> bool:
        self._due = set(await due_children(self.runtime.log, self.session, self.state, self.now_us()))
        if self._due:
            self.notify()
        return bool(self._due)

    async def _flush(self) -> None:
        try:
            await self.writer.flush()
            if self._for_root:
                events, self._for_root = self._for_root, []
                pairs = [(self.now_us(), event) for event in events]
                await append_admitted(self.runtime.log, self.root, admitted(pairs, redact=self._redact))
        except RefoldError as error:
            self.lose(error)

    async def _wait(self, main: asyncio.Future[CallResult]) -> None:
        """Wait until something moves; deadlines are looked at meanwhile, and suspended children watched."""
        moves = self._moves
        self._watch_children()
        while self._moves == moves and not main.done():
            if await self._end_waits():
                break
            self._tick = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._tick
                break
            if self._is_late():
                break

    def _pause_s(self) -> float | None:
        """Return how long to wait for something that moves: until a time that counts; None: nothing has one."""
        deadlines = [wait.deadline_us for wait in self.state.waits if wait.deadline_us is not None]
        if self._stopping_s:
            return _CLOCK_S
        if not deadlines or self.turn_key:
            return None
        return min(max((min(deadlines) - self.now_us()) / 1_000_000, 0.001), _CLOCK_S)

    def _watch_children(self) -> None:
        """Watch the children that are suspended, as long as there are some and they stay the same."""
        keys = child_waits(self.state)
        if keys == self._watched and (not keys or (self._children is not None and not self._children.done())):
            return
        self._watched = keys
        if self._children is not None:
            self._children.cancel()
        self._children = asyncio.create_task(self._note_due(keys)) if keys else None

    async def _note_due(self, keys: frozenset[str]) -> None:
        """Wake the code when a suspended child has something to do."""
        try:
            while True:
                self._due = set(await first_due(self.runtime.log, self.session, keys, self.runtime.clock))
                self.notify()
                await asyncio.sleep(_DUE_S)
        except RefoldError as error:
            self.lose(error)

    async def _end_waits(self) -> bool:
        """End the waits whose deadline has passed while other code is at work; a turn's are its loop's."""
        if self.turn_key or self.lost is not None or self.runtime.stopping.is_set() or self.state.cancelled is not None:
            return False
        ended = self.state.phase is Phase.IDLE and bool(expire(self.writer, self.now_us()))
        if ended:
            await self._flush()
        return ended

    def _move(self) -> None:
        self._moves += 1
        if self._tick is not None and not self._tick.done():
            self._tick.set_result(None)

    async def _watch(self) -> None:
        """Take in what others append."""
        while True:
            try:
                await self.writer.wait_for_news()
                await self.writer.catch_up(lambda: not self.turn_key)
            except RefoldError as error:
                self.lose(error)
            await asyncio.sleep(_WATCH_S)  # what could not be taken in just now is looked at again

    async def _watch_stopping(self) -> None:
        """Notice when the process is to stop."""
        await self.runtime.stopping.wait()
        self._is_late()  # from now on
        self.notify()

    def lose(self, error: BaseException) -> None:
        """Keep the first error for which this process cannot go on with the session."""
        self.lost = self.lost or error
        self._move()

    def _note(self, recorded: Sequence[Recorded]) -> None:
        for item in recorded:
            self.journal.feed(item)
        self.notify()

    def _redact(self, text: str) -> str:
        for redact in self.redactors:
            text = redact(text)
        return text


async def _fresh(code: Callable[[], Awaitable[object]]) -> CallResult:
    """Run code whose keys begin with nothing; whatever it raises is its outcome."""
    SCOPE.set("")
    WITHIN.set("")
    return await attempt_async(code)

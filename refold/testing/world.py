"""An agent's sessions under test: they are run, steered, killed, forked and edited, and held to what must be true."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import count
from typing import Any, TypeAlias, TypeVar

from eventsource import session as core
from eventsource.envelope import Behind, Cursor, Recorded
from eventsource.events import Event, MessageStart, Place, QueuePush, ToolExecutionEnd, ToolExecutionStart
from eventsource.log import MemoryLog
from eventsource.log.load import read_all
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from eventsource.messages import AssistantMessage, ToolResultMessage, UserMessage
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.script import Answer, CallItem, FailItem, RetryItem
from eventsource.request import Request
from eventsource.tools.arguments import CheckedArguments
from eventsource.tools.context import ToolContext, idempotency_key
from eventsource.tools.tool import Tool, toolbox
from replay.replay import replay

from ..agent import Agent
from ..run import Run
from ..session import Session

T = TypeVar("T")
RunCheck: TypeAlias = Callable[[Run[Any]], None]
_LEASE_US = 60_000_000
"""After so long nobody holds the session of a process that is gone."""


class During(Enum):
    """Something that happens from outside while a model answers."""

    STEER = "steer"
    FOLLOW_UP = "follow up"
    ABORT = "abort"


ScriptedTurn: TypeAlias = Sequence[str | CallItem | FailItem | RetryItem | During]
"""One answer of the model, with what happens meanwhile."""


class Killed(BaseException):  # not an error of the program: nothing of it is left to be told
    """The process is gone."""


class MortalLog(MemoryLog):
    """A log in memory whose process is killed after a number of appends (None: it lives)."""

    appends_left: int | None = None

    async def append(
        self,
        session: str,
        events: Sequence[tuple[int, Event]],
        *,
        expected: int | None = None,
        epoch: int | None = None,
        key: str | None = None,
        durable: bool = True,
        behind: Behind | None = None,
    ) -> int:
        """Append, and perhaps die right after."""
        head = await super().append(
            session, events, expected=expected, epoch=epoch, key=key, durable=durable, behind=behind
        )
        if self.appends_left is not None:
            self.appends_left -= 1
            await self._turn()
        return head

    async def _turn(self) -> None:
        if self.appends_left == 0:
            raise Killed
        await super()._turn()


@dataclasses.dataclass
class SessionUnderTest:
    """A session, and what is known of it: its history so far, and every text said in it that must be delivered once."""

    session: Session
    cursor: Cursor
    parent: SessionUnderTest | None = None
    fork_seq: int = 0
    seen: tuple[Recorded, ...] = ()
    said: list[str] = dataclasses.field(default_factory=list)


class World:
    """The sessions of one agent whose model says what it is told to; its tools and hooks are real, and counted."""

    def __init__(self, agent: Agent[T], *, deps: object = None, check: RunCheck | None = None) -> None:
        self._now_us = 0
        names, self._texts = count(1), count(1)
        self.log = MortalLog(clock=self._clock, new_id=lambda: f"session{next(names)}")
        self._deps, self._check = deps, check
        self._answers: deque[Answer] = deque()
        self.ran: Counter[str] = Counter()
        self._effects = {name: made.spec.effect for name, made in toolbox(agent.tools).items()}
        compaction = dataclasses.replace(agent.compaction, model=None)
        self._agent = agent.replace(
            model=ScriptedModel(self._answer),
            tools=[self._counted(made) for made in toolbox(agent.tools).values()],
            compaction=compaction,
        )
        self.branches: list[SessionUnderTest] = []

    async def begin(self) -> SessionUnderTest:
        """Create a session."""
        return await self._branch((await self.log.create()).id)

    async def run(self, branch: SessionUnderTest, turns: Sequence[ScriptedTurn], *, appends: int | None = None) -> None:
        """Send a prompt and run to the end, or until the process is killed after so many appends."""
        text = self._say(branch)
        await self._run_turns(branch, turns, text, appends)

    async def resume(
        self, branch: SessionUnderTest, turns: Sequence[ScriptedTurn], *, appends: int | None = None
    ) -> None:
        """Resume from wherever the log stops."""
        await self._run_turns(branch, turns, None, appends)

    async def say(self, branch: SessionUnderTest, what: During) -> None:
        """Steer, follow up or abort while nothing runs."""
        await self._during(branch, what)
        await self.judge(branch)

    async def fork(self, branch: SessionUnderTest, at: int) -> SessionUnderTest:
        """Fork at a seq; what was queued there is dropped, as it belongs to the parent."""
        session = await branch.session.fork(at=at)
        return await self._forked(branch, session, at)

    async def edit(self, branch: SessionUnderTest, number: int, turns: Sequence[ScriptedTurn]) -> None:
        """Edit a prompt in a fork, and run that."""
        prompts = [one for one in await branch.session.messages() if isinstance(one.message, UserMessage)]
        if not prompts:
            return
        text = f"text {next(self._texts)}"
        session = await branch.session.edit(prompts[number % len(prompts)], text)
        made = await self._forked(branch, session, (await session.info()).fork_seq)
        made.said.append(text)
        await self.resume(made, turns)

    async def compact(self, branch: SessionUnderTest) -> None:
        """Compact the session; its history must stay."""
        if (await branch.session.state()).phase is not Phase.IDLE:
            return
        self._answers.clear()
        policy = dataclasses.replace(self._agent.compaction, keep_tokens=1)
        await self._agent.replace(compaction=policy).compact(branch.session)
        await self.judge(branch)

    async def judge(self, branch: SessionUnderTest, *, ended: bool = False) -> None:
        """Check the invariants of a session, and of those that nobody touched. Raises: AssertionError."""
        history = await self._history(branch)
        assert history[: len(branch.seen)] == branch.seen, "what was recorded was changed"
        difference = replay(history).difference
        assert difference is None, f"the replay differs at seq {difference.seq}: {difference.field}"
        report = await branch.session.verify()
        assert report.ok, report.findings
        branch.seen, branch.cursor = history, await self.log.cursor(branch.session.id)
        for other in self.branches:
            assert await self.log.cursor(other.session.id) == other.cursor, "another session was changed"
        self._judge_messages(branch, ended=ended)
        self._judge_effects(branch)
        self._judge_request(await branch.session.request())
        if ended:
            assert fold(history).phase is Phase.IDLE, "the run did not come to its end"

    def _judge_messages(self, branch: SessionUnderTest, *, ended: bool) -> None:
        delivered = Counter(_delivered(branch.seen))
        for text in branch.said:
            assert delivered[text] <= 1, f"{text!r} was delivered {delivered[text]} times"
            assert delivered[text] == 1 or not ended, f"{text!r} was never delivered"

    def _judge_effects(self, branch: SessionUnderTest) -> None:
        for name, key, executed in _calls(branch):
            if self._effects.get(name) == "once":
                assert self.ran[key] <= 1, f"{name}, declared `once`, ran {self.ran[key]} times"
            assert self.ran[key] >= 1 or not executed, f"{name} has a result and never ran"

    def _judge_request(self, request: Request) -> None:
        open_calls: list[str] = []
        for message in request.messages:
            if isinstance(message, AssistantMessage):
                assert not open_calls, "a model would be asked while a call lacks its result"
                open_calls = [call.id for call in message.tool_calls]
            elif isinstance(message, ToolResultMessage):
                open_calls.remove(message.tool_call_id)
        assert not open_calls, "a model would be asked while a call lacks its result"

    async def _run_turns(
        self, branch: SessionUnderTest, turns: Sequence[ScriptedTurn], text: str | None, appends: int | None
    ) -> None:
        self._answers = deque(self._script(branch, turn) for turn in turns)
        self.log.appends_left = appends
        agent, session = self._agent, branch.session
        try:
            if text is None:
                run = await agent.resume(session, deps=self._deps)
            else:
                run = await agent.run(text, session=session, deps=self._deps)
            while run.status == "waiting":
                await session.abort()
                run = await agent.resume(session, deps=self._deps)
        except Killed:
            self.log.appends_left = None
            self._now_us += _LEASE_US
            pushed = {_text(one.event) for one in await self._history(branch)}
            branch.said = [said for said in branch.said if said in pushed]
            await self.judge(branch)
            return
        self.log.appends_left = None
        await self.judge(branch, ended=True)
        if self._check is not None:
            self._check(run)

    def _script(self, branch: SessionUnderTest, turn: ScriptedTurn) -> Answer:
        return [self._happening(branch, item) if isinstance(item, During) else item for item in turn]

    def _happening(self, branch: SessionUnderTest, what: During) -> Callable[[], object]:
        return lambda: self._during(branch, what)

    async def _during(self, branch: SessionUnderTest, what: During) -> None:
        match what:
            case During.STEER:
                await branch.session.steer(self._say(branch))
            case During.FOLLOW_UP:
                await branch.session.follow_up(self._say(branch))
            case During.ABORT:
                await branch.session.abort()

    def _say(self, branch: SessionUnderTest) -> str:
        text = f"text {next(self._texts)}"
        branch.said.append(text)
        return text

    def _answer(self, request: Request) -> Answer:
        return self._answers.popleft() if self._answers else "Done."

    def _counted(self, made: Tool) -> Tool:
        call = made._call

        def counted(arguments: CheckedArguments, context: ToolContext) -> object:
            self.ran[context.call.idempotency_key] += 1
            return call(arguments, context)

        return dataclasses.replace(made, _call=counted)

    def _clock(self) -> int:
        self._now_us += 1
        return self._now_us

    async def _branch(self, session: str) -> SessionUnderTest:
        branch = SessionUnderTest(
            Session(core.SessionHandle(self.log, session, clock=self._clock)), await self.log.cursor(session)
        )
        self.branches.append(branch)
        return branch

    async def _forked(self, parent: SessionUnderTest, session: Session, at: int) -> SessionUnderTest:
        branch = await self._branch(session.id)
        branch.parent, branch.fork_seq, branch.seen = parent, at, parent.seen[:at]
        delivered = set(_delivered(branch.seen))
        branch.said = [text for text in parent.said if text in delivered]
        assert (await self.log.cursor(session.id, at)) == (await self.log.cursor(parent.session.id, at))
        await self.judge(branch)
        return branch

    async def _history(self, branch: SessionUnderTest) -> tuple[Recorded, ...]:
        return tuple([one async for one in read_all(self.log, branch.session.id)])


def _text(event: Event) -> str:
    """Return what a person says in an event."""
    if isinstance(event, QueuePush) and isinstance(event.message, UserMessage):
        return event.message.content if isinstance(event.message.content, str) else ""
    return ""


def _delivered(history: Iterable[Recorded]) -> Iterable[str]:
    """Return the texts whose delivery began, in order."""
    pushed: dict[int, str] = {}
    for one in history:
        pushed[one.seq] = _text(one.event)
        if isinstance(one.event, MessageStart) and one.event.role == "input":
            yield pushed[one.event.push_seq]


def _calls(branch: SessionUnderTest) -> Iterable[tuple[str, str, bool]]:
    """List each call that began: its tool, its idempotency key, and whether it has a result of its own."""
    keys: dict[tuple[int, int], tuple[str, str]] = {}
    ended: set[tuple[int, int]] = set()
    for one in branch.seen:
        event = one.event
        if isinstance(event, ToolExecutionStart) and event.runs:
            place = (event.message_seq, event.content_index)
            if place not in keys:
                key = idempotency_key(_recorder(branch, one.seq), Place(message_seq=place[0], content_index=place[1]))
                keys[place] = (event.name, key)
        elif isinstance(event, ToolExecutionEnd) and event.decided == "executed":
            ended.add((event.message_seq, event.content_index))
    return [(name, key, place in ended) for place, (name, key) in keys.items()]


def _recorder(branch: SessionUnderTest, seq: int) -> str:
    """Return the session that recorded a seq."""
    while branch.parent is not None and seq <= branch.fork_seq:
        branch = branch.parent
    return branch.session.id

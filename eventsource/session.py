"""A session: one conversation and its log, for whoever steers it, looks at it or drives it by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

import msgspec

from .codec import to_json
from .envelope import (
    Cursor,
    Recorded,
    SessionInfo,
    VerifyReport,
)
from .errors import ConflictError, IllegalEventError, TokenValueError, UnknownSeqError, WaitOverError
from .events import (
    UPDATE_TYPES,
    AbortRequest,
    AgentStart,
    EndReason,
    Event,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    QueueClear,
    QueueName,
    QueuePush,
    RepeatedTools,
    WaitEnd,
)
from .log.admitted import admitted, append_admitted
from .log.load import evolve_in, load_state, read_all
from .log.protocol import EventLog
from .log.warm import WarmFold
from .machine.approvals import REASON
from .machine.evolve import evolve
from .machine.state import CHILD, State
from .machine.steps import Step, next_step, turn_messages
from .machine.wait_values import check_end
from .prompts import Prompt, as_messages
from .runner.current_run import notify_abort
from .user_code.argument_checks import checked
from .user_code.argument_types import check_key


class SessionHandle:
    """One conversation with its log. Data only: it may be used from several tasks at once."""

    def __init__(self, log: EventLog, session: str, *, clock: Callable[[], int], expected: int | None = None) -> None:
        """Take a log and the id of a session in it.

        `expected`: the head that its owner has seen; what is to be appended elsewhere is refused (ConflictError).
        """
        self.log, self.id, self.clock, self.expected = log, session, clock, expected
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"SessionHandle({self.id!r})"

    async def info(self) -> SessionInfo:
        """Read the session's row."""
        return await self.log.info(self.id)

    @checked()
    async def events(
        self, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page of events with `after < seq <= upto`; fewer than `limit`: there are no more."""
        return await self.log.read(self.id, after=after, upto=upto, limit=limit, updates=updates)

    @checked()
    def follow(self, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place, first what is there, then what comes, from any process; never ends."""
        return self.log.follow(self.id, after)

    @checked("messages")
    async def push(self, queue: QueueName, *messages: Prompt, key: str | None = None) -> int:
        """Queue messages, all in one append; a repeated key changes nothing. Returns: the new head."""
        check_key(key, "Session.push")
        whole = [
            one for message in messages for one in as_messages(message, where="Session.push", parameter="messages")
        ]
        pushes = [QueuePush(queue=queue, message=message, key=key or "") for message in whole]
        return await self._input(*pushes, key=key)

    @checked("message")
    async def steer(self, message: Prompt, *, key: str | None = None) -> int:
        """Queue a message for a run under way: it is delivered before the next model call. Returns: the new head."""
        return await self.push("steering", *as_messages(message, where="Session.steer", parameter="message"), key=key)

    @checked("message")
    async def follow_up(self, message: Prompt, *, key: str | None = None) -> int:
        """Queue a message that is delivered when the run would otherwise end. Returns: the new head."""
        messages = as_messages(message, where="Session.follow_up", parameter="message")
        return await self.push("follow_up", *messages, key=key)

    @checked()
    async def clear(self, queue: QueueName) -> int:
        """Drop what waits in a queue."""
        return await self._input(QueueClear(queue=queue))

    @checked()
    async def abort(self, reason: EndReason = "aborted", *, error: str = "", by: str = "") -> int:
        """Ask the run under way to end; it reaches a runner in any process within 250 ms, in an idle session nobody."""
        head = await self._input(AbortRequest(reason=reason, error=error, by=by))
        notify_abort(self.log, self.id)  # of a tool of this very run, which looks at once
        return head

    @checked()
    async def cancel(self, reason: str = "") -> int:
        """Ask the session's task to end, and its children; without an open task it is like `abort`."""
        head = await self._input(AbortRequest(cause="cancel", error=reason))
        notify_abort(self.log, self.id)
        return head

    @checked()
    async def label(self, text: str, seq: int | None = None) -> int:
        """Set a bookmark at a seq (empty text removes it), or, without a seq, the session's title."""
        if seq is not None:
            head = (await self.info()).head
            if not 1 <= seq <= head:
                raise UnknownSeqError(self.id, seq, head)
        return await self._input(Label(text=text, target_seq=seq or 0))

    @checked()
    async def decide(
        self,
        wait: str,
        value: object = None,
        *,
        outcome: Literal["completed", "cancelled"] = "completed",
        decided_by: str = "",
    ) -> int:
        """End a wait or token by its key; the first decision counts, whoever else decides at the same time.

        For a call that needs approval, true and false approve and deny.

        Raises: WaitOverError when no such wait or token is open; TokenValueError, and it stays open, when the token
            expects another value, or the call's tool other arguments, or a child is waited for, which ends it alone.
        """
        if decided_by == "machine":
            raise ValueError("decided_by='machine' is what the machine says of itself")
        while True:
            state = await self.state()
            token, reasons = state.token(wait), [one.reason for one in state.waits if one.key == wait]
            asked = REASON in reasons
            if CHILD in reasons:
                raise TokenValueError(wait, "it waits for a child, and ends with it")
            said = {"approve": value} if asked and isinstance(value, bool) else value
            given = to_json(said, where=f"wait {wait}") if outcome == "completed" else msgspec.UNSET
            end = WaitEnd(key=wait, outcome=outcome, value=given, decided_by=decided_by)
            try:
                return await self.append([end])
            except ConflictError:
                if self.expected is not None:
                    raise
                continue  # something else came first; look again
            except IllegalEventError as error:
                ended = token.end.outcome if token is not None and token.end is not None else ""
                raise WaitOverError(self.id, wait, ended) from error

    @checked("messages")
    async def send(self, *messages: Prompt, key: str | None = None) -> int:
        """Put messages into the inbox, for a task's code; a repeated key changes nothing. Returns: the new head."""
        return await self.push("inbox", *messages, key=key)

    @checked()
    async def fork(
        self,
        *,
        at: int | None = None,
        before: int | None = None,
        title: str = "",
        session: str | None = None,
        tools: RepeatedTools | None = None,
    ) -> SessionHandle:
        """Begin a session that shares this one's events: up to a seq (the head by default), or before a message.

        `before` is a message's name, the seq of its `message_end` or `message_adopt`. Messages that the run under way
        was to hear stay queued in the fork, but not the one it begins before. `tools`: what becomes of a `once` call
        that this session made behind that place, when the fork makes it again; a run that says so itself counts more.

        Raises: UnknownSeqError.
        """
        keeps = None
        if before is not None:
            at, push = await self.place_before(before)
            kept = turn_messages(await self.state(at=at)) if push and at else ()
            keeps = [seq for seq in kept if seq != push]
        head = (await self.info()).head
        if self.expected is not None and head != self.expected:
            raise ConflictError(self.id, self.expected, head)
        place = at if at is not None else head
        info = await self.log.fork(
            self.id, place, at_us=self.clock(), session=session, title=title, keeps=keeps, repeated_tools=tools
        )
        return SessionHandle(self.log, info.id, clock=self.clock)

    @checked()
    async def state(self, at: int | None = None) -> State:
        """Fold the state at the head, or at a seq."""
        return (await load_state(self.log, self.id, upto=at))[1]

    async def next_step(self) -> Step:
        """Return the step that the session takes next, given that nothing is under way."""
        return next_step(await self.state())

    @checked()
    async def append(self, events: Sequence[Event]) -> int:
        """Append events that the machine allows here, all or none. Returns: the new head.

        Raises: IllegalEventError, and nothing is stored; TokenValueError when a wait is ended with what it does not
            take; ConflictError when somebody else appended meanwhile.
        """
        async with self._lock:
            info = await self.info()
            head, state = await load_state(self.log, self.id, info=info)
            if self.expected is not None and head != self.expected:
                raise ConflictError(self.id, self.expected, head)
            now = self.clock()
            pairs = admitted((now, event) for event in events)
            for seq, (_, event) in enumerate(pairs, start=head + 1):
                if isinstance(event, WaitEnd):
                    check_end(state, event)
                state = evolve_in(self.id, state, Recorded(seq, now, event))
            soft = all(isinstance(event, UPDATE_TYPES) for event in events)
            reached = await append_admitted(self.log, self.id, pairs, expected=head, durable=not soft)
            self.log.folds.keep(info, evolve, WarmFold(reached, state))
            return reached

    async def verify(self) -> VerifyReport:
        """Read everything again and find any changed, missing, swapped or added byte, and where."""
        return await self.log.verify(self.id)

    async def _input(self, *events: Event, key: str | None = None) -> int:
        pairs = admitted((self.clock(), event) for event in events)
        return await append_admitted(self.log, self.id, pairs, expected=self.expected, key=key)

    async def place_before(self, message_seq: int) -> tuple[int, int]:
        """Find the seq to fork at so that a message is not yet there, and its push, if it was queued (else 0).

        Raises: UnknownSeqError when no message ends at this seq.
        """
        run, start, push, messages = 0, 0, 0, 0
        async for recorded in read_all(self.log, self.id, upto=message_seq, updates=False):
            match recorded.event:
                case AgentStart():
                    run, messages = recorded.seq, 0
                case MessageStart(push_seq=pushed):
                    start, push = start or recorded.seq, pushed
                case MessageEnd() if recorded.seq == message_seq:
                    return (start if messages else run) - 1, push
                case MessageAdopt() if recorded.seq == message_seq:
                    return message_seq - 1, 0
                case MessageEnd():
                    start, messages = 0, messages + 1
                case _:
                    pass
        raise UnknownSeqError(self.id, message_seq, (await self.info()).head, "no message ends at this seq")

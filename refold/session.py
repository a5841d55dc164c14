"""A session with everything that can be done with its log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import replay
from eventsource import session as core
from eventsource.codec import from_json
from eventsource.envelope import Cursor, Recorded, SessionInfo, VerifyReport
from eventsource.errors import (
    SessionExistsError,
    TokenValueError,
    UnknownLabelError,
    UnknownSeqError,
    UnknownSessionError,
    UnreadMessageError,
)
from eventsource.events import EndReason, Event, ModelRequest, QueuePush, RepeatedTools, TaskStart
from eventsource.log.load import load, read_all
from eventsource.machine.approvals import verdict
from eventsource.machine.state import State
from eventsource.machine.steps import Step
from eventsource.messages import UserMessage
from eventsource.prompts import Prompt, as_message as as_prompt, as_messages
from eventsource.request import Request
from eventsource.user_code.argument_checks import checked
from projections.context import Entry, history, messages, request
from projections.pairing import ContextMessage
from projections.tree import Branch, Labels
from replay.lineage import erased_seqs

from .child_sessions import child_id
from .context_edits import hiding, replacing
from .context_fold import CONTEXT
from .inbox_message import as_message
from .models import encode_recorded
from .session_tree import follow_tree, read_labels, session_tree
from .waits import Waiting, load_waiting

if TYPE_CHECKING:
    from replay import ReplayReport, SessionDiff, Why


class Session:
    """One conversation with its log: look at it, steer it, fork it, replay it. Data only; an `Agent` runs it.

    Seqs are 1-based; a message is named by the seq of its `message_end` (adopted: of its `message_adopt`).
    """

    HOW_TO_GET: ClassVar[str] = "`await log.session(name)` gives one"

    @checked()
    def __init__(self, session: core.SessionHandle) -> None:
        self.core = session
        self.id: str = session.id
        """The session's id in its log."""

    def __repr__(self) -> str:
        return f"Session({self.id!r})"

    async def info(self) -> SessionInfo:
        """Read the session's row: title, parent, head, status, tokens."""
        return await self.core.info()

    @checked()
    async def events(
        self, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page of events with `after < seq <= upto`; fewer than `limit`: there are no more."""
        return await self.core.events(after=after, upto=upto, limit=limit, updates=updates)

    @checked()
    def follow(self, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place, first what is there, then what comes, from any process; never ends."""
        return self.core.follow(after)

    @checked()
    def follow_tree(self, after: int | Mapping[str, int] = 0) -> AsyncIterator[tuple[str, Recorded]]:
        """Yield each event of the session and of its children, with the id of its session, as they come; never ends.

        The events of one session come in their order, a child's after its `child_start`. `after`: a seq of this
        session; or of each session the last seq that was seen, and then children that were begun before go on too.
        """
        return follow_tree(self.core.log, self.id, after)

    @checked()
    async def messages(self, at: int | None = None) -> tuple[ContextMessage, ...]:
        """Return the context's messages in order, each with its name (`seq`), at the head or at a seq."""
        _, _, view = await load(self.core.log, self.id, context=CONTEXT, upto=at)
        return messages(view)

    @checked()
    async def history(self, at: int | None = None) -> tuple[Entry, ...]:
        """Return every message ever recorded, in order, also what failed, was compacted or hidden."""
        _, _, view = await load(self.core.log, self.id, context=CONTEXT, upto=at)
        return history(view)

    @checked()
    async def state(self, at: int | None = None) -> State:
        """Fold the state at the head, or at a seq."""
        return await self.core.state(at)

    @checked()
    async def request(self, at: int | None = None) -> Request:
        """Build the request that would be sent at the head; at a seq, the one of that `model_request`, or the next one.

        Raises: UnknownSeqError.
        """
        if at is None:
            _, _, view = await load(self.core.log, self.id, context=CONTEXT)
            return request(view)
        recorded = next(iter(await self.events(after=at - 1, upto=at, limit=1)), None)
        event = recorded.event if recorded is not None else None
        asked = isinstance(event, ModelRequest)
        _, _, view = await load(self.core.log, self.id, context=CONTEXT, upto=at - 1 if asked else at)
        return request(view, event.selection if isinstance(event, ModelRequest) else None)

    @checked()
    async def why(self, at: int, *, limit: int | None = None) -> Why:
        """Explain where the run stood at a seq, and which event put each part of the request there.

        From its `model_request` to the end of its turn it is about that request, elsewhere about the next one. `limit`:
        only the last so many messages, and so many changes.

        Returns: a value; `.pretty()` writes it for a person, `.json()` as JSON. Raises: UnknownSeqError.
        """
        return await replay.why(self.core, at, encode=encode_recorded, limit=limit)

    @checked("message")
    async def steer(self, message: Prompt, *, key: str | None = None) -> int:
        """Queue a message for a run under way: it is delivered before the next model call. Returns: the new head."""
        return await self.core.steer(message, key=key)

    @checked("message")
    async def follow_up(self, message: Prompt, *, key: str | None = None) -> int:
        """Queue a message that is delivered when the run would otherwise end. Returns: the new head."""
        return await self.core.follow_up(message, key=key)

    @checked()
    async def abort(self, reason: EndReason = "aborted", *, error: str = "", by: str = "") -> int:
        """Ask the run under way to end, with why and by whom; it reaches a runner in any process within 250 ms."""
        return await self.core.abort(reason, error=error, by=by)

    @checked()
    async def label(self, text: str, seq: int | None = None) -> int:
        """Set a bookmark at a seq (empty text removes it), or, without a seq, the session's title."""
        return await self.core.label(text, seq)

    async def waits(self) -> tuple[Waiting, ...]:
        """List what the session waits for, and what the agents and tasks it waits for do."""
        return await load_waiting(self.core.log, self.id)

    @checked()
    async def decide(
        self,
        wait: str | Waiting,
        value: object = None,
        *,
        approve: bool | None = None,
        reason: str = "",
        arguments: Mapping[str, object] | None = None,
        outcome: Literal["completed", "cancelled"] = "completed",
        decided_by: str = "",
    ) -> int:
        """End a wait, named by its key or as `session:key` (also a child's); the first decision counts.

        A call that needs approval: `approve=True`, with other `arguments` in place of the model's if given, or
        `approve=False` with a reason for the model. A token: its value. What does not fit (arguments that the tool's
        schema refuses, a value of another type) is refused, and the wait stays open.

        Raises: WaitOverError, TokenValueError, InvalidTextError.
        """
        owner, key = (wait.session, wait.key) if isinstance(wait, Waiting) else await self._wait_named(wait)
        decided = self.core if owner == self.id else core.SessionHandle(self.core.log, owner, clock=self.core.clock)
        if approve is None and (reason or arguments is not None):
            raise TokenValueError(key, "a reason and arguments go with approve=True or approve=False")
        if approve is not None:
            value = from_json(verdict(approve=approve, reason=reason, arguments=arguments))
        return await decided.decide(key, value, outcome=outcome, decided_by=decided_by)

    @checked()
    async def send(self, message: object, *, key: str | None = None) -> int:
        """Send a message to the inbox of a task: a text, a message, or any JSON; a repeated key changes nothing.

        Raises: UnreadMessageError when no task is open here, so that nobody would ever read it.
        """
        said = as_message(message)
        if not (await self.core.state()).task:
            events = [one.event async for one in read_all(self.core.log, self.id, updates=False)]
            if key is None or not any(isinstance(event, QueuePush) and event.key == key for event in events):
                tasks = [event.task for event in events if isinstance(event, TaskStart)]
                raise UnreadMessageError(self.id, tasks[-1] if tasks else "")
        return await self.core.send(said, key=key)

    @checked()
    async def cancel(self, reason: str = "") -> int:
        """Ask the session's task to end, and its children; `abort` ends only the run that is under way."""
        return await self.core.cancel(reason)

    async def labels(self) -> Labels:
        """List the bookmarks, inherited ones included: (seq, text), in order."""
        return await read_labels(self.core.log, self.id)

    async def tree(self) -> Branch:
        """Arrange the first ancestor and everything forked from it as a tree, with bookmarks."""
        return await session_tree(self.core.log, self.id)

    @checked()
    async def fork(
        self,
        *,
        at: int | str | None = None,
        before: ContextMessage | int | None = None,
        title: str = "",
        key: str | None = None,
        tools: RepeatedTools | None = None,
    ) -> Session:
        """Create a session that shares this one's events up to a seq or bookmark (else the head), or before a message.

        The same key gives the same fork, made once. `tools`: what becomes of a `once` call that this session made
        behind that place, when the fork makes it again, as in `Agent.run`, which counts more where it says so itself.

        Raises: UnknownSeqError; UnknownLabelError when no bookmark, or more than one, has that text.
        """
        made = child_id(f"fork {self.id}", key) if key is not None else None
        if made is not None and await self._is_made(made):
            return Session(core.SessionHandle(self.core.log, made, clock=self.core.clock))
        name = before.seq if isinstance(before, ContextMessage) else before
        if isinstance(at, str):
            found = [seq for seq, text in await self.labels() if text == at]
            if len(found) != 1:
                raise UnknownLabelError(self.id, at, tuple(found))
            at = found[0]
        try:
            return Session(await self.core.fork(at=at, before=name, title=title, session=made, tools=tools))
        except SessionExistsError as error:  # of two that ask at the same time, both get the same
            return Session(core.SessionHandle(self.core.log, error.session, clock=self.core.clock))

    @checked("new")
    async def edit(
        self,
        message: ContextMessage | int,
        new: Prompt,
        *,
        title: str = "",
        key: str | None = None,
        tools: RepeatedTools | None = None,
    ) -> Session:
        """Fork before a message that was said to the model, and queue another in its place; run the fork to go on.

        The same key gives the same fork, made once. `tools`: as in `fork`.

        Raises: UnknownSeqError when no such message was a person's.
        """
        said_instead = as_messages(new, where="Session.edit", parameter="new")
        name = message.seq if isinstance(message, ContextMessage) else message
        said = next((entry for entry in await self.history() if entry.seq == name), None)
        if said is None or not isinstance(said.message, UserMessage):
            raise UnknownSeqError(self.id, name, (await self.info()).head, "no user message of this name")
        fork = await self.fork(before=name, title=title, key=key, tools=tools)
        await fork.core.push("prompt", *said_instead, key="edit")
        return fork

    async def _is_made(self, session: str) -> bool:
        """Return whether a fork of this session is there."""
        try:
            return (await self.core.log.info(session)).parent == self.id
        except UnknownSessionError:
            return False

    @checked()
    async def adopt(
        self, messages: Sequence[ContextMessage | int] | range | ContextMessage | int, *, from_: Session
    ) -> tuple[int, ...]:
        """Copy messages of another session into this idle one, calls together with their results.

        A `range` takes the messages whose names lie in it; what both sessions share is left out. In a batch of tool
        calls that nobody runs, results are taken for the calls of the same name and arguments.

        Returns: the seqs of what was appended; in an idle session they name the adopted messages.
        Raises: UnknownSeqError; IllegalEventError when a run is under way; LeaseHeldError when somebody runs it.
        """
        chosen = [messages] if isinstance(messages, ContextMessage | int) else messages
        return await replay.adopt(self.core, from_.core, chosen)

    @checked()
    async def hide(self, message: ContextMessage | int) -> int:
        """Keep a message from the model from now on, with its calls' results; it stays in the history.

        Of a result whose call stays, the model reads that the call was answered and its result is hidden.

        Raises: UnknownSeqError when the context holds no such message.
        """
        return await self.core.append([hiding(await self._standing(message))])

    @checked("new")
    async def replace(self, message: ContextMessage | int, new: Prompt) -> int:
        """Replace a message by another for the model, from now on; a text keeps the message's role and calls.

        A result stays that of its call; where another message stands in its place, the model reads that it is hidden.

        Raises: UnknownSeqError when the context holds no such message.
        """
        said = new if isinstance(new, str) else as_prompt(new, where="Session.replace", parameter="new")
        return await self.core.append([replacing(await self._standing(message), said)])

    @checked()
    async def replay(self, upto: int | None = None) -> ReplayReport:
        """Replay the record: every decision and every request's digest must come out as it stands there."""
        run = replay.Replay(await erased_seqs(self.core.log, self.id))
        async for recorded in read_all(self.core.log, self.id, upto=upto):
            if not run.feed(recorded):
                break
        return run.report()

    async def _standing(self, message: ContextMessage | int) -> ContextMessage:
        name = message.seq if isinstance(message, ContextMessage) else message
        found = next((one for one in await self.messages() if one.seq == name and name), None)
        if found is None:
            raise UnknownSeqError(self.id, name, (await self.info()).head, "no message of this name in the context")
        return found

    async def next_step(self) -> Step:
        """Return the step that the session takes next, given that nothing is under way."""
        return await self.core.next_step()

    @checked()
    async def append(self, events: Sequence[Event]) -> int:
        """Append events that the machine allows here, all or none. Returns: the new head."""
        return await self.core.append(events)

    async def _wait_named(self, wait: str) -> tuple[str, str]:
        """Find whose wait a name means: a key of this session's, or `session:key` of its own or a child's."""
        owner, _, key = wait.partition(":")
        if owner == self.id:
            return owner, key
        state = await self.core.state()
        if not key or state.token(wait) is not None or any(one.key == wait for one in state.waits):
            return self.id, wait
        return next(((one.session, one.key) for one in await self.waits() if one.token == wait), (self.id, wait))

    async def _wait_words(self, session: str) -> list[str]:
        return [wait.words for wait in await load_waiting(self.core.log, session)]

    async def html(self) -> str:
        """Write the session and its forks as one HTML page that needs nothing else, no script either."""
        return await replay.session_page(self.core, self._wait_words)

    async def verify(self) -> VerifyReport:
        """Read everything again and find any changed, missing, swapped or added byte, and where."""
        return await self.core.verify()


@checked()
async def diff(
    left: Session, right: Session, *, limit: int | None = None, after: tuple[int, int] = (0, 0)
) -> SessionDiff:
    """Compare two sessions: branches from the last event they share, unrelated ones by what was said.

    `limit`: only so many pairs of messages; the result's `next` is then the `after` of the page behind it.

    Returns: a value, false when nothing differs; `.pretty()` writes it for a terminal, `.json()` as JSON.
    """
    return await replay.diff(left.core, right.core, limit=limit, after=after)

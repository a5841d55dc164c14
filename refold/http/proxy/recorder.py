"""Recording the exchanges that pass by: a request becomes inputs and results, a stream becomes an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from eventsource.background import outlast
from eventsource.envelope import SessionInfo
from eventsource.errors import LeaseHeldError, RefoldError
from eventsource.events import AbortRequest, Label, ModelRef, ModelRequest, QueuePush, Resume
from eventsource.log.load import load
from eventsource.machine.config_diff import difference
from eventsource.machine.state import Config, Phase
from eventsource.messages import AssistantMessage, UserMessage
from eventsource.models.catalog import find_codec
from eventsource.models.secrets import Secrets
from eventsource.request import Request, request_sha256
from eventsource.runner.advance import advance
from eventsource.runner.flushing import flushing
from eventsource.runner.lease import hold
from eventsource.runner.recorder import POLICIES
from eventsource.runner.reply import ReplyReader
from eventsource.runner.writer import Writer
from projections.context import ContextView

from ...context_fold import CONTEXT
from ...log import Log
from ..wires.protocol import Asked
from .answer_buffer import AnswerBuffer
from .answer_reading import read_answer
from .client_messages import record_messages
from .known_sessions import KnownSessions, SessionMatch
from .prefix_match import as_on_record, expected_messages, forkable, in_call_order, prefix_digests, shared_prefix
from .titles import title_of_prompts

CODEC = "client/1"
"""The codec of a body that the client wrote."""
TASK_STAYS = "a client goes on from here; the task goes on in the session this one was forked from"
UNPLACED = "exchanges that are not on record"
"""Title of the session that names what was lost before a session was found for it."""
FLUSH_UPDATES = 32


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A model call that passes by: what was asked, whom, the digest of its body, and what must stay secret."""

    asked: Asked
    ref: ModelRef
    body_sha256: str
    secrets: Secrets


class ProxyRecorder:
    """Records exchanges in a log, each in the session it goes on from. `lose` is told what could not be recorded."""

    def __init__(self, log: Log, *, lose: Callable[[str], None]) -> None:
        self._log, self._lose = log, lose
        self._known = KnownSessions()
        self._begun = self._learned = False
        self._busy: set[str] = set()
        self._lock = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], AnswerBuffer] = {}
        self._unplaced: str | None = None
        self.recorded = self.lost = 0

    def begin(self, read: Callable[[], Call], what: str) -> AnswerBuffer:
        """Begin to record an exchange: `read` says what was asked, `what` names it if it is lost."""
        buffer, before = AnswerBuffer(), tuple(self._tasks.values())
        task = asyncio.create_task(self._record(buffer, read, what, before))
        self._tasks[task] = buffer
        task.add_done_callback(self._tasks.pop)
        return buffer

    async def close(self) -> None:
        """Wait until all exchanges are on record, however often that is cancelled; one that goes on is cut off."""
        for buffer in self._tasks.values():
            buffer.end(aborted=True)  # unless it has ended
        await outlast(*self._tasks)

    async def _record(
        self, buffer: AnswerBuffer, read: Callable[[], Call], what: str, before: Sequence[AnswerBuffer]
    ) -> None:
        call, session = None, None
        try:
            call = read()
            for other in before:  # this request may be about what they have just said
                await other.caught_up()
            async with self._session(call) as writer:
                session = writer.session
                reply = ReplyReader(writer, call.ref, FLUSH_UPDATES)
                async with flushing(writer):
                    reader = find_codec(call.ref).reader(call.asked.request)
                    await read_answer(buffer, reader, reply, call.ref, self._log.clock)
                await advance(writer)
                await writer.flush()
            self.recorded += 1
        except Exception as error:  # whatever it is, the client must not notice
            self.lost += 1
            words = str(error) if isinstance(error, RefoldError | OSError) else f"{type(error).__name__}: {error}"
            if call is not None:
                words = call.secrets.redact(words)
            self._lose(f"{what} is not on record: {words}")
            await self._say_lost(session, call, f"{what} is not on record", f"not on record: {words}")
        finally:
            buffer.close()

    async def _say_lost(self, session: str | None, call: Call | None, what: str, words: str) -> None:
        """Record, if that can be, that an exchange is not on record: in its session, else in one for such."""
        with suppress(Exception):  # the log itself may be what failed; whoever runs the proxy was told
            async with self._lock, AsyncExitStack() as holding:
                if session is None:
                    if self._unplaced is None:
                        self._unplaced = (await self._log.store.create()).id
                    session = self._unplaced
                self._busy.add(session)
                writer = await self._claim(session, call, holding)
                if writer is None:
                    return
                try:
                    if session == self._unplaced:
                        writer.outcome(Label(text=UNPLACED))
                        writer.outcome(QueuePush(queue="prompt", message=UserMessage(content=what)))
                        await advance(writer)
                    if writer.state.run is not None:
                        writer.outcome(AbortRequest(reason="error", cause="callback", error=words))
                        await advance(writer)
                    await writer.flush()
                finally:
                    self._busy.discard(session)

    @asynccontextmanager
    async def _session(self, call: Call) -> AsyncIterator[Writer[ContextView]]:
        """Open the session that the request goes on from, record the request, and hold the session meanwhile."""
        writer: Writer[ContextView] | None = None
        async with AsyncExitStack() as holding:
            try:
                async with self._lock:
                    writer, asked = await self._open(call, holding)
                    self._busy.add(writer.session)
                    await _ask(writer, asked, call)
                    self._index(writer)
                yield writer
            finally:
                if writer is not None:
                    self._index(writer)
                    self._busy.discard(writer.session)

    def _index(self, writer: Writer[ContextView]) -> None:
        self._known.put(writer.session, writer.head, expected_messages(writer.view), writer.state.config)

    async def _open(self, call: Call, holding: AsyncExitStack) -> tuple[Writer[ContextView], Request]:
        """Find the session; a copy of it where the request says something else than it does, a new one for new talk."""
        request = await self._whole(call.asked)
        digests = prefix_digests(request.messages)
        match = await self._find(digests, request)
        if match is not None and match.whole:
            writer = await self._claim(match.session, call, holding)
            if writer is not None and _fits(writer, digests) and not writer.state.task:
                return writer, request
            await holding.aclose()
        session = await self._fork(match.session, digests) if match is not None else None
        writer = await self._claim(session or (await self._log.store.create()).id, call, holding)
        if writer is None:
            raise RefoldError("somebody else took the new session")
        return writer, request

    async def _whole(self, asked: Asked) -> Request:
        """Return the whole conversation, also where the client relies on what its provider keeps."""
        request = msgspec.structs.replace(asked.request, messages=tuple(in_call_order(asked.request.messages)))
        if not asked.previous:
            return request
        if self._known.answered(asked.previous) is None:
            await self._learn()
        found = self._known.answered(asked.previous)
        if found is None:
            return request
        session, place = found
        _, _, view = await load(self._log.store, session, context=CONTEXT)
        before = [part.message for part in expected_messages(view)[:place]]
        return msgspec.structs.replace(request, messages=(*before, *request.messages))

    async def _find(self, digests: Sequence[bytes], request: Request) -> SessionMatch | None:
        if not self._begun:  # what an earlier process left unfinished is asked again
            self._begun = True
            for info in await self._log.store.sessions(open=True):
                await self._read_session(info)
        match = self._known.find(digests, request.system_prompt, self._busy)
        left = request.messages[match.shared if match is not None else 0 :]
        if any(isinstance(message, AssistantMessage) for message in left) and await self._learn():
            match = self._known.find(digests, request.system_prompt, self._busy)
        return match

    async def _learn(self) -> bool:
        """Read the sessions that the index does not hold as they stand now, latest first. Returns: were there any?"""
        after, found = None, False
        while page := await self._log.store.sessions(after=after):
            for info in page:
                if self._known.head(info.id) == info.head:
                    if self._learned:
                        return found
                elif info.id not in self._busy:
                    await self._read_session(info)
                    found = True
            after = page[-1].id
        self._learned = True
        return found

    async def _read_session(self, info: SessionInfo) -> None:
        try:
            head, state, view = await load(self._log.store, info.id, context=CONTEXT)
        except RefoldError:  # a session nobody can read is none to go on from
            return
        self._known.put(info.id, head, expected_messages(view), state.config)

    async def _claim(self, session: str, call: Call | None, holding: AsyncExitStack) -> Writer[ContextView] | None:
        store = self._log.store
        writer = Writer(
            store,
            session,
            context=CONTEXT,
            clock=self._log.clock,
            on_commit=lambda recorded: None,
            redact=call.secrets.redact if call is not None else None,
        )
        try:
            writer.lease = (await holding.enter_async_context(hold(store, session))).lease
        except LeaseHeldError:
            return None
        await writer.load()
        return writer

    async def _fork(self, session: str, digests: Sequence[bytes]) -> str | None:
        """Fork a session where the request parts from it; None when they share nothing after all."""
        store = self._log.store
        _, _, view = await load(store, session, context=CONTEXT)
        own = expected_messages(view)
        place = forkable(own, shared_prefix(digests, prefix_digests([part.message for part in own])))
        if place == 0:
            return None
        at = own[place - 1].seq
        info = await store.info(session)
        while info.parent is not None and at <= info.fork_seq:  # it was the parent that said this
            info = await store.info(info.parent)
        return (await store.fork(info.id, at, at_us=self._log.clock())).id


def _fits(writer: Writer[ContextView], digests: Sequence[bytes]) -> bool:
    own = prefix_digests([part.message for part in expected_messages(writer.view)])
    return shared_prefix(digests, own) == len(own)


async def _ask(writer: Writer[ContextView], request: Request, call: Call) -> None:
    """Record what a request says that is not on record yet, and that the model is asked."""
    if writer.state.phase in (Phase.REQUESTED, Phase.STREAMING):
        writer.outcome(Resume(why="crash", runner=writer.lease.owner if writer.lease is not None else ""))
    if writer.state.task:
        writer.outcome(AbortRequest(cause="cancel", error=TASK_STAYS))
    await advance(writer)
    if not writer.head and (title := title_of_prompts(request.messages)):
        writer.outcome(Label(text=title))
    config = Config(
        model=call.ref,
        system_prompt=request.system_prompt,
        tools=request.tools,
        options=request.options,
        policies=POLICIES,
    )
    change = difference(writer.state.config, config)
    if change is not None:
        writer.outcome(change)
    own = prefix_digests([part.message for part in expected_messages(writer.view)])
    await record_messages(writer, request.messages[shared_prefix(prefix_digests(request.messages), own) :])
    recorded = False
    while not recorded:  # what others append first makes it a new decision
        await advance(writer)
        if writer.state.run is None:  # nothing was said, or the run ended before it asked (at a limit)
            writer.outcome(Resume(why="continue"))
            await advance(writer)
        run = writer.state.run
        sent = CONTEXT.select(writer.view, as_on_record(writer.view, request.messages))
        recorded = await writer.intend(
            ModelRequest(
                attempt=run.attempt + 1 if run is not None else 1,
                request_sha256=request_sha256(CONTEXT.requests().build(writer.view, sent)),
                body_sha256=call.body_sha256,
                body_codec=CODEC,
                selection=sent,
            )
        )

"""Recording the exchanges that pass by: a request becomes inputs and results, a stream becomes an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from eventsource.background import outlast
from eventsource.errors import LeaseHeldError, RefoldError
from eventsource.events import AbortRequest, Label, ModelRef, QueuePush
from eventsource.log.load import load
from eventsource.messages import UserMessage
from eventsource.models.catalog import find_codec
from eventsource.models.secrets import Secrets
from eventsource.runner.advance import advance
from eventsource.runner.flushing import flushing
from eventsource.runner.lease import hold
from eventsource.runner.reply import ReplyReader
from eventsource.runner.writer import Writer
from projections.context import ContextView

from ...context_fold import CONTEXT
from ...log import Log
from ..wires.client_name import UNNAMED, ClientName
from ..wires.protocol import Asked
from .alignment import align, said
from .answer_buffer import AnswerBuffer
from .answer_reading import read_answer
from .asking import Conversation, record_request
from .child_links import ChildLinks
from .client_messages import end_run, record_results
from .finding import SessionFinder
from .prefix_match import expected_messages, forkable, speaking
from .shortening import Shortened, asks_for_summary, find_shortened
from .sub_agents import Beginning, find_beginning
from .summaries import record_summary

UNPLACED = "exchanges that are not on record"
"""Title of the session that names what was lost before a session was found for it."""
LEFT = "the proxy, whose client had not answered,"
FLUSH_UPDATES = 32


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A model call that passes by: what was asked, whom, the digest of its body, and what must stay secret.

    `client`: what its client calls the conversation.
    """

    asked: Asked
    ref: ModelRef
    body_sha256: str
    secrets: Secrets
    client: ClientName = UNNAMED


class ProxyRecorder:
    """Records exchanges in a log, each in the session it goes on from.

    `lose` is told what could not be recorded, `note` what of an exchange that is on record could not be kept.
    """

    def __init__(
        self, log: Log, *, lose: Callable[[str], None], note: Callable[[str], None] = lambda what: None
    ) -> None:
        self._log, self._lose, self._note = log, lose, note
        self._finder = SessionFinder(log)
        self._links = ChildLinks(log.store, self._finder.busy)
        self._touched: set[str] = set()
        self._lock = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], AnswerBuffer] = {}
        self._unplaced: str | None = None
        self.recorded = self.lost = 0
        self.sessions: dict[str, int] = {}
        """The sessions that exchanges were recorded in, and how many, in the order of the first."""

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
            async with self._session(call) as (writer, conversation):
                session = writer.session
                reply = ReplyReader(writer, call.ref, FLUSH_UPDATES)
                async with flushing(writer):
                    reader = find_codec(call.ref).reader(call.asked.request)
                    await read_answer(buffer, reader, reply, call.ref, self._log.clock)
                self._say_unkept(writer, conversation, what)
                await advance(writer)
                await self._links.record(writer)
                await writer.flush()
            self.recorded += 1
            self.sessions[session] = self.sessions.get(session, 0) + 1
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
                self._finder.busy.add(session)
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
                    self._finder.busy.discard(session)

    @asynccontextmanager
    async def _session(self, call: Call) -> AsyncIterator[tuple[Writer[ContextView], Conversation]]:
        """Open the session that the request goes on from, record the request, and hold the session meanwhile."""
        writer: Writer[ContextView] | None = None
        conversation: Conversation | None = None
        parent = ""
        async with AsyncExitStack() as holding:
            try:
                async with self._lock:
                    writer, conversation = await self._open(call, holding)
                    parent = conversation.parent
                    self._finder.busy.add(writer.session)
                    self._touched.add(writer.session)
                    await record_request(writer, conversation, self._links)
                    self._finder.index(writer, conversation.client, parent)
                    await self._leave_others(conversation)
                yield writer, conversation
            finally:
                if writer is not None and conversation is not None:
                    self._finder.index(writer, conversation.client, parent)
                if writer is not None:
                    self._finder.busy.discard(writer.session)

    async def _open(self, call: Call, holding: AsyncExitStack) -> tuple[Writer[ContextView], Conversation]:
        """Find the session; a copy of it where the request says something else than it does, a new one for new talk."""
        finder, client = self._finder, call.client
        whole, unkept = await finder.whole(call.asked, client)
        request = msgspec.structs.replace(whole, messages=tuple(speaking(whole.messages)))
        asked = [said(message) for message in request.messages]
        match = await finder.find(asked, request, client)
        talk = Conversation(request=request, asked=asked, client=client, ref=call.ref, body_sha256=call.body_sha256)
        talk = msgspec.structs.replace(talk, sent=whole.messages, unkept=unkept)
        beginning: Beginning | None = None
        if match is None or not match.answered or match.begins_anew:
            shortened = find_shortened(finder.known, request.messages, asked, client)
            writer = await self._shorten(shortened, talk, call, holding) if shortened is not None else None
            if writer is not None:
                return writer, self._known_by(talk, writer.session)
            fresh = match is None or not (match.whole or match.answered)
            beginning = find_beginning(finder.known, request.messages, client, self._links.taken) if fresh else None
            match = match if beginning is None else None
        for_summary = match is not None and asks_for_summary(request.messages, client)
        if match is not None and match.whole:
            writer = await self._claim(match.session, call, holding)
            if writer is not None and not writer.state.task and talk.goes_on(writer):
                if not for_summary:
                    return writer, self._known_by(talk, match.session)
                await self._answer_calls(writer, talk)
            await holding.aclose()
        made = await self._fork(match.session, talk) if match is not None else None
        if match is not None and made is not None:
            talk = msgspec.structs.replace(talk, made="summary" if for_summary else "fork", parent=match.session)
        else:
            talk = msgspec.structs.replace(talk, made="new")
        session = made or (await self._log.store.create(started_by=self._starter(beginning, client))).id
        writer = await self._claim(session, call, holding)
        if writer is None:
            raise RefoldError("somebody else took the new session")
        if beginning is not None:
            await self._hang(beginning, session, call)
        return writer, talk

    def _known_by(self, talk: Conversation, session: str) -> Conversation:
        """Say what is known of a session that is gone on with; the first client that names it gives it its name."""
        known = self._finder.known.get(session)
        if known is None:
            return talk
        named = known.client if known.client.session or not talk.client.session else talk.client
        renamed = named.key != known.client.key
        return msgspec.structs.replace(talk, parent=known.parent, client=named, renamed=renamed)

    def _starter(self, beginning: Beginning | None, client: ClientName) -> str:
        """Name the session that a new one hangs from: of the call that began it, else of the client's main agent."""
        if beginning is not None:
            return beginning.session
        family = [one for one in self._finder.known.family(client) if one.has_tools and one.client.key != client.key]
        main = next((one for one in family if one.client.agent == client.parent), None)
        same = (one for one in self._finder.known.of_client(client) if one.has_tools and not one.parent)
        found = main or next(same, None)
        return found.session if found is not None else ""

    async def _hang(self, beginning: Beginning, child: str, call: Call) -> None:
        """Record what can be recorded now of the call that began a session."""
        self._links.add(beginning, child)
        await self._visit(beginning.session, call, self._links.record)

    async def _visit(
        self, session: str, call: Call | None, change: Callable[[Writer[ContextView]], Awaitable[None]]
    ) -> None:
        """Change a session that no exchange is in; nothing happens if somebody holds it."""
        if session in self._finder.busy:
            return
        async with AsyncExitStack() as holding:
            writer = await self._claim(session, call, holding)
            if writer is None:
                return
            await change(writer)
            await writer.flush()
            known = self._finder.known.get(session)
            if known is not None:
                self._finder.index(writer, known.client, known.parent)

    async def _answer_calls(self, writer: Writer[ContextView], talk: Conversation) -> None:
        """Record the results that a request for a summary brings where they belong, before that is asked for beside."""
        await record_results(writer, talk.left(writer), self._links)
        await advance(writer)
        await writer.flush()
        known = self._finder.known.get(writer.session)
        if known is not None:
            self._finder.index(writer, known.client, known.parent)

    async def _shorten(
        self, shortened: Shortened, talk: Conversation, call: Call, holding: AsyncExitStack
    ) -> Writer[ContextView] | None:
        """Record a summary in the session that it shortens; None when that is not to be had."""
        if shortened.session in self._finder.busy:
            return None
        writer = await self._claim(shortened.session, call, holding)
        if writer is None or writer.state.task:
            await holding.aclose()
            return None
        await record_summary(writer, shortened, talk.request.messages)
        return writer

    async def _leave_others(self, talk: Conversation) -> None:
        """End the run of the session that a client has left for a fork of it, once it goes on with the fork."""
        if talk.made or not talk.parent or not talk.client.session:
            return
        left = self._finder.known.get(talk.parent)
        if left is not None and left.client.key == talk.client.key and any(one.open for one in left.calls):
            await self._visit(left.session, None, end_run)

    def _say_unkept(self, writer: Writer[ContextView], talk: Conversation, what: str) -> None:
        """Say in the session, and to whoever runs the proxy, what of the exchange cannot be kept."""
        for sentence in talk.losses():
            self._note(f"{what}: {sentence}")
            writer.outcome(Label(text=sentence, target_seq=writer.next_seq - 1))

    async def leave(self) -> None:
        """End the runs whose client has not answered, when the proxy ends; a client that comes back goes on there."""
        await self.close()
        running = (one.session for one in self._finder.known.running() if one.session in self._touched)
        for session in dict.fromkeys([*self._links.waiting(), *running]):
            with suppress(RefoldError, OSError):
                await self._visit(session, None, self._end)

    async def _end(self, writer: Writer[ContextView]) -> None:
        if not writer.state.task:
            await end_run(writer, LEFT)
        await self._links.record(writer)

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

    async def _fork(self, session: str, talk: Conversation) -> str | None:
        """Fork a session where the request parts from it; None when they share nothing after all."""
        store = self._log.store
        _, _, view = await load(store, session, context=CONTEXT)
        own = expected_messages(view)
        known = self._finder.known.get(session)
        named = known is not None and known.client.key == talk.client.key and bool(talk.client.session)
        place = forkable(own, align([said(part.message) for part in own], talk.asked, named=named).own)
        if place == 0:
            return None
        at = own[place - 1].seq
        info = await store.info(session)
        while info.parent is not None and at <= info.fork_seq:  # it was the parent that said this
            info = await store.info(info.parent)
        return (await store.fork(info.id, at, at_us=self._log.clock())).id

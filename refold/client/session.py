"""A session on a server: what `refold.Session` does with one in its own log, asked for over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.envelope import Cursor, Recorded, SessionInfo
from eventsource.errors import ArgumentError
from eventsource.events import EndReason, RepeatedTools
from eventsource.log import random_id
from eventsource.messages import CustomMessage, Message, UserMessage
from eventsource.prompts import Prompt, as_message as as_prompt, as_messages
from eventsource.request import Request
from eventsource.user_code.argument_checks import checked
from projections.calls import CallView
from projections.pairing import ContextMessage
from replay.why import Why

from ..http.interface.beginnings import PromptBody, RunAnswer, WaitQuery
from ..http.interface.events import EventPage, EventsQuery
from ..http.interface.sessions import CursorQuery, SessionRow
from ..http.interface.values import MOST, AtQuery, Head
from ..http.interface.verbs import (
    AbortBody,
    AdoptBody,
    Adopted,
    CancelBody,
    DecisionBody,
    ForkBody,
    LabelBody,
    MessageBody,
    NamedMessage,
    ReplacedMessage,
)
from ..http.interface.views import (
    CallList,
    MessageList,
    MessagesQuery,
    MetadataAnswer,
    RequestAnswer,
    StateAnswer,
    StreamPage,
    StreamQuery,
    WaitLink,
    WaitList,
    WaitsQuery,
    WhyQuery,
)
from ..inbox_message import VALUE, as_message
from ..spending import Spending
from ..waits import Waiting
from .connection import Connection, path_of
from .following import follow, follow_tree, recorded_of

WEEK_S = 7 * 24 * 3600


class ClientSession:
    """A session on a server: look at it, follow it, steer it, decide what it waits for, let it run there.

    `expected`, of what appends: the head that was seen; if others have gone on since, nothing happens (ConflictError).
    `key`: what is asked for again with the same key happens once, also when an answer was lost on the way.
    """

    HOW_TO_GET: ClassVar[str] = "`await client.session(name)` gives one"

    def __init__(self, connection: Connection, session: str) -> None:
        self._connection = connection
        self.id: str = session
        """The session's id in the server's log."""

    def __repr__(self) -> str:
        return f"ClientSession({self.id!r})"

    async def info(self) -> SessionRow:
        """Read the session's row, and how it stands. Raises: UnknownSessionError."""
        return await self._connection.get(path_of(self.id), SessionRow)

    @checked()
    async def events(
        self, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page of events with `after < seq <= upto`; fewer than `limit`: there are no more."""
        found: list[Recorded] = []
        while (left := limit - len(found)) > 0:
            query = EventsQuery(after=after, upto=upto, limit=min(left, MOST), updates="all" if updates else "none")
            page = await self._connection.get(path_of(self.id, "events"), EventPage, query)
            found += (recorded_of(one, self.id) for one in page.events)
            if page.next is None:
                break
            after = page.next
        return tuple(found)

    @checked()
    def follow(self, after: Cursor | int = 0, *, updates: bool = True) -> AsyncIterator[Recorded]:
        """Yield every event after a place, first what is there, then what comes; never ends.

        It goes on over lost connections and restarts of the server: nothing is missing, nothing comes twice.

        Raises: TailLostError when what was seen is in the log no more; UnknownSessionError, also when the session is
            deleted meanwhile; ClientError when the server does not let this client in.
        """
        return follow(self._connection, self.id, after, updates="all" if updates else "none")

    @checked()
    def follow_tree(
        self, after: int | Mapping[str, int] = 0, *, updates: bool = True
    ) -> AsyncIterator[tuple[str, Recorded]]:
        """Yield each event of the session and of all that it started, with the id of its session; never ends.

        The events of one session come in their order, a child's after its `child_start`. `after`: a seq of this
        session, or of each session the last seq that was seen; a child that is not named begins at its first event. It
        goes on as `follow` does, and raises the same.
        """
        return follow_tree(self._connection, self.id, after, updates="all" if updates else "none")

    @checked()
    async def cursor(self, seq: int | None = None) -> Cursor:
        """Return the cursor at a seq (the head by default), with its digest, from which `follow` begins."""
        return await self._connection.get(path_of(self.id, "cursor"), Cursor, CursorQuery(seq))

    @checked()
    async def state(self, at: int | None = None) -> StateAnswer:
        """Read where the session stands, or stood at a seq."""
        return await self._connection.get(path_of(self.id, "state"), StateAnswer, AtQuery(at))

    @checked()
    async def request(self, at: int | None = None) -> Request:
        """Build the request that would be sent at the head; at a seq, the one of that `model_request`, or the next."""
        return (await self._connection.get(path_of(self.id, "request"), RequestAnswer, AtQuery(at))).request

    @checked()
    async def why(self, at: int | None = None, *, limit: int = 50) -> Why:
        """Explain where the run stood at a seq, and which event put each part of the request there.

        `limit`: only the last so many messages, and so many changes.
        """
        return await self._connection.get(path_of(self.id, "why"), Why, WhyQuery(at, limit))

    @checked()
    async def calls(self, at: int | None = None) -> tuple[CallView, ...]:
        """List tool calls, in the order in which they were made, and what came of them."""
        return (await self._connection.get(path_of(self.id, "calls"), CallList, AtQuery(at))).calls

    @checked()
    async def messages(self, at: int | None = None) -> tuple[ContextMessage, ...]:
        """Return the context's messages in order, each with its name (`seq`), at the head or at a seq."""
        found: list[ContextMessage] = []
        start: int | None = 0
        while start is not None:
            page = await self._connection.get(path_of(self.id, "messages"), MessageList, MessagesQuery(at, start))
            found += page.messages
            at, start = page.at, page.next
        return tuple(found)

    async def usage(self) -> Spending:
        """Count what answers used, each once, in the session that recorded it; what counts elsewhere stands beside."""
        return await self._connection.get(path_of(self.id, "usage"), Spending)

    async def metadata(self) -> dict[str, object]:
        """Read the named values of a task: the last of each."""
        found = await self._connection.get(path_of(self.id, "metadata"), MetadataAnswer)
        return {name: from_json(value) for name, value in found.metadata.items()}

    @checked()
    async def stream_items(self, name: str, *, after: int = 0, limit: int = 1000) -> tuple[tuple[int, object], ...]:
        """Read items of a named stream of a task, in order, each with the seq of its event; fewer than `limit`: all.

        What is to come of it is in the session's events.
        """
        found: list[tuple[int, object]] = []
        while (left := limit - len(found)) > 0:
            query = StreamQuery(after, min(left, MOST))
            page = await self._connection.get(path_of(self.id, "streams", name), StreamPage, query)
            found += ((one.seq, from_json(one.item)) for one in page.items)
            if page.next is None:
                break
            after = page.next
        return tuple(found)

    @checked()
    async def waits(self, *, expires_s: int = WEEK_S) -> tuple[WaitLink, ...]:
        """List what the session waits for, each with a link by which whoever has it decides it, for so many seconds."""
        query = WaitsQuery(expires_s)
        return (await self._connection.get(path_of(self.id, "waits"), WaitList, query)).waits

    @checked("message")
    async def steer(self, message: Prompt, *, key: str | None = None, expected: int | None = None) -> int:
        """Queue a message for a run under way: it is delivered before the next model call. Returns: the new head."""
        said = as_messages(message, where="ClientSession.steer", parameter="message")
        return await self.push("steering", said, key=key, expected=expected)

    @checked("message")
    async def follow_up(self, message: Prompt, *, key: str | None = None, expected: int | None = None) -> int:
        """Queue a message that is delivered when the run would otherwise end. Returns: the new head."""
        said = as_messages(message, where="ClientSession.follow_up", parameter="message")
        return await self.push("follow_up", said, key=key, expected=expected)

    @checked()
    async def send(self, message: object, *, key: str | None = None, expected: int | None = None) -> int:
        """Send a message to the inbox of a task: a text, or any JSON. Returns: the new head.

        Raises: UnreadMessageError when no task is open there, so that nobody would ever read it.
        """
        return await self.push("inbox", (as_message(message),), key=key, expected=expected)

    @checked()
    async def push(
        self,
        queue: Literal["steering", "follow_up", "prompt", "inbox"],
        messages: Sequence[Message],
        *,
        key: str | None = None,
        expected: int | None = None,
    ) -> int:
        """Queue messages of ours, all in one append. Returns: the new head.

        Raises: ArgumentError for what a server would read as something else.
        """
        said: object = _inbox_value(messages) if queue == "inbox" else [_plain(one, queue) for one in messages]
        body = MessageBody(queue, to_json(said, where="message"))
        return await self._verb("messages", body, key=key or random_id(), expected=expected)

    @checked()
    async def abort(
        self, reason: EndReason = "aborted", *, error: str = "", by: str = "", expected: int | None = None
    ) -> int:
        """Ask the run under way to end, with why and by whom; it reaches a runner in any process."""
        return await self._verb("abort", AbortBody(error, by, reason), expected=expected)

    @checked()
    async def cancel(self, reason: str = "", *, expected: int | None = None) -> int:
        """Ask the session's task to end, and its children."""
        return await self._verb("cancel", CancelBody(reason), expected=expected)

    @checked()
    async def label(self, text: str, seq: int | None = None, *, expected: int | None = None) -> int:
        """Set a bookmark at a seq (empty text removes it), or, without a seq, the session's title."""
        return await self._verb("labels", LabelBody(text, seq), expected=expected)

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
        expected: int | None = None,
    ) -> int:
        """End a wait, named by its key or as `session:key` (also a child's); the first decision counts.

        A call that needs approval: `approve=True`, with other `arguments` if given, or `approve=False` with a reason
        for the model. A token: its value. What does not fit is refused, and the wait stays open.

        Raises: WaitOverError, TokenValueError.
        """
        body = DecisionBody(
            wait=wait.token if isinstance(wait, Waiting) else wait,
            value=to_json(value, where="value"),
            approve=approve,
            reason=reason,
            arguments=None if arguments is None else {name: to_json(one) for name, one in arguments.items()},
            outcome=outcome,
            decided_by=decided_by,
        )
        return await self._verb("decisions", body, expected=expected)

    @checked()
    async def adopt(
        self,
        messages: Sequence[ContextMessage | int] | range | ContextMessage | int,
        *,
        from_: ClientSession,
        expected: int | None = None,
    ) -> tuple[int, ...]:
        """Copy messages of another session on the server into this idle one, calls together with their results.

        A `range` takes the messages whose names lie in it; what both sessions share is left out.

        Returns: the seqs of what was appended; in an idle session they name the adopted messages.
        Raises: UnknownSeqError; IllegalEventError when a run is under way; LeaseHeldError when somebody runs it.
        """
        chosen = [messages] if isinstance(messages, ContextMessage | int) else messages
        if isinstance(messages, range):
            body = AdoptBody(source=from_.id, between=(messages.start, messages.stop, messages.step))
        else:
            body = AdoptBody(source=from_.id, messages=tuple(_name_of(one) for one in chosen))
        return (await self._connection.post(path_of(self.id, "adopt"), Adopted, body, expected=expected)).seqs

    @checked()
    async def hide(self, message: ContextMessage | int, *, expected: int | None = None) -> int:
        """Keep a message from the model from now on, with its calls' results; it stays in the history.

        Returns: the new head. Raises: UnknownSeqError when the context holds no such message.
        """
        return await self._verb("hide", NamedMessage(_name_of(message)), expected=expected)

    @checked("new")
    async def replace(self, message: ContextMessage | int, new: Prompt, *, expected: int | None = None) -> int:
        """Replace a message by another for the model, from now on; a text keeps the message's role and calls.

        Returns: the new head. Raises: UnknownSeqError when the context holds no such message.
        """
        said = new if isinstance(new, str) else as_prompt(new, where="ClientSession.replace", parameter="new")
        instead = said if isinstance(said, str) else _plain(said, "new")
        return await self._verb("replace", ReplacedMessage(_name_of(message), to_json(instead)), expected=expected)

    @checked()
    async def fork(
        self,
        *,
        at: int | str | None = None,
        before: int | None = None,
        title: str = "",
        key: str | None = None,
        expected: int | None = None,
        tools: RepeatedTools | None = None,
    ) -> ClientSession:
        """Create a session that shares this one's events up to a seq or bookmark (else the head), or before a message.

        `tools`: what becomes of a `once` call that this session made behind that place, when the fork makes it again.

        Raises: UnknownSeqError; UnknownLabelError when no bookmark, or more than one, has that text.
        """
        return await self._fork(ForkBody(at=at, before=before, title=title, tools=tools), key, expected)

    @checked("new")
    async def edit(
        self,
        message: int,
        new: Prompt,
        *,
        title: str = "",
        key: str | None = None,
        expected: int | None = None,
        tools: RepeatedTools | None = None,
    ) -> ClientSession:
        """Fork before a message that was said to the model, and queue another in its place; run the fork to go on.

        `tools`: as in `fork`.

        Raises: UnknownSeqError when no such message was a person's.
        """
        said = as_messages(new, where="ClientSession.edit", parameter="new")
        instead = to_json([_plain(one, "edit") for one in said], where="new")
        return await self._fork(ForkBody(before=message, edit=instead, title=title, tools=tools), key, expected)

    @checked("prompt")
    async def run(
        self, prompt: Prompt, *, key: str | None = None, wait_s: float = 0.0, expected: int | None = None
    ) -> RunAnswer | Head:
        """Say something to the session's agent; the server runs it until nothing is left to do.

        Returns: the head when the prompt is on record; what the run came to, if it ends within `wait_s`.
        """
        said = as_messages(prompt, where="ClientSession.run")
        body = PromptBody(to_json([_plain(one, "prompt") for one in said], where="prompt"))
        return await self._run("run", body, wait_s, key or random_id(), expected)

    @checked()
    async def resume(self, *, wait_s: float = 0.0) -> RunAnswer | Head:
        """Let the server go on with the session from wherever its log stops; see `run`."""
        return await self._run("resume", None, wait_s, None, None)

    async def _run(
        self, verb: str, body: PromptBody | None, wait_s: float, key: str | None, expected: int | None
    ) -> RunAnswer | Head:
        """Run: an answer without a status is that of a run which goes on."""
        said = await self._connection.post(
            path_of(self.id, verb),
            msgspec.Raw,
            body,
            query=WaitQuery(wait_s),
            key=key,
            expected=expected,
            wait_s=wait_s,
        )
        try:
            return msgspec.json.decode(said, type=RunAnswer)
        except msgspec.ValidationError:
            return msgspec.json.decode(said, type=Head)

    async def _fork(self, body: ForkBody, key: str | None, expected: int | None) -> ClientSession:
        made = await self._connection.post(
            path_of(self.id, "forks"), SessionInfo, body, key=key or random_id(), expected=expected
        )
        return ClientSession(self._connection, made.id)

    async def _verb(
        self, name: str, body: msgspec.Struct, *, key: str | None = None, expected: int | None = None
    ) -> int:
        return (await self._connection.post(path_of(self.id, name), Head, body, key=key, expected=expected)).head


def _name_of(message: ContextMessage | int) -> int:
    return message.seq if isinstance(message, ContextMessage) else message


def _plain(message: Message, parameter: str) -> object:
    """Return a message as JSON, if a server reads it as the same one. Raises: ArgumentError."""
    plain: object = msgspec.to_builtins(message)
    if as_messages(plain, where="ClientSession", parameter=parameter) != (message,):
        raise ArgumentError("ClientSession", parameter, "a message that can be told in JSON", repr(message)[:200])
    return plain


def _inbox_value(messages: Sequence[Message]) -> object:
    """Return what a server makes this one message of. Raises: ArgumentError when it is none that can be sent."""
    match messages:
        case [CustomMessage(kind=kind, body=body)] if kind == VALUE:
            return read_object(body).get("value")
        case [UserMessage(content=str() as text)]:
            return text
        case _:
            raise ArgumentError("ClientSession.send", "message", "a text, or a value as JSON", repr(messages)[:200])

"""Answering from a recording: each answer to the request that it answered then."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventsource.events import MessageEnd, MessageStart, MessageUpdate
from eventsource.log.load import load, read_all
from eventsource.messages import AssistantMessage, ProviderContent, TextContent, ThinkingContent, ToolCall
from eventsource.models.protocol import StreamEnd, StreamStart

from ...context_fold import CONTEXT
from ...session import Session
from ..proxy.prefix_match import expected_messages, in_call_order, prefix_digests, shared_prefix
from ..server import Exchange
from ..wires.answers import AnswerSender, as_updates
from ..wires.protocol import Asked, Wire
from .behaviours import PLAIN, Body

Deltas = dict[int, list[str]]


class RecordedAnswer(msgspec.Struct, frozen=True):
    """An answer as it was recorded: its message, and the deltas of each block."""

    message: AssistantMessage
    deltas: Deltas


class Replaying:
    """A recorded session that answers again."""

    def __init__(self, session: str, digests: Sequence[bytes], answers: dict[bytes, RecordedAnswer]) -> None:
        self.session, self._digests, self._answers = session, digests, answers

    @classmethod
    async def of(cls, session: Session) -> Replaying:
        """Read a session."""
        log = session.core.log
        _, _, view = await load(log, session.id, context=CONTEXT)
        deltas: dict[int, Deltas] = {}
        streamed: Deltas = {}
        async for recorded in read_all(log, session.id):
            match recorded.event:
                case MessageStart():
                    streamed = {}
                case MessageUpdate(delta=delta) as update if delta:
                    streamed.setdefault(update.content_index, []).append(delta)
                case MessageEnd():
                    deltas[recorded.seq] = streamed
                case _:
                    pass
        own = expected_messages(view)
        digests = prefix_digests([part.message for part in own])
        answers = {
            before: RecordedAnswer(part.message, deltas.get(part.seq, {}))
            for before, part in zip([b"", *digests], own, strict=False)
            if isinstance(part.message, AssistantMessage)
        }
        return cls(session.id, digests, answers)

    def find(self, asked: Asked) -> RecordedAnswer | None:
        """Find the answer that the recording has for a request."""
        digests = prefix_digests(in_call_order(asked.request.messages))
        return self._answers.get(digests[-1]) if digests else None

    def difference(self, asked: Asked) -> str:
        """Explain why the recording has no answer."""
        digests = prefix_digests(in_call_order(asked.request.messages))
        shared = shared_prefix(digests, self._digests)
        if shared == len(digests):
            return f"the recording {self.session} has nothing after message {shared}"
        return f"message {shared + 1} of the request is not the one in the recording {self.session}"


async def replay_answer(exchange: Exchange, wire: Wire, asked: Asked, found: RecordedAnswer) -> None:
    """Send a recorded answer, delta by delta, in the protocol that is asked for."""
    message, deltas = _spoken(found, wire.api)
    sender = AnswerSender(wire, asked, message, Body(exchange, PLAIN))
    if found.deltas:
        await sender.take(StreamStart())
        for update in as_updates(message, deltas):
            await sender.take(update)
    await sender.take(StreamEnd(message=message))


def _spoken(found: RecordedAnswer, api: str) -> tuple[AssistantMessage, Deltas]:
    """Leave out what only another protocol can say."""
    message = found.message
    named = msgspec.structs.replace(message, response_id=message.response_id or "replayed")
    if message.api in ("", api):
        return named, found.deltas
    kept = [(place, block) for place, block in enumerate(message.content) if not isinstance(block, ProviderContent)]
    bare: list[TextContent | ThinkingContent | ToolCall] = []
    for _, block in kept:
        match block:
            case TextContent(text=text):
                bare.append(TextContent(text=text))
            case ThinkingContent(thinking=thinking):
                bare.append(ThinkingContent(thinking=thinking))
            case ToolCall():
                bare.append(ToolCall(id=block.id, name=block.name, arguments=block.arguments))
    deltas = {new: found.deltas[old] for new, (old, _) in enumerate(kept) if old in found.deltas}
    plain = msgspec.structs.replace(named, content=tuple(bare), raw=msgspec.UNSET, raw_stop_reason="")
    return plain, deltas

"""Answering from a recording: each answer to the request that it answered then.

An answer belongs to a whole request: to the messages before it, and to the model, system prompt, tools and options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from eventsource.codec import from_json, read_object
from eventsource.events import MessageEnd, MessageStart, MessageUpdate, ModelRequest, ToolSpec
from eventsource.log.load import read_all
from eventsource.machine.state import Config
from eventsource.message_text import role_of, whole_text
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.models.protocol import StreamEnd, StreamStart
from projections import CONTEXT

from ...session import Session
from ..proxy.prefix_match import expected_messages, in_call_order, prefix_digests, shared_prefix, speaking, with_tools
from ..server import Exchange
from ..wires.answers import AnswerSender, as_updates
from ..wires.protocol import Asked, Wire
from .behaviours import PLAIN, Body

Deltas = dict[int, list[str]]
_WHO_ASKS = frozenset({"client_metadata", "metadata", "prompt_cache_key", "safety_identifier", "user"})
"""Options by which clients name themselves and their sessions; the same run again has others."""
_BEFORE, _SHOWN = 20, 60  # characters shown before the place where two texts part, and in all


class RecordedAnswer(msgspec.Struct, frozen=True):
    """An answer as it was recorded: its message, the deltas of each block, and what it answered.

    `asked`: what was in force at its request; None for an answer that came from elsewhere. `seq`: of the request.
    """

    message: AssistantMessage
    deltas: Deltas
    asked: Config | None = None
    seq: int = 0


class Replaying:
    """A recorded session that answers again.

    `answered`: how many requests were. `drifts`: what was answered though it was not asked so, each in a sentence;
    `refused`: what was not answered, and why, each once.
    """

    def __init__(
        self,
        session: str,
        messages: Sequence[Message],
        answers: Mapping[bytes, RecordedAnswer],
        like: Mapping[bytes, RecordedAnswer] | None,
    ) -> None:
        """Take what was said, and answers by the messages before them.

        Args:
            like: answers by messages of which no result's content counts; None where no drift is allowed.
        """
        self.session, self._answers, self._like = session, answers, like
        self._messages, self._digests = messages, prefix_digests(messages)
        self.answered = 0
        self.drifts: list[str] = []
        self.refused: dict[str, None] = {}

    @classmethod
    async def of(cls, session: Session, *, allow_drift: bool = False) -> Replaying:
        """Read a session.

        Args:
            allow_drift: a request with the recorded messages is answered though its model, system prompt, tools or
                options are others, and so is one in which tools gave other results.
        """
        deltas: dict[int, Deltas] = {}
        requests: dict[int, tuple[Config | None, int]] = {}
        streamed: Deltas = {}
        view, asked = CONTEXT.initial, (Config(), 0)
        async for recorded in read_all(session.core.log, session.id):
            view = CONTEXT.step(view, recorded)
            match recorded.event:
                case ModelRequest():
                    asked = view.config, recorded.seq
                case MessageStart():
                    streamed = {}
                case MessageUpdate(delta=delta) as update if delta:
                    streamed.setdefault(update.content_index, []).append(delta)
                case MessageEnd(message=AssistantMessage()):
                    deltas[recorded.seq], requests[recorded.seq] = streamed, asked
                case _:
                    pass
        own = expected_messages(view)
        messages = [part.message for part in own]
        digests, shapes = prefix_digests(messages), prefix_digests(_without_results(messages))
        answers: dict[bytes, RecordedAnswer] = {}
        like: dict[bytes, RecordedAnswer] = {}
        for before, shape, part in zip([b"", *digests], [b"", *shapes], own, strict=False):
            if isinstance(part.message, AssistantMessage):
                config, seq = requests.get(part.seq, (None, 0))
                answer = RecordedAnswer(part.message, deltas.get(part.seq, {}), config, seq)
                answers[before] = like[shape] = answer
        return cls(session.id, messages, answers, like if allow_drift else None)

    def answer(self, asked: Asked) -> RecordedAnswer | str:
        """Find the answer that the recording has for a request, or say why it has none."""
        found = self._find(asked)
        if isinstance(found, str):
            self.refused[found] = None
        else:
            self.answered += 1
        return found

    def _find(self, asked: Asked) -> RecordedAnswer | str:
        messages = speaking(in_call_order(with_tools(asked.request.messages)))
        digests = prefix_digests(messages)
        found = self._answers.get(digests[-1]) if digests else None
        if found is None:
            parted = self._parted(messages, digests)
            shapes = prefix_digests(_without_results(messages))
            found = self._like.get(shapes[-1]) if shapes and self._like is not None else None
            if found is None:
                return parted
            self.drifts.append(parted)
        drift = self._drift(asked, found)
        if drift and self._like is None:
            return drift
        if drift:
            self.drifts.append(drift)
        return found

    def _drift(self, asked: Asked, found: RecordedAnswer) -> str:
        """Say what of a request is not as it was recorded, beside its messages; empty when all is.

        Model options count where the request is in the protocol that was recorded: others have other words for them.
        """
        was, now = found.asked, asked.request
        if was is None or was.model is None:
            return ""
        said = [
            _changed("model", was.model.model, now.model.model),
            _changed("system prompt", was.system_prompt, now.system_prompt),
            *_changed_tools(was.tools, now.tools),
        ]
        if was.model.api == now.model.api:
            said += _changed_options(_options(read_object(was.options)), _options(read_object(now.options)))
        told = "; ".join(one for one in said if one)
        return f"not what was asked at seq {found.seq} of the recording {self.session}: {told}" if told else ""

    def _parted(self, messages: Sequence[Message], digests: Sequence[bytes]) -> str:
        """Say which message is not the recorded one, and what it says otherwise."""
        shared = shared_prefix(digests, self._digests)
        if shared == len(digests):
            return f"the recording {self.session} has nothing after message {shared}"
        told = f"message {shared + 1} of the request is not the one in the recording {self.session}"
        if shared == len(self._messages):
            return f"{told}, which ends before it"
        was, now = self._messages[shared], messages[shared]
        if _who(was) != _who(now):
            return f"{told}: recorded {_who(was)}, now {_who(now)}"
        return f"{told}: {_changed(_who(was), _words(was), _words(now)) or f'{_who(was)} with other content'}"


def _words(message: Message) -> str:
    """Return what counts of a message, as text: not the thinking of an answer, which clients drop."""
    if not isinstance(message, AssistantMessage):
        return whole_text(message)
    texts = [message.text.strip(), *(f"{call.name} {call.arguments}" for call in message.tool_calls)]
    return "\n".join(text for text in texts if text)


def _who(message: Message) -> str:
    """Name a message by what it is."""
    match message:
        case AssistantMessage():
            return "an answer"
        case ToolResultMessage(tool_name=name):
            return f"the result of {name}" if name else "a result"
        case UserMessage():
            return f"a message of role {role_of(message)}"
        case CustomMessage(kind=kind):
            return f"a message of kind {kind}"


def _without_results(messages: Sequence[Message]) -> list[Message]:
    """Take out what tools gave; that they gave something stays."""
    return [replace(one, content=(), is_error=False) if isinstance(one, ToolResultMessage) else one for one in messages]


def _changed(what: str, was: str, now: str) -> str:
    """Say where two texts part."""
    if was == now:
        return ""
    place = next((n for n, (one, other) in enumerate(zip(was, now, strict=False)) if one != other), None)
    begin = max(0, (min(len(was), len(now)) if place is None else place) - _BEFORE)
    return f"{what}: recorded {was[begin : begin + _SHOWN]!r}, now {now[begin : begin + _SHOWN]!r}"


def _changed_tools(was: Sequence[ToolSpec], now: Sequence[ToolSpec]) -> list[str]:
    """Say which tools are gone, new, or told in other words."""
    before, after = {tool.name: tool for tool in was}, {tool.name: tool for tool in now}
    gone, new = [name for name in before if name not in after], [name for name in after if name not in before]
    said = [f"{word} {', '.join(names)}" for word, names in (("tools gone:", gone), ("tools new:", new)) if names]
    for name, tool in after.items():
        other = before.get(name)
        if other is not None:
            said.append(_changed(f"description of the tool {name}", other.description, tool.description))
            if from_json(other.schema) != from_json(tool.schema):
                said.append(f"schema of the tool {name}")
    return said


def _options(options: Mapping[str, object]) -> Mapping[str, object]:
    """Return options by name, those of one provider alone too, without what says who asks."""
    extra = options.get("extra_body")
    flat = {**{name: value for name, value in options.items() if name != "extra_body"}, **_fields(extra)}
    return {name: value for name, value in flat.items() if name not in _WHO_ASKS}


def _fields(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _changed_options(was: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    return [f"option {name}: recorded {was.get(name)!r:.{_SHOWN}}, now {now.get(name)!r:.{_SHOWN}}" for name in names]


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

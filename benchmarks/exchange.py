"""The unit of every benchmark: an exchange, as the events that a run of it records.

A user's message of about 200 characters; an answer streamed as 100 deltas of about 5 characters with one tool call; the
tool's result of 2 kB; a final answer streamed as 100 deltas. 19 facts and 216 updates, with the times a stream has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from eventsource.envelope import Recorded
from eventsource.events import (
    UPDATE_TYPES,
    AgentEnd,
    AgentStart,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    TurnEnd,
    TurnStart,
)
from eventsource.messages import AssistantMessage, TextContent, ToolCall, Usage, UserMessage

Timed = tuple[int, Event]
Append = list[Timed]

SESSION = "oslo"
DELTAS = 100
RESULT_BYTES = 2_000
_WORDS = ("a", "so", "the", "was", "rain", "coat", "today", "windy", "harbour", "cloudy", "umbrella")
_START_US = 1_760_000_000_000_000


def texts(count: int, seed: int) -> list[str]:
    """Make deltas of about 5 characters."""
    chance = Random(seed)
    return [f"{word} " for word in chance.choices(_WORDS, k=count)]


def exchange(after: int, *, number: int = 0, deltas: int = DELTAS) -> list[Append]:
    """Make the events of an exchange that follow seq `after`. Returns: four appends, one for each message."""
    return _Maker(after, number, deltas).make()


class _Maker:
    def __init__(self, after: int, number: int, deltas: int) -> None:
        self.seq, self._number, self._deltas = after, number, deltas
        self._chance = Random(number)
        self._now = _START_US + number * 60_000_000

    def make(self) -> list[Append]:
        prompt = self._timed(QueuePush(queue="prompt", message=UserMessage(content="".join(texts(40, self._number)))))
        asked = [
            *prompt,
            *self._timed(AgentStart(), TurnStart(), MessageStart(role="input", push_seq=self.seq), MessageEnd()),
            *self._request(),
        ]
        said = texts(self._deltas, 2 * self._number)
        arguments = json.dumps({"city": "Oslo", "days": 3, "units": "celsius"})
        call = ToolCall(id=f"call_{self._number:024d}", name="weather", arguments=arguments)
        answered = self._answer([TextContent(text="".join(said)), call], said)
        at = self.seq
        answered += self._timed(ToolExecutionStart(message_seq=at, content_index=1, name="weather"))
        result = ToolResult(content=(TextContent(text="".join(texts(RESULT_BYTES, self._number))[:RESULT_BYTES]),))
        told = [
            *self._timed(
                ToolExecutionEnd(message_seq=at, content_index=1, result=result),
                MessageStart(role="tool_result", call=Place(message_seq=at, content_index=1)),
                MessageEnd(),
                TurnEnd(),
                TurnStart(),
            ),
            *self._request(),
        ]
        said = texts(self._deltas, 2 * self._number + 1)
        final = self._answer([TextContent(text="".join(said))], said)
        return [asked, answered, told, final + self._timed(TurnEnd(), AgentEnd())]

    def _request(self) -> Append:
        digest = f"{self._chance.getrandbits(256):064x}"
        return self._timed(ModelRequest(attempt=1, request_sha256=digest))

    def _answer(self, content: list[TextContent | ToolCall], said: list[str]) -> Append:
        updates = [MessageUpdate(kind="text_start", content_index=0)]
        updates += [MessageUpdate(kind="text_delta", content_index=0, delta=text) for text in said]
        updates.append(MessageUpdate(kind="text_end", content_index=0))
        for block in content[1:]:
            if isinstance(block, ToolCall):
                updates += _call_updates(block)
        message = AssistantMessage(
            content=tuple(content),
            stop_reason="tool_use" if len(content) > 1 else "stop",
            usage=Usage(input_tokens=1_200 + self._number, output_tokens=len(said), cache_read_tokens=1_000),
            response_id=f"resp_{self._chance.getrandbits(128):032x}",
        )
        return self._timed(MessageStart(role="assistant"), *updates, MessageEnd(message=message))

    def _timed(self, *events: Event) -> Append:
        timed: Append = []
        for event in events:
            self._now += self._chance.randrange(8_000, 32_000) if type(event) in UPDATE_TYPES else 200
            timed.append((self._now, event))
        self.seq += len(timed)
        return timed


def _call_updates(call: ToolCall) -> list[MessageUpdate]:
    cuts = [call.arguments[at : at + 5] for at in range(0, len(call.arguments), 5)]
    return [
        MessageUpdate(kind="tool_call_start", content_index=1, id=call.id, name=call.name),
        *(MessageUpdate(kind="tool_call_delta", content_index=1, delta=text) for text in cuts),
        MessageUpdate(kind="tool_call_end", content_index=1),
    ]


def exchanges(count: int, *, after: int = 0, first: int = 0, deltas: int = DELTAS) -> Iterator[list[Append]]:
    """Make exchanges one after the other."""
    for number in range(first, first + count):
        made = exchange(after, number=number, deltas=deltas)
        after += sum(map(len, made))
        yield made


def history(count: int, *, deltas: int = DELTAS) -> Iterator[Recorded]:
    """Make the events of exchanges in their envelopes."""
    seq = 0
    for made in exchanges(count, deltas=deltas):
        for append in made:
            for at_us, event in append:
                seq += 1
                yield Recorded(seq, at_us, event)


def flushed(append: Append, every: int) -> Iterator[tuple[Append, bool]]:
    """Cut an append into flushes of so many updates (0: none) and the durable rest. Yields: events, durable."""
    updates = [n for n, (_, event) in enumerate(append) if type(event) in UPDATE_TYPES]
    begin = 0
    for last in updates[every - 1 :: every] if every else ():
        yield append[begin : last + 1], False
        begin = last + 1
    yield append[begin:], True

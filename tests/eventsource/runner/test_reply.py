"""Reading an answer: what a stream becomes on record, also one that keeps no promise."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from eventsource import admission
from eventsource.events import AgentEnd, Event, MessageEnd, MessageStart, MessageUpdate, ModelRequest, Retry
from eventsource.log import encode as encoding
from eventsource.machine import evolve as evolving, guards
from eventsource.machine.evolve import fold
from eventsource.messages import AssistantMessage, TextContent, ToolCall, Usage
from eventsource.models.protocol import StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage
from eventsource.models.scripted.model import SCRIPTED
from eventsource.models.scripted.script import cut, stall
from eventsource.runner import writer as writing
from eventsource.runner.reply import NO_END
from projections.projection import project
from projections.usage import USAGE
from replay.replay import replay
from tests.running import Bench, has, in_no_time, scripted

START = StreamStart()
OPEN = MessageUpdate(kind="text_start", content_index=0)
CLOSE = MessageUpdate(kind="text_end", content_index=0)


def delta(text: str, index: int = 0) -> MessageUpdate:
    return MessageUpdate(kind="text_delta", content_index=index, delta=text)


def end(text: str = "", **fields: Any) -> StreamEnd:
    content = (TextContent(text=text),) if text else ()
    return StreamEnd(message=AssistantMessage(content=content, **fields))


async def answer(*items: StreamEvent) -> tuple[list[Event], AssistantMessage]:
    """Run a model that streams just this; give what is on record from the request on, and the message."""
    bench = Bench(scripted(list(items)))
    await bench.run("Do I need a coat?")
    history = await bench.history()
    assert replay(history).difference is None
    events = [recorded.event for recorded in history]
    begun = next(n for n, event in enumerate(events) if isinstance(event, ModelRequest))
    ended = next(event for event in events if isinstance(event, MessageEnd) and event.message is not None)
    assert ended.message is not None
    return events[begun + 1 :], ended.message


def deltas(events: Sequence[Event]) -> list[str]:
    return [event.delta for event in events if isinstance(event, MessageUpdate) and event.kind.endswith("_delta")]


async def test_an_answer_is_on_record_delta_by_delta() -> None:
    events, message = await answer(START, OPEN, delta("It is"), delta(" rain."), CLOSE, end("It is rain."))
    assert events[:6] == [MessageStart(role="assistant"), OPEN, delta("It is"), delta(" rain."), CLOSE, events[5]]
    assert events[5] == MessageEnd(message=message)
    assert message.text == "It is rain."


async def test_a_plain_delta_takes_one_check_and_one_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counter[str]()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            counts[name] += any(getattr(one, "kind", "") == "text_delta" for one in args)
            return function(*args)

        return call

    def encoder(event: Event) -> bytes:
        return msgspec.json.encode(event)

    continues = counted("checks", evolving.continues)
    for module in (evolving, writing):
        monkeypatch.setattr(module, "continues", continues)
    monkeypatch.setattr(evolving, "why_illegal", counted("checks", guards.why_illegal))
    monkeypatch.setattr(admission, "_ENCODER", SimpleNamespace(encode=counted("encodings", encoder)))
    monkeypatch.setattr(encoding, "encode", counted("encodings", encoder))
    said = ["rain "] * 20
    events, _ = await answer(START, OPEN, *map(delta, said), CLOSE, end("rain " * 20))
    assert deltas(events) == said
    replayed = len(said)  # `answer` replays what is on record, which checks it too
    assert (counts["checks"] - replayed, counts["encodings"]) == (len(said), len(said))


async def test_an_item_that_is_no_event_ends_the_answer_as_an_error() -> None:
    broken = MessageUpdate(kind="text_delta", content_index=0, delta=7)  # type: ignore[arg-type]  # as a model may
    _, message = await answer(START, OPEN, delta("It"), broken, end("never read"))
    assert (message.text, message.stop_reason) == ("It", "error")
    assert message.error.startswith("The stream is not well formed: ")


async def test_an_answer_that_comes_whole_has_no_updates() -> None:
    events, message = await answer(end("Rain."))
    assert events[:2] == [MessageStart(role="assistant", streamed=False), MessageEnd(message=message)]


async def test_updates_before_the_start_and_all_after_the_end_are_dropped() -> None:
    events, message = await answer(OPEN, delta("lost"), START, OPEN, delta("Rain."), end("Rain."), delta("late"))
    assert deltas(events) == ["Rain."]
    assert message.text == "Rain."


BROKEN: dict[str, tuple[list[StreamEvent], str]] = {
    "a delta of no block": ([delta("x")], "block 0 was never opened"),
    "a block that leaves a gap": ([MessageUpdate(kind="text_start", content_index=1)], "block 1 cannot open"),
    "a delta after the block's end": ([OPEN, CLOSE, delta("x")], "block 0 has ended"),
    "a delta of another type": ([OPEN, MessageUpdate(kind="thinking_delta", content_index=0, delta="x")], "text block"),
    "an end of no block": ([CLOSE], "block 0 was never opened"),
    "half a character for no block": ([delta("\ud83e")], "block 0 was never opened"),
    "another try after the start": ([OPEN, StreamRetry(cause="busy")], "it asked for another try after it had begun"),
}


@pytest.mark.parametrize(("items", "problem"), BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_breaks_the_protocol_ends_as_an_error(items: list[StreamEvent], problem: str) -> None:
    _, message = await answer(START, *items, end("never read"))
    assert message.stop_reason == "error"
    assert message.error.startswith("The stream is not well formed: ")
    assert problem in message.error


async def test_a_stream_without_an_end_is_an_error_with_what_was_said() -> None:
    bench = Bench(scripted(["It is", cut()]))
    await bench.run("Do I need a coat?")
    ended = next(e for e in reversed(await bench.events(MessageEnd)) if isinstance(e, MessageEnd) and e.message)
    assert ended.message is not None
    assert (ended.message.text, ended.message.stop_reason, ended.message.error) == ("It is", "error", NO_END)


@pytest.mark.parametrize(
    ("final", "problem"),
    [
        ("It is dry.", "content[0]: the streamed TextContent is not the stored TextContent"),
        ("", "content: 1 blocks were streamed, 0 were stored"),
    ],
)
async def test_an_end_that_contradicts_its_stream_is_an_error_with_what_was_streamed(final: str, problem: str) -> None:
    _, message = await answer(START, OPEN, delta("It is rain."), CLOSE, end(final))
    assert (message.text, message.stop_reason) == ("It is rain.", "error")
    assert message.error == f"the provider's {problem}"


async def test_an_end_may_hold_more_than_was_streamed() -> None:
    more = AssistantMessage(
        content=(TextContent(text="Rain.", raw=msgspec.Raw(b"{}")), ToolCall(id="c", name="nowhere")),
        stop_reason="tool_use",
    )
    _, message = await answer(START, OPEN, delta("Rain."), CLOSE, StreamEnd(message=more))
    assert message == more


async def test_what_a_stream_raises_is_an_error_in_its_words() -> None:
    class Raising:
        ref = SCRIPTED

        def encode(self, request: object) -> None:
            return None

        async def stream(self, request: object, options: object) -> AsyncIterator[StreamEvent]:
            yield START
            yield OPEN
            yield delta("It is")
            raise ValueError("the line went dead")

    bench = Bench(Raising())
    await bench.run("Do I need a coat?")
    ended = next(e for e in reversed(await bench.events(MessageEnd)) if isinstance(e, MessageEnd) and e.message)
    assert ended.message is not None
    assert (ended.message.text, ended.message.error) == ("It is", "the line went dead")


PIECES: dict[str, tuple[list[str], str, list[str]]] = {
    "a pair cut in two": (["a\ud83e", "\udde5b"], "a🧥b", ["a", "🧥b"]),
    "a pair cut with nothing around it": (["\ud83e", "\udde5"], "🧥", ["", "🧥"]),
    "a half that stays alone": (["a\ud83e", "b"], "a\ufffdb", ["a", "\ufffdb"]),
    "a half at the end of its block": (["a\ud83e"], "a\ufffd", ["a", "\ufffd"]),
    "a second half that comes first": (["\udde5a"], "\ufffda", ["\ufffda"]),
    "two halves in a row": (["\ud83e", "\ud83e", "\udde5"], "\ufffd🧥", ["", "\ufffd", "🧥"]),
}


@pytest.mark.parametrize(("pieces", "text", "recorded"), PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("closed", [True, False])
async def test_characters_that_are_cut_by_a_deltas_edge_come_whole(
    pieces: list[str], text: str, recorded: list[str], closed: bool
) -> None:
    closing = [CLOSE] if closed else []
    events, message = await answer(START, OPEN, *map(delta, pieces), *closing, end("".join(pieces)))
    assert (message.stop_reason, message.text) == ("stop", text)
    assert deltas(events) == recorded


async def test_halves_of_two_blocks_are_kept_apart() -> None:
    second = MessageUpdate(kind="text_start", content_index=1)
    pieces = [delta("\ud83e"), delta("\ud83d", 1), delta("\udde5"), delta("\ude00", 1)]
    final = AssistantMessage(content=(TextContent(text="🧥"), TextContent(text="😀")))
    _, message = await answer(START, OPEN, second, *pieces, StreamEnd(message=final))
    assert message == final


async def test_a_failed_stream_keeps_half_a_character_as_what_it_is() -> None:
    events, message = await answer(START, OPEN, delta("a\ud83e"), CLOSE, CLOSE)
    assert (message.text, message.stop_reason) == ("a\ufffd", "error")
    assert deltas(events) == ["a", "\ufffd"]


async def test_a_try_that_failed_before_anything_was_said_is_on_record() -> None:
    bench = Bench(scripted([StreamRetry(cause="busy")], "Rain."))
    await bench.run("Do I need a coat?")
    assert await bench.events(Retry) == [Retry(cause="busy")]


async def test_what_a_try_used_before_a_word_came_is_on_record_and_counted() -> None:
    used = Usage(input_tokens=30, raw=msgspec.Raw(b'{"input_tokens":30}'))
    answer = end("Rain.", usage=Usage(output_tokens=5))
    bench = Bench(scripted([StreamUsage(usage=used), StreamRetry(cause="busy")], [answer]))
    await bench.run("Do I need a coat?")
    assert await bench.events(Retry) == [Retry(cause="busy", usage=Usage(input_tokens=30))]
    history = await bench.history()
    assert project(USAGE, history).total == Usage(input_tokens=30, output_tokens=5)
    before_end = [one for one in history if not isinstance(one.event, AgentEnd)]
    run = fold(before_end).run
    assert run is not None
    assert run.tokens == 35
    info = await bench.store.info(bench.id)
    assert (info.input_tokens, info.output_tokens) == (30, 5)


async def test_names_are_on_record_where_they_differ_from_what_was_asked() -> None:
    started = StreamStart(api="scripted", provider="scripted", model="scripted-2")
    ended = end("Rain.", api="scripted", provider="scripted", model="scripted-2")
    events, message = await answer(started, OPEN, delta("Rain."), CLOSE, ended)
    assert events[0] == MessageStart(role="assistant", model="scripted-2")
    assert (message.api, message.provider, message.model) == ("", "", "scripted-2")


@in_no_time
async def test_a_stalled_stream_shows_what_it_said_within_50_ms() -> None:
    bench = Bench(scripted(["It is", stall()]))
    running = await bench.start("Do I need a coat?")
    async with asyncio.timeout(0.051):
        await bench.until(has(MessageUpdate, 2))
    bench.signal.set()
    await running


@in_no_time
async def test_a_busy_stream_is_appended_so_many_updates_at_a_time() -> None:
    bench = Bench(scripted([*"abcdefgh"]), flush_updates=3)
    await bench.run("Do I need a coat?")
    streamed = [len(events) for events, durable in bench.store.appended if not durable]
    assert streamed == [3, 3, 3]


async def test_an_abort_closes_the_stream_and_the_machine_closes_the_message() -> None:
    closed: list[bool] = []

    class Waiting:
        ref = SCRIPTED

        def encode(self, request: object) -> None:
            return None

        async def stream(self, request: object, options: object) -> AsyncIterator[StreamEvent]:
            try:
                yield START
                await asyncio.Event().wait()
            finally:
                closed.append(True)

    bench = Bench(Waiting(), flush_updates=1)
    running = await bench.start("Do I need a coat?")
    await bench.until(has(MessageStart, 2))
    bench.signal.set()
    await asyncio.wait_for(running, 30)
    assert closed == [True]
    ended = [e.message for e in await bench.events(MessageEnd) if isinstance(e, MessageEnd) and e.message]
    assert [message.stop_reason for message in ended] == ["aborted"]

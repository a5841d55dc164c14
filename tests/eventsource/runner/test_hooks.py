"""Callbacks may raise, answer and be silent as they like: the run ends and says why, or goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eventsource.events import AgentEnd, MessageEnd, ModelRef, ToolExecutionEnd
from eventsource.machine.state import Config, Phase
from eventsource.messages import AssistantMessage
from eventsource.models.protocol import CallOptions, Model, StreamEnd, StreamEvent, StreamStart, WireBody
from eventsource.models.scripted.script import call
from eventsource.request import Request
from eventsource.runner.hooks import Hooks, ToolRevision
from eventsource.tools.tool import tool
from replay.replay import replay
from tests.running import Bench, scripted

NAMES = [name for name in Hooks.__dataclass_fields__ if name not in ("before_tool_call", "finish_turn")]
REF = ModelRef(api="own", provider="own", model="m")


class Panic(BaseException):
    """As an extension raises it."""


@tool(effect="pure")
async def read() -> str:
    """Read."""
    return "read"


async def ended(bench: Bench) -> AgentEnd:
    """Run to the end, within a minute; hold that it replays. Returns: how it ended."""
    async with asyncio.timeout(60):
        await bench.run("Go.")
    history = await bench.history()
    assert replay(history).difference is None
    end = history[-1].event
    assert isinstance(end, AgentEnd)
    return end


def hooked(name: str, hook: Callable[..., object]) -> Bench:
    hooks: dict[str, Any] = {name: hook}
    return Bench(scripted([call("read")], "Done."), tools=[read], hooks=Hooks(**hooks))


@pytest.mark.parametrize("error", [SystemExit(2), Panic("lost"), GeneratorExit(), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("name", NAMES)
async def test_whatever_a_hook_raises_ends_its_run_with_the_words(name: str, error: BaseException) -> None:
    def raises(*shown: object) -> None:
        raise error

    async def raises_later(*shown: object) -> None:
        await asyncio.sleep(0)
        raise error

    for hook in (raises, raises_later):
        end = await ended(hooked(name, hook))
        assert end.reason == "error"
        assert type(error).__name__ in end.error


@pytest.mark.parametrize("error", [SystemExit(2), Panic("lost")], ids=repr)
async def test_what_the_check_of_a_call_raises_is_the_calls_result(error: BaseException) -> None:
    def raises(*shown: object) -> None:
        raise error

    bench = hooked("before_tool_call", raises)
    assert (await ended(bench)).reason == "stop"
    (end,) = await bench.events(ToolExecutionEnd)
    assert isinstance(end, ToolExecutionEnd)
    assert end.is_error


async def test_an_approval_rule_that_raises_refuses_the_call() -> None:
    def rule(arguments: object) -> bool:
        raise SystemExit(3)

    asked = tool(approval=rule)(read.function)
    bench = Bench(scripted([call("read")], "Done."), tools=[asked])
    assert (await ended(bench)).reason == "stop"
    (end,) = await bench.events(ToolExecutionEnd)
    assert isinstance(end, ToolExecutionEnd)
    assert end.is_error


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("get_steering_messages", [5]),
        ("get_follow_up_messages", 7),
        ("prepare_next_turn", "soon"),
        ("transform_context", [None]),
        ("convert_to_llm", 3.5),
        ("get_api_key", b"key"),
        ("after_tool_call", ToolRevision(result="text")),  # type: ignore[arg-type]  # what somebody without a checker writes
    ],
)
async def test_an_answer_that_is_none_ends_the_run_and_says_so(name: str, answer: object) -> None:
    end = await ended(hooked(name, lambda *shown: answer))
    if name == "after_tool_call":  # a text is a result too
        assert end.reason == "stop"
    else:
        assert end.reason == "error"
        assert end.error


@pytest.mark.parametrize("name", [*NAMES, "before_tool_call"])
async def test_a_hook_that_never_answers_does_not_keep_an_abort_from_its_run(name: str) -> None:
    asked = asyncio.Event()

    async def never(*shown: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    bench = hooked(name, never)
    running = await bench.start("Go.")
    async with asyncio.timeout(60):
        await asked.wait()
        await bench.session.abort()
        await running
    history = await bench.history()
    assert replay(history).difference is None
    end = history[-1].event
    assert isinstance(end, AgentEnd)
    assert end.reason == "aborted"


class Own:
    """A model that somebody wrote."""

    def __init__(self, stream: Callable[[], AsyncIterator[StreamEvent]]) -> None:
        self.ref, self._stream = REF, stream

    def encode(self, request: Request) -> WireBody | None:
        return None

    def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        return self._stream()


def raising(error: BaseException) -> Callable[[], AsyncIterator[StreamEvent]]:
    async def stream() -> AsyncIterator[StreamEvent]:
        yield StreamStart()
        raise error

    return stream


def at_once() -> AsyncIterator[StreamEvent]:
    raise SystemExit("at once")


async def cancelling() -> AsyncIterator[StreamEvent]:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    yield StreamStart()
    await asyncio.sleep(1)


async def nothing_known() -> AsyncIterator[StreamEvent]:
    yield StreamEnd(message=None)  # type: ignore[arg-type]  # what somebody without a checker writes


@pytest.mark.parametrize(
    "stream",
    [
        raising(SystemExit(2)),
        raising(Panic("lost")),
        raising(GeneratorExit()),
        raising(asyncio.CancelledError()),
        at_once,
        cancelling,
        nothing_known,
        lambda: 5,
    ],
    ids=["exit", "panic", "generator exit", "cancelled", "at once", "cancels itself", "no message", "no stream"],
)
async def test_whatever_a_models_stream_does_is_a_failed_answer(
    stream: Callable[[], AsyncIterator[StreamEvent]],
) -> None:
    bench = Bench(Own(stream))
    assert (await ended(bench)).reason == "error"
    (answer,) = [
        e.message for e in await bench.events(MessageEnd) if isinstance(e, MessageEnd) and e.message is not None
    ]
    assert isinstance(answer, AssistantMessage)
    assert answer.stop_reason == "error"
    assert answer.error


async def test_a_stream_that_ignores_its_cancellation_does_not_hold_its_run_up() -> None:
    begun = asyncio.Event()

    async def ignores() -> AsyncIterator[StreamEvent]:
        yield StreamStart()
        begun.set()
        for _ in range(10):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue
        yield StreamEnd(message=AssistantMessage())

    bench = Bench(Own(ignores))
    running = await bench.start("Go.")
    async with asyncio.timeout(60):
        await begun.wait()
        await bench.session.abort()
        await running
    assert (await bench.session.state()).phase is Phase.IDLE
    assert replay(await bench.history()).difference is None


async def test_what_finding_or_encoding_for_a_model_raises_ends_the_run_with_the_words() -> None:
    class Broken(Own):
        def encode(self, request: Request) -> WireBody | None:
            raise Panic("no such encoding")

    assert "no such encoding" in (await ended(Bench(Broken(at_once)))).error

    def find(config: Config) -> Model | None:
        raise KeyError("models")

    bench = Bench(None, find_model=find)
    assert "KeyError: 'models'" in (await ended(bench)).error

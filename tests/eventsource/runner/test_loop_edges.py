"""The loop where two things meet: an end and a stream, a signal and an intent, input and a callback that is asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from eventsource.errors import MissingModelError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    Event,
    Label,
    MessageEnd,
    MessageUpdate,
    ModelRequest,
    Place,
    Policies,
    QueueClear,
    QueuePush,
    Retry,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from eventsource.machine.steps import Stop
from eventsource.messages import AssistantMessage, Message, Usage, UserMessage
from eventsource.models.protocol import CallOptions, StreamEnd, StreamEvent, StreamStart, StreamUsage, WireBody
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call, retry, stall, stop
from eventsource.request import Request
from eventsource.runner.hooks import Hooks, TurnEnded
from eventsource.runner.loop import Loop, Program
from eventsource.runner.writer import Writer
from eventsource.tools.context import ToolContext
from eventsource.tools.tool import tool
from projections.context import ContextView
from refold.context_fold import CONTEXT
from replay.replay import replay
from tests.running import Appending, Bench, has, in_no_time, once, scripted
from tests.stories import CALLED

PROMPT = QueuePush(queue="prompt", message=UserMessage(content="Do I need a coat?"))
STEER = QueuePush(queue="steering", message=UserMessage(content="Quickly."))
FULL = AbortRequest(reason="error", cause="callback", error="the disk is full")


@tool(effect="pure")
async def read() -> str:
    """Read."""
    return "read"


@tool
async def send() -> str:
    """Send."""
    return "sent"


async def sound(bench: Bench) -> list[Event]:
    """Hold that the session is at rest and replays."""
    history = await bench.history()
    assert fold(history).phase is Phase.IDLE
    assert replay(history).difference is None
    return [recorded.event for recorded in history]


def texts(events: Sequence[Event]) -> list[str]:
    return [e.message.text for e in events if isinstance(e, MessageEnd) and e.message is not None]


async def ended(bench: Bench) -> AgentEnd:
    end = (await sound(bench))[-1]
    assert isinstance(end, AgentEnd)
    return end


# ---- how a run is ended ----


async def test_a_run_that_is_to_end_with_its_agent_leaves_the_next_prompt_queued() -> None:
    bench = Bench(scripted("Rain.", "never said"))
    bench.store.meddle = once(AgentEnd, PROMPT)
    loop = await bench.loop(PROMPT)
    assert await loop.run(until_agent_end=True) == Stop("stop")
    assert len(await bench.events(AgentStart)) == 1
    assert len(loop.writer.state.queued("prompt")) == 1


async def test_a_signal_ends_a_run_once_and_nothing_where_none_is_under_way() -> None:
    bench = Bench(scripted([call("read")], "never said"), tools=[read])

    def signal(events: Appending) -> Sequence[Event]:
        if any(isinstance(event, ToolExecutionStart) for _, event in events):
            bench.signal.set()
        return ()

    bench.store.meddle = signal
    assert await bench.run("Go.") == Stop("aborted")
    assert len(await bench.events(AbortRequest)) == 1
    assert await bench.run() == Stop("aborted")
    assert len(await bench.events(AbortRequest)) == 1
    await sound(bench)


async def test_a_signal_for_a_run_that_did_not_come_to_be_is_not_on_record() -> None:
    bench = Bench(scripted("never said"))
    bench.signal.set()
    bench.store.meddle = once(AgentStart, QueueClear(queue="prompt"))
    assert await bench.run("Go.") == Stop(None)
    assert await bench.events(AgentStart, AbortRequest) == []


async def test_what_ended_a_run_stops_the_stream_it_came_in_and_not_the_next_run() -> None:
    loops = list[Loop[ContextView]]()
    bench = Bench(scripted(["It is", lambda: loops[0].end(FULL), " rain."], "Two."))
    loops.append(await bench.loop(PROMPT, QueuePush(queue="follow_up", message=UserMessage(content="And tomorrow?"))))
    assert await loops[0].run() == Stop("stop")
    events = await sound(bench)
    assert texts(events) == ["It is", "Two."]
    assert [(e.reason, e.error) for e in events if isinstance(e, AgentEnd)] == [("error", FULL.error), ("stop", "")]


async def test_nothing_that_a_stream_says_behind_a_signal_is_recorded() -> None:
    bench = Bench(None)
    bench.model = scripted(["It is", bench.signal.set, " rain."])
    assert await bench.run("Do I need a coat?") == Stop("aborted")
    assert texts(await sound(bench)) == ["It is"]


async def test_a_model_is_told_of_an_abort() -> None:
    model = scripted(["It is", stall()])
    bench = Bench(model)
    running = await bench.start("Do I need a coat?")
    await bench.until(has(MessageUpdate, 2))
    bench.signal.set()
    await asyncio.wait_for(running, 30)
    told = model.asked[0].options.signal
    assert told is not None
    assert told.is_set()


async def test_what_was_given_up_with_its_run_can_still_see_that_and_the_next_run_begins_without_it() -> None:
    contexts, seen, bench = list[ToolContext[None]](), list[bool](), Bench(None)

    @tool
    async def hang(ctx: ToolContext[None]) -> str:
        """Hang."""
        contexts.append(ctx)
        await bench.session.abort()
        await asyncio.Event().wait()
        return "never"

    model = scripted([call("hang")], [lambda: seen.append(contexts[0].cancelled), "Dry."])
    bench.model, bench.tools = model, [hang]
    loop = await bench.loop(PROMPT, QueuePush(queue="follow_up", message=UserMessage(content="And tomorrow?")))
    assert await asyncio.wait_for(loop.run(), 30) == Stop("stop")
    assert seen == [True]
    signal = model.asked[1].options.signal
    assert signal is not None
    assert not signal.is_set()
    assert texts(await sound(bench))[-1] == "Dry."


@pytest.mark.slow
async def test_a_stream_that_ignores_its_cancellation_is_left_after_a_few_times_the_grace() -> None:
    left, begun = asyncio.Event(), asyncio.Event()

    class Deaf(ScriptedModel):
        async def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
            yield StreamStart()
            begun.set()
            while not left.is_set():
                try:
                    await left.wait()
                except asyncio.CancelledError:
                    continue
            yield StreamEnd(message=AssistantMessage())

    bench = Bench(Deaf([]))
    running = await bench.start("Go.")
    await begun.wait()
    bench.signal.set()
    try:
        assert await asyncio.wait_for(running, 60) == Stop("aborted")
    finally:
        left.set()
    await sound(bench)


@in_no_time
async def test_a_callback_that_does_not_answer_is_left_after_the_grace_of_its_program() -> None:
    asked = asyncio.Event()

    async def never(messages: list[Message]) -> list[Message]:
        asked.set()
        await asyncio.Event().wait()
        return messages

    bench = Bench(scripted("never said"), hooks=Hooks(transform_context=never))
    running = await bench.start("Go.")
    await asked.wait()
    bench.signal.set()
    assert await asyncio.wait_for(running, 0.9) == Stop("aborted")
    await sound(bench)


@in_no_time
async def test_an_abort_by_a_tool_stays_known_to_it_when_a_look_at_the_log_comes_back_without_it() -> None:
    bench, held, seen = Bench(None, grace_s=5), list[str](), list[bool]()
    looking, released, read_log = asyncio.Event(), asyncio.Event(), bench.store.read

    async def slow(*args: Any, **named: Any) -> Any:
        page = await read_log(*args, **named)
        if held:
            held.clear()
            looking.set()
            await released.wait()
        return page

    @tool
    async def leave(ctx: ToolContext[None]) -> str:
        """Leave."""
        held.append("the next look")
        await bench.store.append(bench.session.id, [(1, Label(text="here", target_seq=1))])
        await looking.wait()
        await bench.session.abort()
        seen.append(ctx.cancelled)
        released.set()
        for _ in range(20):
            await asyncio.sleep(0)
        seen.append(ctx.cancelled)
        return "left"

    bench.store.read = slow  # type: ignore[method-assign]  # a store that takes its time
    bench.model, bench.tools = scripted([call("leave")], "never said"), [leave]
    assert await asyncio.wait_for(bench.run("Go."), 30) == Stop("aborted")
    assert seen == [True, True]
    await sound(bench)


async def test_an_attempt_that_was_never_made_has_nothing_of_the_one_before() -> None:
    used = Usage(input_tokens=7)
    bench = Bench(scripted([StreamUsage(usage=used), retry("busy")], "never said"))

    def signal(events: Appending) -> Sequence[Event]:
        if any(isinstance(event, ModelRequest) and event.attempt == 2 for _, event in events):
            bench.signal.set()
        return ()

    bench.store.meddle = signal
    assert await bench.run("Go.") == Stop("aborted")
    events = await sound(bench)
    assert [e.usage for e in events if isinstance(e, Retry)] == [used]
    assert [
        e.message.usage for e in events if isinstance(e, MessageEnd) and isinstance(e.message, AssistantMessage)
    ] == [None]


# ---- input that comes while something is decided ----


async def test_what_comes_before_a_callback_is_asked_is_delivered_before_it_is() -> None:
    bench = Bench(scripted("One.", "Two."), hooks=Hooks(get_follow_up_messages=list))
    bench.store.meddle = once(TurnEnd, STEER)
    assert await bench.run("Go.") == Stop("stop")
    events = await sound(bench)
    assert texts(events) == ["One.", "Two."]
    assert sum(isinstance(e, AgentStart) for e in events) == 1


@in_no_time
async def test_what_comes_while_a_callback_is_asked_is_not_folded_under_it() -> None:
    bench, asked = Bench(scripted("One.", "Two.")), list[int]()

    async def slow() -> list[Message]:
        asked.append(1)
        if len(asked) == 1:
            await bench.session.steer("Quickly.")
            await asyncio.sleep(0.03)  # the loop hears of it meanwhile
        return []

    bench.hooks = Hooks(get_follow_up_messages=slow)
    assert await bench.run("Go.") == Stop("stop")
    events = await sound(bench)
    assert texts(events) == ["One.", "Two."]
    assert sum(isinstance(e, AgentStart) for e in events) == 1, "the run that was under way delivers it"


async def test_a_turn_is_prepared_behind_what_came_before_it() -> None:
    shown: list[TurnEnded] = []
    hooks = Hooks(prepare_next_turn=shown.append)
    bench = Bench(scripted([call("read")], "Done."), tools=[read], hooks=hooks)
    bench.store.meddle = once(TurnEnd, Label(text="here", target_seq=1))
    assert await bench.run("Go.") == Stop("stop")
    await sound(bench)
    assert len(shown) == 1


async def test_the_first_turn_is_not_prepared_also_when_another_process_had_begun_the_run() -> None:
    shown: list[TurnEnded] = []
    bench = Bench(scripted("Done."), hooks=Hooks(prepare_next_turn=shown.append))
    await (await bench.writer(PROMPT, AgentStart())).flush()
    assert await bench.run() == Stop("stop")
    assert shown == []
    await sound(bench)


async def test_an_answer_that_broke_off_is_closed_also_where_turns_are_prepared() -> None:
    bench = Bench(scripted(["It is", stall()]))
    running = await bench.start("Go.")
    await bench.until(has(MessageUpdate, 2))
    running.cancel()
    await asyncio.wait([running])
    bench.model, bench.hooks = scripted("Rain."), Hooks(prepare_next_turn=lambda ended: None)
    assert await bench.run() == Stop("stop")
    assert texts(await sound(bench)) == ["It is", "Rain."]


async def test_a_wait_whose_time_is_over_ends_once_there_is_nothing_else_to_do() -> None:
    asked: list[Event] = [
        TokenCreate(key="approval:8:1:x", tags=("approval",), deadline_us=5, default=msgspec.Raw(b'{"approve":false}')),
        WaitStart(key="approval:8:1:x", reason="approval", call=Place(message_seq=8, content_index=1)),
    ]
    bench = Bench(scripted("Done."), tools=[read, send])
    await bench.store.create("oslo")
    await bench.store.append("oslo", [(0, event) for event in (*CALLED, *asked)])
    loop = await bench.loop()
    loop.program = replace(loop.program, clock=lambda: 10)
    assert await loop.run() == Stop("stop")
    events = await bench.events()
    ran = next(n for n, e in enumerate(events) if isinstance(e, ToolExecutionEnd) and e.content_index == 2)
    over = next(n for n, e in enumerate(events) if isinstance(e, WaitEnd))
    assert ran < over
    assert texts(events)[-1] == "Done."


@in_no_time
async def test_a_time_to_wait_for_is_a_time_of_the_programs_clock() -> None:
    bench = Bench(scripted([retry("busy", not_before_us=1_000_000_020_000)], "Rain."))
    loop = await bench.loop(PROMPT)
    loop.program = replace(loop.program, clock=lambda: 1_000_000_000_000)
    began = asyncio.get_running_loop().time()
    assert await asyncio.wait_for(loop.run(), 30) == Stop("stop")
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.02)


# ---- what a run may end with ----


async def checked(bench: Bench) -> list[str]:
    """Run with a check that no answer passes. Returns: the texts that were checked."""
    seen: list[str] = []

    def check(message: AssistantMessage) -> str:
        seen.append(message.text)
        return "it is no number"

    loop = await bench.loop(PROMPT)
    loop.program = replace(loop.program, check_answer=check)
    await loop.run()
    return seen


async def test_an_answer_that_calls_tools_is_not_checked_whatever_its_stop_reason() -> None:
    bench = Bench(scripted([call("read"), stop("stop")], "Done."), tools=[read])
    assert await checked(bench) == ["Done."]
    await sound(bench)


async def test_the_last_answer_that_does_not_fit_ends_the_run_in_its_words_though_a_hook_ends_it_as_well() -> None:
    bench = Bench(scripted("One."), hooks=Hooks(should_stop_after_turn=lambda ended: True))
    bench.policies = Policies(output_retries=0)
    assert await checked(bench) == ["One."]
    assert (await ended(bench)).error == "the answer does not fit the output type: it is no number"


# ---- the request and its model ----


class Wired(ScriptedModel):
    """A scripted model that has a wire."""

    def encode(self, request: Request) -> WireBody | None:
        return WireBody("own/1", b"as it is sent")


async def test_a_request_is_on_record_with_the_digest_of_its_body_and_the_codec() -> None:
    bench = Bench(Wired(["Rain."]))
    await bench.run("Go.")
    [request] = await bench.events(ModelRequest)
    assert isinstance(request, ModelRequest)
    assert (request.body_sha256, request.body_codec) == (hashlib.sha256(b"as it is sent").hexdigest(), "own/1")
    [plain] = [e for e in await after(Bench(scripted("Rain."))) if isinstance(e, ModelRequest)]
    assert (plain.body_sha256, plain.body_codec) == ("", "")


async def after(bench: Bench) -> list[Event]:
    await bench.run("Go.")
    return await sound(bench)


def broken(*_: object) -> Any:
    raise KeyError("models")


async def test_what_finding_or_encoding_for_a_model_raises_is_said_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Wireless(ScriptedModel):
        def encode(self, request: Request) -> WireBody | None:
            return broken()  # type: ignore[no-any-return]  # it raises

    for bench, said in (
        (Bench(None, find_model=broken), "finding the model failed: KeyError: 'models'"),
        (Bench(Wireless([])), "the model's encoding of a request failed: KeyError: 'models'"),
    ):
        caplog.clear()
        with caplog.at_level("WARNING"):
            assert await bench.run("Go.") == Stop("error")
        assert (await ended(bench)).error == said
        assert sum("a callback raised" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (UserMessage(content=5), "Expected `str | array`, got `int`"),  # type: ignore[arg-type]  # what somebody without a checker writes
        (UserMessage(content="x", raw=msgspec.Raw(b"{")), "cannot be read back from JSON"),
        (AssistantMessage(content=None), "'NoneType' object is not iterable"),  # type: ignore[arg-type]  # as above
    ],
    ids=["no text", "no JSON", "no content"],
)
async def test_a_hooks_message_that_no_log_can_hold_ends_the_run_and_says_why(message: Message, said: str) -> None:
    bench = Bench(scripted("never said"), hooks=Hooks(transform_context=lambda messages: [message]))
    assert await bench.run("Go.") == Stop("error")
    error = (await ended(bench)).error
    assert error.startswith("what a hook selected failed: ")
    assert said in error


async def unnamed(bench: Bench, model: ScriptedModel | None) -> Loop[ContextView]:
    """Prepare a run of a session whose configuration names no model, with what a program must bring and no more."""
    await bench.store.create("oslo")
    await bench.store.append("oslo", [(0, PROMPT)])
    writer = Writer(bench.store, "oslo", context=CONTEXT, clock=lambda: 7, on_commit=bench.seen.extend)
    await writer.load()
    return Loop(writer, Program(model=model, context=CONTEXT, clock=lambda: 0))


async def test_where_no_model_is_named_the_programs_own_answers() -> None:
    bench = Bench(None)
    loop = await unnamed(bench, scripted("Rain."))
    assert await loop.run() == Stop("stop")
    assert texts(await sound(bench)) == ["Rain."]


async def test_where_no_model_is_named_and_none_is_there_nothing_of_the_run_is_on_record() -> None:
    bench = Bench(None)
    loop = await unnamed(bench, None)
    with pytest.raises(MissingModelError, match="no model is named, and this process has none to call"):
        await loop.run()
    assert await bench.events() == [PROMPT]

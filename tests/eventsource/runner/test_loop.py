"""The loop over a log in memory: what it records, whom it asks, and what it does when others are faster."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from eventsource.errors import MissingModelError, MissingToolError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ConfigChange,
    Event,
    Label,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRef,
    ModelRequest,
    Policies,
    QueueClear,
    QueuePush,
    Resume,
    Retry,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnStart,
)
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from eventsource.machine.steps import Stop
from eventsource.messages import AssistantMessage, Message, TextContent, ToolResultMessage, UserMessage
from eventsource.models.protocol import WireBody
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, CallItem, call, deaf, fail, pause, retry, say, stall, stop
from eventsource.models.secrets import Secrets
from eventsource.request import Request
from eventsource.runner.current_run import CURRENT_RUN
from eventsource.runner.hooks import Hooks, NextTurn, ToolRevision, ToolVerdict, TurnEnded
from eventsource.runner.writer import Writer
from eventsource.tools.context import ToolContext
from eventsource.tools.tool import tool
from projections.context import ContextView
from replay.replay import replay
from tests.candidates import MESSAGES
from tests.interpreter import calls_without_result
from tests.running import Appending, Bench, every_other, has, in_no_time, once, scripted

SAY = UserMessage(content="Quickly.")


@tool(effect="pure")
async def read(n: int = 3) -> str:
    """Read."""
    return "x" * n


@tool
async def send(to: str = "you") -> str:
    """Send."""
    return f"sent to {to}"


async def hold_sound(bench: Bench) -> list[Event]:
    """Hold that the session is at rest, replays, and leaves no call without a result."""
    history = await bench.history()
    assert fold(history).phase is Phase.IDLE
    assert replay(history).difference is None
    assert calls_without_result(history) == set()
    return [recorded.event for recorded in history]


def texts(events: Sequence[Event]) -> list[str]:
    return [e.message.text for e in events if isinstance(e, MessageEnd) and e.message is not None]


def result_text(event: ToolExecutionEnd) -> str:
    content = event.result.content if event.result is not None else ()
    return "".join(getattr(block, "text", "") for block in content)


async def test_a_run_ends_when_nothing_is_left_to_say() -> None:
    bench = Bench(scripted([call("read", {"n": 2})], ["It is", " rain."]), tools=[read])
    assert await bench.run("Do I need a coat?") == Stop("stop")
    events = await hold_sound(bench)
    assert texts(events) == ["", "It is rain."]
    assert sum(isinstance(event, TurnStart) for event in events) == 2


@in_no_time
async def test_an_exchange_costs_five_durable_appends() -> None:
    bench = Bench(scripted([call("read")], "Rain."), tools=[read])
    await bench.run("Do I need a coat?")
    assert [durable for _, durable in bench.store.appended] == [True] * 5


async def test_an_effect_begins_after_its_intent_is_on_record() -> None:
    seen: list[bool] = []
    bench = Bench(None)

    async def check() -> None:
        seen.append(isinstance((await bench.events())[-1], ModelRequest))

    @tool
    async def look() -> str:
        """Look."""
        seen.append(isinstance((await bench.events())[-1], ToolExecutionStart))
        return "seen"

    bench.model, bench.tools = scripted([check, call("look")], [check, "fine"]), [look]
    await bench.run("Look.")
    assert seen == [True, True, True]


async def test_every_event_is_shown_once_in_order_after_its_commit() -> None:
    bench = Bench(scripted([call("read")], "Rain."), tools=[read])
    bench.store.meddle = every_other(Label(text="here", target_seq=1))
    writer = await bench.writer(QueuePush(queue="prompt", message=SAY))
    await writer.flush()
    loop = await bench.loop()
    bench.seen.clear()
    await loop.run()
    assert bench.seen == (await bench.history())[writer.head :]


# ---- outside input ----


async def test_what_was_decided_is_decided_anew_when_outside_input_came_first() -> None:
    bench = Bench(scripted("Rain."))

    bench.store.meddle = once(ModelRequest, QueuePush(queue="steering", message=SAY))
    await bench.run("Do I need a coat?")
    events = await hold_sound(bench)
    order = [type(e) for e in events if isinstance(e, AgentStart | ModelRequest) or getattr(e, "role", "") == "input"]
    assert order == [AgentStart, MessageStart, MessageStart, ModelRequest]


async def test_a_prompt_that_was_taken_back_in_time_starts_nothing() -> None:
    bench = Bench(scripted("Rain."))
    bench.store.meddle = once(AgentStart, QueueClear(queue="prompt"))
    assert await bench.run("Do I need a coat?") == Stop(None)
    assert not await bench.events(AgentStart)


async def test_an_answer_is_never_dropped_whatever_comes_before_it() -> None:
    bench = Bench(scripted(["It is", " rain."]), flush_updates=1)
    bench.store.meddle = every_other(Label(text="here", target_seq=1))
    await bench.run("Do I need a coat?")
    events = await hold_sound(bench)
    assert texts(events) == ["It is rain."]
    assert [e.delta for e in events if isinstance(e, MessageUpdate) and e.delta] == ["It is", " rain."]


async def test_an_abort_that_comes_before_a_decision_is_heeded() -> None:
    bench = Bench(scripted([call("read")]), tools=[read])
    bench.store.meddle = once(ToolExecutionStart, AbortRequest())
    assert await bench.run("Do I need a coat?") == Stop("aborted")
    await hold_sound(bench)


@pytest.mark.slow
async def test_an_aborted_run_ends_though_a_follow_up_waits() -> None:
    bench = Bench(scripted([stall()], "And tomorrow it is dry."))
    running = await bench.start("Do I need a coat?")
    await bench.until(has(ModelRequest))
    await bench.session.follow_up("And tomorrow?")
    await bench.session.abort()
    assert await asyncio.wait_for(running, 30) == Stop("stop")
    events = await hold_sound(bench)
    assert [e.reason for e in events if isinstance(e, AgentEnd)] == ["aborted", "stop"]
    assert sum(isinstance(e, ModelRequest) for e in events) == 2


async def test_once_signalled_no_other_run_begins() -> None:
    bench = Bench(scripted([stall()], "never said"))
    running = await bench.start("Do I need a coat?")
    await bench.until(has(ModelRequest))
    await bench.session.follow_up("And tomorrow?")
    bench.signal.set()
    assert await asyncio.wait_for(running, 30) == Stop("aborted")
    assert len(await bench.events(AgentStart)) == 1


async def test_a_run_that_is_left_begins_no_other() -> None:
    bench = Bench(scripted([stall()], "never said"))
    await bench.writer(QueuePush(queue="prompt", message=SAY))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY), QueuePush(queue="follow_up", message=SAY))
    running = asyncio.create_task(loop.run())
    await bench.until(has(ModelRequest))
    loop.abort()
    assert await asyncio.wait_for(running, 30) == Stop("aborted")
    assert len(await bench.events(AgentStart)) == 1
    asked = [event.by for event in await bench.events(AbortRequest) if isinstance(event, AbortRequest)]
    assert asked == ["the cancellation of the task that awaited it"]


async def test_of_two_reasons_to_end_a_run_the_first_is_on_record() -> None:
    bench = Bench(scripted([stall()]))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    running = asyncio.create_task(loop.run())
    await bench.until(has(ModelRequest))
    loop.end(AbortRequest(reason="error", cause="callback", error="the first"))
    loop.abort()
    assert await asyncio.wait_for(running, 30) == Stop("error")
    assert [e.error for e in await hold_sound(bench) if isinstance(e, AbortRequest)] == ["the first"]


@in_no_time
async def test_an_abort_from_another_hand_ends_a_stalled_stream_in_time() -> None:
    bench = Bench(scripted(["It is", deaf(), stall()]))
    running = await bench.start("Do I need a coat?")
    await bench.until(has(MessageUpdate, 2))
    await bench.session.abort()
    assert await asyncio.wait_for(running, 0.25) == Stop("aborted")
    events = await hold_sound(bench)
    ended = [e.message for e in events if isinstance(e, MessageEnd) and e.message is not None]
    assert [(m.text, m.stop_reason) for m in ended] == [("It is", "aborted")]


@in_no_time
async def test_an_abort_from_another_hand_ends_a_running_tool_in_time() -> None:
    @tool
    async def hang(context: ToolContext) -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    bench = Bench(scripted([call("hang"), call("read")], "never said"), tools=[hang, read])
    running = await bench.start("Hang.")
    await bench.until(has(ToolExecutionEnd))
    await bench.session.abort()
    assert await asyncio.wait_for(running, 0.5) == Stop("aborted")
    events = await hold_sound(bench)
    ends = [e for e in events if isinstance(e, ToolExecutionEnd)]
    assert [(e.content_index, result_text(e)) for e in ends] == [(1, "xxx"), (0, "Tool execution was aborted")]


@pytest.mark.slow
async def test_calls_that_an_abort_ends_may_take_their_time_and_replay() -> None:
    @tool
    async def tidy() -> str:
        """Tidy up, slowly."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            for _ in range(5):
                await asyncio.sleep(0)
            raise
        return "never"

    @tool
    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    bench = Bench(scripted([call("tidy"), call("hang")]), tools=[tidy, hang])
    running = await bench.start("Go.")
    await bench.until(has(ToolExecutionStart, 2))
    await bench.session.abort()
    assert await asyncio.wait_for(running, 30) == Stop("aborted")
    ends = [e.content_index for e in await hold_sound(bench) if isinstance(e, ToolExecutionEnd)]
    assert ends == [1, 0]


@pytest.mark.slow
async def test_input_that_comes_while_a_callback_is_asked_is_delivered_before_the_request() -> None:
    bench = Bench(scripted("Rain."))

    async def slow(messages: list[Message]) -> list[Message]:
        if not asked:
            asked.append(len(messages))
            await bench.session.steer("Quickly.")
            await asyncio.sleep(0.15)  # longer than the loop looks away
        return messages

    asked: list[int] = []
    bench.hooks = Hooks(transform_context=slow)
    await bench.run("Do I need a coat?")
    events = await hold_sound(bench)
    assert [e.push_seq for e in events if isinstance(e, MessageStart) and e.role == "input"] != []
    assert sum(isinstance(e, ModelRequest) for e in events) == 1
    asking = next(n for n, e in enumerate(events) if isinstance(e, ModelRequest))
    assert sum(isinstance(e, MessageStart) and e.role == "input" for e in events[:asking]) == 2


@pytest.mark.slow
async def test_an_abort_that_comes_while_a_callback_is_asked_ends_the_run() -> None:
    bench = Bench(scripted("never said"))

    async def slow(messages: list[Message]) -> list[Message]:
        await bench.session.abort()
        await asyncio.sleep(0.15)
        return messages

    bench.hooks = Hooks(transform_context=slow)
    assert await bench.run("Do I need a coat?") == Stop("aborted")
    assert not await bench.events(ModelRequest)
    await hold_sound(bench)


async def test_the_model_is_asked_what_a_hook_made_of_the_messages_with_its_texts_repaired() -> None:
    model = scripted("Rain.")
    chosen = UserMessage(content="Only this. \ud800")
    bench = Bench(model, hooks=Hooks(transform_context=lambda messages: [chosen]))
    await bench.run("Do I need a coat?")
    assert model.asked[0].request.messages == (UserMessage(content="Only this. \ufffd"),)
    await hold_sound(bench)


async def test_the_model_is_asked_without_a_key_that_a_hook_put_among_the_messages() -> None:
    bench = Bench(scripted("Rain."))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    loop.program.secrets.add("hooks-own-key-0123456789")
    chosen = UserMessage(content="The key is hooks-own-key-0123456789.")
    loop.program = replace(loop.program, hooks=Hooks(transform_context=lambda messages: [chosen]))
    await loop.run()
    model = bench.model
    assert isinstance(model, ScriptedModel)
    assert "0123456789" not in str(model.asked[0].request.messages)
    await hold_sound(bench)  # what was hashed is what is on record


def nothing(*_: object) -> Any:
    return None


def plain_text(*_: object) -> Any:
    return ["Only this."]


async def test_a_hook_that_gives_no_messages_ends_the_run_and_says_what_it_gave() -> None:
    bench = Bench(scripted("never said"), hooks=Hooks(transform_context=plain_text))
    assert await bench.run("Do I need a coat?") == Stop("error")
    events = await hold_sound(bench)
    said = ["a callback answered what it may not: expected messages, found a str among them"]
    assert [e.error for e in events if isinstance(e, AgentEnd)] == said


async def test_a_request_that_its_model_cannot_encode_ends_the_run_and_says_why() -> None:
    class Wireless(ScriptedModel):
        def encode(self, request: Request) -> WireBody | None:
            raise ValueError("there is no wire")

    bench = Bench(Wireless(["never said"]))
    assert await bench.run("Do I need a coat?") == Stop("error")
    events = await hold_sound(bench)
    said = ["the model's encoding of a request failed: there is no wire"]
    assert [e.error for e in events if isinstance(e, AgentEnd)] == said


async def test_callbacks_that_have_nothing_to_say_may_answer_none() -> None:
    hooks = Hooks(get_steering_messages=nothing, get_follow_up_messages=nothing)
    bench = Bench(scripted("Rain."), hooks=hooks)
    assert await bench.run("Do I need a coat?") == Stop("stop")
    await hold_sound(bench)


# ---- steering between calls ----


async def test_steering_skips_what_is_left_of_a_sequential_batch() -> None:
    bench = Bench(
        scripted([call("read"), call("send"), call("send")], "Quick enough?"),
        tools=[read, send],
        policies=Policies(tools="sequential"),
    )
    asked: list[int] = []

    def steering() -> Sequence[Message]:
        asked.append(1)
        return [SAY] if len(asked) == 2 else []

    bench.hooks = Hooks(get_steering_messages=steering)
    await bench.run("Go.")
    events = await hold_sound(bench)
    assert [e.refused for e in events if isinstance(e, ToolExecutionStart)] == [None, "skipped", "skipped"]
    ends = [e for e in events if isinstance(e, ToolExecutionEnd)]
    assert [e.result is None for e in ends] == [False, True, True]
    model = bench.model
    assert isinstance(model, ScriptedModel)
    last = model.asked[-1].request.messages
    assert [type(m) for m in last[-4:]] == [ToolResultMessage] * 3 + [UserMessage]


async def test_a_parallel_batch_is_never_interrupted() -> None:
    bench = Bench(scripted([call("read"), call("send")], "Done."), tools=[read, send])
    await bench.writer()
    await bench.session.push("prompt", "Go.")

    @tool(effect="pure")
    async def steer_me() -> str:
        """Steer."""
        await bench.session.steer("Quickly.")
        return "steered"

    bench.model, bench.tools = scripted([call("steer_me"), call("send")], "Done."), [steer_me, send]
    await bench.run()
    events = await hold_sound(bench)
    assert [e.refused for e in events if isinstance(e, ToolExecutionStart)] == [None, None]


# ---- callbacks that raise ----


def raising(*_: object) -> Any:
    raise RuntimeError("the callback broke")


async def raising_later(*_: object) -> Any:
    raise RuntimeError("the callback broke")


PLACES = (
    "get_steering_messages",
    "get_follow_up_messages",
    "should_stop_after_turn",
    "prepare_next_turn",
    "transform_context",
    "convert_to_llm",
    "finish_turn",
    "after_tool_call",
    "get_api_key",
)


@pytest.mark.parametrize("callback", [raising, raising_later])
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_callback_that_raises_ends_the_run_in_its_words(
    place: str, mode: Any, callback: Callable[..., Any]
) -> None:
    hooks = Hooks(**{place: callback})
    answers: list[Answer] = [[call("read"), call("send"), call("nowhere")], "Done."]
    bench = Bench(scripted(*answers), tools=[read, send], hooks=hooks, policies=Policies(tools=mode))
    assert await bench.run("Go.") == Stop("error")
    events = await hold_sound(bench)
    end = events[-1]
    assert isinstance(end, AgentEnd)
    assert (end.reason, end.error) == ("error", "the callback broke")
    polled = place in ("get_steering_messages", "get_follow_up_messages", "should_stop_after_turn", "finish_turn")
    asked = [(e.reason, e.cause, e.error) for e in events if isinstance(e, AbortRequest)]
    assert set(asked) == {("error", "callback" if polled else "hook", end.error)}


@pytest.mark.parametrize("callback", [raising, raising_later])
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
async def test_a_call_whose_check_raises_is_refused_with_its_words_and_the_run_goes_on(
    mode: Any, callback: Callable[..., Any]
) -> None:
    """The check of `read` raises; `send` runs all the same, and the model hears of both."""
    hooks = Hooks(before_tool_call=lambda asked: callback() if asked.call.name == "read" else None)
    bench = Bench(
        scripted([call("read"), call("send")], "Done."), tools=[read, send], hooks=hooks, policies=Policies(tools=mode)
    )
    assert await bench.run("Go.") == Stop("stop")
    events = await hold_sound(bench)
    starts = [(e.name, e.refused, e.reason) for e in events if isinstance(e, ToolExecutionStart)]
    assert starts == [("read", "blocked", "the callback broke"), ("send", None, "")]
    model = bench.model
    assert isinstance(model, ScriptedModel)
    told = [m for m in model.asked[-1].request.messages if isinstance(m, ToolResultMessage)]
    assert [(m.tool_name, m.is_error) for m in told] == [("read", True), ("send", False)]
    assert told[0].content == (TextContent(text="the callback broke"),)


@pytest.mark.parametrize("steering", ["interrupt", "after_batch"])
async def test_a_hook_may_ask_for_one_more_turn(steering: Any) -> None:
    """Each turn it asks again, until it answers nothing; its answer is on record, so that replay needs no hook."""
    answers: list[Literal["continue"] | None] = ["continue", "continue", None]
    shown: list[str] = []

    def finish(ended: TurnEnded) -> Literal["continue"] | None:
        shown.append(ended.message.text if ended.message is not None else "")
        return answers[len(shown) - 1]

    policies = Policies(steering=steering)
    bench = Bench(scripted("One.", "Two.", "Three."), hooks=Hooks(finish_turn=finish), policies=policies)
    assert await bench.run("Go.") == Stop("stop")
    events = await hold_sound(bench)
    assert texts(events) == shown == ["One.", "Two.", "Three."]
    assert [e.why for e in events if isinstance(e, Resume)] == ["turn", "turn"]


async def test_one_more_turn_counts_against_the_turn_limit() -> None:
    policies = Policies(turn_limit=2)
    bench = Bench(scripted("One.", "Two.", "Three."), hooks=Hooks(finish_turn=lambda _: "continue"), policies=policies)
    assert await bench.run("Go.") == Stop("limit")
    assert texts(await hold_sound(bench)) == ["One.", "Two."]


async def test_a_hook_ends_the_run_behind_its_turn() -> None:
    bench = Bench(scripted([call("read")], "never said"), tools=[read], hooks=Hooks(finish_turn=lambda _: "end"))
    assert await bench.run("Go.") == Stop("stop")
    events = await hold_sound(bench)
    assert [(e.reason, e.cause) for e in events if isinstance(e, AbortRequest)] == [("stop", "hook")]
    assert any(isinstance(e, ToolExecutionEnd) for e in events)


async def test_a_turn_is_finished_in_one_of_three_ways_and_any_other_answer_is_an_error() -> None:
    bench = Bench(scripted("One.", "Two."), hooks=Hooks(finish_turn=lambda _: "later"))  # type: ignore[arg-type, return-value]  # that is the mistake
    assert await bench.run("Go.") == Stop("error")
    end = (await hold_sound(bench))[-1]
    assert isinstance(end, AgentEnd)
    assert end.error == "finish_turn answered 'later'; it may answer 'end', 'continue' or None"


async def test_what_a_callback_answers_is_on_record() -> None:
    fewer = msgspec.Raw(b'{"max_tokens":100}')
    hooks = Hooks(
        before_tool_call=lambda asked: ToolVerdict(arguments='{"n":1}'),
        after_tool_call=lambda shown: ToolRevision(is_error=True),
        prepare_next_turn=lambda ended: NextTurn(system_prompt="Be brief.", tools=(read.spec,), options=fewer),
        should_stop_after_turn=lambda ended: ended.message is not None and ended.message.text == "Done.",
    )
    bench = Bench(scripted([call("read")], "Done.", "never said"), tools=[read, send], hooks=hooks)
    assert await bench.run("Go.") == Stop("stop")
    events = await hold_sound(bench)
    assert next(e for e in events if isinstance(e, ToolExecutionStart)).arguments == '{"n":1}'
    assert next(e for e in events if isinstance(e, ToolExecutionEnd)).is_error
    changed = [e for e in events if isinstance(e, ConfigChange)][1:]
    assert changed == [ConfigChange(system_prompt="Be brief.", tools=(read.spec,), options=fewer)]
    assert [(e.reason, e.cause) for e in events if isinstance(e, AbortRequest)] == [("stop", "hook")]


@pytest.mark.parametrize(("answer", "key"), [("key of the hook", "key of the hook"), (None, "key of the process")])
async def test_a_model_is_called_with_the_key_of_the_hook_or_else_of_the_process(answer: str | None, key: str) -> None:
    asked: list[str] = []

    def find(provider: str) -> str | None:
        asked.append(provider)
        return answer

    bench = Bench(scripted([call("read")], "Done."), tools=[read], hooks=Hooks(get_api_key=find))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    loop.program = replace(loop.program, api_key="key of the process")
    await loop.run()
    model = bench.model
    assert isinstance(model, ScriptedModel)
    assert [one.options.api_key for one in model.asked] == [key, key]
    assert asked == [model.ref.provider] * 2


async def test_a_key_that_is_no_text_ends_the_run_and_says_what_it_is() -> None:
    bench = Bench(scripted("never said"), hooks=Hooks(get_api_key=lambda provider: 42))  # type: ignore[arg-type, return-value]  # that is the mistake
    assert await bench.run("Go.") == Stop("error")
    end = (await hold_sound(bench))[-1]
    assert isinstance(end, AgentEnd)
    assert end.error == "a callback answered what it may not: expected a key or None, found a value of type int"


async def test_a_program_does_not_show_its_keys() -> None:
    bench = Bench(None)
    secrets = Secrets()
    secrets.add("loop-key-9876543210")
    program = replace((await bench.loop()).program, api_key="key-0123456789", secrets=secrets)
    assert "0123456789" not in repr(program)
    assert "9876543210" not in repr(program)


async def checked(bench: Bench, problem: Callable[[str], str]) -> list[str]:
    """Run a session whose answers are checked. Returns: the texts that were."""
    seen: list[str] = []

    def check(message: AssistantMessage) -> str:
        seen.append(message.text)
        return problem(message.text)

    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    loop.program = replace(loop.program, check_answer=check)
    await loop.run()
    return seen


async def test_only_an_answer_that_a_run_may_end_with_is_checked() -> None:
    bench = Bench(None, tools=[read])

    async def more() -> None:
        await bench.session.steer("More.")

    bench.model = scripted([call("read")], ["Early.", more], "Late.")
    assert await checked(bench, lambda text: "") == ["Late."]
    await hold_sound(bench)
    cut_off = Bench(scripted(["Cut", stop("length")]))
    assert await checked(cut_off, lambda text: "it does not fit") == []


async def test_an_answer_behind_which_a_hook_asks_for_one_more_turn_is_not_checked() -> None:
    bench = Bench(scripted("One.", "Two."), hooks=Hooks(finish_turn=continue_after("One.")))
    assert await checked(bench, lambda text: "") == ["Two."]
    await hold_sound(bench)


def continue_after(text: str) -> Callable[[TurnEnded], Literal["continue"] | None]:
    return lambda ended: "continue" if ended.message is not None and ended.message.text == text else None


async def test_a_hook_that_ends_a_run_behind_an_answer_that_does_not_fit_ends_it_in_error() -> None:
    bench = Bench(scripted("One.", "Two."), hooks=Hooks(should_stop_after_turn=lambda ended: True))
    bench.policies = Policies(output_retries=1)
    await checked(bench, lambda text: "it is no number")
    [asked] = [e for e in await hold_sound(bench) if isinstance(e, AbortRequest)]
    assert (asked.reason, asked.cause) == ("error", "output")
    assert asked.error.endswith("asked the run to end: it is no number")


async def test_of_two_hooks_that_may_end_a_run_the_second_is_not_asked_when_the_first_does() -> None:
    asked: list[TurnEnded] = []
    hooks = Hooks(should_stop_after_turn=lambda ended: True, finish_turn=asked.append)
    assert await Bench(scripted("One."), hooks=hooks).run("Go.") == Stop("stop")
    assert asked == []


async def test_what_a_hook_raises_is_logged_once_and_an_answer_that_is_none_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for hooks, times in (
        (Hooks(transform_context=raising), 1),
        (Hooks(prepare_next_turn=raising), 1),
        (Hooks(get_steering_messages=raising), 1),
        (Hooks(finish_turn=lambda _: "later"), 0),  # type: ignore[arg-type, return-value]  # that is the mistake
    ):
        caplog.clear()
        with caplog.at_level("WARNING"):
            await Bench(scripted([call("read")], "Done."), tools=[read], hooks=hooks).run("Go.")
        assert sum("a callback raised" in record.getMessage() for record in caplog.records) == times


async def test_what_a_program_does_before_a_request_is_in_front_of_it() -> None:
    bench = Bench(scripted([call("read")], "Done."), tools=[read])

    async def note(writer: Writer[ContextView], aborting: asyncio.Event) -> None:
        writer.outcome(Label(text="before", target_seq=1))

    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    loop.program = replace(loop.program, before_request=note)
    await loop.run()
    events = await hold_sound(bench)
    asked = [place for place, event in enumerate(events) if isinstance(event, ModelRequest)]
    assert len(asked) == 2
    assert all(isinstance(events[place - 1], Label) for place in asked)


async def test_a_key_that_a_hook_gives_is_kept_out_of_the_log() -> None:
    hooks = Hooks(get_api_key=lambda provider: "key-of-a-hook-0123456789")
    bench = Bench(scripted([fail("refused key-of-a-hook-0123456789")]), hooks=hooks)
    await bench.run("Go.")
    assert "0123456789" not in str(await bench.events())


@pytest.mark.parametrize("late_us", [0, 5])
async def test_a_run_whose_time_is_over_ends_and_says_so(late_us: int) -> None:
    bench = Bench(scripted(["It is", stall()], "never said"))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY), QueuePush(queue="follow_up", message=SAY))
    loop.program = replace(loop.program, deadline_us=50, clock=lambda: 50 + late_us)
    assert await asyncio.wait_for(loop.run(), 30) == Stop("limit")
    [asked] = await bench.events(AbortRequest)
    assert isinstance(asked, AbortRequest)
    assert (asked.reason, asked.cause, asked.error) == ("limit", "budget", "the run's time was over")
    assert len(await bench.events(AgentStart)) == 1
    await hold_sound(bench)


@in_no_time
async def test_a_run_whose_time_is_not_over_goes_on() -> None:
    bench = Bench(scripted([pause(250), "Rain."]))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    loop.program = replace(loop.program, deadline_us=50, clock=lambda: 49)
    assert await loop.run() == Stop("stop")


async def test_a_run_leaves_no_trace_in_the_context_of_who_ran_it() -> None:
    bench = Bench(scripted("Rain."))
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    await loop.run()
    assert CURRENT_RUN.get() is None


async def test_an_abort_from_a_thread_of_a_tool_is_heard_by_its_run_before_news_are_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eventsource.runner.writer.Writer.wait_for_news", lambda writer: asyncio.Event().wait())
    bench = Bench(None)
    seen: list[bool] = []

    @tool
    def leave(ctx: ToolContext[None]) -> str:
        """Leave."""
        asyncio.run(bench.session.abort())
        until = time.monotonic() + 60
        while not ctx.cancelled and time.monotonic() < until:
            time.sleep(0.001)
        seen.append(ctx.cancelled)
        return "left"

    bench.model, bench.tools, bench.grace_s = scripted([call("leave")], "never said"), [leave], 60
    assert await bench.run("Go.") == Stop("aborted")
    assert seen == [True]
    await hold_sound(bench)


# ---- what a process lacks ----


async def test_a_missing_tool_is_named_and_nothing_of_the_call_is_on_record() -> None:
    bench = Bench(scripted([call("read")], "Done."), tools=[read])
    running = Bench(bench.model, tools=[], store=bench.store)
    loop = await bench.loop(QueuePush(queue="prompt", message=SAY))
    lacking = (await running.loop()).program
    loop.program = lacking
    with pytest.raises(MissingToolError, match="read"):
        await loop.run()
    events = await bench.events()
    assert isinstance(events[-1], MessageEnd)
    assert events[-1].message is not None
    assert not [e for e in events if isinstance(e, ToolExecutionStart)]
    assert await bench.run() == Stop("stop")
    await hold_sound(bench)


async def test_a_missing_model_is_named_and_the_prompt_stays() -> None:
    bench = Bench(None)
    with pytest.raises(MissingModelError, match="scripted"):
        await bench.run("Do I need a coat?")
    assert not await bench.events(ModelRequest)
    bench.model = scripted("Rain.")
    assert await bench.run() == Stop("stop")
    assert texts(await hold_sound(bench)) == ["Rain."]


async def test_an_error_of_ours_is_no_error_of_a_hook() -> None:
    def find(config: object) -> None:
        raise MissingModelError("oslo", "it is being moved")

    bench = Bench(None)
    bench.find_model = find
    with pytest.raises(MissingModelError, match="it is being moved"):
        await bench.run("Do I need a coat?")
    assert not await bench.events(AgentEnd)


async def test_another_model_is_found_by_its_name() -> None:
    other = ScriptedModel(["Rain."], ref=ModelRef(api="scripted", provider="other", model="m"))
    turn = NextTurn(model=other.ref)
    bench = Bench(scripted([call("read")]), tools=[read], hooks=Hooks(prepare_next_turn=lambda ended: turn))
    bench.find_model = lambda config: other if config.model == other.ref else None
    await bench.run("Go.")
    assert texts(await hold_sound(bench)) == ["", "Rain."]


# ---- going on ----


async def test_a_failed_answer_is_tried_again_as_often_as_the_policy_says() -> None:
    model = scripted([fail("busy")], [fail("busy")], "Rain.")
    bench = Bench(model, policies=Policies(retries=2))
    assert await bench.run("Do I need a coat?") == Stop("stop")
    assert [e.attempt for e in await hold_sound(bench) if isinstance(e, ModelRequest)] == [1, 2, 3]
    assert [one.options.attempt for one in model.asked] == [1, 2, 3], "the model's own pauses depend on it"


@in_no_time
async def test_a_call_that_asks_for_another_try_gets_it_after_its_time() -> None:
    bench = Bench(scripted([retry("busy", not_before_us=20_000)], "Rain."))
    began = asyncio.get_running_loop().time()
    assert await bench.run("Do I need a coat?") == Stop("stop")
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.02)
    events = await hold_sound(bench)
    assert [e.not_before_us for e in events if isinstance(e, Retry)] == [20_000]


@in_no_time
async def test_an_abort_does_not_wait_for_the_time_of_another_try() -> None:
    bench = Bench(scripted([retry("busy", not_before_us=60_000_000)], "never said"))
    running = await bench.start("Do I need a coat?")
    await bench.until(has(Retry))
    await bench.session.abort()
    assert await asyncio.wait_for(running, 0.5) == Stop("aborted")
    await hold_sound(bench)


@in_no_time
async def test_what_is_steered_while_another_try_waits_goes_with_it() -> None:
    bench = Bench(scripted([retry("busy", not_before_us=300_000)], "Rain."))
    running = await bench.start("Do I need a coat?")
    await bench.until(has(Retry))
    await bench.session.steer("Quickly.")
    assert await asyncio.wait_for(running, 30) == Stop("stop")
    events = await hold_sound(bench)
    model = bench.model
    assert isinstance(model, ScriptedModel)
    assert model.asked[-1].request.messages[-1] == SAY
    assert texts(events) == ["Rain."]


async def test_a_cancelled_run_goes_on_in_another_process() -> None:
    bench = Bench(scripted(["It is", stall()]), tools=[read])
    running = await bench.start("Do I need a coat?")
    await bench.until(has(MessageUpdate, 2))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    bench.model = scripted("Rain.")
    assert await bench.run() == Stop("stop")
    events = await hold_sound(bench)
    assert [e.why for e in events if isinstance(e, Resume)] == ["crash"]
    assert texts(events) == ["It is", "Rain."]
    assert [e.attempt for e in events if isinstance(e, ModelRequest)] == [1, 2]


# ---- anything at all ----


def trouble(chance: random.Random) -> Bench:
    """Make a run in which everything happens: bad answers, raising callbacks, faster others, failing commits."""

    def maybe(answer: object) -> Callable[..., object] | None:
        def asked(*_: object) -> object:
            way = chance.random()
            if way < 0.03:
                raise RuntimeError("the callback broke")
            return answer if way < 0.1 else None

        return asked if chance.random() < 0.5 else None

    def answer() -> Answer:
        calls: list[str | CallItem] = [
            call(chance.choice(["read", "send", "nowhere"]), chance.choice(['{"n":1}', "", "{", '{"to":"me"}']))
            for _ in range(chance.randrange(1, 4))
        ]
        answers: list[Answer] = ["fine", [fail("broken")], [retry("busy")], ["a", say("b"), *calls], calls]
        return chance.choice([*answers, [*calls, stop("length")]])

    others: list[list[Event]] = [
        [QueuePush(queue="steering", message=MESSAGES[0])],
        [QueuePush(queue="follow_up", message=MESSAGES[1])],
        [QueuePush(queue="prompt", message=MESSAGES[2])],
        [QueueClear(queue="steering")],
        [QueueClear(queue="prompt")],
        [AbortRequest()],
        [ConfigChange(policies=Policies(tools=chance.choice(["parallel", "sequential"])))],
        [Label(text="one"), Label(text="two")],
    ]
    hooks = Hooks(
        get_steering_messages=maybe([SAY]),  # type: ignore[arg-type]  # None is no message
        get_follow_up_messages=maybe([SAY]),  # type: ignore[arg-type]  # None is no message
        should_stop_after_turn=maybe(True),  # type: ignore[arg-type]  # None is no
        prepare_next_turn=maybe(NextTurn(system_prompt="Be brief.")),  # type: ignore[arg-type]  # made for all hooks
        before_tool_call=maybe(ToolVerdict(block=True)),  # type: ignore[arg-type]  # made for all hooks
        after_tool_call=maybe(ToolRevision(is_error=True)),  # type: ignore[arg-type]  # made for all hooks
        get_api_key=maybe("key"),  # type: ignore[arg-type]  # made for all hooks
    )
    policies = Policies(
        tools=chance.choice(["parallel", "sequential"]),
        steering=chance.choice(["interrupt", "after_batch"]),
        steering_queue=chance.choice(["one-at-a-time", "all"]),
        retries=chance.choice([0, 1]),
    )
    model = ScriptedModel([answer() for _ in range(8)])
    bench = Bench(model, [read, send], hooks, policies, flush_updates=chance.choice([1, 3, 32]))
    meddling, failing, left = chance.choice([0, 0.3, 1]), chance.choice([0, 0, 0.2]), [12]

    def meddle(events: Appending) -> Sequence[Event]:
        left[0] -= 1
        return chance.choice(others) if left[0] > 0 and chance.random() < meddling else []

    bench.store.meddle = meddle
    bench.store.fails = lambda events: chance.choice(["before", "after"]) if chance.random() < failing else ""
    return bench


@example(334)  # what a hook answers when a turn ends must be on record before the step behind it is taken
@example(105)
@given(st.integers(0, 2**32))
def test_whatever_happens_a_run_ends_and_replays(seed: int) -> None:
    async def run() -> None:
        chance = random.Random(seed)
        bench = trouble(chance)
        running = await bench.start("Do I need a coat?")
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            bench.signal.set()
        await asyncio.wait_for(running, 30)
        if bench.signal.is_set():
            bench.signal.clear()
            await asyncio.wait_for(bench.run(), 30)
        await hold_sound(bench)

    asyncio.run(run())


@pytest.mark.parametrize("hooks", [Hooks(), Hooks(transform_context=lambda messages: messages)], ids=["plain", "hook"])
async def test_a_flood_of_steering_does_not_keep_the_model_from_being_asked(hooks: Hooks) -> None:
    bench = Bench(scripted(*200 * ["Yes."]), hooks=hooks)
    appends = 0

    def flood(events: Appending) -> Sequence[Event]:
        """Say something before each append of the runner, until a model was asked."""
        nonlocal appends
        if any(has(ModelRequest)([one for _, one in page]) for page in asked) or appends >= 100:
            return []
        appends += 1
        return [QueuePush(queue="steering", message=SAY)]

    asked: list[list[tuple[int, Event]]] = []
    bench.store.meddle = flood
    append = bench.store.append

    async def noting(session: str, events: Appending, **how: Any) -> int:
        head = await append(session, events, **how)
        asked.append(list(events))
        return head

    bench.store.append = noting  # type: ignore[method-assign]  # what is stored is noted
    await bench.run("Do I need a coat?")
    assert appends < 10, "the run goes on with what it had taken in"
    await hold_sound(bench)

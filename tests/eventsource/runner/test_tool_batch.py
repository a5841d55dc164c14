"""Running tool calls: order, updates, refusals, and what an abort makes of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from eventsource.events import (
    AbortRequest,
    Event,
    MessageStart,
    Policies,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
)
from eventsource.machine.state import Phase
from eventsource.machine.steps import Stop
from eventsource.messages import TextContent, ToolCall
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call, stall
from eventsource.runner.hooks import Hooks, ToolOutcomeShown, ToolRequest, ToolRevision, ToolVerdict
from eventsource.tools.context import ToolContext
from eventsource.tools.tool import Tool, tool
from replay.replay import replay
from tests.interpreter import calls_without_result
from tests.running import Bench, has, in_no_time, once, scripted

BLOCKED = "Not on a Sunday."


@tool(effect="pure")
async def read(n: int = 3) -> str:
    """Read."""
    return "x" * n


def words(result: ToolResult | None) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent)) if result else ""


def ends(events: Sequence[Event]) -> list[tuple[int, str, bool]]:
    return [(e.content_index, words(e.result), e.is_error) for e in events if isinstance(e, ToolExecutionEnd)]


async def played(bench: Bench) -> list[Event]:
    """Run to the end; hold that it replays with every call answered."""
    await bench.run("Go.")
    history = await bench.history()
    assert replay(history).difference is None
    assert calls_without_result(history) == set()
    return [recorded.event for recorded in history]


async def test_parallel_calls_end_as_they_are_done_and_their_results_come_in_the_order_of_the_calls() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    @tool
    async def slow() -> str:
        """Be slow."""
        await first.wait()
        return "slow"

    @tool
    async def slower() -> str:
        """Be slower."""
        await second.wait()
        first.set()
        return "slower"

    @tool
    async def quick() -> str:
        """Be quick."""
        second.set()
        return "quick"

    bench = Bench(scripted([call("slow"), call("slower"), call("quick")], "Done."), tools=[slow, slower, quick])
    events = await played(bench)
    assert [text for _, text, _ in ends(events)] == ["quick", "slower", "slow"]
    results = [e.call.content_index for e in events if isinstance(e, MessageStart) and e.call is not None]
    assert results == [0, 1, 2]


async def test_sequential_calls_run_one_after_the_other() -> None:
    running: list[str] = []

    @tool
    async def one() -> str:
        """Run alone."""
        running.append("begin")
        await asyncio.sleep(0)
        running.append("end")
        return "done"

    bench = Bench(scripted([call("one"), call("one")], "Done."), tools=[one], policies=Policies(tools="sequential"))
    await played(bench)
    assert running == ["begin", "end"] * 2


async def test_one_sequential_tool_makes_its_batch_sequential() -> None:
    @tool(mode="sequential")
    async def alone() -> str:
        """Run alone."""
        return "alone"

    events = await played(Bench(scripted([call("read"), call("alone")], "Done."), tools=[read, alone]))
    kinds = [type(e) for e in events if isinstance(e, ToolExecutionStart | ToolExecutionEnd)]
    assert kinds == [ToolExecutionStart, ToolExecutionEnd] * 2


async def test_a_tool_reports_while_it_runs_and_not_after() -> None:
    kept: list[ToolContext] = []

    @tool
    async def talk(context: ToolContext) -> str:
        """Talk."""
        kept.append(context)
        context.update("half")
        await asyncio.sleep(0)
        context.update("most")
        return "all"

    @tool
    async def interrupt() -> str:
        """Let the other one talk after its end."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kept[0].update("too late")
        return "done"

    events = await played(Bench(scripted([call("talk"), call("interrupt")], "Done."), tools=[talk, interrupt]))
    assert [words(e.partial) for e in events if isinstance(e, ToolExecutionUpdate)] == ["half", "most"]


async def test_what_a_tool_raises_is_its_result_and_the_run_goes_on() -> None:
    @tool
    async def broken() -> str:
        """Break."""
        raise ValueError("no such file")

    bench = Bench(scripted([call("broken")], "Done."), tools=[broken])
    events = await played(bench)
    assert ends(events) == [(0, "no such file", True)]


@pytest.mark.parametrize(
    ("asked", "refused", "said"),
    [
        (call("nowhere"), "unknown", "Tool nowhere not found"),
        (call("read", '{"n":'), "invalid", "Validation failed"),
        (call("read", {"n": "three"}), "invalid", "Validation failed"),
    ],
    ids=["unknown", "cut arguments", "wrong arguments"],
)
async def test_a_call_that_cannot_run_is_refused_and_told_so(asked: object, refused: str, said: str) -> None:
    bench = Bench(scripted([asked], "Done."), tools=[read])
    events = await played(bench)
    assert [e.refused for e in events if isinstance(e, ToolExecutionStart)] == [refused]
    assert ends(events) == [(0, "", True)]
    assert isinstance(bench.model, ScriptedModel)
    told = bench.model.asked[-1].request.messages[-1]
    assert said in str(told)


async def test_a_hook_may_block_a_call_or_change_its_arguments() -> None:
    def before(asked: ToolRequest) -> ToolVerdict | None:
        if asked.arguments == '{"n":1}':
            return ToolVerdict(block=True, reason=BLOCKED)
        return ToolVerdict(arguments='{"n":5}') if asked.arguments == '{"n":2}' else None

    calls = [call("read", {"n": n}) for n in (1, 2, 3)]
    bench = Bench(scripted(calls, "Done."), tools=[read], hooks=Hooks(before_tool_call=before))
    events = await played(bench)
    starts = [e for e in events if isinstance(e, ToolExecutionStart)]
    assert [(e.refused, e.reason, e.arguments) for e in starts] == [
        ("blocked", BLOCKED, None),
        (None, "", '{"n":5}'),
        (None, "", None),
    ]
    assert sorted(ends(events)) == [(0, "", True), (1, "xxxxx", False), (2, "xxx", False)]


async def test_a_hook_may_not_slip_in_arguments_that_do_not_fit() -> None:
    hooks = Hooks(before_tool_call=lambda asked: ToolVerdict(arguments='{"n":"five"}'))
    events = await played(Bench(scripted([call("read")], "Done."), tools=[read], hooks=hooks))
    assert [e.refused for e in events if isinstance(e, ToolExecutionStart)] == ["invalid"]


async def test_a_hook_may_revise_a_result() -> None:
    shown: list[ToolOutcomeShown] = []

    def after(ended: ToolOutcomeShown) -> ToolRevision:
        shown.append(ended)
        return ToolRevision(result=ToolResult(content=(TextContent(text="better"),), terminate=True))

    bench = Bench(scripted([call("read")], "never said"), tools=[read], hooks=Hooks(after_tool_call=after))
    assert ends(await played(bench)) == [(0, "better", False)]
    assert [(words(one.result), one.is_error) for one in shown] == [("xxx", False)]
    assert isinstance(shown[0].call, ToolCall)


async def test_a_call_has_the_same_key_in_every_attempt_also_in_a_fork() -> None:
    keys: list[str] = []
    begun = asyncio.Event()

    @tool(effect="idempotent")
    async def put(context: ToolContext) -> str:
        """Put."""
        keys.append(context.call.idempotency_key)
        begun.set()
        if len(keys) == 1:
            await asyncio.Event().wait()
        return "put"

    bench = Bench(scripted([call("put")]), tools=[put])
    running = await bench.start("Go.")
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    fork = await bench.session.fork()
    bench.model = scripted("Done.")
    assert await bench.run() == Stop("stop")
    bench.id, bench.model = fork.id, scripted("Done.")
    assert await bench.run() == Stop("stop")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0].startswith("oslo:")


async def test_steering_that_came_before_the_starts_is_heeded_and_nothing_has_run() -> None:
    ran: list[str] = []

    @tool
    async def note() -> str:
        """Take a note."""
        ran.append("note")
        return "noted"

    bench = Bench(scripted([call("note")], "Done."), tools=[note])
    bench.store.meddle = once(ToolExecutionStart, AbortRequest())
    events = await played(bench)
    assert ran == []
    assert [e.refused for e in events if isinstance(e, ToolExecutionStart)] == ["aborted"]


@in_no_time
async def test_a_tool_that_heeds_the_signal_ends_in_its_own_words() -> None:
    @tool
    async def polite(context: ToolContext) -> str:
        """Stop when asked."""
        bench.signal.set()
        await context.signal.wait()
        return "stopped half way"

    bench = Bench(scripted([call("polite")], "never said"), tools=[polite], grace_s=1)
    assert ends(await played(bench)) == [(0, "stopped half way", False)]


@in_no_time
async def test_an_aborted_tool_has_its_time_of_grace_to_tidy_up() -> None:
    @tool
    async def tidy(context: ToolContext) -> str:
        """Stop when asked, but not at once."""
        bench.signal.set()
        await context.signal.wait()
        for _ in range(5):
            await asyncio.sleep(0.002)
        return "tidied up"

    bench = Bench(scripted([call("tidy")], "never said"), tools=[tidy], grace_s=5)
    assert ends(await played(bench)) == [(0, "tidied up", False)]


@in_no_time
async def test_when_the_time_of_grace_is_over_a_tool_is_given_up() -> None:
    @tool
    async def deaf() -> str:
        """Go on for ever."""
        bench.signal.set()
        await asyncio.Event().wait()
        return "never"

    bench = Bench(scripted([call("deaf")], "never said"), tools=[deaf], grace_s=0.03)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        assert ends(await played(bench)) == [(0, "Tool execution was aborted", True)]
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.03)


async def test_a_tool_in_a_thread_that_heeds_nothing_is_given_up() -> None:
    go = threading.Event()

    @tool
    def deaf() -> str:
        """Hear nothing."""
        loop.call_soon_threadsafe(bench.signal.set)
        go.wait()
        return "late"

    loop = asyncio.get_running_loop()
    bench = Bench(scripted([call("deaf")], "never said"), tools=[deaf])
    try:
        events = await played(bench)
    finally:
        go.set()
    said = "Tool execution was aborted; it is still running and its result will be dropped"
    assert ends(events) == [(0, said, True)]
    assert len(await bench.events()) == len(events)


async def test_after_an_abort_calls_that_were_not_started_do_not_start() -> None:
    @tool
    async def last() -> str:
        """Be the last one."""
        bench.signal.set()
        return "done"

    policies = Policies(tools="sequential")
    bench = Bench(scripted([call("last"), call("read")], "never said"), tools=[last, read], policies=policies)
    events = await played(bench)
    assert [e.refused for e in events if isinstance(e, ToolExecutionStart)] == [None, "aborted"]
    assert (await bench.session.state()).phase is Phase.IDLE


async def test_arguments_are_converted_where_the_policy_says_so() -> None:
    bench = Bench(scripted([call("read", {"n": "5"})], "Done."), tools=[read], policies=Policies(coerce=True))
    events = await played(bench)
    assert [e.arguments for e in events if isinstance(e, ToolExecutionStart)] == ['{"n":5}']
    assert ends(events) == [(0, "xxxxx", False)]


async def test_a_hanging_stream_of_another_session_disturbs_nobody() -> None:
    one, other = Bench(scripted([stall()])), Bench(scripted([call("read")], "Done."), tools=[read], id="bergen")
    other.store = one.store
    running = await one.start("Hang.")
    await one.until(has(MessageStart))
    assert ends(await played(other)) == [(0, "xxx", False)]
    one.signal.set()
    assert await asyncio.wait_for(running, 30) == Stop("aborted")


def panicking(error: BaseException) -> list[Tool]:
    """Make tools that raise: an async one, and one in a thread."""

    @tool
    async def waits() -> str:
        """Raise."""
        raise error

    @tool
    def works() -> str:
        """Raise in a thread."""
        raise error

    return [waits, works]


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(2),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseExceptionGroup("g", [KeyboardInterrupt()]),
        asyncio.CancelledError("by itself"),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_tool_raises_its_call_ends_as_an_error_and_the_run_goes_on(error: BaseException) -> None:
    bench = Bench(scripted([call("waits"), call("works")], "Done."), tools=panicking(error))
    found = ends(await played(bench))
    assert [is_error for _, _, is_error in found] == [True, True]
    assert all(text for _, text, _ in found)
    assert (await bench.session.state()).ended == "stop"


@tool(timeout="20ms")
async def waiting() -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return ""


async def test_a_tool_that_takes_longer_than_it_may_ends_as_timed_out() -> None:
    over, go = asyncio.Event(), threading.Event()

    @tool(timeout=0.02)
    def hanging() -> str:
        """Hang in a thread."""
        go.wait()
        return "too late"

    @tool(timeout="20ms")
    async def stubborn() -> str:
        """Ignore being cancelled."""
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    calls = [call("waiting"), call("hanging"), call("stubborn"), call("read")]
    bench = Bench(scripted(calls, "Done."), tools=[waiting, hanging, stubborn, read])
    try:
        found = {index: (text, is_error) for index, text, is_error in ends(await played(bench))}
    finally:
        go.set()
        over.set()
    late = "Tool execution timed out after 20 ms"
    assert found[0] == (late, True)
    assert found[1] == found[2] == (f"{late}, still running; its result will be dropped", True)
    assert found[3] == ("xxx", False)


async def test_a_tool_knows_when_its_time_is_over_and_that_it_is() -> None:
    known: list[ToolContext] = []

    @tool(timeout="10ms")
    def looks(context: ToolContext) -> str:
        """Look whether it should stop."""
        known.append(context)
        while not context.cancelled:
            threading.Event().wait(0.001)
        return "stopped"

    await played(Bench(scripted([call("looks")], "Done."), tools=[looks]))
    assert known[0].deadline_us is not None
    assert known[0].cancelled


@in_no_time
async def test_a_tool_that_aborts_its_own_run_sees_it_at_once() -> None:
    seen: list[bool] = []

    @tool
    async def stops(context: ToolContext) -> str:
        """Abort."""
        await bench.session.abort()
        seen.append(context.cancelled)
        return "stopped"

    bench = Bench(scripted([call("stops")], "Never said."), tools=[stops])
    events = await played(bench)
    assert seen == [True]
    assert ends(events) == [(0, "stopped", False)]
    assert has(AbortRequest)(events)


@in_no_time
async def test_a_tool_that_ignores_an_abort_is_given_up_and_said_to_run() -> None:
    @tool
    async def ignores() -> str:
        """Ignore it."""
        await bench.session.abort()
        for _ in range(10):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "too late"

    bench = Bench(scripted([call("ignores")], "Never said."), tools=[ignores])
    assert ends(await played(bench)) == [
        (0, "Tool execution was aborted; it is still running and its result will be dropped", True)
    ]


async def test_an_async_tool_that_floods_its_run_with_reports_keeps_the_latest_and_says_what_is_left_out() -> None:
    @tool
    async def floods(context: ToolContext) -> str:
        """Report without a pause."""
        for n in range(5_000):
            context.update(f"{n}")
        return "done"

    events = await played(Bench(scripted([call("floods")], "Done."), tools=[floods]))
    said = [words(e.partial) for e in events if isinstance(e, ToolExecutionUpdate)]
    assert said[:1_000] == [str(n) for n in range(1_000)]
    assert said[1_000:] == [
        "[3,999 partial results left out: they came faster than they could be recorded]",
        "4999",
    ]


async def test_a_thread_that_floods_its_run_with_reports_waits_until_they_are_recorded() -> None:
    @tool
    def floods(context: ToolContext) -> str:
        """Report without a pause."""
        for n in range(3_000):
            context.update(f"{n}")
        return "done"

    events = await played(Bench(scripted([call("floods")], "Done."), tools=[floods]))
    assert [words(e.partial) for e in events if isinstance(e, ToolExecutionUpdate)] == [str(n) for n in range(3_000)]


class Hostile:
    """Does what it likes when it is looked at."""

    def __getattribute__(self, name: str) -> object:
        raise SystemExit(name)

    def __repr__(self) -> str:
        raise RecursionError


@pytest.mark.parametrize(
    "make",
    [
        lambda: float("nan"),
        lambda: "\ud800",
        lambda: b"\xff\xfe",
        lambda: "x" * 50_000_000,
        lambda: b"x" * 50_000_000,
        Hostile,
        lambda: ToolResult(content=5),  # type: ignore[arg-type]  # what somebody without a checker writes
        lambda: ToolResult(terminate="yes"),  # type: ignore[arg-type]  # as above
    ],
    ids=["nan", "surrogate", "bytes", "huge text", "huge bytes", "hostile", "no content", "no flag"],
)
async def test_whatever_a_tool_returns_the_log_holds_it_or_says_why_not(make: Callable[[], object]) -> None:
    @tool
    async def gives() -> object:
        """Give."""
        return make()

    events = await played(Bench(scripted([call("gives")], "Done."), tools=[gives]))
    (end,) = ends(events)
    assert end[1]
    assert not end[2] or "ran, but what it returned cannot be kept" in end[1]

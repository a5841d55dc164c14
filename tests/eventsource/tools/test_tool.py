"""Making tools of functions, and running them: whatever happens is an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated

import pytest

from eventsource.codec import from_json
from eventsource.errors import ArgumentError, ToolDefinitionError, ToolFailure
from eventsource.events import EffectKind, Place, ToolResult
from eventsource.messages import TextContent
from eventsource.tools.context import RunningCall, ToolContext, idempotency_key
from eventsource.tools.options import ToolOptions
from eventsource.tools.results import ToolOutcome, to_result, tool_result
from eventsource.tools.tool import Tool, json_tool, tool, toolbox

PLACE = Place(message_seq=7, content_index=2)
CALL = RunningCall(place=PLACE, id="c1", name="t", idempotency_key=idempotency_key("s1", PLACE))
any_tool: Callable[..., object] = tool  # called as no type checker lets one
any_json_tool: Callable[..., object] = json_tool
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Deps:
    def __init__(self, unit: str = "C") -> None:
        self.unit = unit


def context(
    report: Callable[[ToolResult], None] | None = None, signal: asyncio.Event | None = None
) -> ToolContext[Deps]:
    return ToolContext(deps=Deps(), call=CALL, session="s1", signal=signal, report=report)


async def outcome(of: Tool, text: str = "", given: ToolContext[Deps] | None = None) -> ToolOutcome:
    return await of.execute(of.prepare(text, coerce=False), given or context())


def ok(text: str) -> ToolOutcome:
    return ToolOutcome(to_result(text))


def failed(text: str) -> ToolOutcome:
    return ToolOutcome(to_result(text), is_error=True)


@tool(effect="pure", mode="sequential", version="2")
def weather(city: str, ctx: ToolContext[Deps]) -> str:
    """Current weather in a city.

    Degrees are whole.
    """
    return f"{city}: 12 {ctx.deps.unit}"


@tool
async def echo(text: str) -> str:
    return text


def test_a_tool_is_known_by_its_function_and_what_the_decorator_says() -> None:
    spec = weather.spec
    assert (spec.name, spec.description) == ("weather", "Current weather in a city.\n\nDegrees are whole.")
    assert (spec.effect, spec.mode, spec.version) == ("pure", "sequential", "2")
    assert (echo.spec.effect, echo.spec.mode, echo.spec.version, echo.spec.description) == ("once", "parallel", "", "")
    named = tool(weather.function, name="w", description="Weather.")
    assert (named.spec.name, named.spec.description, named.spec.effect) == ("w", "Weather.", "once")


async def test_a_tool_can_be_called_as_the_function_it_is() -> None:
    assert weather("Oslo", context()) == "Oslo: 12 C"
    assert weather(city="Oslo", ctx=context()) == "Oslo: 12 C"


async def test_the_context_is_given_and_never_told_to_the_model() -> None:
    schema = from_json(weather.spec.schema)
    assert isinstance(schema, dict)
    assert list(schema["properties"]) == ["city"]
    assert await outcome(weather, '{"city":"Oslo"}') == ok("Oslo: 12 C")


@pytest.mark.parametrize("name", ["bare", "optional", "annotated"])
async def test_the_context_is_found_by_its_type_however_it_is_written(name: str) -> None:
    def bare(context: ToolContext) -> str:
        return context.call.id

    def optional(n: int = 1, *, given: ToolContext[Deps] | None = None) -> str:
        return given.call.id if given else "none"

    def annotated(given: Annotated[ToolContext[Deps], "mine"], /, n: int = 1) -> str:
        return given.call.id

    functions: dict[str, Callable[..., str]] = {"bare": bare, "optional": optional, "annotated": annotated}
    assert await outcome(tool(functions[name])) == ok("c1")


async def test_every_kind_of_parameter_gets_its_argument() -> None:
    def kinds(a: int, /, b: int, *, c: int = 3, **rest: int) -> str:
        return f"{a} {b} {c} {sorted(rest.items())}"

    assert await outcome(tool(kinds), '{"b":2,"a":1,"x":4}') == ok("1 2 3 [('x', 4)]")


async def test_partials_bound_methods_and_callable_objects_are_tools_too() -> None:
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        def add(self, m: int) -> str:
            return str(self.n + m)

        async def __call__(self, m: int) -> str:
            return str(self.n + m)

    def add(n: int, m: int) -> str:
        return str(n + m)

    assert await outcome(tool(Adder(1).add), '{"m":2}') == ok("3")
    assert await outcome(tool(Adder(2), name="adder"), '{"m":2}') == ok("4")
    assert await outcome(tool(functools.partial(add, 3), name="add"), '{"m":2}') == ok("5")


@pytest.mark.parametrize("takes_context", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_tool_by_schema_gets_its_arguments_as_one_dict(takes_context: bool, asynchronous: bool) -> None:
    def alone(arguments: dict[str, object]) -> str:
        return f"{arguments}"

    def both(arguments: dict[str, object], context: ToolContext[Deps]) -> str:
        return f"{arguments} {context.call.id}"

    async def alone_async(arguments: dict[str, object]) -> str:
        return alone(arguments)

    async def both_async(arguments: dict[str, object], context: ToolContext[Deps]) -> str:
        return both(arguments, context)

    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    function = ((alone, alone_async), (both, both_async))[takes_context][asynchronous]
    made = json_tool("t", schema, function, description="D.", effect="idempotent", mode="sequential", version="1")
    assert (made.spec.description, made.spec.effect, made.spec.mode, made.spec.version) == (
        "D.",
        "idempotent",
        "sequential",
        "1",
    )
    assert from_json(made.spec.schema) == schema
    assert await outcome(made, '{"a":1}') == ok("{'a': 1} c1" if takes_context else "{'a': 1}")


def test_changing_a_schema_after_the_tool_was_made_changes_nothing() -> None:
    schema: dict[str, object] = {"type": "object", "properties": {}}
    made = json_tool("t", schema, str)
    schema["required"] = ["a"]
    assert made.prepare("{}", coerce=False).values == {}


def no_names(*cities: str) -> None: ...
def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def callback(then: Callable[[], None]) -> None: ...
def not_a_number(n: float = float("nan")) -> None: ...
def unknown(n: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # it is missing on purpose


class Thing:
    def method(self, n: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (no_names, "a model gives arguments by name, which *cities has not"),
        (generator, "a generator cannot be a tool; report progress with ToolContext.update"),
        (async_generator, "a generator cannot be a tool; report progress with ToolContext.update"),
        (callback, "its parameters have no JSON Schema: Cannot generate a JsonSchema for core_schema.CallableSchema"),
        (not_a_number, "its parameters have no JSON Schema: a default: cannot be stored as JSON"),
        (unknown, "the type of parameter 'n', 'Missing', cannot be found: name 'Missing' is not defined; define it at"),
        (Thing.method, "it is a method; make the tool of a bound one: tool(thing.method)"),
        (lambda: 1, "a name has 1 to 128 letters, digits and _ . : -; give it one: name=..."),
    ],
)
def test_what_a_model_could_not_call_is_refused_with_the_reason(function: Callable[..., object], problem: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        tool(function)
    assert str(caught.value).startswith(f"tool {getattr(function, '__name__', '')}: {problem}")


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "the schema of its arguments must be of type object, not None"),
        ({"type": "array"}, "the schema of its arguments must be of type object, not array"),
        (
            {"type": "object", "properties": {"a": {"type": "nope"}}},
            "its JSON Schema is not valid at properties/a/type: ",
        ),
        ({"type": "object", "default": float("nan")}, "its schema: cannot be stored as JSON"),
    ],
)
def test_a_schema_that_is_none_is_refused_with_the_place(schema: dict[str, object], problem: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        json_tool("t", schema, str)
    assert str(caught.value).startswith(f"tool t: {problem}")


def test_an_unknown_effect_is_refused() -> None:
    effects: list[EffectKind] = ["pure", "sometimes"]  # type: ignore[list-item]  # what somebody without a checker writes
    with pytest.raises(ToolDefinitionError, match="'sometimes' is none of pure, idempotent, once"):
        tool(echo.function, effect=effects[1])


def test_a_toolbox_holds_tools_by_name_and_makes_tools_of_functions() -> None:
    def add(a: int) -> int:
        return a

    box = toolbox([weather, add])
    assert list(box) == ["weather", "add"]
    assert box["weather"] is weather
    assert box["add"].spec.effect == "once"
    with pytest.raises(ToolDefinitionError, match="tool weather: two tools have this name"):
        toolbox([weather, echo, weather])


async def test_a_failure_an_exception_and_an_error_outcome_are_error_results() -> None:
    def by_failure() -> None:
        raise ToolFailure("no such city", {"code": 404})

    async def by_exception() -> None:
        raise ValueError("boom")

    def by_outcome() -> ToolOutcome:
        return ToolOutcome(tool_result("soft"), is_error=True)

    assert await outcome(tool(by_failure)) == ToolOutcome(
        tool_result("no such city", details={"code": 404}), is_error=True
    )
    raised = await outcome(tool(by_exception))
    assert raised.is_error
    assert text(raised.result) == "boom"
    assert await outcome(tool(by_outcome)) == failed("soft")


def text(result: ToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


class Panic(BaseException):
    """As an extension in Rust raises it."""


EVERYTHING = [
    (StopIteration("enough"), "StopIteration: enough"),
    (StopAsyncIteration("enough"), "StopAsyncIteration: enough"),
    (RuntimeError("enough"), "enough"),
    (KeyError("k"), "KeyError: 'k'"),
    (SystemExit(2), "SystemExit: 2"),
    (GeneratorExit(), "GeneratorExit"),
    (KeyboardInterrupt(), "KeyboardInterrupt"),
    (Panic("index out of bounds"), "Panic: index out of bounds"),
    (BaseExceptionGroup("many", [Panic("first"), ValueError("second")]), "Panic: first (and 1 more)"),
]


@pytest.mark.parametrize(("error", "shown"), EVERYTHING, ids=lambda value: type(value).__name__)
async def test_whatever_a_function_raises_is_an_error_result_with_type_and_traceback(
    error: BaseException, shown: str
) -> None:
    def raises() -> None:
        raise error

    async def raises_too() -> None:
        raise error

    for made in (tool(raises), tool(raises_too)):
        found = await outcome(made)
        expected = shown
        if isinstance(error, StopIteration) and made.spec.name == "raises_too":
            expected = "coroutine raised StopIteration"  # Python's own words for it
        assert found.is_error
        assert text(found.result) == expected
        details = from_json(found.result.details)
        assert isinstance(details, dict)
        assert "raise error" in str(details["traceback"])


async def test_a_plain_function_runs_in_a_thread_with_the_callers_variables() -> None:
    def where() -> str:
        return f"{threading.current_thread().name} {threading.current_thread() is threading.main_thread()} {who.get()}"

    who.set("me")
    assert await outcome(tool(where)) == ok("tool where False me")


async def test_plain_functions_run_at_once() -> None:
    both = threading.Barrier(2, timeout=60)

    def meet() -> str:
        both.wait()
        return "met"

    assert [*await asyncio.gather(outcome(tool(meet)), outcome(tool(meet)))] == [ok("met")] * 2


async def test_a_plain_function_that_gives_an_awaitable_is_awaited() -> None:
    assert await outcome(tool(lambda: asyncio.sleep(0, "later"), name="t")) == ok("later")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_updates_arrive_in_order_before_the_end_and_never_after(asynchronous: bool) -> None:
    reported: list[ToolResult] = []
    given = context(reported.append)

    def plain(context: ToolContext[Deps]) -> str:
        for n in range(100):
            context.update({"n": n})
        return "done"

    async def waits(context: ToolContext[Deps]) -> str:
        return plain(context)

    assert await outcome(tool(waits if asynchronous else plain), "", given) == ok("done")
    assert reported == [to_result({"n": n}) for n in range(100)]
    given.update("late")
    given.update(object())
    await asyncio.sleep(0)
    assert len(reported) == 100


async def test_an_update_that_cannot_be_kept_fails_the_tool_where_it_is_made() -> None:
    def reports(context: ToolContext[Deps]) -> None:
        context.update(object())

    result = await outcome(tool(reports))
    assert result.is_error
    assert "an object has no JSON form" in str(result)


async def test_cancelling_reaches_an_async_function() -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.create_task(outcome(tool(waits)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_cancelling_leaves_a_thread_behind_whose_reports_and_result_are_dropped() -> None:
    begun, go, over = asyncio.Event(), threading.Event(), asyncio.Event()
    loop, reported = asyncio.get_running_loop(), list[ToolResult]()

    def hangs(context: ToolContext[Deps]) -> str:
        loop.call_soon_threadsafe(begun.set)
        go.wait(60)
        context.update("late")
        loop.call_soon_threadsafe(over.set)
        return "late"

    task = asyncio.create_task(outcome(tool(hangs), "", context(reported.append)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await over.wait()
    assert reported == []


def test_a_thread_that_outlives_its_event_loop_bothers_nobody() -> None:
    go, over = threading.Event(), threading.Event()

    def hangs(context: ToolContext[Deps]) -> str:
        go.wait(60)
        context.update("late")
        over.set()
        return "late"

    async def give_up() -> None:
        task = asyncio.create_task(outcome(tool(hangs)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    go.set()
    assert over.wait(60)


async def test_a_tool_that_was_cancelled_by_what_it_waits_for_fails_and_the_run_goes_on() -> None:
    async def waits() -> None:
        inner = asyncio.create_task(asyncio.Event().wait())
        inner.cancel()
        await inner

    assert await outcome(tool(waits)) == failed("The tool was cancelled by something it waited for; the run was not")


async def test_a_tool_may_ask_whether_it_should_stop() -> None:
    signal = asyncio.Event()

    def asks(context: ToolContext[Deps]) -> str:
        context.raise_if_cancelled()
        return str(context.cancelled)

    assert await outcome(tool(asks), "", context(signal=signal)) == ok("False")
    signal.set()
    assert await outcome(tool(asks), "", context(signal=signal)) == failed("Tool execution was aborted")


async def test_a_call_is_named_by_the_session_that_began_it_and_its_place() -> None:
    def names(context: ToolContext[Deps]) -> str:
        return f"{context.call.idempotency_key} {context.session} {context.deadline_us}"

    assert await outcome(tool(names)) == ok("s1:7:2 s1 None")


async def test_arguments_that_a_tool_changes_stay_what_they_were_in_the_record() -> None:
    async def greedy(items: list[str]) -> str:
        items.clear()
        return "mine"

    made = tool(greedy)
    arguments = made.prepare('{"items":["a"]}', coerce=True)
    await made.execute(arguments, context())
    assert (arguments.text, arguments.read()) == ('{"items":["a"]}', {"items": ["a"]})


async def test_what_a_tool_returns_that_cannot_be_kept_is_an_error_that_names_it() -> None:
    result = await outcome(tool(object, name="thing"))
    assert result.is_error
    assert isinstance(result.result.content[0], TextContent)
    assert result.result.content[0].text.startswith('Tool "thing" ran, but what it returned cannot be kept')


@pytest.mark.slow
def test_importing_tools_loads_neither_pydantic_nor_jsonschema() -> None:
    code = "import sys, eventsource.tools.tool; print({'pydantic', 'jsonschema', 'httpx'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("set()\n", "")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: any_tool(needs_approval=True), "tool: needs_approval: .*did you mean `approval=`"),
        (lambda: any_tool(len, execution_mode="x"), "tool: execution_mode: .*did you mean `mode=`"),
        (lambda: any_tool(version=3), "tool: version: expected a text, found 3"),
        (lambda: any_json_tool("x", {}, len, zzz=1), "json_tool: zzz: .*it takes .*effect=, mode=, version=, timeout="),
        (lambda: any_json_tool("x", {}, len, description=3), "json_tool: description: expected a text, found 3"),
    ],
)
def test_an_option_that_there_is_not_is_told_with_the_one_that_was_meant(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        make()


def test_the_options_of_a_tool_are_those_that_its_signature_shows() -> None:
    shown = {name for name, one in inspect.signature(tool).parameters.items() if one.kind is one.KEYWORD_ONLY}
    assert shown == {"name", *ToolOptions.__annotations__}
    assert inspect.signature(json_tool).parameters.keys() == {"schema", "function", *shown}

"""What people try first and wrongly: it works, or one sentence says who, where, what was expected and what to do."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from openai import AsyncOpenAI

from eventsource.errors import ArgumentError, RefoldError, StoreError, ToolDefinitionError
from eventsource.messages import AssistantMessage, TextContent, ToolResultMessage, UserMessage
from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import call
from refold import (
    Agent,
    AgentContext,
    AgentLoopConfig,
    Hooks,
    Log,
    Policies,
    TaskContext,
    ToolContext,
    agent_loop,
    diff,
    open_log,
    task,
    tool,
)

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}
HISTORY: list[dict[str, object]] = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "4"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "and 3?"},
]
KINDS = [UserMessage, AssistantMessage, ToolResultMessage, AssistantMessage, UserMessage]


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    async with open_log() as opened:
        yield opened


def sent(model: ScriptedModel) -> list[type]:
    return [type(message) for message in model.asked[-1].request.messages]


@pytest.mark.parametrize("verb", ["run", "stream", "resume", "compact", "reexecute"])
async def test_the_name_of_a_session_in_the_place_of_a_session_is_told(verb: str) -> None:
    agent = Agent(scripted("hello"))
    given: dict[str, Callable[[], object]] = {
        "run": lambda: agent.run("hi", session="oslo"),  # type: ignore[arg-type]  # the mistake
        "stream": lambda: agent.stream("hi", session="oslo"),  # type: ignore[arg-type]  # as above
        "resume": lambda: agent.resume("oslo"),  # type: ignore[arg-type]  # as above
        "compact": lambda: agent.compact("oslo"),  # type: ignore[arg-type]  # as above
        "reexecute": lambda: agent.reexecute("oslo"),  # type: ignore[arg-type]  # as above
    }

    async def use() -> None:
        waiting = given[verb]()
        assert asyncio.iscoroutine(waiting)
        await waiting

    with pytest.raises(ArgumentError, match=r"found the text 'oslo'.*log.session") as told:
        await use()
    assert told.value.where == f"Agent.{verb}"


async def test_a_call_that_nobody_awaited_is_told_and_warned_of_once(log: Log) -> None:
    agent = Agent(scripted("hello"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ArgumentError, match=r"session: .*the coroutine of Log.session.*await it first"):
            await agent.run("hi", session=log.session("x"))  # type: ignore[arg-type]  # the mistake
        with pytest.raises(ArgumentError, match=r"prompt: .*the coroutine of Agent.run.*await it first"):
            await agent.run(agent.run("hi"))  # type: ignore[arg-type]  # as above


async def test_run_sync_works_while_an_event_loop_runs_and_passes_on_what_is_raised() -> None:
    assert Agent(scripted("hello")).run_sync("hi").text == "hello"
    with pytest.raises(ArgumentError, match=r"Agent.run_sync: prompt"):
        Agent(scripted("hello")).run_sync("")
    with pytest.raises(RefoldError, match="did you mean 'openai:gpt-5'"):
        Agent("gpt-5").run_sync("hi")


async def test_a_history_of_another_api_is_a_prompt_wherever_one_is_taken(log: Log) -> None:
    model = scripted(*["ok"] * 9)
    agent = Agent(model)
    await agent.run(HISTORY)
    assert sent(model) == KINDS
    agent.run_sync(HISTORY)
    assert sent(model) == KINDS
    await agent.stream(HISTORY).run()
    assert sent(model) == KINDS
    session = await log.session()
    await session.follow_up(HISTORY)
    await agent.resume(session)
    assert set(KINDS) <= set(sent(model))
    steered = await log.session()
    await steered.steer(HISTORY)
    await agent.replace(policies=Policies(steering_queue="all")).resume(steered)
    assert sent(model) == KINDS
    pushed = await log.session()
    await pushed.core.push("prompt", *HISTORY)
    await agent.resume(pushed)
    assert sent(model) == KINDS
    await agent_loop(HISTORY, AgentContext(), AgentLoopConfig(model=model)).result()
    assert sent(model) == KINDS
    await agent_loop("more", AgentContext(messages=HISTORY), AgentLoopConfig(model=model)).result()
    assert sent(model) == [*KINDS, UserMessage]
    edited = await session.edit((await session.messages())[0], HISTORY[0])
    assert (await edited.state()).queue


async def test_a_task_takes_such_a_history_too(log: Log) -> None:
    model = scripted("ok", "ok", "ok")

    @task(id="asks")
    async def asks(ctx: TaskContext, payload: object) -> list[str]:
        one = await ctx.model(model, HISTORY)
        two = await ctx.turn(Agent(model), HISTORY)
        three: object = await ctx.spawn("child", Agent(model, output=str), HISTORY)
        return [one.text, two.text, str(three)]

    run = await asks.run(log)
    assert (run.error, run.result) == ("", ["ok", "ok", "ok"])
    assert [[type(one) for one in asked.request.messages] for asked in model.asked] == [KINDS, KINDS, KINDS]


async def test_a_run_with_a_history_replays_and_its_key_says_it_once(log: Log) -> None:
    session = await log.session()
    await Agent(scripted("7")).run(HISTORY, session=session, key="k")
    head = (await session.info()).head
    assert [type(one.message) for one in await session.messages()] == [*KINDS, AssistantMessage]
    await Agent(scripted("8")).run(HISTORY, session=session, key="k")
    assert (await session.info()).head == head
    assert (await session.replay()).difference is None


@dataclass
class Deps:
    name: str = "x"


@tool
def who(context: ToolContext[Deps]) -> str:
    """Who."""
    return context.deps.name


@pytest.mark.parametrize(
    ("agent", "deps", "says"),
    [
        (Agent(scripted("x"), deps_type=Deps, tools=[who]), None, "expected a Deps, found None; .*deps=Deps"),
        (Agent(scripted("x"), deps_type=Deps, tools=[who]), "x", "expected a Deps, found the text 'x'; .*deps=Deps"),
        (Agent(scripted("x"), name="kim"), Deps(), "Agent kim: deps: expected none, found a Deps.*no tool"),
    ],
)
async def test_deps_that_are_missing_wrong_or_for_nobody_are_told(agent: Agent, deps: object, says: str) -> None:
    async with open_log() as log:
        session = await log.session()
        with pytest.raises(ArgumentError, match=says):
            await agent.run("hi", session=session, deps=deps, key="k")
        with pytest.raises(ArgumentError, match=says):
            agent.stream("hi", session=session, deps=deps)
        with pytest.raises(ArgumentError, match=says):
            await agent.resume(session, deps=deps)
        assert (await session.info()).head == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpt-5", "did you mean 'openai:gpt-5'"),
        ("claude-sonnet-4-5", "did you mean 'anthropic:claude-sonnet-4-5'"),
        ("google/gemini-2.5-pro", "did you mean 'google:gemini-2.5-pro'"),
        ("nonsense", "such as 'anthropic:"),
        ("", "such as 'anthropic:"),
        ("openai:", "such as 'anthropic:"),
        ("nobody:x", "no vendor 'nobody'"),
    ],
)
async def test_a_model_that_nobody_knows_is_told_with_the_name_that_was_meant(name: str, says: str) -> None:
    with pytest.raises(RefoldError, match=says) as told:
        await Agent(name).run("hi")
    assert not str(told.value).startswith("session :")


@pytest.mark.parametrize("model", [AsyncOpenAI(api_key="x"), None, 3, scripted, ScriptedModel])
def test_a_model_object_of_another_library_is_told(model: object) -> None:
    with pytest.raises(ArgumentError, match=r"Agent: model: expected a text or a Model, found .*vendor:model"):
        Agent(model)  # type: ignore[call-overload]  # the mistake


class Adder:
    """Adds."""

    def add(self, a: int) -> int:
        """Add."""
        return a + 1

    def __call__(self, a: int) -> int:
        return a + 2


def add(a: int) -> int:
    return a + 1


async def stream_of(a: int) -> AsyncIterator[int]:
    yield a


@pytest.mark.parametrize("given", [Adder().add, Adder(), functools.partial(add), tool(lambda a: a, name="add"), add])
async def test_functions_of_every_kind_are_tools(given: Callable[..., object]) -> None:
    name = "Adder" if isinstance(given, Adder) else "add"
    run = await Agent(scripted(call(name, {"a": 1}), "done"), tools=[given]).run("hi")
    assert run.text == "done"
    assert isinstance(result := run.messages[2], ToolResultMessage)
    assert not result.is_error


@pytest.mark.parametrize(
    ("tools", "error", "says"),
    [
        ([lambda a: a], ToolDefinitionError, "tool <lambda>: .*name="),
        ([Adder.add], ToolDefinitionError, "tool add: it is a method"),
        ([stream_of], ToolDefinitionError, "tool stream_of: a generator cannot be a tool"),
        ([tool(lambda a: a, name="b"), lambda b: b], ToolDefinitionError, "tool <lambda>"),
        ([add, functools.partial(add)], ToolDefinitionError, "tool add: two tools have this name"),
        ([add, add], ToolDefinitionError, "tool add: two tools have this name"),
        ([3], ArgumentError, r"Agent: tools\[0\]: expected a Tool or a function, found 3 .*@tool"),
        ([Agent(scripted("x"))], ArgumentError, r"tools\[0\]: .*found an Agent.*agent\.as_tool\(\)"),
        ([None], ArgumentError, r"tools\[0\]: .*found None"),
        ([{"type": "function", "function": {"name": "add"}}], ArgumentError, r"tools\[0\]: .*found a dict.*json_tool"),
        (add, ArgumentError, "tools: expected a list"),
        ("add", ArgumentError, "tools: expected a list"),
    ],
)
async def test_what_is_no_tool_is_told(tools: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        await Agent(scripted("x"), tools=tools).run("hi")  # type: ignore[call-overload]  # the mistake


def test_a_tool_is_not_made_a_tool_twice() -> None:
    with pytest.raises(ToolDefinitionError, match="tool who: it is a tool already"):
        tool(who)


async def test_bare_items_and_functions_are_scripts() -> None:
    agent = Agent(scripted(call("who"), "done"), tools=[who], deps_type=Deps)
    assert (await agent.run("hi", deps=Deps())).text == "done"
    assert (await Agent(scripted(lambda request: f"{len(request.messages)} said")).run("hi")).text == "1 said"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ((None,), "scripted: answer 1: .*found None"),
        (("a", 3), "scripted: answer 2: .*found 3"),
        (({"say": "x"},), "scripted: answer 1: .*found a dict"),
        ((["a", ["b"]],), "scripted: answer 1, item 2: .*found a list; each argument is one answer"),
        (([None],), "scripted: answer 1, item 1"),
        ((lambda request: "x", "y"), "scripted: answer 1: .*found the function"),
    ],
)
def test_what_is_no_answer_of_a_script_is_told(answers: tuple[object, ...], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        scripted(*answers)  # type: ignore[arg-type]  # the mistake


async def test_a_function_that_makes_no_answer_ends_the_run_with_its_words() -> None:
    run = await Agent(scripted(lambda request: 3)).run("hi")  # type: ignore[arg-type,return-value]  # the mistake
    assert run.status == "error"
    assert "scripted: answer 1" in run.error


async def test_a_closed_log_and_with_are_told(log: Log) -> None:
    session = await log.session("x")
    await log.close()
    for use in (session.info(), Agent(scripted("x")).run("hi", session=session), log.session("x")):
        with pytest.raises(StoreError, match="open"):
            await use
    with pytest.raises(TypeError, match="async with"), open_log() as _:  # the mistake
        raise AssertionError("it was opened")


async def test_a_session_of_another_log_is_adopted_from_and_compared(log: Log) -> None:
    async with open_log() as other:
        theirs, ours = await other.session("o"), await log.session("x")
        await Agent(scripted("hi")).run("hello", session=theirs)
        assert await ours.adopt((await theirs.messages())[0], from_=theirs)
        assert (await diff(ours, theirs)).pretty()


def make_of(kind: Callable[..., object], **given: object) -> object:
    """Make something of values of any type."""
    return kind(**({"model": scripted("x")} if kind is Agent else {}), **given)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_of(Agent, policies={"turn_limit": 3}), "Agent: policies: expected a Policies, found a dict"),
        (lambda: make_of(Agent, policies=make_of(Policies, turn_limit="3")), r"Agent: policies: .*turn_limit"),
        (lambda: make_of(Hooks, before_tool_call=3), "Hooks: before_tool_call: expected a function or None, found 3"),
        (lambda: make_of(Agent, output="int"), "Agent: output: expected a type"),
        (lambda: make_of(Agent, system=None), "Agent: system: expected a text"),
        (lambda: Agent(scripted("x")).replace(modell="x"), "modell"),
        (lambda: make_of(AgentLoopConfig, model=3), "AgentLoopConfig: model: "),
        (lambda: make_of(AgentContext, messages="hi"), "AgentContext: messages: expected a list"),
        (lambda: make_of(open_log, path=3), "open_log: path: "),
    ],
)
def test_what_an_agent_is_not_made_of_is_told(make: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        make()


async def test_a_task_is_told_what_it_is_made_of_and_run_with(log: Log) -> None:
    with pytest.raises(TypeError, match="async"):
        task(id="x")(lambda ctx, payload: None)  # type: ignore[arg-type,return-value]  # the mistake
    with pytest.raises(ArgumentError, match="task: id: expected a text"):
        task(id=3)  # type: ignore[arg-type]  # as above

    @task(id="t")
    async def t(ctx: TaskContext, payload: str) -> str:
        return payload

    with pytest.raises(ArgumentError, match=r"Task.run: log: expected a Log, found the text 'x.db'; .*open_log"):
        await t.run("x.db", "hi")  # type: ignore[arg-type]  # as above


async def test_words_of_a_text_are_no_answer() -> None:
    said = AssistantMessage(content=(TextContent(text="x"),))
    assert (await Agent(scripted(said)).run("hi")).text == "x"

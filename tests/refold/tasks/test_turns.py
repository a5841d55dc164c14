"""An agent's turns within a task: steered, aborted, kept apart from steps, and resumed where they broke off."""

from __future__ import annotations

import asyncio

import pytest

from eventsource.events import AgentEnd, MessageStart, ModelRequest, Policies, StepEnd, StepStart
from eventsource.log.protocol import EventLog
from eventsource.machine.state import Phase
from eventsource.messages import Usage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, pause, stall, stop
from refold import Agent, Log, tool
from refold.tasks import TaskContext, TaskRun, task
from refold.tasks.errors import StepError
from refold.tasks.worker import Worker
from tests.refold.hands import events_of, verified


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


async def streaming(run: TaskRun) -> None:
    """Wait until the model answers."""
    while (await run.session.state()).phase is not Phase.STREAMING:
        await asyncio.sleep(0.005)


async def test_an_abort_ends_the_turn_and_leaves_the_task_to_its_code(opened: Log) -> None:
    agent = Agent[object](scripted(["Let me ", stall()], "Fine."))

    @task(id="chat")
    async def chat(ctx: TaskContext, payload: None) -> list[str]:
        first = await ctx.turn(agent, "Hello?")
        return [first.status, (await ctx.turn(agent, "Again?")).text]

    run = await chat.trigger(opened)
    working = asyncio.create_task(chat.resume(run.session))
    await streaming(run)
    await run.session.abort()
    async with asyncio.timeout(60):
        assert (await working).result == ["aborted", "Fine."]
    await verified(run.session)


async def test_steering_reaches_the_turn_that_is_under_way(opened: Log) -> None:
    @tool
    async def wait_for_news() -> str:
        """Wait."""
        await news.wait()
        return "ok"

    news = asyncio.Event()
    agent = Agent[object](scripted([call("wait_for_news")], "Understood."), tools=[wait_for_news])

    @task(id="chat")
    async def chat(ctx: TaskContext, payload: None) -> str:
        return (await ctx.turn(agent, "Go.")).text

    run = await chat.trigger(opened)
    working = asyncio.create_task(chat.resume(run.session))
    while (await run.session.state()).phase is not Phase.TOOLS:
        await asyncio.sleep(0.005)
    await run.session.steer("In Celsius.")
    news.set()
    assert (await working).result == "Understood."
    said = [getattr(message.message, "content", "") for message in await run.session.messages()]
    assert "In Celsius." in said
    await verified(run.session)


async def test_steps_and_turns_side_by_side_take_turns(opened: Log) -> None:
    agent = Agent[object](scripted([pause(10), "Done."]))

    @task(id="both")
    async def both(ctx: TaskContext, payload: None) -> list[object]:
        async def later() -> object:
            await asyncio.sleep(0.005)
            return await ctx.step("later", lambda: "later")

        turn, early, late = await asyncio.gather(ctx.turn(agent, "Go."), ctx.step("early", lambda: "early"), later())
        return [turn.text, early, late]

    run = await both.run(opened)
    assert run.result == ["Done.", "early", "later"]
    assert (await both.resume(run.session)).result == run.result
    await verified(run.session)


async def test_a_turn_that_broke_off_goes_on_in_another_process(opened: Log) -> None:
    answers: tuple[Answer, ...] = (["Half ", stall()], "Whole.")
    model = scripted(*answers)
    agent = Agent[object](model)

    @task(id="chat")
    async def chat(ctx: TaskContext, payload: None) -> str:
        return (await ctx.turn(agent, "Hello?")).text

    run = await chat.trigger(opened)
    worker = Worker(opened, [chat], look="1ms", grace="10ms")
    working = asyncio.create_task(worker.run())
    await streaming(run)
    worker.stop()
    await working
    run = await chat.resume(run.session)
    assert run.result == "Whole."
    events = await events_of(run.session)
    assert len([event for event in events if isinstance(event, ModelRequest)]) == 2
    assert len([event for event in events if isinstance(event, MessageStart) and event.role == "input"]) == 1
    assert [type(event) for event in events if isinstance(event, StepStart | StepEnd)] == [StepStart, StepEnd]
    await verified(run.session)


async def test_a_failed_turn_says_so_and_is_not_tried_again_by_itself(opened: Log) -> None:
    from eventsource.models.scripted.script import fail

    agent = Agent[object](scripted([fail("overloaded")], "Now."))

    @task(id="chat")
    async def chat(ctx: TaskContext, payload: None) -> list[str]:
        first = await ctx.turn(agent, "Hello?", key="first")
        return [first.status, first.error, (await ctx.turn(agent, "Hello?", key="second")).text]

    run = await chat.run(opened)
    assert run.result == ["error", "overloaded", "Now."]
    assert set(run.steps) == {"first", "second"}


async def test_a_turn_uses_no_more_tokens_than_its_task_has_left(opened: Log) -> None:
    @tool(effect="pure")
    async def look() -> str:
        """Look."""
        return "seen"

    spent = stop("tool_use", usage=Usage(input_tokens=30, output_tokens=10))
    answers: list[Answer] = [[call("look"), spent] for _ in range(9)]
    agent = Agent[object](scripted(*answers), tools=[look])

    @task(id="chat", token_limit=100)
    async def chat(ctx: TaskContext, payload: None) -> list[str]:
        first = await ctx.turn(agent, "Go.", key="first")
        try:
            await ctx.turn(agent, "Go on.", key="second")
        except StepError as error:
            return [first.status, str(error)]
        return ["nothing stopped it"]

    run = await chat.run(opened)
    assert isinstance(run.result, list)
    assert run.result[0] == "limit"
    over = "20 over it: calls under way are not stopped"
    used_up = f"the token budget of task chat is used up: 120 of 100 tokens, {over}"
    assert run.result[1] == f"step second failed: {used_up}"
    events = await events_of(run.session)
    assert [event.error for event in events if isinstance(event, AgentEnd)] == [used_up]
    assert len([event for event in events if isinstance(event, ModelRequest)]) == 3


async def test_a_turn_keeps_its_agents_own_limit_where_that_is_lower(opened: Log) -> None:
    spent = stop(usage=Usage(input_tokens=30, output_tokens=10))
    policies = Policies(token_limit=50)
    agent = Agent[object](scripted(["Yes.", spent]), policies=policies)

    @task(id="chat", token_limit=100)
    async def chat(ctx: TaskContext, payload: None) -> str:
        return (await ctx.turn(agent, "Go.")).text

    run = await chat.run(opened)
    assert run.result == "Yes."
    assert (await run.session.state()).config.policies.token_limit == 50


async def test_clean_up_code_does_nothing_when_a_session_is_only_left(opened: Log) -> None:
    cleaned: list[str] = []

    @task(id="tidy")
    async def tidy(ctx: TaskContext, payload: None) -> object:
        try:
            return (await ctx.wait(await ctx.create_token(key="go"))).value
        finally:
            await ctx.step("clean", cleaned.append, "clean")

    run = await tidy.run(opened)
    assert (run.status, cleaned) == ("waiting", [])
    await run.session.decide("go", 1)
    run = await tidy.resume(run.session)
    assert (run.result, cleaned) == (1, ["clean"])

"""A budget of tokens is what a task, its turns, the models it asks and all its children may use together."""

from __future__ import annotations

import asyncio

import pytest

from eventsource.errors import ArgumentError, IllegalEventError
from eventsource.events import AbortRequest, AgentEnd, ModelRequest, StepEnd, StepStart, TaskEnd
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Usage
from eventsource.models.protocol import StreamRetry, StreamUsage
from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import Answer, call, say, stop
from eventsource.request import Request
from refold import Agent, Log, tool
from refold.cli.terminal.task import load_view, task_summary
from refold.spending import spending
from refold.tasks import StepError, TaskContext, task
from tests.refold.hands import events_of, verified

USED_UP = "the token budget of task parent is used up"


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


@tool(effect="pure")
async def look() -> str:
    """Look."""
    await asyncio.sleep(0.001)
    return "nothing yet"


def seeker(name: str = "seeker") -> Agent[object]:
    """Make an agent that would go on for ever, ten tokens a call."""

    def respond(request: Request) -> Answer:
        return [call("look"), stop("tool_use", usage=Usage(input_tokens=7, output_tokens=3))]

    return Agent[object](ScriptedModel(respond), tools=[look], name=name)


async def used_in_all(log: Log) -> int:
    infos = [await log.store.info(info.id) for info in await log.store.sessions()]
    return sum(info.input_tokens + info.output_tokens for info in infos)


async def test_children_started_together_share_what_their_parent_may_use(opened: Log) -> None:
    @task(id="parent", token_limit=100)
    async def parent(ctx: TaskContext, payload: None) -> list[str]:
        spawned = (ctx.spawn(f"n{n}", seeker(), "Look for it.") for n in range(5))
        return [str(found) for found in await asyncio.gather(*spawned, return_exceptions=True)]

    run = await parent.run(opened)
    assert 100 <= await used_in_all(opened) <= 150  # what was under way when it was used up is added
    assert isinstance(run.result, list)
    assert all(USED_UP in said for said in run.result)
    child = await opened.find(run.children["n0"])
    (asked,) = (event for event in await events_of(child) if isinstance(event, AbortRequest))
    assert (asked.reason, asked.cause, USED_UP in asked.error) == ("limit", "budget", True)
    for session in (run.session, child):
        await verified(session)


async def test_by_how_much_calls_under_way_passed_the_limit_is_said_of_a_task_that_is_done(opened: Log) -> None:
    together = asyncio.Barrier(3)

    async def meet() -> None:
        await together.wait()

    answer: Answer = [meet, say("Yes."), stop(usage=Usage(input_tokens=30))]
    model = scripted(answer, answer, answer, by="call")

    @task(id="parent", token_limit=50)
    async def parent(ctx: TaskContext, payload: None) -> list[str]:
        asked = (ctx.spawn(f"n{n}", Agent[object](model, name="slow"), "Well?") for n in range(3))
        return [str(said) for said in await asyncio.gather(*asked)]

    run = await parent.run(opened)
    assert (run.status, run.result, run.error) == ("done", ["Yes."] * 3, "")
    assert (run.tokens, run.token_limit, run.over_limit) == (90, 50, 40)
    assert "90 of 50 tokens (40 over its limit)" in task_summary(await load_view(run.session, 1_000), run)


async def test_the_words_of_a_budget_say_by_how_much_it_was_passed(opened: Log) -> None:
    model = scripted([say("Yes."), stop(usage=Usage(input_tokens=80))], by="call")

    @task(id="parent", token_limit=50)
    async def parent(ctx: TaskContext, payload: None) -> None:
        await ctx.turn(Agent[object](model), "Well?")
        await ctx.turn(Agent[object](model), "And?")

    run = await parent.run(opened)
    assert run.error.endswith(f"{USED_UP}: 80 of 50 tokens, 30 over it: calls under way are not stopped")
    assert run.over_limit == 30
    await verified(run.session)


async def test_a_budget_holds_for_children_of_children_and_for_agents_as_tools(opened: Log) -> None:
    boss = Agent[object](
        scripted([call("seeker", {"prompt": "?"}), call("seeker", {"prompt": "!"})], "done"),
        tools=[seeker().as_tool()],
        name="boss",
    )

    @task(id="middle", token_limit=1000)
    async def middle(ctx: TaskContext, payload: None) -> str:
        return (await ctx.turn(boss, "Go.")).status

    @task(id="parent", token_limit=60)
    async def parent(ctx: TaskContext, payload: None) -> object:
        found = (ctx.trigger_and_wait(middle, None, key=f"m{n}") for n in range(2))
        return await asyncio.gather(*found, return_exceptions=True)

    run = await parent.run(opened)
    assert run.status == "error" or run.result is not None
    assert 60 <= await used_in_all(opened) <= 100


async def test_what_a_child_leaves_is_its_siblings(opened: Log) -> None:
    small = Agent[object](scripted([say("x"), stop(usage=Usage(input_tokens=10))]), name="small")

    @task(id="parent", token_limit=100)
    async def parent(ctx: TaskContext, payload: None) -> int:
        await ctx.spawn("small", small, "?")
        with pytest.raises(Exception, match="used up"):
            await ctx.spawn("greedy", seeker(), "?")
        return (await ctx.trigger_and_wait(free, None)) + 1

    @task(id="free")
    async def free(ctx: TaskContext, payload: None) -> int:
        return 1

    run = await parent.run(opened)
    assert (run.status, run.result, run.tokens) == ("done", 2, 100)


async def test_a_model_that_a_task_asks_counts_in_its_usage_and_its_budget(opened: Log) -> None:
    answer: Answer = [say("Yes."), stop(usage=Usage(input_tokens=30, output_tokens=10))]
    model = scripted(answer, answer, answer, by="call")

    @task(id="parent", token_limit=80, retries=3, backoff="0s")
    async def parent(ctx: TaskContext, payload: None) -> list[AssistantMessage]:
        return [await ctx.model(model, "Well?", key=f"m{n}") for n in range(3)]

    run = await parent.run(opened)
    assert (run.status, run.attempt, run.tokens) == ("error", 1, 80)
    assert run.error == f"step m2 failed: {USED_UP}: 80 of 80 tokens"
    info = await run.session.info()
    assert (info.input_tokens, info.output_tokens) == (60, 20)
    events = await events_of(run.session)
    assert [event.model.model for event in events if isinstance(event, StepEnd) and event.model] == ["scripted"] * 2
    assert isinstance(events[-1], TaskEnd)
    with pytest.raises(IllegalEventError):
        await run.session.append([StepStart(key="m2")])
    await verified(run.session)


async def test_the_usage_of_a_model_that_was_asked_is_given_again(opened: Log) -> None:
    model = scripted([say("Yes."), stop(usage=Usage(input_tokens=30))], by="call")

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> int:
        said = await ctx.model(model, "Well?")
        await ctx.wait(await ctx.create_token(key="t"))
        return said.usage.total_tokens if said.usage is not None else 0

    run = await parent.run(opened)
    await run.session.decide("t", 1)
    assert (await parent.resume(run.session)).result == 30


@pytest.mark.parametrize("way", ["turn", "model", "spawn"])
async def test_with_a_budget_of_nothing_no_model_is_asked(opened: Log, way: str) -> None:
    model = scripted("Never.")

    @task(id="parent", token_limit=0)
    async def parent(ctx: TaskContext, payload: None) -> None:
        if way == "turn":
            await ctx.turn(Agent[object](model), "Go.")
        elif way == "model":
            await ctx.model(model, "Go.")
        else:
            await ctx.spawn("c", Agent[object](model), "Go.")

    run = await parent.run(opened)
    assert (run.status, USED_UP in run.error, model.asked) == ("error", True, [])
    await verified(run.session)


async def test_code_may_end_well_with_what_it_has_when_nothing_is_left(opened: Log) -> None:
    @task(id="parent", token_limit=30)
    async def parent(ctx: TaskContext, payload: None) -> str:
        turn = await ctx.turn(seeker(), "Look.")
        try:
            await ctx.turn(seeker(), "Look again.")
        except StepError:
            return turn.status
        return "nothing stopped it"

    run = await parent.run(opened)
    assert (run.status, run.result) == ("done", "limit")
    ends = [event for event in await events_of(run.session) if isinstance(event, AgentEnd)]
    assert [(end.reason, end.error) for end in ends] == [("limit", f"{USED_UP}: 30 of 30 tokens")]
    await verified(run.session)


async def test_a_child_that_an_earlier_process_left_waiting_counts_before_it_goes_on(opened: Log) -> None:
    @task(id="waiter")
    async def waiter(ctx: TaskContext, payload: None) -> None:
        await ctx.turn(Agent[object](scripted([say("x"), stop(usage=Usage(input_tokens=90))])), "Go.")
        await ctx.wait(await ctx.create_token(key="t"))

    @task(id="parent", token_limit=100)
    async def parent(ctx: TaskContext, payload: None) -> object:
        async def later() -> str:
            await ctx.wait(await ctx.create_token(key="go"))
            return (await ctx.turn(seeker(), "Look.")).status

        return await asyncio.gather(ctx.trigger_and_wait(waiter, None), later())

    run = await parent.run(opened)
    await run.session.decide("go", 1)
    run = await parent.resume(run.session)
    asked = [event for event in await events_of(run.session) if isinstance(event, ModelRequest)]
    assert len(asked) == 1
    assert run.status == "waiting"


async def test_a_model_that_a_task_asks_is_asked_again_where_the_call_may_be_made_again(opened: Log) -> None:
    busy: list[object] = [StreamUsage(usage=Usage(input_tokens=7)), StreamRetry(cause="busy")]
    model = scripted(busy, [say("Yes."), stop(usage=Usage(input_tokens=30))], by="call")  # type: ignore[arg-type]  # as a provider says it

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> str:
        return (await ctx.model(model, "Well?")).text

    run = await parent.run(opened)
    assert (run.result, run.tokens, len(model.asked)) == ("Yes.", 37, 2)


async def test_a_turn_counts_what_a_call_used_that_was_made_again(opened: Log) -> None:
    busy: list[object] = [StreamUsage(usage=Usage(input_tokens=7)), StreamRetry(cause="busy")]
    model = scripted(busy, [say("Yes."), stop(usage=Usage(input_tokens=30))], by="call")  # type: ignore[arg-type]  # as a provider says it

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> int:
        return (await ctx.turn(Agent[object](model), "Well?")).usage.input_tokens

    run = await parent.run(opened)
    assert (run.result, run.tokens) == (37, 37)
    (entry,) = (await spending(opened.store, run.id)).entries
    assert entry.spent.usage.input_tokens == 37


@pytest.mark.parametrize("limit", [-1, True, "9"])
def test_a_budget_that_is_none_is_refused_in_words(limit: int) -> None:
    with pytest.raises((ValueError, ArgumentError), match=r"token_limit.* a whole number"):
        task(id="odd", token_limit=limit)


async def test_a_model_that_a_task_asks_is_in_the_spending_of_its_session(opened: Log) -> None:
    model = scripted([say("Yes."), stop(usage=Usage(input_tokens=30))], by="call")

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> str:
        return (await ctx.model(model, "Well?")).text

    run = await parent.run(opened)
    (entry,) = (await spending(opened.store, run.id)).entries
    assert (entry.model, entry.spent.calls, entry.spent.usage.input_tokens) == ("scripted/scripted", 1, 30)

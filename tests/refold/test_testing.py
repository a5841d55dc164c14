"""What users test their own code with: strategies for histories, and a state machine for an agent and its tools."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase as Stage, given, settings
from hypothesis.stateful import run_state_machine_as_test

from eventsource.codec import decode, encode
from eventsource.envelope import Recorded
from eventsource.events import Event, MessageEnd
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import call
from refold import Agent, Policies, Run, ToolContext, tool
from refold.testing import agent_machine, events, histories
from refold.testing.world import During, SessionUnderTest, World

FULL = os.environ.get("REFOLD_FAULTS") == "full"
SETTINGS = settings(
    max_examples=2_000 if FULL else 40,
    stateful_step_count=40 if FULL else 15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@tool(effect="pure")
async def weather(city: str) -> str:
    """Current weather in a city."""
    return f"{city}: rain"


@tool
async def send(text: str, context: ToolContext) -> str:
    """Send a message."""
    context.update("sending")
    if text == "bad":
        raise ValueError("cannot be sent")
    return "sent"


@tool(effect="idempotent", mode="sequential")
def put(text: str) -> str:
    """Keep a text."""
    return "kept"


CALLS = (
    call("weather", {"city": "Oslo"}),
    call("send", {"text": "A coat"}),
    call("send", {"text": "bad"}),
    call("put", {"text": "x"}),
    call("weather", "{"),
    call("nowhere"),
)
AGENT: Agent[None] = Agent(scripted("Never asked."), system="Be brief.", tools=[weather, send, put])


@given(events())
def test_any_event_can_be_kept(event: Event) -> None:
    assert decode(encode(event)) == event


@given(histories())
def test_a_history_is_legal(history: tuple[Recorded, ...]) -> None:
    assert [one.seq for one in history] == list(range(1, len(history) + 1))
    assert fold(history).phase in Phase


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize(
    "policies",
    [
        Policies(),
        Policies(tools="sequential", steering_queue="all", follow_up_queue="all", retries=2),
        Policies(steering="after_batch", in_doubt="ask", partial="kept", length_calls="run", turn_limit=4),
    ],
)
def test_whatever_is_done_with_an_agent_what_must_be_true_is_true(policies: Policies) -> None:
    run_state_machine_as_test(agent_machine(AGENT.replace(policies=policies), calls=CALLS), settings=SETTINGS)


def test_what_a_user_wants_to_be_true_is_asked_of_every_run_that_ended() -> None:
    def never_sends(run: Run[object]) -> None:
        assert not any(name == "send" for answer in run.answers for name in [c.name for c in answer.tool_calls])

    machine = agent_machine(AGENT, calls=CALLS, check=never_sends)
    once = settings(SETTINGS, max_examples=200, report_multiple_bugs=False, phases=[Stage.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=once)


def test_a_tool_is_called_without_arguments_if_nobody_says_what_with() -> None:
    called: list[str] = []

    @tool(effect="pure")
    async def ping() -> str:
        """Answer."""
        called.append("ping")
        return "pong"

    made: Agent[None] = Agent(scripted("Never asked."), tools=[ping])
    run_state_machine_as_test(agent_machine(made), settings=SETTINGS)
    assert called


async def sent(world: World) -> SessionUnderTest:
    """Run a session in which a `once` tool ran."""
    branch = await world.begin()
    await world.run(branch, [["I send it. ", CALLS[1]], ["Sent."]])
    return branch


async def test_a_once_tool_that_ran_twice_is_noticed() -> None:
    world = World(AGENT)
    branch = await sent(world)
    world.ran.update(dict(world.ran))
    with pytest.raises(AssertionError, match="send, declared `once`, ran 2 times"):
        await world.judge(branch)


async def test_a_tool_that_never_ran_is_noticed() -> None:
    world = World(AGENT)
    branch = await sent(world)
    world.ran.clear()
    with pytest.raises(AssertionError, match="send has a result and never ran"):
        await world.judge(branch)


async def test_a_message_that_is_not_delivered_is_noticed() -> None:
    world = World(AGENT)
    branch = await sent(world)
    branch.said.append("hello?")
    await world.judge(branch)
    with pytest.raises(AssertionError, match="'hello\\?' was never delivered"):
        await world.judge(branch, ended=True)


async def test_a_changed_history_is_noticed() -> None:
    world = World(AGENT)
    branch = await sent(world)
    branch.seen = (*branch.seen[:3], branch.seen[4], branch.seen[3], *branch.seen[5:])
    with pytest.raises(AssertionError, match="what was recorded was changed"):
        await world.judge(branch)


async def test_another_session_that_changed_is_noticed() -> None:
    world = World(AGENT)
    branch, other = await sent(world), await world.begin()
    await other.session.label("changed behind the back")
    with pytest.raises(AssertionError, match="another session was changed"):
        await world.judge(branch)


async def test_a_run_that_did_not_end_is_noticed() -> None:
    world = World(AGENT)
    branch = await world.begin()
    await world.run(branch, [], appends=1)
    with pytest.raises(AssertionError, match="the run did not come to its end"):
        await world.judge(branch, ended=True)
    await world.resume(branch, [])
    await world.judge(branch, ended=True)


@pytest.mark.parametrize("what", list(During))
async def test_what_happens_while_a_model_answers_happens_then(what: During) -> None:
    world = World(AGENT)
    branch = await world.begin()
    await world.run(branch, [["Let me ", what, "see. ", CALLS[0]], ["Rain."]])
    tags = [str(one.event.__struct_config__.tag) for one in branch.seen]
    tag = "abort_request" if what is During.ABORT else "queue_push"
    asked, answered = tags.index("model_request"), next(n for n, one in enumerate(branch.seen) if is_answer(one))
    assert tag in tags[asked:answered]


def is_answer(recorded: Recorded) -> bool:
    return isinstance(recorded.event, MessageEnd) and recorded.event.message is not None

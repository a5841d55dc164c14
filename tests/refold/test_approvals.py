"""Calls that a person must agree to, in one process, without a worker."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.errors import (
    ArgumentError,
    DurationError,
    IllegalEventError,
    InvalidTextError,
    TokenValueError,
    ToolDefinitionError,
    WaitOverError,
)
from eventsource.events import ConfigChange, EventBase, ToolExecutionStart, WaitEnd, WaitStart
from eventsource.log import MemoryLog
from eventsource.machine.state import Phase
from eventsource.messages import ToolResultMessage
from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import call
from eventsource.runner.hooks import Hooks, ToolRequest, ToolVerdict
from refold import Agent, Log, Policies, Session, tool
from replay.replay import replay

PAID: list[int] = []


@tool(approval="always")
def pay(amount: int) -> str:
    """Pay."""
    PAID.append(amount)
    return f"paid {amount}"


@tool(approval=lambda arguments: arguments["amount"] > 100)
def pay_some(amount: int) -> str:
    """Pay; large amounts must be approved."""
    PAID.append(amount)
    return f"paid {amount}"


class Clock:
    """A clock that is set by hand."""

    now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    PAID.clear()
    return Clock()


@pytest.fixture
def log(clock: Clock) -> Log:
    ids = iter(f"s{n}" for n in range(99))
    return Log(MemoryLog(clock=clock, new_id=lambda: next(ids)), clock=clock)


def asking(*calls: tuple[str, Mapping[str, object]]) -> ScriptedModel:
    return scripted([call(name, dict(arguments)) for name, arguments in calls], "Done.", by="request")


async def results(session: Session) -> list[str]:
    found = [one.message for one in await session.messages() if isinstance(one.message, ToolResultMessage)]
    return [message.content[0].text for message in found]  # type: ignore[union-attr]  # these tools answer in text


async def replays(session: Session) -> bool:
    return (await session.replay()).difference is None


async def test_a_call_waits_until_it_is_approved(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay 7.", session=session)
    assert run.status == "waiting"
    assert [(wait.reason, wait.tool, wait.arguments) for wait in run.waits] == [("approval", "pay", {"amount": 7})]
    assert PAID == []
    assert (await agent.resume(session)).status == "waiting"
    await session.decide(run.waits[0], approve=True, decided_by="ann")
    run = await agent.resume(session)
    assert (run.status, run.text, PAID) == ("done", "Done.", [7])
    ends = [one.event for one in await session.events() if isinstance(one.event, WaitEnd)]
    assert [(end.outcome, end.decided_by) for end in ends] == [("completed", "ann")]
    assert await replays(session)


async def test_a_denied_call_tells_the_model_why(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay 7.", session=session)
    await session.decide(run.waits[0], approve=False, reason="too much")
    assert (await agent.resume(session)).status == "done"
    assert await results(session) == ["This call was denied: too much"]
    assert PAID == []
    assert await replays(session)


async def test_a_call_runs_with_the_arguments_a_person_gave_it(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 700})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    await session.decide(run.waits[0], approve=True, arguments={"amount": 70})
    await agent.resume(session)
    assert PAID == [70]
    starts = [one.event for one in await session.events() if isinstance(one.event, ToolExecutionStart)]
    assert [start.arguments for start in starts] == ['{"amount":70}']
    assert await replays(session)


WRONG: dict[str, tuple[Mapping[str, object], str]] = {
    "of another type": ({"amount": "much"}, "arguments of pay: amount: must be integer"),
    "missing": ({}, "amount: must have required property 'amount'"),
    "unknown": ({"amount": 7, "tip": 1}, "tip"),
    "not a number": ({"amount": float("nan")}, "argument 'amount'"),
    "no JSON": ({"amount": object()}, "argument 'amount'"),
    "no object": (["amount"], "arguments: expected a dict or None, found"),  # type: ignore[dict-item]  # that is the point
}


@pytest.mark.parametrize(("arguments", "problem"), WRONG.values(), ids=WRONG)
async def test_a_decision_with_wrong_arguments_is_refused_and_is_not_spent(
    log: Log, arguments: Mapping[str, object], problem: str
) -> None:
    agent = Agent[object](asking(("pay", {"amount": 700})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    with pytest.raises((TokenValueError, InvalidTextError, ArgumentError), match=re.escape(problem)):
        await session.decide(run.waits[0], approve=True, arguments=arguments)
    assert await session.waits() == run.waits
    await session.decide(run.waits[0], approve=True, arguments={"amount": 70})
    assert (await agent.resume(session)).status == "done"
    assert PAID == [70]
    assert await replays(session)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"approve": True, "arguments": {"amount": "much"}}, "amount: must be integer"),
        ({"approve": True, "arguments": [7]}, "arguments: must be an object"),
        ({"approve": False, "arguments": {"amount": 7}}, "this is a denial"),
        ({"approve": True, "argument": {"amount": 7}}, "not argument"),
        ({"approve": "yes"}, "approve=True or approve=False"),
        ("yes", "approve=True or approve=False"),
        (None, "approve=True or approve=False"),
    ],
)
async def test_through_a_token_or_by_hand_it_is_refused_as_well(log: Log, value: object, problem: str) -> None:
    agent = Agent[object](asking(("pay", {"amount": 700})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    with pytest.raises(TokenValueError, match=problem):
        await log.complete(wait.token, value)
    with pytest.raises(TokenValueError, match=problem):
        await session.append([WaitEnd(key=wait.key, outcome="completed", value=to_json(value))])
    assert await session.waits() == (wait,)


@pytest.mark.parametrize(("said", "paid"), [(True, [7]), (False, [])])
async def test_true_and_false_approve_and_deny(log: Log, said: bool, paid: list[int]) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    await log.complete(wait.token, said)
    assert (await agent.resume(session)).status == "done"
    assert paid == PAID


async def test_a_reason_or_arguments_without_a_decision_are_refused(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    with pytest.raises(TokenValueError, match="go with approve=True or approve=False"):
        await session.decide(wait, arguments={"amount": 6})
    assert await session.waits() == (wait,)


async def test_arguments_of_a_person_are_not_converted(log: Log) -> None:
    """What the log says was approved is what runs, also where a model's arguments may be converted."""
    agent = Agent[object](asking(("pay", {"amount": "700"})), tools=[pay], policies=Policies(coerce=True))
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    assert wait.arguments == {"amount": 700}
    with pytest.raises(TokenValueError, match="amount: must be integer"):
        await session.decide(wait, approve=True, arguments={"amount": "70"})
    await session.decide(wait, approve=True, arguments={"amount": 70.0})
    assert (await agent.resume(session)).status == "done"
    assert PAID == [70]
    assert await replays(session)


async def test_the_models_own_arguments_may_be_given_by_a_person(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    await session.decide(wait, approve=True, arguments={"amount": 7})
    assert (await agent.resume(session)).status == "done"
    assert PAID == [7]
    assert await replays(session)


async def test_a_denial_holds_in_a_fork_and_in_a_process_that_lacks_the_tool(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    await session.decide(wait, approve=False, reason="too much")
    fork = await session.fork()
    for one, process in ((fork, agent), (session, agent.replace(tools=[]))):
        assert (await process.resume(one)).status == "done"
        assert await results(one) == ["This call was denied: too much"]
        assert await replays(one)
    assert PAID == []


async def test_a_call_that_waits_keeps_its_rule_when_the_tool_has_another_by_then(log: Log) -> None:
    @tool(name="pay")
    def freely(amount: int) -> str:
        PAID.append(amount)
        return "paid"

    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    changed = agent.replace(tools=[freely])
    assert (await changed.resume(session)).waits == (wait,)
    fork = await session.fork()
    assert (await changed.resume(fork)).status == "waiting"
    await session.decide(wait, approve=True)
    assert (await changed.resume(session)).status == "done"
    assert PAID == [7]
    assert await replays(session)
    assert await replays(fork)


async def test_the_log_says_of_each_tool_and_start_whether_an_approval_was_needed(log: Log) -> None:
    @tool
    def look() -> str:
        return "there"

    agent = Agent[object](asking(("pay_some", {"amount": 5}), ("look", {})), tools=[pay, pay_some, look])
    session = await log.session()
    await agent.run("Pay.", session=session)
    events = [one.event for one in await session.events()]
    [change] = [event for event in events if isinstance(event, ConfigChange)]
    assert [spec.approval for spec in change.tools or ()] == ["always", "by_arguments", "never"]
    starts = [event for event in events if isinstance(event, ToolExecutionStart)]
    assert [(start.name, start.no_approval_needed) for start in starts] == [("pay_some", True), ("look", False)]
    assert await replays(session)


async def test_a_replay_sees_a_denied_call_that_was_made_to_run(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    await session.decide(wait, approve=False)
    assert wait.call is not None
    start = ToolExecutionStart(message_seq=wait.call.message_seq, content_index=wait.call.content_index, name="pay")
    with pytest.raises(IllegalEventError, match="the call was denied"):
        await session.append([start])
    history = await session.events()
    difference = replay([*history, Recorded(len(history) + 1, 0, start)]).difference
    assert difference is not None
    assert difference.seq == len(history) + 1


@pytest.mark.parametrize("what", ["decision", "start"])
@pytest.mark.parametrize("approve", [True, False])
async def test_an_approval_of_which_something_was_erased_stays_legal_and_replays(
    log: Log, what: str, approve: bool
) -> None:
    agent = Agent[object](asking(("pay", {"amount": 700})), tools=[pay])
    session = await log.session()
    [wait] = (await agent.run("Pay.", session=session)).waits
    await session.decide(wait, approve=approve, reason="well", arguments={"amount": 70} if approve else None)
    await agent.resume(session)
    wanted: dict[str, type[EventBase]] = {"decision": WaitEnd, "start": ToolExecutionStart}
    [seq] = [one.seq for one in await session.events() if isinstance(one.event, wanted[what])]
    await log.store.erase(session.id, seq, at_us=2_000_000)
    assert (await session.verify()).ok
    assert await replays(session)
    assert (await session.state()).phase is Phase.IDLE


@pytest.mark.parametrize("policies", [Policies(), Policies(tools="sequential")], ids=["parallel", "sequential"])
async def test_the_calls_of_a_batch_are_decided_one_by_one(log: Log, policies: Policies) -> None:
    model = asking(("pay", {"amount": 1}), ("pay_some", {"amount": 2}), ("pay", {"amount": 3}))
    agent = Agent[object](model, tools=[pay, pay_some], policies=policies)
    session = await log.session()
    run = await agent.run("Pay all.", session=session)
    while run.waits:
        wait = run.waits[-1]
        await session.decide(wait, approve=wait.arguments["amount"] == 3)
        run = await agent.resume(session)
    assert run.status == "done"
    assert sorted(PAID) == [2, 3]
    assert await results(session) == ["This call was denied", "paid 2", "paid 3"]
    assert await replays(session)


async def test_what_needs_no_approval_runs_while_the_others_wait(log: Log) -> None:
    agent = Agent[object](asking(("pay_some", {"amount": 1000}), ("pay_some", {"amount": 5})), tools=[pay_some])
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    assert PAID == [5]
    assert [wait.arguments for wait in run.waits] == [{"amount": 1000}]
    assert await replays(session)


@pytest.mark.parametrize(("default", "paid"), [("deny", []), ("approve", [7])])
async def test_at_the_deadline_the_default_decides(log: Log, clock: Clock, default: str, paid: list[int]) -> None:
    @tool(approval="always", approval_timeout="1h", approval_default="approve" if paid else "deny")
    def pay(amount: int) -> str:
        """Pay."""
        PAID.append(amount)
        return "paid"

    assert pay.approval.default == default
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    assert run.waits[0].deadline_us == clock.now_us + 3_600_000_000
    clock.now_us += 3_599_999_999
    assert (await agent.resume(session)).status == "waiting"
    clock.now_us += 1
    assert (await agent.resume(session)).status == "done"
    assert paid == PAID
    assert (await results(session))[0] == ("paid" if paid else "This call was denied: nobody decided in time")
    assert await replays(session)


async def test_a_call_that_changed_must_be_approved_again(log: Log) -> None:
    amounts = iter([10, 20, 20])

    def double(request: ToolRequest) -> ToolVerdict:
        return ToolVerdict(arguments=f'{{"amount":{next(amounts)}}}')

    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay], hooks=Hooks(before_tool_call=double))
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    assert run.waits[0].arguments == {"amount": 10}
    await session.decide(run.waits[0], approve=True)
    run = await agent.resume(session)
    assert run.waits[0].arguments == {"amount": 20}
    assert PAID == []
    await session.decide(run.waits[0], approve=True)
    assert (await agent.resume(session)).status == "done"
    assert PAID == [20]
    assert await replays(session)


async def test_what_a_hook_makes_of_a_persons_arguments_must_be_approved(log: Log) -> None:
    def cap(request: ToolRequest) -> ToolVerdict:
        return ToolVerdict(arguments='{"amount":50}' if '"amount":500' in request.arguments else None)

    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay], hooks=Hooks(before_tool_call=cap))
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    await session.decide(run.waits[0], approve=True, arguments={"amount": 500})
    run = await agent.resume(session)
    assert run.waits[0].arguments == {"amount": 50}
    await session.decide(run.waits[0], approve=True)
    await agent.resume(session)
    assert PAID == [50]


async def test_the_first_decision_counts(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    await session.decide(run.waits[0], approve=False)
    with pytest.raises(WaitOverError, match="completed"):
        await session.decide(run.waits[0], approve=True)
    with pytest.raises(WaitOverError, match="no wait or token"):
        await session.decide("approval:1:1:x", approve=True)


async def test_an_abort_cancels_what_waits(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    await agent.run("Pay.", session=session)
    await session.abort()
    assert (await agent.resume(session)).status == "aborted"
    assert PAID == []
    outcomes = [one.event.outcome for one in await session.events() if isinstance(one.event, WaitEnd)]
    assert outcomes == ["cancelled"]
    assert await replays(session)


async def test_a_fork_asks_for_itself(log: Log) -> None:
    agent = Agent[object](asking(("pay", {"amount": 7})), tools=[pay])
    session = await log.session()
    run = await agent.run("Pay.", session=session)
    await session.decide(run.waits[0], approve=True)
    fork = await session.fork()
    again = await agent.resume(fork)
    assert again.status == "waiting"
    assert (await agent.resume(session)).status == "done"
    await fork.decide(again.waits[0], approve=False)
    assert (await agent.resume(fork)).status == "done"
    assert PAID == [7]
    assert await replays(fork)


async def test_a_call_in_doubt_may_be_made_again_when_a_person_agrees(log: Log) -> None:
    @tool
    def send() -> str:
        """Send."""
        PAID.append(1)
        return "sent"

    agent = Agent[object](asking(("send", {})), tools=[send], policies=Policies(in_doubt="ask"))
    session = await log.session()
    await agent.run("Send.", session=session)
    start = next(one.seq for one in await session.events() if isinstance(one.event, ToolExecutionStart))
    fork = await session.fork(at=start)
    run = await agent.resume(fork)
    assert [wait.reason for wait in run.waits] == ["in_doubt"]
    await fork.decide(run.waits[0], approve=True)
    assert (await agent.resume(fork)).status == "done"
    assert PAID == [1, 1]
    assert any(isinstance(one.event, WaitStart) for one in await fork.events())


def test_an_unknown_rule_or_a_wrong_time_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="approval is always"):
        tool(approval="sometimes")(lambda: "")  # type: ignore[call-overload]  # that is the point
    with pytest.raises(DurationError, match="90s"):
        tool(approval="always", approval_timeout="soon")

"""Waits: tokens, sleep, the inbox and the loop; the first to end a wait wins, once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Raw
from pydantic import BaseModel

from eventsource.errors import TokenValueError, WaitOverError
from eventsource.events import LoopContext, QueuePush, TokenCreate, WaitEnd, WaitStart
from eventsource.log import MemoryLog, open_store
from eventsource.log.protocol import EventLog
from eventsource.models.scripted import scripted
from refold import Agent, Log, Session
from refold.tasks import InboxMessage, TaskContext, WaitEndedError, WaitResult, task
from tests.refold.hands import Clock, events_of, verified

DAY_US = 86_400_000_000
ROUNDS = 1_000 if os.environ.get("REFOLD_FAULTS") == "full" else 100


class Verdict(BaseModel):
    yes: bool
    why: str = ""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> Log:
    ids = iter(f"s{n}" for n in range(99))
    return Log(MemoryLog(clock=clock, new_id=lambda: next(ids)), clock=clock)


@task(id="ask")
async def ask(ctx: TaskContext, payload: None) -> list[object]:
    token = await ctx.create_token(key="answer", timeout="1d", tags=("human",), type=Verdict)
    result = await ctx.wait(token)
    return [result.outcome, result.ok, result.value.why if result.value else None]


async def ends_of(session: Session) -> list[str]:
    return [event.outcome for event in await events_of(session) if isinstance(event, WaitEnd)]


async def test_a_completed_token_gives_its_value(opened: Log, clock: Clock) -> None:
    run = await ask.run(opened)
    assert [(w.key, w.deadline_us, w.tags) for w in run.waits] == [("answer", clock.now_us + DAY_US, ("human",))]
    assert (await run.session.info()).due_at_us == clock.now_us + DAY_US
    await run.session.decide("answer", {"yes": True, "why": "because"}, decided_by="ann")
    assert (await ask.resume(run.session)).result == ["completed", True, "because"]
    await verified(run.session)


async def test_at_the_deadline_a_wait_ends_without_a_value(opened: Log, clock: Clock) -> None:
    run = await ask.run(opened)
    clock.now_us += DAY_US - 1
    assert (await ask.resume(run.session)).status == "waiting"
    clock.now_us += 1
    assert (await ask.resume(run.session)).result == ["timed_out", False, None]
    with pytest.raises(WaitOverError):
        await run.session.decide("answer", {"yes": True})


async def test_a_cancelled_wait_ends_without_a_value(opened: Log) -> None:
    run = await ask.run(opened)
    await run.session.decide("answer", outcome="cancelled")
    assert (await ask.resume(run.session)).result == ["cancelled", False, None]


async def test_a_value_of_another_type_is_refused_and_the_token_stays_open(opened: Log) -> None:
    run = await ask.run(opened)
    with pytest.raises(TokenValueError, match=r"answer.*yes"):
        await run.session.decide("answer", {"why": "no verdict"})
    assert (await ask.resume(run.session)).status == "waiting"


async def test_a_token_whose_type_was_erased_takes_no_value_but_ends(opened: Log) -> None:
    run = await ask.run(opened)
    (made,) = [one.seq for one in await run.session.events() if isinstance(one.event, TokenCreate)]
    await opened.store.erase(run.session.id, made, at_us=9)
    for session in (run.session, await opened.find(run.session.id)):
        with pytest.raises(TokenValueError, match="its type was erased"):
            await session.decide("answer", {"yes": True})
    await run.session.decide("answer", outcome="cancelled")
    assert (await ask.resume(run.session)).result == ["cancelled", False, None]


async def test_a_completion_before_the_wait_is_kept(opened: Log) -> None:
    @task(id="early")
    async def early(ctx: TaskContext, payload: None) -> object:
        token = await ctx.create_token(key="t")
        await opened.store.append(ctx.session, [(1, WaitEnd(key="t", outcome="completed", value=Raw(b"7")))])
        return (await ctx.wait(token)).unwrap()

    run = await early.run(opened)
    assert run.result == 7
    assert await ends_of(run.session) == ["completed"]


async def test_a_default_counts_at_the_deadline(opened: Log, clock: Clock) -> None:
    @task(id="defaulted")
    async def defaulted(ctx: TaskContext, payload: None) -> object:
        return (await ctx.wait(await ctx.create_token(timeout="1h", default="nothing"))).unwrap()

    run = await defaulted.run(opened)
    clock.now_us += 3_600_000_000
    assert (await defaulted.resume(run.session)).result == "nothing"


def test_unwrapping_says_why_there_is_no_value() -> None:
    with pytest.raises(WaitEndedError, match="k was not completed in time"):
        WaitResult[int]("k", "timed_out", False).unwrap()
    assert WaitResult[int]("k", "completed", True, 3).unwrap() == 3


async def test_sleep_ends_at_its_time_in_any_process(opened: Log, clock: Clock) -> None:
    @task(id="nap")
    async def nap(ctx: TaskContext, payload: None) -> str:
        await ctx.sleep("2h")
        await ctx.sleep_until(datetime(2030, 1, 1, tzinfo=UTC))
        return "awake"

    run = await nap.run(opened)
    assert run.waits[0].deadline_us == clock.now_us + 7_200_000_000
    clock.now_us += 7_200_000_000
    run = await nap.resume(run.session)
    assert run.waits[0].deadline_us == 1_893_456_000_000_000
    clock.now_us = 1_893_456_000_000_000
    assert (await nap.resume(run.session)).result == "awake"
    assert await ends_of(run.session) == ["timed_out", "timed_out"]


async def test_several_waits_end_in_any_order(opened: Log) -> None:
    @task(id="several")
    async def several(ctx: TaskContext, payload: None) -> object:
        tokens = [await ctx.create_token(key=key) for key in "abc"]
        return [result.value for result in await asyncio.gather(*map(ctx.wait, tokens))]

    run = await several.run(opened)
    assert {wait.key for wait in run.waits} == {"a", "b", "c"}
    for key in "cab":
        await run.session.decide(key, key.upper())
        run = await several.resume(run.session)
    assert run.result == ["A", "B", "C"]


async def test_what_comes_while_the_code_works_is_seen_at_once(log: EventLog) -> None:
    opened = Log(log)
    told = asyncio.Event()

    @task(id="busy")
    async def busy(ctx: TaskContext, payload: None) -> object:
        token = await ctx.create_token(key="go")
        done, _ = await asyncio.gather(ctx.wait(token), ctx.step("work", told.wait))
        return done.value

    run = await busy.trigger(opened)
    working = asyncio.create_task(busy.resume(run.session))
    async for recorded in run.session.follow():
        if isinstance(recorded.event, WaitStart):
            break
    await run.session.decide("go", 1)
    told.set()
    async with asyncio.timeout(60):
        assert (await working).result == 1


async def test_each_message_of_the_inbox_is_handled_once(opened: Log, clock: Clock) -> None:
    handled: list[object] = []

    @task(id="chat")
    async def chat(ctx: TaskContext, payload: None) -> int:
        count = 0
        async for message in ctx.inbox(timeout="1d"):
            await ctx.step("handle", handled.append, message.value)
            count += 1
        return count

    run = await chat.run(opened)
    for value in ("one", {"two": 2}, ["three"]):
        await run.session.send(value, key=str(value))
        await run.session.send(value, key=str(value))
    run = await chat.resume(run.session)
    await run.session.send("four")
    run = await chat.resume(run.session)
    assert handled == ["one", {"two": 2}, ["three"], "four"]
    assert set(run.steps) == {f"inbox#1/{n}/handle" for n in (1, 2, 3, 4)}
    clock.now_us += DAY_US
    assert (await chat.resume(run.session)).result == 4
    await verified(run.session)


async def test_an_agent_answers_the_messages_of_the_inbox(opened: Log) -> None:
    agent = Agent[object](scripted("Hello, Ann.", "I am fine.", by="request"))

    @task(id="chat")
    async def chat(ctx: TaskContext, payload: None) -> list[str]:
        said: list[str] = []
        async for message in ctx.inbox():
            turn = await ctx.turn(agent, message)
            said.append(turn.text)
            if len(said) == 2:
                break
        return said

    run = await chat.trigger(opened)
    await run.session.send("I am Ann.")
    run = await chat.resume(run.session)
    assert run.status == "waiting"
    await run.session.send("How are you?")
    run = await chat.resume(run.session)
    assert run.result == ["Hello, Ann.", "I am fine."]
    told = [message.message for message in await run.session.messages()]
    assert [getattr(message, "text", None) or getattr(message, "content", None) for message in told] == [
        "I am Ann.", "Hello, Ann.", "How are you?", "I am fine.",
    ]  # fmt: skip
    pushes = [event for event in await events_of(run.session) if isinstance(event, QueuePush)]
    assert [push.queue for push in pushes] == ["inbox", "inbox"]
    await verified(run.session)


@dataclass
class Chat:
    messages: list[str]


def make_loop(steps: list[int]) -> Any:
    @task(id="loop")
    async def looped(ctx: TaskContext, payload: None) -> object:
        async def step(context: Chat, iteration: int) -> Chat:
            steps.append(iteration)
            said = await ctx.step("answer", lambda: f"answer {iteration}")
            return Chat([*context.messages, said])

        def on_message(context: Chat, message: str) -> Chat:
            return Chat([*context.messages, message])

        return await ctx.loop(Chat(["hello"]), step, on_message, timeout="1d", message=str)

    return looped


async def test_the_loop_goes_on_from_its_last_context(opened: Log, clock: Clock) -> None:
    steps: list[int] = []
    looped = make_loop(steps)
    run = await looped.run(opened)
    for n in (2, 3):
        await run.session.send(f"message {n}")
        run = await make_loop(steps).resume(run.session)
    assert steps == [1, 2, 3]
    clock.now_us += DAY_US
    run = await looped.resume(run.session)
    assert run.result == {
        "messages": ["hello", "answer 1", "message 2", "answer 2", "message 3", "answer 3"],
    }
    assert steps == [1, 2, 3]
    patches = [bytes(event.patch) for event in await events_of(run.session) if isinstance(event, LoopContext)]
    assert b"hello" in patches[0]
    assert patches[1] == (
        b'[{"op":"add","path":"/messages/-","value":"message 2"},{"op":"add","path":"/messages/-","value":"answer 2"}]'
    )
    await verified(run.session)


async def test_a_step_of_the_loop_that_broke_off_keeps_what_it_did(opened: Log) -> None:
    asked: list[str] = []
    broken = [True]

    @task(id="loop", retries=1, backoff="0s")
    async def looped(ctx: TaskContext, payload: None) -> object:
        async def step(context: list[str], iteration: int) -> list[str]:
            await ctx.step("first", lambda: asked.append("first"))
            if broken.pop() if broken else False:
                raise RuntimeError("broke")
            return [*context, "second"]

        def add(context: list[str], message: object) -> list[str]:
            return [*context, str(message)]

        start: list[str] = []
        return await ctx.loop(start, step, add, timeout="1d")

    run = await looped.run(opened)
    run = await looped.resume(run.session)
    assert (run.status, run.attempt, asked) == ("waiting", 2, ["first"])


async def test_a_message_that_nobody_waits_for_stays(opened: Log) -> None:
    @task(id="deaf")
    async def deaf(ctx: TaskContext, payload: None) -> str:
        return "done"

    run = await deaf.trigger(opened)
    await run.session.send("anybody?")
    run = await deaf.resume(run.session)
    assert run.status == "done"
    assert (await run.session.info()).status == "idle"
    assert [push.queue for push in (await run.session.state()).queue] == ["inbox"]


def test_a_message_is_known_by_what_was_sent() -> None:
    from refold.inbox_message import as_message

    for value in ("text", {"a": 1}, [1, 2], 7, None):
        assert InboxMessage(1, as_message(value)).value == value


@pytest.mark.slow
@pytest.mark.faults
async def test_of_completion_and_deadline_one_wins(tmp_path: Any) -> None:
    """Two opened logs of one file race: a person completes the token, the runner ends it."""
    clock, path = Clock(), tmp_path / "log.db"

    @task(id="race")
    async def race(ctx: TaskContext, payload: None) -> str:
        return (await ctx.wait(await ctx.create_token(key="t", timeout="1h"))).outcome

    async def complete(session: Session, delay_s: float) -> bool:
        await asyncio.sleep(delay_s)
        try:
            await session.decide("t", "value")
        except WaitOverError:
            return False
        return True

    async with open_store(path, clock=clock) as one, open_store(path, clock=clock) as two:
        wins, delay_s = {"completed": 0, "timed_out": 0}, 0.005
        for _ in range(ROUNDS):
            run = await race.run(Log(one, clock=clock))
            clock.now_us += 3_600_000_000
            other = await Log(two, clock=clock).find(run.id)
            ended, completed = await asyncio.gather(race.resume(run.session), complete(other, delay_s))
            ends = await ends_of(run.session)
            assert len(ends) == 1
            assert ended.result == ends[0]
            assert completed == (ends[0] == "completed")
            wins[ends[0]] += 1
            delay_s *= 2 if completed else 0.5  # so that the other may win next, however fast this machine is
        assert min(wins.values()) > 0, "one always won: this was no race"

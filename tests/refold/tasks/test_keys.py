"""An empty key names nothing, and is refused in words wherever one is given, before anything is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from eventsource.errors import ArgumentError
from refold import Agent, Log, open_log
from refold.tasks import TaskContext, task
from refold.testing import scripted

REFUSED = "key: expected a text that is not empty, found an empty one; give a text that names nothing else here"


@task(id="greet")
async def greet(ctx: TaskContext, payload: None) -> str:
    return "hello"


AGENT = Agent[object](scripted("Hello."))
Asked = Callable[[TaskContext], Awaitable[object]]


async def _batch(ctx: TaskContext) -> object:
    return await ctx.batch_trigger_and_wait(greet, [None], key="")


async def _name(ctx: TaskContext) -> object:
    return ctx.idempotency_key("")


@pytest.mark.parametrize(
    ("where", "ask"),
    [
        ("step", lambda ctx: ctx.step("", list, retries=1)),
        ("token", lambda ctx: ctx.create_token(key="")),
        ("sleep", lambda ctx: ctx.sleep("1s", key="")),
        ("turn", lambda ctx: ctx.turn(AGENT, "Hi.", key="")),
        ("child", lambda ctx: ctx.spawn("", AGENT, "Hi.")),
        ("greet", lambda ctx: ctx.trigger_and_wait(greet, None, key="")),
        ("trigger greet", lambda ctx: ctx.trigger(greet, None, key="")),
        ("TaskContext.batch_trigger_and_wait", _batch),
        ("TaskContext.idempotency_key", _name),
    ],
)
async def test_an_empty_key_ends_a_task_in_words_and_records_nothing(where: str, ask: Asked) -> None:
    @task(id="asks")
    async def asks(ctx: TaskContext, payload: None) -> None:
        await ask(ctx)

    async with open_log() as log:
        run = await asks.run(log)
        assert (run.status, run.error) == ("error", f"{where}: {REFUSED}")
        assert (run.steps, run.children, run.waits) == ({}, {}, ())


async def _trigger(log: Log) -> None:
    await greet.trigger(log, key="")


async def _steer(log: Log) -> None:
    await (await log.session("oslo")).steer("Hurry.", key="")


async def _run(log: Log) -> None:
    await AGENT.run("Hi.", session=await log.session("oslo"), key="")


@pytest.mark.parametrize("say", [_trigger, _steer, _run])
async def test_an_empty_key_of_what_is_said_or_started_is_refused(say: Callable[[Log], Awaitable[None]]) -> None:
    async with open_log() as log:
        with pytest.raises(ArgumentError, match="key: expected a text that is not empty"):
            await say(log)
        assert not [one for one in await log.store.sessions() if one.head]

"""Conversations for workers that are killed: with waits, approvals, children, retries; what each comes to is known."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import call
from refold import Agent, ToolContext, tool
from refold.tasks import StepError, TaskContext, task

FOLDER = Path(os.environ.get("CONVERSATIONS", "."))
MESSAGES = ("one", "two", "three")


def note(name: str, line: str) -> None:
    """Leave a line outside of the log, so that what really ran is known."""
    file = os.open(FOLDER / name, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


async def work(name: str) -> str:
    """Take a moment, in which the process may end."""
    await asyncio.sleep(random.uniform(0.001, 0.05))
    return name


@tool(approval="always")
async def pay(amount: int, context: ToolContext) -> str:
    """Pay, never twice."""
    note("paid", context.call.idempotency_key)
    await asyncio.sleep(random.uniform(0.001, 0.03))
    return f"paid {amount}"


payer = Agent[object](scripted([call("pay", {"amount": 3})], "Done.", by="request"), tools=[pay], name="payer")
talker = Agent[object](scripted("First.", "Second.", "Third.", by="request"), name="talker")


@task(id="chat")
async def chat(ctx: TaskContext, payload: None) -> list[object]:
    said: list[object] = []
    async for message in ctx.inbox(timeout="1h"):
        await ctx.step("read", work, str(message.value))
        said += [message.value, (await ctx.turn(talker, message)).text]
        if len(said) == 2 * len(MESSAGES):
            break
    return said


@task(id="approve")
async def approve(ctx: TaskContext, payload: None) -> str:
    await ctx.step("before", work, "before")
    turn = await ctx.turn(payer, "Pay 3.")
    await ctx.step("after", work, "after")
    return turn.text


@task(id="leaf", payload=int, retries=2, backoff="10ms")
async def leaf(ctx: TaskContext, number: int) -> int:
    await ctx.step("work", work, f"leaf {number}")
    if ctx.attempt < 3:
        raise RuntimeError("not yet")
    return number * number


@task(id="apart", payload=int, queue="squares")
async def apart(ctx: TaskContext, number: int) -> int:
    await ctx.step("work", work, f"apart {number}")
    return number * number


@task(id="tree")
async def tree(ctx: TaskContext, payload: None) -> list[object]:
    squares = await ctx.batch_trigger_and_wait(leaf, [1, 2, 3])
    squares.append(await ctx.trigger_and_wait(apart, 4))
    said = await ctx.spawn("payer", payer, "Pay 3.")
    return [*squares, said]


@task(id="wait")
async def wait(ctx: TaskContext, payload: None) -> list[object]:
    token = await ctx.create_token(key="answer", timeout="1h")
    await ctx.step("ask", work, "ask")
    answer = (await ctx.wait(token)).value
    await ctx.sleep("20ms")
    try:
        await ctx.step("fails", fail, retries=1, backoff="1ms")
    except StepError:
        return [answer, "failed twice"]
    return []


async def fail() -> None:
    await work("fail")
    raise ValueError("as it should")


EXPECTED: dict[str, object] = {
    "chat": ["one", "First.", "two", "Second.", "three", "Third."],
    "approve": "Done.",
    "tree": [1, 4, 9, 16, "Done."],
    "wait": ["yes", "failed twice"],
}
KINDS = (chat, approve, tree, wait)


@task(id="naps")
async def naps(ctx: TaskContext, payload: None) -> str:
    await ctx.sleep("2s")
    return "rested"


@task(id="held")
async def held(ctx: TaskContext, payload: None) -> str:
    return await ctx.step("work", hold)


async def hold() -> str:
    """Say who runs this, and go on when told to."""
    note("began", str(os.getpid()))
    while not (FOLDER / "go").exists():
        await asyncio.sleep(0.01)
    return "done"

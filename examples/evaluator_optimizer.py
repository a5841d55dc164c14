"""Evaluator and optimizer, as three tasks: one writes, one judges, one goes round until the judge is content."""

import asyncio

from refold import Agent, TaskContext, open_log, task
from refold.testing import scripted

writer = Agent(scripted("Our coats are coats.", "Our coats keep Oslo out."), system="You write slogans.")
judge = Agent(scripted("Too dull.", "Good."), system="Judge a slogan. Say Good, or what is wrong.")


@task(id="generate", payload=str)
async def generate(ctx: TaskContext, wish: str) -> str:
    return (await ctx.turn(writer, wish)).text


@task(id="evaluate", payload=str)
async def evaluate(ctx: TaskContext, slogan: str) -> str:
    return (await ctx.turn(judge, slogan)).text


@task(id="improve", payload=str)
async def improve(ctx: TaskContext, wish: str) -> str:
    slogan = await ctx.trigger_and_wait(generate, wish, key="first")
    for round_ in range(5):
        if (said := await ctx.trigger_and_wait(evaluate, slogan, key=f"judge {round_}")) == "Good.":
            break
        slogan = await ctx.trigger_and_wait(generate, f"{wish} Not {slogan!r}: {said}", key=f"again {round_}")
    return slogan


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        run = await improve.run(log, "A slogan for coats.")
        print(run.status, run.result, list(run.children))


if __name__ == "__main__":
    asyncio.run(main())

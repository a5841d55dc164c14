"""An agent that promises to look again tomorrow, and does: between the two nothing runs."""

import asyncio

from refold import Agent, TaskContext, open_log, task
from refold.testing import scripted

agent = Agent(scripted("Rain today. I will look again tomorrow.", "Sun today: no coat.", by="request"))


@task(id="watch", payload=str)
async def watch(ctx: TaskContext, city: str) -> str:
    await ctx.turn(agent, f"How is {city}?")
    await ctx.sleep("1d")
    return (await ctx.turn(agent, f"A day has passed, it is {ctx.now():%A}. How is {city} now?")).text


class Clock:
    now_us = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now_us


async def main(path: str | None = None) -> None:
    clock = Clock()
    async with open_log(path, clock=clock) as log:
        run = await watch.run(log, "Oslo")
        print(run.status, [wait.reason for wait in run.waits])
        clock.now_us += 86_400_000_000  # a worker would have slept: `refold worker tomorrow`
        print((await watch.resume(run.session)).result)


if __name__ == "__main__":
    asyncio.run(main())

"""Routing: a small model says what kind of question it is, an agent for that kind answers it."""

import asyncio
from typing import Literal

from pydantic import BaseModel

from refold import Agent, TaskContext, open_log, task
from refold.testing import scripted


class Route(BaseModel):
    to: Literal["weather", "clothes"]


router = Agent(scripted('{"to": "clothes"}'), system="Which expert should answer?", output=Route)
EXPERTS = {
    "weather": Agent(scripted("12 C, rain."), name="weather", system="You know the weather."),
    "clothes": Agent(scripted("Take a coat."), name="clothes", system="You know what to wear."),
}


@task(id="answer", payload=str)
async def answer(ctx: TaskContext, question: str) -> str:
    route = (await ctx.turn(router, question)).output
    return await ctx.spawn("expert", EXPERTS[route.to], question)


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        run = await answer.run(log, "What do I wear in Oslo?")
        print(run.result, run.children)


if __name__ == "__main__":
    asyncio.run(main())

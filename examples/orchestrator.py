"""An orchestrator and its workers: one agent plans, others work side by side, one puts it together."""

import asyncio

from refold import Agent, TaskContext, open_log, task
from refold.testing import scripted

planner = Agent(scripted('["weather", "food", "museums"]'), system="Name the parts, as JSON.", output=list[str])
worker = Agent(scripted("Rain.", "Fish.", "Munch."), name="worker")
editor = Agent(scripted("Oslo: rain, fish and the Munch museum."), name="editor", system="Put it together.")


@task(id="guide", payload=str, token_limit=1_000_000)
async def guide(ctx: TaskContext, city: str) -> str:
    plan = (await ctx.turn(planner, f"A guide to {city}")).output
    ctx.metadata.set("parts", plan)
    parts = await asyncio.gather(*(ctx.spawn(part, worker, f"{part} of {city}") for part in plan))
    return await ctx.spawn("put together", editor, "\n".join(parts))


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        run = await guide.run(log, "Oslo")
        print(run.result, run.metadata, len(run.children))


if __name__ == "__main__":
    asyncio.run(main())

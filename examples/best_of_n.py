"""The best of several answers: forks of one session answer side by side, the session adopts the best."""

import asyncio

from refold import Agent, open_log
from refold.testing import scripted

ANSWERS = ("A coat.", "A rain coat, and boots.", "Nothing.")


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        session = await log.session("oslo")
        await Agent(scripted("Rain, 12 C.")).run("How is the weather in Oslo?", session=session)
        forks = [await session.fork(title=f"answer {n}") for n in range(3)]
        agents = [Agent(scripted(answer)) for answer in ANSWERS]  # or one agent, three temperatures
        runs = await asyncio.gather(
            *(agent.run("What do I wear?", session=fork) for agent, fork in zip(agents, forks, strict=True))
        )
        best = max(range(3), key=lambda n: len(runs[n].text))  # or a judge
        await session.adopt((await forks[best].messages())[-2:], from_=forks[best])
        for message in await session.messages():
            print(message.seq, message.message)


if __name__ == "__main__":
    asyncio.run(main())

"""A chat in which a person must agree before money moves: in one process, without a worker."""

import asyncio

from refold import Agent, open_log, tool
from refold.testing import call, scripted


@tool(approval=lambda arguments: arguments["amount"] > 100, approval_timeout="1d")
def refund(order: str, amount: int) -> str:
    """Give money back."""
    return f"{amount} given back for {order}"


CALLS = [call("refund", {"order": "17", "amount": 20}), call("refund", {"order": "18", "amount": 900})]
agent = Agent(scripted(CALLS, "Both are settled.", by="request"), tools=[refund])


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        session = await log.session("support")
        run = await agent.run("Refund 17 and 18, please.", session=session)
        while run.status == "waiting":  # the process may end here; `refold waits` shows what is asked
            for wait in run.waits:
                print("may I?", wait.tool, dict(wait.arguments))
                await session.decide(wait, approve=True, arguments={**wait.arguments, "amount": 90}, decided_by="ann")
            run = await agent.resume(session)
        print(run.status, run.text)


if __name__ == "__main__":
    asyncio.run(main())

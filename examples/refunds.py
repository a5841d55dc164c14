"""A support agent that refunds the wrong order, and the one that does not: the bug of the README. No key needed."""

import asyncio
import json

from refold import Agent, open_log, tool
from refold.testing import call, scripted

ORDERS = [{"order": "A-17", "bought": "2026-03-02", "usd": 480}, {"order": "B-42", "bought": "2026-11-20", "usd": 35}]


@tool(name="orders", effect="pure")
def orders_as_stored(customer: str) -> str:
    """A customer's orders, newest first."""
    return json.dumps(ORDERS)  # the bug: they are stored oldest first


@tool(name="orders", effect="pure")
def newest_first(customer: str) -> str:
    """A customer's orders, newest first."""
    return json.dumps(sorted(ORDERS, key=lambda order: order["bought"], reverse=True))


@tool(effect="once")
def refund(order: str) -> str:
    """Pay an order back."""
    return f"{order} is refunded"


def clerk(request):
    """Answer as a model might that takes the tool at its word; a real one has a name."""
    last = request.messages[-1]
    match getattr(last, "tool_name", None):
        case "orders":
            newest = json.loads(last.content[0].text)[0]
            return ["I refund the newest order. ", call("refund", {"order": newest["order"]})]
        case "refund":
            return f"Done: {last.content[0].text}."
        case _:
            return ["Let me look. ", call("orders", {"customer": "ada"})]


agent = Agent(scripted(clerk), system="You are the shop's support.", tools=[orders_as_stored, refund])
fixed = agent.replace(tools=[newest_first, refund])


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        for name, one in (("shop", agent), ("mended", fixed)):
            run = await one.run("Please refund my last order. Ada", session=await log.session(name))
            print(name, run.text)


if __name__ == "__main__":
    asyncio.run(main())

"""Your own loop, our log: a hand-written agent loop whose every step becomes an event."""

import asyncio

from refold import AssistantMessage, TextContent, ToolCall, open_log

TOOLS = {"weather": lambda city: f"12 C and rain in {city}"}


async def call_model(results: list[str]) -> AssistantMessage:
    """Stand for a call of your own client."""
    if results:
        return AssistantMessage(content=(TextContent(text=f"Take a coat: {results[-1]}."),))
    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Oslo"}')
    return AssistantMessage(content=(call,), stop_reason="tool_use")


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        async with log.record("oslo", model="gpt-5") as rec:
            await rec.user("Do I need a coat in Oslo?")
            results: list[str] = []
            while True:
                async with rec.model() as reply:  # the intent is on disk before the call
                    reply.message(await call_model(results))
                if not reply.calls:
                    break
                for call in reply.calls:
                    async with rec.tool(call) as execution:
                        results.append(TOOLS[call.name](**call.arguments))
                        execution.result(results[-1])

        session = await log.find("oslo")
        for message in await session.messages():
            print(message.seq, message.message)
        print(await session.replay())
        print(await session.verify())


if __name__ == "__main__":
    asyncio.run(main())

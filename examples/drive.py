"""Drive the machine yourself: ask what comes next, do it, append what came of it."""

import asyncio

from msgspec import Raw

from eventsource import CallModel, CallRun, Record, RunTools, request_sha256
from refold import (
    AssistantMessage,
    ConfigChange,
    MessageEnd,
    MessageStart,
    ModelRef,
    ModelRequest,
    QueuePush,
    Request,
    Session,
    TextContent,
    ToolCall,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    ToolSpec,
    UserMessage,
    open_log,
)

CONFIG = ConfigChange(
    model=ModelRef(api="mine", provider="me", model="parrot"),
    tools=(ToolSpec(name="weather", schema=Raw(b'{"type":"object"}'), effect="pure"),),
)


def answer(request: Request) -> AssistantMessage:
    """Stand for a model: it asks for the weather once, then answers."""
    if isinstance(request.messages[-1], UserMessage):
        return AssistantMessage(content=(ToolCall(id="1", name="weather"),), stop_reason="tool_use")
    return AssistantMessage(content=(TextContent(text="Take a coat."),))


async def run_tool(session: Session, call: CallRun) -> None:
    seq, index = call.place.message_seq, call.place.content_index
    start = ToolExecutionStart(message_seq=seq, content_index=index, name=call.name, attempt=call.attempt)
    await session.append([start])  # on disk before the tool runs
    result = ToolResult(content=(TextContent(text="12 C, rain"),))
    await session.append([ToolExecutionEnd(message_seq=seq, content_index=index, result=result)])


async def main(path: str | None = None) -> None:
    async with open_log(path) as log:
        session = await log.session("oslo")
        await session.append([CONFIG, QueuePush(queue="prompt", message=UserMessage(content="A coat?"))])
        while True:
            match await session.next_step():
                case Record(events=events):
                    await session.append(events)
                case CallModel(attempt=attempt):
                    request = await session.request()
                    await session.append([ModelRequest(attempt=attempt, request_sha256=request_sha256(request))])
                    reply = answer(request)
                    await session.append([MessageStart(role="assistant", streamed=False), MessageEnd(message=reply)])
                case RunTools(calls=calls):
                    for call in calls:
                        await run_tool(session, call)
                case _:
                    break
        for recorded in await session.events():
            print(recorded.seq, recorded.event)
        print(await session.replay())


if __name__ == "__main__":
    asyncio.run(main())

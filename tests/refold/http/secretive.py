"""A session that holds unusual texts wherever results of tools, images and thinking can stand."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from eventsource.log.memory import MemoryLog
from eventsource.messages import ImageContent, Message, TextContent, ToolResultMessage, UserMessage
from eventsource.models.scripted.script import Answer, retry, think
from eventsource.runner.hooks import Hooks, ToolRequest, ToolVerdict
from eventsource.tools.results import tool_result
from eventsource.values import ToolResult
from refold import Agent, CompactionPolicy, Log, Session, tool
from refold.testing import ScriptedModel, call, scripted, stop
from replay.omitting import Omitted

RESULTS = (
    "qzwxresultread",
    "qzwxdetail",
    "qzwxresultboom",
    "qzwxchildanswer",
    "qzwxblocked",
    "qzwxreplaced",
    "qzwxhook",
)
IMAGES = ("cXp3eGltYWdlb25l", "cXp3eGltYWdldHdv")
THINKING = ("qzwxthought", "qzwxsignature", "qzwxredacted", "qzwxcallsign", "qzwxchildthought")
TEXTS: dict[Omitted, tuple[str, ...]] = {"results": RESULTS, "images": IMAGES, "thinking": THINKING}
"""What stands in the session, by what it is; no text holds another."""
WORDS = ("What does the file say?", "qzwxargument", "qzwxanswer", "qzwxsummary")
"""What people and models say in it."""


def picture(data: str) -> ImageContent:
    return ImageContent(data=data, media_type="image/png")


@tool(effect="pure")
def read(path: str) -> ToolResult:
    """Read a file."""
    return tool_result(RESULTS[0], picture(IMAGES[0]), details={"more": RESULTS[1]})


@tool(effect="pure")
def boom(path: str) -> str:
    """Fail."""
    raise ValueError(RESULTS[2])


async def secretive(store: MemoryLog, name: str = "secretive") -> Session:
    """Record it: parallel calls, one fails, one is blocked, one starts an agent; edits, a hook, a compaction."""
    log = Log(store, clock=lambda: 7)
    session = await log.session(name)
    thinks = think(THINKING[0][:5], THINKING[0][5:], signature=THINKING[1])
    asks: Answer = [
        thinks,
        think(signature=THINKING[2], redacted=True),
        call("read", {"path": "qzwxargument"}, signature=THINKING[3]),
        call("boom", {"path": "b"}),
        call("helper", {"prompt": "Look."}),
        call("read", {"path": "blocked"}),
        stop("tool_use"),
    ]
    helper: Agent[None] = Agent(scripted([think(THINKING[4]), RESULTS[3]]), name="helper", system="Help.")
    hooks = Hooks(before_tool_call=blocks)
    agent: Agent[None] = Agent(
        ScriptedModel([asks, [retry("overloaded")], "qzwxanswer"]),
        system="Be brief.",
        tools=[read, boom, helper.as_tool()],
        hooks=hooks,
    )
    await agent.run(UserMessage(content=(TextContent(text=WORDS[0]), picture(IMAGES[1]))), session=session)
    results = [one for one in await session.messages() if isinstance(one.message, ToolResultMessage)]
    await session.replace(results[0], RESULTS[5])
    again = Hooks(transform_context=hooked)
    await Agent(ScriptedModel([[thinks, "qzwxanswer"]]), system="Be brief.", hooks=again).run("And?", session=session)
    policy = CompactionPolicy(model=scripted([think(THINKING[0]), "qzwxsummary"]), keep_tokens=1)
    await Agent(scripted("unused"), compaction=policy).compact(session)
    await Agent(ScriptedModel([[thinks, "qzwxanswer"]]), system="Be brief.").run("At last?", session=session)
    return session


def blocks(asked: ToolRequest) -> ToolVerdict | None:
    return ToolVerdict(block=True, reason=RESULTS[4]) if "blocked" in str(asked.arguments) else None


def hooked(said: Sequence[Message]) -> list[Message]:
    """Let a model read something else as the results of tools."""
    content = (TextContent(text=RESULTS[6]),)
    return [replace(one, content=content) if isinstance(one, ToolResultMessage) else one for one in said]

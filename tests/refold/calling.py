"""Calling a tool in a test, as a run does: arguments are checked, updates are kept, whatever comes is an outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from eventsource.events import Place, ToolResult
from eventsource.messages import TextContent
from eventsource.tools.context import RunningCall, ToolContext, idempotency_key
from eventsource.tools.results import ToolOutcome
from eventsource.tools.tool import Tool

_PLACE = Place(message_seq=7, content_index=0)


def text_of(result: ToolResult) -> str:
    """Give the text of a result."""
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


class Caller:
    """Calls tools by name; what they report is kept, and `stop` asks them to end."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.tools = {tool.spec.name: tool for tool in tools}
        self.stop = asyncio.Event()
        self.reported: list[ToolResult] = []

    async def outcome(self, name: str, /, **arguments: object) -> ToolOutcome:
        """Call a tool; give its outcome."""
        call = RunningCall(place=_PLACE, id="c1", name=name, idempotency_key=idempotency_key("s1", _PLACE))
        context = ToolContext(deps=None, call=call, session="s1", signal=self.stop, report=self.reported.append)
        tool = self.tools[name]
        return await tool.execute(tool.prepare(json.dumps(arguments), coerce=False), context)

    async def good(self, name: str, /, **arguments: object) -> str:
        """Call a tool that must succeed; give its text."""
        outcome = await self.outcome(name, **arguments)
        assert not outcome.is_error, text_of(outcome.result)
        return text_of(outcome.result)

    async def bad(self, name: str, /, **arguments: object) -> str:
        """Call a tool that must fail; give what it says."""
        outcome = await self.outcome(name, **arguments)
        assert outcome.is_error, text_of(outcome.result)
        return text_of(outcome.result)

"""Exchanges in the words that clients send, each with the answer that is wanted, past a recorder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from eventsource.events import ModelRef
from eventsource.messages import AssistantMessage, TextContent, ToolCall, Usage
from eventsource.models.secrets import Secrets
from refold.http import ProxyRecorder
from refold.http.proxy.recorder import Call
from refold.http.wires.answers import as_updates
from refold.http.wires.client_name import read_client_name
from refold.http.wires.protocol import JsonObject
from refold.http.wires.routes import WIRES

USAGE = Usage(input_tokens=1_000, output_tokens=100)


def told(*parts: str | ToolCall) -> AssistantMessage:
    """Make an answer of texts and calls."""
    content = tuple(TextContent(text=one) if isinstance(one, str) else one for one in parts)
    stop = "tool_use" if any(isinstance(one, ToolCall) for one in parts) else "stop"
    return AssistantMessage(content=content, stop_reason=stop, usage=USAGE)  # type: ignore[arg-type]  # one of the two


async def pass_by(
    recorder: ProxyRecorder,
    api: str,
    path: str,
    body: JsonObject,
    answer: AssistantMessage,
    headers: Mapping[str, str] = {},  # never changed
) -> None:
    """Let one exchange pass by, streamed, and wait until it is on record."""
    wire = WIRES[api]
    asked = wire.read(path, body, "")

    def read() -> Call:
        ref = ModelRef(api=api, provider="anthropic", model="claude-sonnet-4-5")
        name = read_client_name(headers, body)
        return Call(asked=asked, ref=ref, body_sha256="0" * 64, secrets=Secrets(), client=name)

    answerer = wire.answerer(asked, answer)
    objects = [*answerer.start(), *(one for update in as_updates(answer) for one in answerer.update(update))]
    buffer = recorder.begin(read, f"POST {path}")
    buffer.begin(200, "")
    buffer.piece(wire.frame([*objects, *answerer.end(answer)], "events", first=True) + wire.closing("events"))
    await asyncio.sleep(0)
    buffer.end()
    await recorder.close()


class ClaudeCode:
    """Talks as Claude Code 2.1 does: its session in the metadata and in a header, reminders before the first prompt."""

    def __init__(self, recorder: ProxyRecorder, session: str = "880af98d-10ee-405f-b5b7-c6becc09cb3f") -> None:
        self.recorder, self.session = recorder, session

    async def ask(
        self, messages: Sequence[JsonObject], answer: AssistantMessage, *, agent: str = "", system: str = "You are it."
    ) -> list[JsonObject]:
        """Ask with a history. Returns: the history with the answer."""
        user_id = f'{{"device_id":"0e63","account_uuid":"","session_id":"{self.session}"}}'
        body: JsonObject = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 64000,
            "metadata": {"user_id": user_id},
            "system": [{"type": "text", "text": system}],
            "tools": [{"name": "Bash", "description": "Run.", "input_schema": {"type": "object"}}],
            "messages": list(messages),
            "stream": True,
        }
        headers = {"user-agent": "claude-cli/2.1.197 (external, sdk-cli)", "x-claude-code-session-id": self.session}
        if agent:
            headers["x-claude-code-agent-id"] = agent
        await pass_by(self.recorder, "anthropic-messages", "/v1/messages", body, answer, headers)
        return [*messages, said_back(answer)]


def said_back(answer: AssistantMessage) -> JsonObject:
    """Write an answer as Claude Code sends it back."""
    blocks: list[JsonObject] = []
    for block in answer.content:
        if isinstance(block, TextContent):
            blocks.append({"type": "text", "text": block.text})
        elif isinstance(block, ToolCall):
            blocks.append({"type": "tool_use", "id": block.id, "name": block.name, "input": arguments(block)})
    return {"role": "assistant", "content": blocks}


def arguments(call: ToolCall) -> Any:
    """Read a call's arguments."""
    return json.loads(call.arguments or "{}")


def first(text: str) -> JsonObject:
    """Write a first prompt, behind a reminder."""
    reminder = "<system-reminder>\nAs you answer, you can use this context:\nToday's date.\n</system-reminder>"
    return {"role": "user", "content": [{"type": "text", "text": reminder}, {"type": "text", "text": text}]}


def prompt(text: str) -> JsonObject:
    """Write a prompt."""
    return {"role": "user", "content": text}


def results(*pairs: tuple[str, str], more: str = "") -> JsonObject:
    """Write results by the ids of their calls, and perhaps a text behind them."""
    blocks: list[JsonObject] = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in pairs]
    return {"role": "user", "content": [*blocks, *([{"type": "text", "text": more}] if more else [])]}

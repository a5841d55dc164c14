"""A client, a proxy and a provider made of a script, and what a log then says of the sessions that passed by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from eventsource.messages import AssistantMessage, Message, ToolResultMessage, Usage, UserMessage
from eventsource.models.scripted.script import Answer, call, stop, think
from refold import Session, open_log
from refold.http import Behaviour, ProxyRecorder, Replaying, Script, ScriptServer, Upstreams, proxying, serving
from refold.log import Log

KEY = "sk-test-0123456789"
USAGE = Usage(input_tokens=20, output_tokens=9, cache_read_tokens=5)
ANSWERS: list[Answer] = [
    [
        think("Hm.", signature="c2ln"),
        "Let me ",
        "look.",
        call("weather", {"city": "Oslo"}, deltas=('{"city', '":"Oslo"}')),
    ],
    ["It ", "rains.", stop(usage=USAGE)],
    ["Goodbye."],
]


def script(answers: Sequence[Answer] = ANSWERS, *behaviours: Behaviour) -> ScriptServer:
    return ScriptServer(Script(answers=answers, behaviours=behaviours))


class Setup:
    """A client of the proxy, the log behind it, and what was lost."""

    def __init__(self, url: str, log: Log, recorder: ProxyRecorder, lost: list[str]) -> None:
        self.url, self.log, self.recording, self.lost = url, log, recorder, lost
        self.client = httpx.AsyncClient(base_url=url, timeout=60, headers={"authorization": f"Bearer {KEY}"})

    async def say(self, *messages: object, **more: object) -> dict[str, Any]:
        """Ask over Chat Completions; give the answer as a message of the history."""
        answer = await self.client.post("/v1/chat/completions", json={"model": "m", "messages": messages, **more})
        assert answer.status_code == 200, answer.text
        message: dict[str, Any] = answer.json()["choices"][0]["message"]
        return {name: value for name, value in message.items() if value is not None}

    async def sessions(self) -> list[Session]:
        """Wait for what has passed by to be on record; list the sessions, oldest first."""
        await self.recording.close()
        assert self.recording.lost == len(self.lost)
        infos = [await session.info() for session in await self.log.sessions()]
        return [await self.log.find(info.id) for info in sorted(infos, key=lambda info: info.created_at_us)]

    async def only(self) -> Session:
        (session,) = await self.sessions()
        return session


@asynccontextmanager
async def proxied(
    upstream: object = None, *, log: Log | None = None, replaying: Replaying | None = None, live: bool = False
) -> AsyncIterator[Setup]:
    lost: list[str] = []
    async with open_log() as own, serving(upstream or script()) as behind:  # type: ignore[arg-type]  # as the test says
        recorder = ProxyRecorder(log or own, lose=lost.append)
        async with (
            proxying(recorder, Upstreams([behind.url]), replaying=replaying, live=live) as answering,
            serving(answering) as running,
        ):
            setup = Setup(running.url, log or own, recorder, lost)
            async with setup.client:
                yield setup


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def result(call: dict[str, Any], text: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": call["id"], "content": text}


def said(message: Message) -> str:
    match message:
        case AssistantMessage():
            return message.text
        case UserMessage(content=str() as content):
            return content
        case UserMessage() | ToolResultMessage():
            return "".join(getattr(part, "text", "") for part in message.content)
        case _:
            return ""


async def history(session: Session) -> list[str]:
    """Say what a model would be told of the session: not what failed."""
    return [said(message) for message in (await session.request()).messages]


async def sound(session: Session) -> None:
    """Check that a session verifies and replays, and that its requests are those that were sent."""
    assert (await session.verify()).ok
    assert (await session.replay()).difference is None

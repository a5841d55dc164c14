"""A served log and a client of it, for the tests of the interface: a real server on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from eventsource.machine.state import State
from eventsource.models.scripted import Answer, scripted
from refold import Agent, Log, Tool, open_log
from refold.http import serving_log
from refold.tasks import Task

TOKEN = "token-of-a-test-0123456789"
HEADERS = {"authorization": f"Bearer {TOKEN}"}


class Setup:
    """A log that is served, and a client that bears the token; `told` is what the server could tell no client."""

    def __init__(self, log: Log, url: str, told: list[str]) -> None:
        self.log, self.url, self.told = log, url, told
        self.client = httpx.AsyncClient(base_url=url, timeout=60, headers=HEADERS)

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """Ask for something; give the JSON of the answer."""
        answer = await self.client.get(path, params=query or None)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    async def post(self, path: str, body: object = None, status: int = 200, **headers: str) -> Any:
        """Send something; give the JSON of the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.post(path, json={} if body is None else body, headers=named)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        """Open a stream of events."""
        named = {"accept": "text/event-stream"} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.stream("GET", path, headers=named) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Stream(answer)


class Sent:
    """An event as it was sent: its id, its type, its data."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.id, self.type = fields.get("id", ""), fields["event"]
        self.data: dict[str, Any] = json.loads(fields["data"])

    @property
    def seq(self) -> int:
        return int(self.data["seq"])

    def __repr__(self) -> str:
        return f"{self.id} {self.type} {self.data}"


class Stream:
    """The events of a stream, one after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> Sent | None:
        """Read the next event; None at the end."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return Sent(fields)
            else:
                fields = {}
        return None

    async def upto(self, seq: int) -> list[Sent]:
        """Read events up to a seq."""
        found: list[Sent] = []
        while not found or found[-1].seq < seq:
            one = await self.next()
            assert one is not None, found
            found.append(one)
        return found


@asynccontextmanager
async def served(
    path: Path | None = None,
    *,
    answers: Sequence[Answer] | None = None,
    tools: Sequence[Tool] = (),
    tasks: Sequence[Task[Any, Any]] = (),
    read_only: bool = False,
    public_url: str = "",
) -> AsyncIterator[Setup]:
    """Serve a log; with `answers`, this process may run an agent that gives them."""
    agent: Agent[object] | None = Agent(scripted(*answers), tools=tools) if answers is not None else None

    def choose(session: str, state: State) -> tuple[Agent[object], object]:
        assert agent is not None
        return agent, None

    told: list[str] = []
    async with (
        open_log(path) as log,
        serving_log(
            log,
            token=TOKEN,
            choose=choose if agent is not None else None,
            tasks=tasks,
            read_only=read_only,
            public_url=public_url,
            tell=told.append,
        ) as running,
    ):
        setup = Setup(log, running.url, told)
        async with setup.client:
            yield setup
        assert told == []

"""Commands: how long the command takes on a session of 1,000 messages, in a fresh process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from eventsource.events import MessageAdopt, Origin
from eventsource.messages import AssistantMessage, Message, TextContent, UserMessage
from refold import open_log

from .measure import compare, environment
from .rows import Row, ratio_row
from .stores import new_folder

_RUN = "import sys; from refold.cli import main; sys.argv[0] = 'refold'; main()"


def run(quick: bool) -> list[Row]:
    """Measure with compiled bytecode in place; the floor is a Python that does nothing."""
    messages, rounds = (100, 1) if quick else (1_000, 5)
    path = new_folder() / "commands.db"
    asyncio.run(_fill(path, messages))
    at = str(messages // 2)
    asked = (["--help"], ["ls"], ["show", "large"], ["context", "large", "--at", at], ["fork", "large", "--at", at],
             ["replay", "large"], ["verify", "large"])  # fmt: skip
    rows = []
    for words in asked[:: 3 if quick else 1]:
        command = [sys.executable, "-c", _RUN, "--db", str(path), *words]
        if not quick:
            _ms(command)  # compiles what it imports
        found = compare(rounds, partial(_ms, command), partial(_ms, [sys.executable, "-c", ""]))
        rows.append(ratio_row(f"refold {words[0]}", found, "ms", goal="<= 1,000"))
    return rows


async def _fill(path: Path, messages: int) -> None:
    async with open_log(path) as log:
        session = await log.session("large")
        said: list[Message] = []
        for number in range(messages // 2):
            said.append(UserMessage(content=f"Question {number}? " * 10))
            said.append(AssistantMessage(content=(TextContent(text=f"Answer {number}. " * 60),)))
        origin = Origin(source="benchmark")
        await session.append([MessageAdopt(message=message, origin=origin) for message in said])


def _ms(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment())
    return (time.perf_counter() - began) * 1000

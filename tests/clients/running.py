"""Running a program turn after turn against a script, through the proxy: what passes by is recorded meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from eventsource.events import MessageUpdate
from eventsource.models.scripted.rules import ScriptEntry
from eventsource.models.scripted.script import Answer
from eventsource.request import Request
from refold import Log
from refold.http import ProxyRecorder, ScriptServer, Upstreams, proxying, serving

from .programs import Program, Turn

Answers: TypeAlias = Sequence[ScriptEntry] | Callable[[Request], Answer]
"""A script: a list, or a function that makes each answer of the request."""
LIMIT_S = 300
"""A program that is not done then is ended, and the test fails."""
STARTED = "started"
"""The file that a command makes which is to be interrupted."""
_LOOK_S = 0.02  # between two looks at a condition


@dataclass
class Ran:
    """What is left of a program's turns: the session files in the order in which they were made, output and errors.

    session: the file of the session that was begun last, which the next turn goes on with.
    """

    home: Path
    work: Path
    files: list[Path] = field(default_factory=list)
    session: Path | None = None
    outputs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def run_turns(program: Program, turns: Sequence[Turn], url: str, ran: Ran, log: Log | None = None) -> None:
    """Run a program in a home of its own, one turn after the other; a turn that is to be aborted needs the proxy's log.

    Raises: TimeoutError for a program that does not end.
    """
    ran.home.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(ran.home), **program.settle(ran.home, url)}
    for turn in turns:
        session = ran.session if turn.resume or turn.fork else None
        process = await asyncio.create_subprocess_exec(
            str(program.path),
            *program.command(turn, session),
            cwd=ran.work,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                if turn.aborted:
                    await until(partial(_begun, turn, ran, log, process))
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
                output, errors = await process.communicate()
        finally:
            _end(process, ran.home)
            await process.wait()
        ran.outputs.append(output.decode())
        ran.errors.append(errors.decode())
        found = sorted(ran.home.glob(program.files), key=lambda path: path.stat().st_mtime_ns)
        ran.files = [path for path in ran.files if path.exists()]  # some put away what came to nothing
        new = [path for path in found if path not in ran.files]
        ran.files += new
        if new and (session is None or turn.fork):
            ran.session = new[-1]  # those of sub-agents have ended before


def _end(process: asyncio.subprocess.Process, home: Path) -> None:
    """End a program and all that it started: its group, and whatever else has its home (where the system tells)."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    mark = f"HOME={home}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    while not await condition():
        await asyncio.sleep(_LOOK_S)


async def _begun(turn: Turn, ran: Ran, log: Log | None, process: asyncio.subprocess.Process) -> bool:
    """Whether that has begun in which a turn is to be aborted, or the program has ended by itself."""
    if process.returncode is not None:
        return True
    if turn.aborted == "tool":
        return (ran.work / STARTED).exists()
    for info in await log.store.sessions(open=True) if log is not None else ():
        last = (await log.store.read(info.id, after=max(0, info.head - 1)))[-1:] if log is not None else ()
        if any(isinstance(one.event, MessageUpdate) for one in last):
            return True
    return False


@asynccontextmanager
async def provided(script: Answers) -> AsyncIterator[str]:
    """Serve a script without a proxy."""
    async with serving(ScriptServer(script), grace_s=1) as provider:
        yield provider.url


@asynccontextmanager
async def proxied(log: Log, script: Answers) -> AsyncIterator[str]:
    """Serve a script through a proxy that records in a log; what has passed is on record at the end."""
    provider, lost = ScriptServer(script), list[str]()
    recorder = ProxyRecorder(log, lose=lost.append)
    async with (
        serving(provider, grace_s=1) as upstream,
        proxying(recorder, Upstreams([upstream.url])) as answering,
        serving(answering, grace_s=1) as proxy,
    ):
        yield proxy.url
    assert lost == []

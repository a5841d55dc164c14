"""Running a program for a tool: for so long, with so much output, and with everything it started ended with it."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Literal

import msgspec

from eventsource import background
from eventsource.errors import ToolFailure

from .supervisor import descendants, kill, marked_processes

HEAD_BYTES, TAIL_BYTES = 20_000, 30_000
OUTPUT_BYTES = 20_000_000
_PIECE_S = 0.25  # between two reports of what it prints
_PIECE_BYTES = 4_000
_DRAIN_S = 0.3
_SUPERVISED_S = 8.0  # a supervisor gives up before
_SWEEPS = 100
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
MARK = "REFOLD_COMMAND"
"""A variable in the environment of a command: what has it belongs to the command."""


class ProgramResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: by itself with a code (a signal's is negative), or for a limit; and what it printed.

    left: processes that it had started and that could not be ended.
    """

    why: Literal["exit", "time", "output"]
    code: int
    output: str
    left: tuple[int, ...] = ()


class _SupervisorReport(msgspec.Struct, frozen=True):
    code: int
    left: tuple[int, ...]


async def run_program(
    words: Sequence[str],
    *,
    folder: Path,
    timeout_s: float,
    stop: asyncio.Event,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    report: Callable[[str], None] | None = None,
) -> ProgramResult:
    """Run a program under a supervisor, which ends all that it has started before this returns or is cancelled.

    So it does when this process is killed. Both the program's streams are read as one; `report` gets what is printed,
    now and then. `keep_open`: files it inherits.

    Raises: ToolFailure when `stop` was set; OSError when there is no such folder.
    """
    mark = f"{MARK}={secrets.token_hex(16)}"
    named = {**(os.environ if environment is None else environment), MARK: mark.partition("=")[2]}
    ours, theirs = os.pipe()
    supervisor, tells = socket.socketpair()
    with os.fdopen(ours, "rb", buffering=0) as pipe, supervisor:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(list(words))),
                cwd=folder,
                env=named,
                stdin=tells.fileno(),
                stdout=theirs,  # a pipe of ours: asyncio's own would be waited for until all who inherit it end
                stderr=theirs,
                start_new_session=True,
                pass_fds=keep_open,
            )
        finally:
            os.close(theirs)
            tells.close()
        supervisor.setblocking(False)
        return await _attend(process, pipe, supervisor, mark, timeout_s, stop, report)


async def _attend(
    process: asyncio.subprocess.Process,
    pipe: FileIO,
    supervisor: socket.socket,
    mark: str,
    timeout_s: float,
    stop: asyncio.Event,
    report: Callable[[str], None] | None,
) -> ProgramResult:
    """Wait for its end, or end it."""
    output = _CapturedOutput(report)
    tasks = [asyncio.create_task(work) for work in (output.read(pipe), process.wait(), stop.wait(), output.full.wait())]
    reading, exited, stopped, full = tasks
    try:
        await asyncio.wait([exited, stopped, full], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        why: Literal["exit", "time", "output"] = "exit" if exited.done() else "output" if full.done() else "time"
        if not exited.done():
            _ask(supervisor)
            await asyncio.wait([exited], timeout=_SUPERVISED_S)
        said = _read_report(supervisor)
        if said is None:  # the command has killed or stopped its supervisor
            left = await end_all(process, mark)
        else:
            left = said.left
        await asyncio.wait([reading], timeout=_DRAIN_S)
        code = said.code if said is not None else await process.wait()
    finally:
        _ask(supervisor)
        try:
            await background.stop(*tasks)
        finally:
            if process.returncode is None:
                await _gone(process, mark)
    if stop.is_set() and why == "time":
        raise ToolFailure("Tool execution was aborted", details={"output": output.text()})
    return ProgramResult(why=why, code=code, output=output.text(), left=left)


def _ask(supervisor: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        supervisor.send(b"e")


def _read_report(supervisor: socket.socket) -> _SupervisorReport | None:
    """Read what the supervisor said at its end, if it came to that."""
    try:
        return msgspec.json.decode(supervisor.recv(65536), type=_SupervisorReport)
    except (OSError, msgspec.MsgspecError):
        return None


async def _gone(process: asyncio.subprocess.Process, mark: str) -> None:
    """Wait for a supervisor that was asked to end, and end it if it does not."""
    try:
        async with asyncio.timeout(_SUPERVISED_S):
            await process.wait()
    except TimeoutError:
        await end_all(process, mark)


async def end_all(process: asyncio.subprocess.Process, mark: str) -> tuple[int, ...]:
    """Kill a command without the help of its supervisor: all below that, and all that has the command's mark.

    Returns: what is still there.
    """
    left: list[int] = []
    for _ in range(_SWEEPS):
        below = descendants([process.pid]) if process.returncode is None else ()
        left = sorted({*below, *marked_processes(mark)} - {process.pid})
        if not left:
            break
        kill(left)
        await asyncio.sleep(0.02)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    return tuple(left)


class _CapturedOutput:
    """What a program prints: its beginning and its end are kept."""

    def __init__(self, report: Callable[[str], None] | None) -> None:
        self.full = asyncio.Event()
        self._report = report
        self._head, self._tail, self._size = bytearray(), bytearray(), 0
        self._piece, self._decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        self._reported_at = 0.0

    async def read(self, pipe: FileIO) -> None:
        """Read to the end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while data := await reader.read(65536):
                self._take(data, loop.time())
        finally:
            transport.close()

    def text(self) -> str:
        """Return what is kept, with a remark on what is left out."""
        left = self._size - len(self._head) - len(self._tail)
        remark = f"\n[{left:,} bytes are left out here]\n".encode() if left else b""
        return (self._head + remark + self._tail).decode("utf-8", "replace")

    def _take(self, data: bytes, now_s: float) -> None:
        self._size += len(data)
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[:-TAIL_BYTES]
        if self._size > OUTPUT_BYTES:
            self.full.set()
        if self._report is None:
            return
        self._piece = (self._piece + self._decoder.decode(data))[-_PIECE_BYTES:]
        if self._piece and now_s - self._reported_at >= _PIECE_S:
            self._report(self._piece)
            self._piece, self._reported_at = "", now_s

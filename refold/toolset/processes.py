"""Running a program for a tool: for so long, with so much output, and with everything it started ended with it."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal as signals
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Literal

import msgspec

from eventsource.errors import ToolFailure

HEAD_BYTES, TAIL_BYTES = 20_000, 30_000
OUTPUT_BYTES = 20_000_000
_PIECE_S = 0.25  # between two reports of what it prints
_PIECE_BYTES = 4_000
_POLITE_S = 0.3  # for what is asked to end, before it is ended
_DRAIN_S = 0.3


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: by itself with a code (a signal's is negative), or for a limit; and what it printed."""

    why: Literal["exit", "time", "output"]
    code: int
    output: str


async def run_program(
    words: Sequence[str],
    *,
    folder: Path,
    timeout_s: float,
    stop: asyncio.Event,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    report: Callable[[str], None] | None = None,
) -> Ended:
    """Run a program in a process group of its own, all of which is killed before this returns or is cancelled.

    Both its streams are read as one; `report` gets what is printed, now and then. `keep_open`: files it inherits.

    Raises: ToolFailure when `stop` was set; OSError when there is no such program.
    """
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb", buffering=0) as pipe:
        process = await _start(words, theirs, folder, environment, keep_open)
        return await _attend(process, pipe, timeout_s, stop, report)


async def _start(
    words: Sequence[str], output: int, folder: Path, environment: Mapping[str, str] | None, keep_open: Sequence[int]
) -> asyncio.subprocess.Process:
    """Start the program; it gets a pipe of ours, for asyncio's own would be waited for until all who inherit it end."""
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=keep_open,
        )
    finally:
        os.close(output)


async def _attend(
    process: asyncio.subprocess.Process,
    pipe: FileIO,
    timeout_s: float,
    stop: asyncio.Event,
    report: Callable[[str], None] | None,
) -> Ended:
    """Wait for its end, or end it."""
    output = _Output(report)
    tasks = [asyncio.create_task(work) for work in (output.read(pipe), process.wait(), stop.wait(), output.full.wait())]
    reading, exited, stopped, full = tasks
    try:
        await asyncio.wait([exited, stopped, full], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        why: Literal["exit", "time", "output"] = "exit" if exited.done() else "output" if full.done() else "time"
        if not exited.done():
            _signal(process.pid, signals.SIGTERM)
            await asyncio.wait([exited], timeout=_POLITE_S)
        _signal(process.pid, signals.SIGKILL)
        await asyncio.wait([reading], timeout=_DRAIN_S)
        code = await process.wait()
    finally:
        _signal(process.pid, signals.SIGKILL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.wait()  # no zombie; it was killed
    if stop.is_set() and why == "time":
        raise ToolFailure("Tool execution was aborted", details={"output": output.text()})
    return Ended(why=why, code=code, output=output.text())


class _Output:
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
        """Give what is kept, with a remark on what is left out."""
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


def _signal(group: int, number: signals.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of it has ended; macOS says the latter of zombies
        os.killpg(group, number)

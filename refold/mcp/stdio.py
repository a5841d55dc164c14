"""An MCP server that is a program: messages over its stdin and stdout, none longer than a bound, and its end.

Source: docs/decisions/0105-a-transport-with-bounds.md
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from io import FileIO
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams  # public in no other place
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from eventsource.background import finish, outlast, running, stop
from eventsource.tools.results import WHOLE_LIMIT_BYTES

from ..toolset.processes import MARK, end_all

MESSAGE_BYTES = 4 * WHOLE_LIMIT_BYTES
"""The longest message that is read. The longest result that is kept fits: servers write it twice, as text and as data,
and signs in JSON take two bytes where they are quoted."""
TOO_LONG = f"it sent a message of more than {MESSAGE_BYTES:,} bytes"
_PIECE_BYTES = 65_536
_SAID_BYTES = 2_000
_PATIENCE_S = 2.0  # as in the package: a server may end by itself when its stdin is closed, then when it is asked to


@asynccontextmanager
async def program(
    words: Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None, said: bytearray, faults: list[str]
) -> AsyncIterator[TransportStreams]:
    """Start a program and pass its messages on; at the end nothing that it has started is left.

    Args:
        said: gets the end of what it writes to stderr.
        faults: told why it was given up.

    Raises: OSError or ValueError when it cannot be started.
    """
    mark = secrets.token_hex(16)
    into, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, out = anyio.create_memory_object_stream[SessionMessage](0)
    with ExitStack() as files:
        messages, tells = _pipe(files)
        errors, errs = _pipe(files)
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *words,
                cwd=cwd,
                env={**get_default_environment(), **(env or {}), MARK: mark},
                stdin=PIPE,
                stdout=tells,  # pipes of ours: asyncio's own are waited for until all who inherit them end
                stderr=errs,
                start_new_session=True,
            )
        )
        tasks: list[asyncio.Task[None]] = []
        try:
            await outlast(starting)
            tells.close()
            errs.close()
            tasks.append(asyncio.create_task(_read(messages, into, faults)))
            tasks.append(asyncio.create_task(_write(starting.result(), out, into)))
            tasks.append(asyncio.create_task(_listen(errors, said)))
            yield read, write
        finally:
            for stream in (read, write):
                stream.close()
            try:
                if starting.done() and not starting.cancelled() and starting.exception() is None:
                    await finish(_end(starting.result(), mark))
            finally:
                await stop(*tasks)
                for end in (into, out):
                    end.close()


def _pipe(files: ExitStack) -> tuple[FileIO, FileIO]:
    ours, theirs = os.pipe()
    return files.enter_context(FileIO(ours, "rb")), files.enter_context(FileIO(theirs, "wb"))


async def _read(pipe: FileIO, into: MemoryObjectSendStream[SessionMessage | Exception], faults: list[str]) -> None:
    """Read messages, one a line. Who waits for them sees the end of the stream when nothing more can be read."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    line = bytearray()
    try:
        async with into:
            while data := await reader.read(_PIECE_BYTES):
                for piece in data.splitlines(keepends=True):
                    line += piece
                    if len(line) > MESSAGE_BYTES:
                        faults.append(TOO_LONG)
                        return
                    if piece.endswith(b"\n"):
                        await _pass(line, into)
            await _pass(line, into)
    except anyio.BrokenResourceError:  # nobody listens any more: what it still writes must not keep it from its end
        while await reader.read(_PIECE_BYTES):
            pass
    finally:
        transport.close()


async def _pass(line: bytearray, into: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    """Forward a line, as a message or as the error that it is."""
    text = bytes(line).strip()
    line.clear()
    if text:
        try:
            message: SessionMessage | Exception = SessionMessage(
                jsonrpc_message_adapter.validate_json(text, by_name=False)
            )
        except ValueError as error:
            message = error
        await into.send(message)


async def _write(
    process: Process,
    out: MemoryObjectReceiveStream[SessionMessage],
    into: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    stdin = process.stdin
    assert stdin is not None  # it is a pipe
    try:
        async for one in out:
            stdin.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await stdin.drain()
    except (OSError, ValueError):  # it reads no more, or this cannot be written: whoever waits for an answer is told
        into.close()


async def _listen(pipe: FileIO, said: bytearray) -> None:
    """Keep the end of what the program says on stderr: if it does not start, that says why."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while data := await reader.read(_PIECE_BYTES):
            said += data
            del said[:-_SAID_BYTES]
    finally:
        transport.close()


async def _end(process: Process, mark: str) -> None:
    """Let it end, ask it to, end it; and whatever it has started."""
    assert process.stdin is not None  # it is a pipe
    async with running(process.wait()) as (exited,):
        try:
            process.stdin.close()
            await asyncio.wait([exited], timeout=_PATIENCE_S)
            if not exited.done():
                _signal(process, signal.SIGTERM)
                await asyncio.wait([exited], timeout=_PATIENCE_S)
        finally:
            _signal(process, signal.SIGKILL)
            if process.stdin.transport.get_write_buffer_size():  # whoever inherited it may never read that
                process.stdin.transport.abort()
            await end_all(process, f"{MARK}={mark}")


def _signal(process: Process, what: signal.Signals) -> None:
    """Send a signal to the program's group, also when the program has ended and others of the group have not."""
    with suppress(OSError):  # all of it is gone
        os.killpg(process.pid, what)

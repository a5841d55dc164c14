"""A pooler before the server (pgbouncer in transaction mode): several processes, as without one."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from eventsource.errors import StoreError
from eventsource.events import Label
from eventsource.log.contract.stress import StressContract
from eventsource.log.postgres.schema import make_log
from eventsource.log.postgres.server import Server
from refold import open_log
from tests.faults.test_worker_kill import kill_workers
from tests.temporal import free_port

pytestmark = [pytest.mark.faults, pytest.mark.slow]
TESTS = sorted(name for name in vars(StressContract) if name.startswith("test_"))


class Pooler:
    """A pgbouncer of one run of tests, on loopback."""

    def __init__(self, url: str, folder: Path) -> None:
        program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
        if program is None:
            pytest.skip("needs pgbouncer: apt-get install pgbouncer")
        given = urlsplit(url)
        host, server = parse_qs(given.query).get("host", [given.hostname or ""])[0], given.port or 5432
        self._url, self._port, self._direct = url, free_port(), f"{host}:{server}"
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={host} port={server} user={given.username or 'postgres'}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
        )
        as_user = list[str]()
        if os.geteuid() == 0:  # as which it does not start
            socket = Path(host, f".s.PGSQL.{server}")
            user = pwd.getpwuid(socket.stat().st_uid) if socket.exists() else pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, -1)
            as_user = ["-u", user.pw_name]
        told = (folder / "pgbouncer.txt").open("wb")
        self._process = subprocess.Popen([program, *as_user, str(settings)], stdout=told, stderr=told)
        told.close()
        until_s = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(f"postgresql://any@127.0.0.1:{self._port}/postgres?connect_timeout=3").close()
                return
            except psycopg.OperationalError:
                if time.monotonic() >= until_s:
                    self.stop()
                    pytest.fail((folder / "pgbouncer.txt").read_text())
                time.sleep(0.05)

    @contextmanager
    def empty_log(self) -> Iterator[str]:
        """Make an empty log in a database of its own. Yields: its URL, by way of the pooler."""
        name = f"refold_test_{secrets.token_hex(6)}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        place = f"postgresql://any@127.0.0.1:{self._port}/{name}?direct={self._direct.replace('/', '%2F')}"
        if "@" not in self._direct and urlsplit(self._url).username:
            place = place.replace("//any@", f"//{urlsplit(self._url).username}@")
        try:
            make_log(Server(place))
            yield place
        finally:
            with psycopg.connect(self._url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def pooler(postgres: str) -> Iterator[Pooler]:
    folder = Path(tempfile.mkdtemp(prefix="refold-pooler-", dir="/var/tmp"))  # where its own user may go
    try:
        started = Pooler(postgres, folder)
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", TESTS)
async def test_several_processes_keep_the_contract_behind_a_pooler(pooler: Pooler, name: str) -> None:
    class Pooled(StressContract):
        def place(self):  # type: ignore[no-untyped-def]  # as the contract has it
            return pooler.empty_log()

    await getattr(Pooled(), name)()


async def test_workers_are_killed_behind_a_pooler_and_nothing_is_lost(pooler: Pooler, tmp_path: Path) -> None:
    with pooler.empty_log() as place:
        await kill_workers(place, tmp_path)


async def test_who_waits_is_woken_and_what_is_archived_is_read(pooler: Pooler) -> None:
    with pooler.empty_log() as place:
        async with open_log(place) as one, open_log(place) as other:
            session = await one.session("oslo")
            head = (await session.info()).head
            await (await other.find(session.id)).label("cold")
            assert await one.store.wait(session.id, head, 60)
            await one.archive(session.id)
            (fact,) = await other.store.read(session.id)
            assert fact.event == Label(text="cold")
            assert (await other.verify()).ok


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("direct=here:5432&options=-csearch_path%3Dx", "ALTER ROLE"),
        ("direct=here", "cannot be read"),
        ("direct=here:port", "cannot be read"),
    ],
)
def test_a_url_that_would_be_misunderstood_is_refused(query: str, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        Server(f"postgresql://somebody:word@127.0.0.1/db?{query}")

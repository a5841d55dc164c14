"""What a URL asks of TLS holds for every connection of a log, and nothing goes in the clear."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from eventsource.errors import StoreError
from eventsource.events import Event, Label
from eventsource.log import open_store
from tests.postgres import empty_log

x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography, to make certificates")
hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
pytestmark = pytest.mark.slow
LABEL: list[tuple[int, Event]] = [(1, Label(text="x"))]
ASKS_TLS, ASKS_GSS = 80877103, 80877104  # PostgreSQL, "Message Formats": SSLRequest, GSSENCRequest


@pytest.fixture
def place(postgres: str) -> Iterator[str]:
    with empty_log(postgres) as url:
        yield url


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return certificate_in(tmp_path)


def certificate_in(folder: Path) -> Path:
    """Make a certificate of this machine's address, which vouches for itself; its key is beside it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server of the tests")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    path = folder / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.with_suffix(".key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    return path


class Front:
    """Stands before a server that speaks no TLS, and speaks it for it; whoever does not ask for it is sent away."""

    def __init__(self, url: str, certificate: Path | None) -> None:
        self._told, self.secured, self.plain = conninfo_to_dict(url), 0, 0
        self._tls = None if certificate is None else ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if self._tls is not None and certificate is not None:
            self._tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self.port = 0

    def url(self, **asked: str) -> str:
        """Return the URL of the log behind it."""
        told = self._told | {"host": "127.0.0.1", "port": self.port} | asked
        return "postgresql:///?" + "&".join(f"{name}={quote(str(value))}" for name, value in told.items())

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a client."""
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await self._is_secured(reader, writer):
                    socket = f"{self._told['host']}/.s.PGSQL.{self._told.get('port') or 5432}"
                    to_reader, to_writer = await asyncio.open_unix_connection(socket)
                    await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))
        finally:
            writer.close()

    async def _is_secured(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while (asked := int.from_bytes((await reader.readexactly(8))[4:])) == ASKS_GSS:
            writer.write(b"N")
        if asked != ASKS_TLS or self._tls is None:
            self.plain += asked != ASKS_TLS
            writer.write(b"N")
            return False
        writer.write(b"S")
        await writer.start_tls(self._tls)
        self.secured += 1
        return True


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await source.read(65_536):
            target.write(said)
            await target.drain()
    target.close()


@asynccontextmanager
async def front(url: str, certificate: Path | None) -> AsyncIterator[Front]:
    if not str(conninfo_to_dict(url).get("host", "")).startswith("/"):
        pytest.skip("needs a server that listens on a socket of this machine")
    standing, answering = Front(url, certificate), set[asyncio.Task[None]]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            answering.add(task)
        await standing.pass_on(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    standing.port = server.sockets[0].getsockname()[1]
    try:
        yield standing
    finally:
        server.close()
        await asyncio.gather(*answering, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed ends


async def test_every_connection_of_a_log_is_as_its_url_asks(place: str, certificate: Path) -> None:
    async with front(place, certificate) as server:
        url = server.url(sslmode="verify-full", sslrootcert=str(certificate))
        async with open_store(url) as log, open_store(url) as other:
            session = (await log.create()).id
            waiting = asyncio.ensure_future(other.wait(session, 0, 60))
            lease = await log.claim(session)
            await log.append(session, LABEL, epoch=lease.epoch)
            assert await waiting
            assert len(await other.read(session)) == 1
            assert (await log.verify()).ok
        assert server.plain == 0
        assert server.secured >= 5


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"sslrootcert": "another"}, "certificate verify failed"), ({"host": "localhost"}, 'host name "localhost"')],
)
async def test_who_is_not_who_the_url_says_gets_no_log(
    place: str, certificate: Path, tmp_path: Path, asked: dict[str, str], told: str
) -> None:
    if "sslrootcert" in asked:
        asked = {"sslrootcert": str(certificate_in(tmp_path / "another"))}
    async with front(place, certificate) as server:
        with pytest.raises(StoreError, match=told):
            async with open_store(server.url(**{"sslmode": "verify-full", "sslrootcert": str(certificate), **asked})):
                pass
        assert server.plain == 0


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(place: str) -> None:
    async with front(place, None) as server:
        with pytest.raises(StoreError, match="does not support SSL"):
            async with open_store(server.url(sslmode="require")):
                pass
        assert server.plain == 0

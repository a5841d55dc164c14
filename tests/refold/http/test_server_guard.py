"""The servers take what is meant for them and clear in length; all else gets 4xx. Real processes, raw sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from refold.http import Exchange, Upstreams, connection, serving
from refold.http.guard import BODY_BYTES, Names, RefusedError, unpacked
from refold.http.server import ServerUnavailableError, listening

pytestmark = pytest.mark.slow
REFOLD = (sys.executable, "-c", "from refold.cli import main; main()")
SECRET = "planted-0123456789"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Rain?"}]}).encode()
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"


class Upstream:
    """Answers every connection with 200; keeps what it was sent."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                self.heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")


@contextmanager
def command(*words: object) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run a server of the command line. Yields: its port, the process."""
    process = subprocess.Popen(
        [*REFOLD, *map(str, words), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        yield int(line.rpartition(":")[2]), process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    db = tmp_path_factory.mktemp("proxy") / "log.db"
    with command("proxy", "--upstream", f"http://127.0.0.1:{upstream.port}", "--db", db) as (port, _):
        yield port


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("script") / "answers.json"
    path.write_text('["Hello."]')
    with command("serve-script", path, "--allow-host", "provider.internal") as (port, _):
        yield port


@pytest.fixture(params=["proxy", "provider"])
def server(request: pytest.FixtureRequest) -> int:
    port: int = request.getfixturevalue(request.param)
    return port


def ask(port: int, sent: bytes, *, timeout_s: float = 60) -> bytes:
    """Send bytes; give what comes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(sent)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "target",
    [
        "@127.0.0.1:{port}/v1/x",
        "http://127.0.0.1:{port}/v1/x",
        "HTTPS://example.com/v1/models",
        "//127.0.0.1:{port}/v1/x",
        r"\\127.0.0.1:{port}\v1\x",
        "user:pass@127.0.0.1:{port}/v1/x",
        ".127.0.0.1:{port}/v1/x",
        ":{port}/v1/x",
        "*",
        "%2F%2F127.0.0.1:{port}/x",
        "?x=@127.0.0.1:{port}/",
        "/v1/../../x",
        "/v1/%2e%2e/x",
    ],
)
def test_a_target_that_is_no_path_is_refused_and_goes_nowhere(target: str, server: int, upstream: Upstream) -> None:
    other, before = Upstream(), len(upstream.heard)
    for method in ("GET", "POST"):
        sent = f"{method} {target.format(port=other.port)} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
        assert status(ask(server, sent.encode())) == 400
    connect = f"CONNECT 127.0.0.1:{other.port} HTTP/1.1\r\nhost: 127.0.0.1:{other.port}\r\n\r\n"
    assert status(ask(server, connect.encode())) == 400
    assert other.heard == []
    assert len(upstream.heard) == before


def test_whatever_a_path_holds_the_upstream_gets_it(proxy: int, upstream: Upstream) -> None:
    other = Upstream()
    for path in (f"/@127.0.0.1:{other.port}/x", f"/%40127.0.0.1:{other.port}/x", f"/http://127.0.0.1:{other.port}/x"):
        answer = ask(proxy, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        assert status(answer) == 200
        assert upstream.heard[-1].startswith(f"GET {path} ".encode())
        assert f"host: 127.0.0.1:{upstream.port}\r\n".encode() in upstream.heard[-1].lower()
    assert other.heard == []


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.2:8787", "[::1]:8787", "[::1]"])
def test_a_name_of_this_machine_is_taken(name: str, server: int) -> None:
    sent = f"GET /v1/models HTTP/1.1\r\nhost: {name}\r\norigin: http://{name}\r\nconnection: close\r\n\r\n"
    assert status(ask(server, sent.encode())) == 200


@pytest.mark.parametrize(
    "headers",
    [
        "host: evil.example",
        "host: evil.example:8787",
        "host: 127.0.0.1.evil.example",
        "host: localhost.evil.example",
        "host: localhost@evil.example",
        "host: 10.0.0.1",
        "host: ",
        "host: localhost:80@evil.example:80",
        "host: 127.0.0.1\r\norigin: http://evil.example",
        "host: 127.0.0.1\r\norigin: null",
        "host: 127.0.0.1\r\norigin: http://localhost@evil.example",
        "host: 127.0.0.1\r\norigin: file://",
        "host: 127.0.0.1\r\nsec-fetch-site: cross-site",
    ],
)
def test_another_name_and_a_page_of_another_site_are_refused(headers: str, server: int, upstream: Upstream) -> None:
    before = len(upstream.heard)
    for begins in ("GET /v1/models", "POST /v1/chat/completions"):
        answer = ask(server, f"{begins} HTTP/1.1\r\n{headers}\r\ncontent-length: 0\r\n\r\n".encode())
        assert status(answer) in (400, 403)
    assert len(upstream.heard) == before


def test_a_name_that_is_allowed_is_taken(provider: int, proxy: int) -> None:
    sent = b"GET /v1/models HTTP/1.1\r\nhost: Provider.internal:80\r\norigin: http://provider.internal\r\n"
    sent += b"connection: close\r\n\r\n"
    assert status(ask(provider, sent)) == 200
    assert status(ask(proxy, sent)) == 403


def test_a_server_for_all_takes_every_address_but_no_name() -> None:
    names = Names(bound=("0.0.0.0",), allowed=("agent",))
    assert [names.knows(name) for name in ("192.168.1.5:8787", "agent:8787", "evil.example", "")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "rest_of",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"content-length: 5, 6\r\n\r\nhello!",
        b"content-length: -1\r\n\r\n",
        b"content-length: +5\r\n\r\nhello",
        b"content-length: 0x5\r\n\r\nhello",
        b"content-length : 5\r\n\r\nhello",
        b"content-length: 99999999999999999999\r\n\r\n",
        b"transfer-encoding: chunked, identity\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nfffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        b"x: 1\r\n y: 2\r\n\x00: 3\r\n\r\n",
        b"host: localhost\r\n\r\n",
        b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        b"x: " + b"a" * (2 << 20) + b"\r\n\r\n",
        b"".join(b"x%d: y\r\n" % number for number in range(200_000)) + b"\r\n",
    ],
)
def test_a_length_that_is_not_clear_is_refused(rest_of: bytes, server: int, upstream: Upstream) -> None:
    before = len(upstream.heard)
    with socket.create_connection(("127.0.0.1", server), timeout=60) as connection:
        try:
            connection.sendall(ASK + rest_of)
        except OSError:  # it has been refused already
            pass
        try:
            answer = rest(connection)
        except ConnectionError:  # reset, for what was not read
            answer = b"HTTP/1.1 400 "
    assert 400 <= status(answer) < 500
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(upstream.heard) == before


def test_a_huge_body_is_refused_said_or_not(server: int, upstream: Upstream) -> None:
    before = len(upstream.heard)
    assert status(ask(server, ASK + b"content-length: %d\r\n\r\n" % (BODY_BYTES + 1))) == 413
    piece = b"%x\r\n%s\r\n" % (1 << 20, b"a" * (1 << 20))
    with socket.create_connection(("127.0.0.1", server), timeout=60) as connection:
        connection.sendall(ASK + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(BODY_BYTES // (1 << 20) + 1):
            connection.sendall(piece)
        assert status(connection.recv(65536)) == 413
    assert len(upstream.heard) == before


def test_a_bomb_is_refused_and_a_compressed_request_is_read(server: int, upstream: Upstream) -> None:
    packing = zlib.compressobj(wbits=31)
    bomb = b"".join(packing.compress(b" " * (1 << 20)) for _ in range(200)) + packing.flush()
    encoded = b"content-encoding: gzip\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
    before = len(upstream.heard)
    assert status(ask(server, ASK + encoded % (len(bomb), bomb))) == 413
    assert len(upstream.heard) == before
    packed = gzip.compress(BODY)
    assert status(ask(server, ASK + encoded % (len(packed), packed))) == 200


def test_requests_that_come_too_slowly_are_refused(proxy: int, provider: int) -> None:
    """All at once, for each takes as long as a request may take to come."""
    begins = (b"POST /v1/chat/comp", ASK + b"content-length: 90000\r\n\r\n{")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(trickle, port, begin) for port in (proxy, provider) for begin in begins]
        assert [status(answer.result()) for answer in answers] == [408] * 4


def trickle(port: int, begins: bytes) -> bytes:
    """Begin a request and send a byte now and then, which would help for two minutes if it did. Returns: the answer."""
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(begins)
        connection.settimeout(0.5)
        answer = b""
        while not answer and time.monotonic() < began_s + 120:
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                with suppress(OSError):  # it has just been refused, which is read next
                    connection.sendall(b"a")
    return answer


def test_a_refusal_goes_to_one_connection_only(proxy: int) -> None:
    """Two requests in one: what stands behind a refused one is not read."""
    answer = ask(
        proxy, b"GET //x HTTP/1.1\r\nhost: localhost\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_error_tells_no_password_and_what_is_lost_is_said_everywhere(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    with command("proxy", "--upstream", f"http://user:{SECRET}@127.0.0.1:1", "--db", db) as (port, process):
        close = b"authorization: Bearer other-0123456789\r\nconnection: close\r\n"
        answer = ask(port, b"GET /v1/models?key=third-0123456789 HTTP/1.1\r\nhost: localhost\r\n" + close + b"\r\n")
        assert status(answer) == 502
        assert b"0123456789" not in answer
        answer = ask(port, ASK + close + b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY))
        assert status(answer) == 502
        assert b"0123456789" not in answer
        answer = ask(port, ASK + close + b"content-length: 8\r\n\r\nno JSON!")
        assert status(answer) == 502
        process.send_signal(signal.SIGTERM)
        said, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "0123456789" not in said + told
    assert "POST /v1/chat/completions is not on record" in told
    assert "1 lost" in told
    listed = subprocess.run([*REFOLD, "ls", "--json", "--db", str(db)], capture_output=True, text=True, check=True)
    (lost,) = [one for one in json.loads(listed.stdout) if one["title"] == "exchanges that are not on record"]
    shown = subprocess.run(
        [*REFOLD, "show", lost["id"], "--db", str(db)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert "not on record: ValueError: the request is no JSON ob" in shown.stdout
    assert "0123456789" not in shown.stdout + db.read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    "given",
    [f"ftp://u:{SECRET}@h", f"openai=h?key={SECRET}", f"http://u:{SECRET}@", f"http://h/?key={SECRET}", "http://"],
)
def test_an_upstream_that_cannot_be_used_is_said_without_its_password(given: str) -> None:
    with pytest.raises(ServerUnavailableError) as caught:
        Upstreams([given])
    assert SECRET not in str(caught.value)


def test_a_target_never_changes_an_upstreams_host() -> None:
    upstreams = Upstreams(["http://u:p@127.0.0.1:9/v1"])
    assert upstreams.url("openai", "/v1/models") == "http://u:p@127.0.0.1:9/v1/models"
    for target in ("@h/x", ":9/x", ".h/x", "x"):
        with pytest.raises(RefusedError):
            upstreams.url("openai", target)


def test_a_body_that_is_cut_or_of_no_known_encoding_is_refused() -> None:
    packed = gzip.compress(BODY)
    assert unpacked(packed, "gzip") == unpacked(zlib.compress(BODY), "deflate") == unpacked(BODY, "") == BODY
    for body, encoding, refused in ((packed[:-9], "gzip", 400), (BODY, "gzip", 400), (BODY, "zstd", 415)):
        with pytest.raises(RefusedError) as caught:
            unpacked(body, encoding)
        assert caught.value.status == refused


def test_no_answer_waits_for_the_clients_kernel_to_acknowledge_its_beginning() -> None:
    with listening("127.0.0.1", 0) as found, socket.create_connection(found.socket.getsockname()):
        accepted, _ = found.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_connection_is_kept_between_two_requests_and_a_slow_head_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)

    async def answering(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.answer(200, [], b"hi")

    async with serving(answering) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200" in await reader.readline()
            assert await reader.readuntil(b"hi")
            await asyncio.sleep(0.3)  # longer than a head may take
        writer.write(b"GET / HTTP/1.1\r\nhost: ")
        async with asyncio.timeout(60):
            assert b"408" in await reader.readline()
        writer.close()

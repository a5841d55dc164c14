"""A proxy before a server that cuts a connection at a chosen message: before the server gets it, or its answer out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

Cut = Literal["question", "answer"]


class CuttingProxy:
    """Passes on whatever comes, until it is told to cut."""

    def __init__(self, url: str) -> None:
        told = conninfo_to_dict(url)
        host, port = str(told.get("host") or "127.0.0.1"), int(str(told.get("port") or 5432))
        self._server = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._needle, self._cut = b"", "question"
        self.cuts = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def arm(self, needle: bytes, cut: Cut) -> None:
        """Cut once, at the next message that holds some bytes."""
        self._needle, self._cut = needle, cut

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET)
                server.connect(self._server)
                self._open += (client, server)
                lost = threading.Event()
                for work in (self._questions, self._answers):
                    thread = threading.Thread(target=work, args=(client, server, lost), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _questions(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(2**16):
                if self._needle and self._needle in data:
                    self._needle, is_question = b"", self._cut == "question"
                    self.cuts += 1
                    lost.set()
                    if is_question:
                        break
                server.sendall(data)
        if lost.is_set() and self._cut == "answer":
            return
        self._end(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(2**16):
                if lost.is_set():  # the server has done it, and nobody hears of it
                    break
                client.sendall(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """Cut everything."""
        self._end(self._listener, *self._open)
        for thread in self._threads:
            thread.join(5)


@contextmanager
def cutting(url: str) -> Iterator[CuttingProxy]:
    """Stand before a server."""
    proxy = CuttingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()

"""What others see of an opened log, and what it sees of them: an owner of leases, and who has appended to what.

One connection does it. It keeps the lock that says the owner lives, tells what was appended here, a hundred times a
second at the most and in one message for all, and listens to what the others tell. Behind it is a poll: a message that
was lost costs a second.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import psycopg

from ...background import settled
from ...errors import RefoldError
from ..follow import Notifier
from ..sql.thread import SqlThread
from .connection import PgConnection, key_of
from .server import Server

T = TypeVar("T")
_TELL_S = 0.01
_POLL_S = 1.0
_TOLD_S = 10.0
"""When a server has not answered for so long, those who wait are told."""
_AGAIN_S = 0.1
_LINGER_S = 1.0
_MOST_BYTES = 7_900  # of a message; PostgreSQL takes 8,000
_EVERYTHING = "*"
_Heads = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]


class PresenceConnection(PgConnection):
    """A connection that holds the lock of an owner of leases for as long as it lasts, and listens."""

    name = ""
    _is_direct = True

    def connect(self) -> None:
        """Connect under a new name: what is held under the former one is free for whoever claims it, at once."""
        super().connect()
        (channel,) = self._run("SELECT 'refold_' || current_schema()::regnamespace::oid::text", ()).fetchone() or (b"",)
        self._channel = channel.decode()
        self._script(f"SET synchronous_commit TO OFF; LISTEN {self._channel}".encode())
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._run("SELECT pg_advisory_lock(?)", (key_of(self.name),))

    def ask(self) -> str:
        """Return the name, another one if the lock was lost. Raises: psycopg.Error."""
        self.be_ready()
        self._script(b"SELECT 1")
        return self.name

    def tell(self, message: str) -> None:
        """Tell the others. Raises: psycopg.Error."""
        self.be_ready()
        self._run("SELECT pg_notify(?, ?)", (self._channel, message))

    def heard(self) -> list[str]:
        """Return what the others have told since. Raises: psycopg.Error."""
        if not self.is_lost:
            self._pg.consume_input()
        found = list[str]()
        while not self.is_lost and (notice := self._pg.notifies()) is not None:
            if notice.be_pid != self._pg.backend_pid:
                found.append(notice.extra.decode("utf-8", "replace"))
        return found

    def listen(self) -> tuple[str, int]:
        """Be connected. Returns: the name, which differs when something may have been missed; the socket."""
        self.be_ready()
        return self.name, self._pg.socket


class _Socket:
    """The socket of a connection, looked at by an event loop: whether there is something to read, once each time.

    A copy of it is: the connection may be lost and closed in its thread meanwhile, and the number given to another.
    """

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self._name, self._copy = "", -1

    def watch(self, name: str, socket: int) -> bool:
        """Look from now on. Returns: whether it is another connection than before: something may have been missed."""
        is_other = name != self._name
        if is_other:
            self.leave()
            self._name, self._copy = name, os.dup(socket)
        self._event.clear()
        self._loop.add_reader(self._copy, self._touch)
        return is_other

    def _touch(self) -> None:
        self._loop.remove_reader(self._copy)
        self._event.set()

    async def touched(self, timeout_s: float) -> None:
        """Wait until there is something to read, or for a time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            pass

    def leave(self) -> None:
        """Look no more."""
        if self._copy >= 0:
            self._loop.remove_reader(self._copy)
            os.close(self._copy)
        self._event.clear()
        self._name, self._copy = "", -1


class Presence:
    """The connection, opened when it is first needed, and who uses it: owners of leases, and those who wait."""

    def __init__(self, server: Server, notifier: Notifier) -> None:
        self._server, self._notifier = server, notifier
        self._thread: SqlThread[PresenceConnection] | None = None
        self._starting = asyncio.Lock()
        self._outbox: dict[str, None] = {}
        self._telling: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.names: dict[str, None] = {}

    async def _call(self, work: Callable[[PresenceConnection], T]) -> T:
        """Do something with the connection, and pass on what the others have told. Raises: psycopg.Error."""
        async with self._starting:
            if self._thread is None:
                connect = partial(PresenceConnection, self._server, None)
                thread = SqlThread(connect, end=PresenceConnection.close, closed=psycopg.InterfaceError)
                await thread.start()
                self._thread = thread
        result, heard = await self._thread.call(lambda connection: (work(connection), connection.heard()))
        for message in heard:
            if message == _EVERYTHING:
                self._notifier.notify_all()
            else:
                for session in message.split():
                    self._notifier.notify(session)
        return result

    async def hold(self) -> str:
        """Return the name under which the log is an owner now. Raises: StoreError."""
        with self._server.translated():
            try:
                name = await self._call(PresenceConnection.ask)
            except psycopg.OperationalError:  # it was lost just now
                name = await self._call(PresenceConnection.ask)
        self.names[name] = None
        return name

    def tell(self, session: str) -> None:
        """Let the others hear soon that something was appended."""
        self._outbox[session] = None
        loop = asyncio.get_running_loop()
        if self._telling is not loop:  # nothing is told soon, or in a loop that has ended
            self._telling = loop
            loop.call_later(_TELL_S, _send_soon, weakref.ref(self))

    def send_soon(self) -> None:
        """Begin to tell, if the log is still open."""
        self._telling = None
        if not self._stopped:
            task = asyncio.get_running_loop().create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        sessions, self._outbox = self._outbox, {}
        message = " ".join(sessions)
        if message:
            try:
                whole = message if len(message.encode()) <= _MOST_BYTES else _EVERYTHING
                await self._call(lambda connection: connection.tell(whole))
            except (psycopg.Error, RefoldError):
                pass  # those who wait look by themselves, a little later

    def begin(self, heads: _Heads) -> None:
        """Listen from now on, until nobody has waited for a while. `heads`: reads where sessions end."""
        loop = asyncio.get_running_loop()
        task = self._tasks.get(loop)
        if (task is None or task.done()) and not self._stopped:
            self._tasks = {loop: task for loop, task in self._tasks.items() if not (task.done() or loop.is_closed())}
            self._tasks[loop] = loop.create_task(self._listen(heads))

    async def _listen(self, heads: _Heads) -> None:
        loop = asyncio.get_running_loop()
        socket, poll_at_s, waited_s, well_s = _Socket(), 0.0, loop.time(), loop.time()
        try:
            while self._notifier.has_waiting or loop.time() < waited_s + _LINGER_S:
                waited_s = loop.time() if self._notifier.has_waiting else waited_s
                try:
                    if socket.watch(*await self._call(PresenceConnection.listen)) or loop.time() >= poll_at_s:
                        self._notifier.wake_at(await heads(self._notifier.waiting))
                        poll_at_s = loop.time() + _POLL_S
                    well_s = loop.time()
                except (psycopg.Error, RefoldError, OSError):
                    if loop.time() > well_s + _TOLD_S:  # whoever waits is to read, and be told
                        self._notifier.notify_all()
                    socket.leave()
                    poll_at_s = loop.time() + _AGAIN_S
                await socket.touched(max(poll_at_s - loop.time(), 0.0))
        finally:
            socket.leave()

    async def stop(self) -> None:
        """Listen no more, whoever waits, and tell what is still to be told."""
        self._stopped = True
        tasks = [task for task in (self._tasks.get(asyncio.get_running_loop()),) if task is not None]
        for task in tasks:
            task.cancel()
        cancelled = await settled(*tasks, *self._sending)
        if cancelled is not None:
            raise cancelled

    async def close(self) -> None:
        """Tell what is still to be told, and give the lock back."""
        await self._send()
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()


def _send_soon(presence: weakref.ref[Presence]) -> None:
    """Begin to tell, unless the log is gone: a timer keeps nobody from collecting it."""
    there = presence()
    if there is not None:
        there.send_soon()

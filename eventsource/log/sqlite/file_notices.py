"""The system's notices that a file is written to, where it gives them (inotify, on Linux)."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_WRITTEN = 2  # IN_MODIFY in <sys/inotify.h>, whose flags for the descriptor are those of `open`
_READ_BYTES = 4_096


@asynccontextmanager
async def file_notices(path: str, notice: Callable[[], None], *, put_off_s: Callable[[], float]) -> AsyncIterator[bool]:
    """Call a function in the event loop whenever a file is written to. Yields: False where there are no notices.

    `put_off_s`: asked at each write, for how many seconds the call is put off; what comes meanwhile wakes nobody and
    shares it.

    The file itself is not opened: closing it again would give back SQLite's locks. Ending takes about 10 ms: Linux
    waits until nobody in the kernel looks at the descriptor any more.
    """
    loop, descriptor = asyncio.get_running_loop(), _ask_for_notices(path)
    later: asyncio.TimerHandle | None = None

    def drain() -> None:
        with suppress(BlockingIOError):
            os.read(descriptor, _READ_BYTES)

    def read() -> None:
        nonlocal later
        drain()
        if (pause_s := put_off_s()) > 0:
            loop.remove_reader(descriptor)
            later = loop.call_later(pause_s, go_on)
        else:
            notice()

    def go_on() -> None:
        drain()
        loop.add_reader(descriptor, read)
        notice()

    try:
        if descriptor >= 0:
            try:
                loop.add_reader(descriptor, read)
            except RuntimeError:  # an event loop that watches no descriptors
                os.close(descriptor)
                descriptor = -1
        yield descriptor >= 0
    finally:
        if later is not None:
            later.cancel()
        if descriptor >= 0:
            loop.remove_reader(descriptor)
            os.close(descriptor)


def _ask_for_notices(path: str) -> int:
    """Return a descriptor that can be read when a file was written to; -1 where the system has none to give."""
    try:
        system = ctypes.CDLL(None)
        begin, add = system.inotify_init1, system.inotify_add_watch
    except (OSError, AttributeError):
        return -1
    add.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    descriptor = int(begin(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor >= 0 and add(descriptor, os.fsencode(path), _WRITTEN) < 0:
        os.close(descriptor)
        return -1
    return descriptor

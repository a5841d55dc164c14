"""Work beside work: waiting for what must come to its end, however often the one who waits is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def settled(*tasks: asyncio.Future[Any], timeout_s: float | None = None) -> asyncio.CancelledError | None:
    """Wait until tasks have ended, or for a time, however often the waiting is cancelled.

    What the tasks raise is theirs: it is not raised here. Returns: the last cancellation.
    """
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    until_s = None if timeout_s is None else loop.time() + timeout_s
    while not all(task.done() for task in tasks):
        left_s = None if until_s is None else until_s - loop.time()
        if left_s is not None and left_s <= 0:
            break
        try:
            await asyncio.wait(tasks, timeout=left_s)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # it has been looked at: nobody need be told
    return cancelled


async def outlast(*tasks: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    """Wait until tasks have ended, or for a time; a cancellation is raised after that, not instead of it."""
    cancelled = await settled(*tasks, timeout_s=timeout_s)
    if cancelled is not None:
        raise cancelled


async def stop(*tasks: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    """Cancel tasks and wait until they have ended, or for a time."""
    for task in tasks:
        task.cancel()
    await outlast(*tasks, timeout_s=timeout_s)


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, T]) -> AsyncIterator[list[asyncio.Task[T]]]:
    """Do some things while a block lasts; at its end those under way are cancelled and waited for.

    Yields: their tasks. What they raise is theirs: it is not raised here.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        await stop(*tasks)


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Do some things while a block lasts; at its end they are cancelled and waited for. Raises: what one did, then."""
    tasks: list[asyncio.Task[object]] = []
    try:
        async with running(*work) as tasks:
            yield
    finally:
        for task in tasks:
            if not task.cancelled():
                task.result()


async def finish(work: Awaitable[T]) -> T:
    """Await something to its end, also when the caller is cancelled meanwhile; the cancellation follows it."""
    task = asyncio.ensure_future(work)
    await outlast(task)
    return task.result()


def run_apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run async work to its end from code that is not async; where an event loop runs here already, in a thread.

    That loop stands still meanwhile. Who interrupts the waiting cancels the work, and waits for its end.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def main() -> T:
        task = asyncio.create_task(work())
        running.append((asyncio.get_running_loop(), task))
        return await task

    with ThreadPoolExecutor(1, thread_name_prefix="run_apart") as thread:
        future = thread.submit(contextvars.copy_context().run, asyncio.run, main())
        try:
            return future.result()
        except BaseException:
            for loop, task in running:
                with suppress(RuntimeError):  # it has ended meanwhile
                    loop.call_soon_threadsafe(task.cancel)
            raise

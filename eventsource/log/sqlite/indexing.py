"""Keeping the index of the search up with the appends: a timer, then a task, for all sessions of an opened log."""

from __future__ import annotations

import asyncio
import weakref
from functools import partial

from ...background import settled
from ...errors import RefoldError
from ..sql.jobs import Job
from . import search_index
from .group_commit import GroupCommit

AFTER_S, _PAUSE_S = 1.0, 0.02


class Indexing:
    """What was appended and is not in the index yet, and the task that takes it in."""

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._missing: dict[str, None] = {}  # in this order, so that the blocks of new sessions are in order
        self._stopped = False

    def soon(self, session: str) -> None:
        """Let what was appended be found before long."""
        self._missing[session] = None
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # nothing, or of a loop that has ended
            self._loop = loop
            loop.call_later(AFTER_S, _begin, weakref.ref(self))

    def begin(self) -> None:
        """Take what was appended into the index, if the log is still open."""
        if not self._stopped:
            self._task = asyncio.get_running_loop().create_task(self._take_in())

    async def _take_in(self) -> None:
        names, self._missing = list(self._missing), {}
        try:
            while names:
                work = partial(search_index.catch_up_with, sessions=names[: search_index.SESSIONS_AT_ONCE])
                if not await self._commits.run(Job(work, session="", durable=False)):
                    del names[: search_index.SESSIONS_AT_ONCE]
                await asyncio.sleep(_PAUSE_S)
        except RefoldError:
            pass  # whoever searches tries again
        finally:
            self._loop = None
        for session in list(self._missing):
            self.soon(session)

    async def stop(self) -> None:
        """End; what is missing is taken in by whoever searches next."""
        self._stopped = True
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()
            if (cancelled := await settled(self._task)) is not None:
                raise cancelled


def _begin(indexing: weakref.ref[Indexing]) -> None:
    """Begin, unless the log is gone: a timer keeps nobody from collecting it."""
    there = indexing()
    if there is not None:
        there.begin()

"""Noticing what other connections write: one look for all who wait, and none while nobody does."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from ...background import settled
from ...errors import RefoldError
from ..follow import Notifier
from .database_files import DatabaseFiles
from .file_notices import file_notices
from .group_commit import GroupCommit

_LOOK_S = 0.01
"""Between two looks at the write-ahead file where the system gives no notice of what is written."""
_SOON_S, _GROWTH = 0.001, 1.5
"""After something was written the database is asked, and so much later again, and after ever longer times ..."""
_ASK_S = 0.2
"""... up to this: between two questions while nothing seems to be written; an abort must arrive within 0.25 s."""
_OWN_S, _ALONE_S = 0.01, 0.1
"""What is written while this log writes itself is looked at so much later, most often it is its own: the second, where
all that is waited for was last appended to by this log, whose next append finds what others do to that session."""
_LINGER_S = 1.0
"""For somebody else who waits: a run waits anew after each of its appends, and ending the notices takes 10 ms."""
_EACH_S, _MOST_S = 0.0002, 0.1
"""After others have committed, so long for each session that is waited for: finding out which it was takes its time."""


class ChangeWatcher:
    """Wakes those who wait for sessions that others have appended to.

    Whoever commits writes to the write-ahead file: the system gives notice of that, or the file is looked at now and
    then. Unless this log has written itself, the database is asked whether another connection has committed, and asked
    again a little later: what was written counts only when the commit has ended. Only when it says yes, the ends of the
    sessions are read that somebody waits for.
    """

    def __init__(
        self,
        files: DatabaseFiles,
        notifier: Notifier,
        commits: GroupCommit,
        *,
        ask: Callable[[object, Sequence[str]], Awaitable[tuple[object, Mapping[str, int]]]],
    ) -> None:
        """Prepare.

        Args:
            ask: gives something that differs when another connection has committed, and, if it differs from what it is
                given, where the given sessions end; those that are not there are left out.
        """
        self._files, self._notifier, self._commits, self._read = files, notifier, commits, ask
        self._version: object = None
        self._tasks: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._begun: dict[asyncio.AbstractEventLoop, asyncio.Future[None]] = {}

    def begin(self) -> None:
        """Look from now on, until nobody has waited for a while."""
        loop = asyncio.get_running_loop()
        if (begun := self._begun.pop(loop, None)) is not None and not begun.done():
            begun.set_result(None)
            return
        task = self._tasks.get(loop)
        if task is None or task.done():
            self._tasks = {loop: task for loop, task in self._tasks.items() if not (task.done() or loop.is_closed())}
            begin = partial(loop.create_task, self._watch())
            self._tasks[loop] = contextvars.Context().run(begin)  # it is nobody's: not of the run that waits first

    async def stop(self) -> None:
        """Look no more, whoever waits."""
        task = self._tasks.get(asyncio.get_running_loop())
        if task is not None:
            task.cancel()
            if (cancelled := await settled(task)) is not None:
                raise cancelled

    async def _watch(self) -> None:
        touched = asyncio.Event()
        async with file_notices(self._files.wal_name, touched.set, put_off_s=self._put_off_s) as has_notices:
            await self._look(touched, longest_s=_ASK_S if has_notices else _LOOK_S)

    def _put_off_s(self) -> float:
        """Return how much later it is enough to learn of what is written now: most often it is this log's own."""
        if not self._commits.is_writing:
            return 0.0
        is_alone = all(self._notifier.head_of(session) is not None for session in self._notifier.waiting)
        return _ALONE_S if is_alone else _OWN_S

    async def _has_begun(self) -> bool:
        """Return whether somebody begins to wait within a while."""
        loop = asyncio.get_running_loop()
        begun = self._begun[loop] = loop.create_future()
        try:
            await asyncio.wait([begun], timeout=_LINGER_S)
            return begun.done()
        finally:
            self._begun.pop(loop, None)

    async def _look(self, touched: asyncio.Event, *, longest_s: float) -> None:
        look = _Look(self._files, self._commits, longest_s=longest_s)
        while self._notifier.has_waiting or await self._has_begun():
            was_touched = touched.is_set()
            touched.clear()
            if look.is_due(was_touched=was_touched, version=self._version):
                look.has_asked(found=await self._ask(), waiting=len(self._notifier.waiting))
            try:
                async with asyncio.timeout(look.pause_s()):
                    await touched.wait()
            except TimeoutError:
                pass

    async def _ask(self) -> bool:
        """Wake those whose session has changed. Returns: whether another connection has committed."""
        self._commits.counts.asked += 1
        try:
            version, heads = await self._read(self._version, self._notifier.waiting)
        except RefoldError:  # whoever waits is to read, and be told
            self._notifier.notify_all()
            return True
        if version == self._version:
            return False
        self._version = version
        self._notifier.forget()
        self._notifier.wake_at(heads)  # who has come meanwhile, too
        return True


class _Look:
    """When the database is to be asked."""

    def __init__(self, files: DatabaseFiles, commits: GroupCommit, *, longest_s: float) -> None:
        self._files, self._commits, self._longest_s = files, commits, longest_s
        self._time = asyncio.get_running_loop().time
        self._seen: object = None
        self._step_s = _SOON_S
        self._ask_at_s = self._not_before_s = 0.0
        self._is_own = False

    def is_due(self, *, was_touched: bool, version: object) -> bool:
        """Look at the write-ahead file. Returns: whether the database is to be asked now."""
        self._commits.counts.looks += 1
        own, found = self._commits.own, self._files.wal_touched()
        self._is_own = self._commits.is_writing and found != self._seen
        if not self._is_own and (was_touched or found != self._seen):
            self._seen = found
            if found != own.touched:
                self._step_s, self._ask_at_s = _SOON_S, 0.0
        if own.version not in (None, version):  # an append of our own has noticed it
            self._ask_at_s = 0.0
        return self._time() >= max(self._ask_at_s, self._not_before_s)

    def has_asked(self, *, found: bool, waiting: int) -> None:
        """Note that the database was asked, and whether another connection has committed."""
        now_s = self._time()
        if found:
            if self._step_s == _ASK_S:  # there was no notice of it
                self._longest_s = _LOOK_S
            self._not_before_s = now_s + min(waiting * _EACH_S, _MOST_S)
        self._ask_at_s = now_s + self._step_s
        self._step_s = min(_GROWTH * self._step_s, _ASK_S)

    def pause_s(self) -> float:
        """Return how long to wait for the next look, unless there is a notice before."""
        longest_s = _OWN_S if self._is_own else self._longest_s
        return min(max(self._ask_at_s, self._not_before_s) - self._time(), longest_s)

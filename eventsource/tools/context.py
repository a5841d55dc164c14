"""What a running tool knows of its call: dependencies, place, deadline, cancellation, and a way to report progress."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import msgspec

from ..errors import ErrorFields, ToolFailure
from ..events import Place, ToolResult
from ..messages import TextContent
from ..user_code.argument_checks import checked
from .results import to_result

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Deps = TypeVar("Deps", covariant=True, default=object)
else:
    from typing import TypeVar

    Deps = TypeVar("Deps", covariant=True)


_MOST_WAITING = 1_000
_MOST_CHARACTERS = 8_000_000
"""Partial results of one call that wait to be recorded, and their characters."""
_MOST_UNDER_WAY = 100
"""Partial results on their way from another thread."""
_PATIENCE_S = 5.0
_LOOK_S = 0.005


class RunningCall(msgspec.Struct, frozen=True, kw_only=True):
    """The call a tool was made for. `id` is the provider's; the idempotency key is ours, the same on every attempt."""

    place: Place
    id: str
    name: str
    idempotency_key: str


def idempotency_key(session: str, place: Place) -> str:
    """Name a call for ever: by the session that recorded its start, and its place there."""
    return f"{session}:{place.message_seq}:{place.content_index}"


@dataclass(eq=False, repr=False)
class CallHeld(ErrorFields, BaseException):  # no error: the call goes on when its wait has ended
    """Raised by a tool of this program to let its call wait: it runs again when the wait has ended."""

    key: str
    reason: str


class ToolContext(Generic[Deps]):
    """Given to every tool that has a parameter of this type; `ToolContext[MyDeps]` types `deps`.

    deps: what the caller of the run passed for its tools. session: the id of the session that runs.
    deadline_us: when the run must be over (UTC microseconds), if it must. signal: set when the call should stop.
    """

    def __init__(
        self,
        *,
        deps: Deps,
        call: RunningCall,
        session: str,
        deadline_us: int | None = None,
        signal: asyncio.Event | None = None,
        report: Callable[[ToolResult], None] | None = None,
        full: Callable[[], bool] | None = None,
    ) -> None:
        """Take what one call needs; `report` is called in the event loop's thread, once for each update.

        `full` says that too many updates wait to be recorded.
        """
        self.deps = deps
        self.call = call
        self.session = session
        self.deadline_us = deadline_us
        self.signal = signal or asyncio.Event()
        self._report, self._full = report, full
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self._under_way = 0
        self._lock = threading.Lock()
        self._closed = self._ended = False
        self.left_running = False

    @property
    def cancelled(self) -> bool:
        """True when the call should stop, or was given up; a tool in a thread asks this now and then."""
        return self._closed or self.signal.is_set()

    def raise_if_cancelled(self) -> None:
        """End the call with an error result if it should stop."""
        if self.cancelled:
            raise ToolFailure("Tool execution was aborted")

    @checked("partial")
    def update(self, partial: object) -> None:
        """Report a partial result: anything a tool may return. After the call's end it is dropped.

        May be called from any thread; updates keep their order. A thread that reports faster than can be recorded waits
        here; where nobody can wait, a remark and the latest update stand for those that were left out.

        Raises: InvalidTextError when the value cannot be kept.
        """
        if self._closed:
            return
        result = to_result(partial)
        if self._loop is None or threading.get_ident() == self._thread:
            self._deliver(result)
            return
        self._wait_for_room()
        with self._lock:
            self._under_way += 1
        try:
            self._loop.call_soon_threadsafe(self._arrived, result)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            pass

    def _wait_for_room(self) -> None:
        """Let a thread wait while too much is not recorded; not for ever, since the loop may wait for the thread."""
        until_s = time.monotonic() + _PATIENCE_S
        while not self._ended and time.monotonic() < until_s:
            if self._under_way < _MOST_UNDER_WAY and not (self._full is not None and self._full()):
                return
            time.sleep(_LOOK_S)

    def _arrived(self, result: ToolResult) -> None:
        with self._lock:
            self._under_way -= 1
        self._deliver(result)

    def _deliver(self, result: ToolResult) -> None:
        if not self._ended and self._report is not None:
            self._report(result)

    def begin(self) -> None:
        """Tie updates to the event loop that runs now; only `Tool.execute` calls this."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def close(self) -> None:
        """Take no further update: the function has returned. Only `Tool.execute` calls this."""
        self._closed = True

    def end(self, *, running: bool = False) -> None:
        """Drop every update from here on; only `Tool.execute` calls this, and says whether the code still runs."""
        self._closed = self._ended = True
        self.left_running = running


class Reports:
    """What a call reported and is not recorded yet: bounded, since a tool may report faster than a disk records."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to take, once until it is taken."""
        self._wake = wake
        self._waiting: list[ToolResult] = []
        self._latest: ToolResult | None = None
        self._size = self._left_out = 0

    @property
    def full(self) -> bool:
        """True when what comes next would be left out."""
        return len(self._waiting) >= _MOST_WAITING or self._size >= _MOST_CHARACTERS

    def put(self, result: ToolResult) -> None:
        """Let a report wait; beyond the bound the latest stands for all that were left out."""
        if not self._waiting:
            self._wake()
        if self.full:
            self._left_out, self._latest = self._left_out + (self._latest is not None), result
            return
        self._waiting.append(result)
        self._size += sum(len(part.text) for part in result.content if isinstance(part, TextContent))
        self._size += 0 if isinstance(result.details, msgspec.UnsetType) else len(bytes(result.details))

    def take(self) -> list[ToolResult]:
        """Take what waits, in order; where something was left out, a remark says how much."""
        taken, latest, left_out = self._waiting, self._latest, self._left_out
        if left_out:
            said = f"[{left_out:,} partial results left out: they came faster than they could be recorded]"
            taken.append(ToolResult(content=(TextContent(text=said),)))
        if latest is not None:
            taken.append(latest)
        self._waiting, self._latest, self._size, self._left_out = [], None, 0, 0
        return taken

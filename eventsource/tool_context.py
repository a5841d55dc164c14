"""What a running tool knows of its call: dependencies, place, deadline, cancellation, and a way to report progress."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic

import msgspec

from .errors import ToolFailure
from .events import Place, ToolResult
from .tool_results import to_result

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Deps = TypeVar("Deps", covariant=True, default=object)
else:
    from typing import TypeVar

    Deps = TypeVar("Deps", covariant=True)


class RunningCall(msgspec.Struct, frozen=True, kw_only=True):
    """The call a tool was made for. `id` is the provider's; the idempotency key is ours, the same on every attempt."""

    place: Place
    id: str
    name: str
    idempotency_key: str


def idempotency_key(session: str, place: Place) -> str:
    """Name a call for ever: by the session that recorded its start, and its place there."""
    return f"{session}:{place.message_seq}:{place.content_index}"


class CallHeld(BaseException):  # no error: the call goes on when its wait has ended
    """Raised by a tool of this program to let its call wait: it runs again when the wait has ended."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason


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
    ) -> None:
        """Take what one call needs; `report` is called in the event loop's thread, once for each update."""
        self.deps = deps
        self.call = call
        self.session = session
        self.deadline_us = deadline_us
        self.signal = signal or asyncio.Event()
        self._report = report
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self._ended = False

    @property
    def cancelled(self) -> bool:
        """True when the call should stop; a tool in a thread asks this now and then."""
        return self.signal.is_set()

    def raise_if_cancelled(self) -> None:
        """End the call with an error result if it should stop."""
        if self.signal.is_set():
            raise ToolFailure("Tool execution was aborted")

    def update(self, partial: object) -> None:
        """Report a partial result: anything a tool may return. After the call's end it is dropped.

        May be called from any thread; updates keep their order.

        Raises: InvalidTextError when the value cannot be kept.
        """
        if self._ended:
            return
        result = to_result(partial)
        if self._loop is None or threading.get_ident() == self._thread:
            self._deliver(result)
            return
        try:
            self._loop.call_soon_threadsafe(self._deliver, result)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            pass

    def _deliver(self, result: ToolResult) -> None:
        if not self._ended and self._report is not None:
            self._report(result)

    def begin(self) -> None:
        """Tie updates to the event loop that runs now; only `Tool.execute` calls this."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def end(self) -> None:
        """Drop every update from here on; only `Tool.execute` calls this."""
        self._ended = True

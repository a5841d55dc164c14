"""Re-executing an agent against a recording: the same loop over a fresh session, answered by what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace as change
from typing import TYPE_CHECKING, Generic, TypeVar

from eventsource.envelope import Recorded
from eventsource.errors import TranscriptError
from eventsource.events import Event
from eventsource.log.admitted import admitted, append_admitted
from eventsource.machine.steps import Suspend
from replay.mismatch import Mismatch
from replay.recorded_answers import RecordingIndex
from replay.reexecute import Mode, Reexecutor, ToolsMode

from .run import Run
from .session_runner import run_session

if TYPE_CHECKING:
    from eventsource.machine.state import Config
    from eventsource.runner.loop import Program
    from projections.context import ContextView

    from .output import Output
    from .session import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Reexecution(Generic[T]):
    """What came of running today's agent against a recording.

    run: the run in its session (of several, the last). requests, calls: model and tool calls that the recording
    answered. mismatch: the first thing that differed, None if nothing did. history: every event of the session.
    """

    run: Run[T]
    requests: int
    calls: int
    mismatch: Mismatch | None
    history: tuple[Recorded, ...]

    @property
    def ok(self) -> bool:
        """True when today's agent asked what was recorded, and nothing else."""
        return self.mismatch is None

    def __str__(self) -> str:
        """Write it for a person."""
        matched = f"{self.requests} model calls and {self.calls} tool calls are as recorded"
        return matched if self.mismatch is None else f"{self.mismatch}\nbefore that, {matched}"


async def reexecute(
    program: Program[ContextView],
    history: Sequence[Recorded],
    session: Session,
    *,
    wanted: Config,
    output: Output[T] | None,
    mode: Mode,
    tools: ToolsMode,
) -> Reexecution[T]:
    """Run a program against a history, in a session that is empty.

    Raises: TranscriptError when the history holds no run.
    """
    log, events, session_run = session.core.log, list[Recorded](), None

    async def append(inputs: Sequence[Event]) -> None:
        pairs = [(program.clock(), event) for event in inputs]
        await append_admitted(log, session.id, admitted(pairs, redact=program.secrets.redact))

    reexecutor = Reexecutor(RecordingIndex(history), program, append=append, mode=mode, tools=tools)

    def listen(recorded: Recorded) -> None:
        events.append(recorded)
        reexecutor.listen(recorded)

    answered = reexecutor.program()
    opening = reexecutor.opening()
    while opening is not None:
        session_run = await run_session(log, session.id, answered, wanted=wanted, opening=opening, listen=listen)
        opening = reexecutor.waiting() if isinstance(session_run.end, Suspend) else reexecutor.opening()
    if session_run is None:
        raise TranscriptError("the recording", "holds no run, so there is nothing to do again")
    return Reexecution(
        run=Run(session, change(session_run, recorded=tuple(events)), output),
        requests=reexecutor.requests,
        calls=reexecutor.calls,
        mismatch=reexecutor.mismatch,
        history=tuple(events),
    )

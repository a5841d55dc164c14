"""A run of an agent in a session: what it came to, or for what it waits."""

from __future__ import annotations

from typing import TypeVar

from eventsource.errors import OutputError
from eventsource.events import MessageEnd, Retry
from eventsource.machine.steps import Suspend
from eventsource.messages import AssistantMessage, Message, Usage

from .context_fold import CONTEXT
from .output import Output
from .run_result import RunResult, RunStatus
from .session import Session
from .session_runner import SessionRun
from .waits import Waiting

T = TypeVar("T")


class Run(RunResult[T]):
    """A run that has ended, or waits for somebody.

    status: done, error, aborted, limit, refused (by the provider, or its filter), or waiting (then `waits` says for
    what). head: the log's last seq.
    """

    def __init__(self, session: Session, session_run: SessionRun, output: Output[T] | None) -> None:
        events = [recorded.event for recorded in session_run.recorded]
        answers = (end.message for end in events if isinstance(end, MessageEnd) and end.message is not None)
        retried = (event.usage for event in events if isinstance(event, Retry) and event.usage is not None)
        super().__init__(answers, session_run.state.ending, sum(retried, Usage()), output)
        self.session, self._session_run = session, session_run

    def __repr__(self) -> str:
        return f"Run(session={self.session.id!r}, status={self.status!r}, head={self.head})"

    @property
    def status(self) -> RunStatus:
        """How the run stands."""
        return "waiting" if isinstance(self._session_run.end, Suspend) else super().status

    @property
    def waits(self) -> tuple[Waiting, ...]:
        """What the run, or an agent that it called, waits for: `session.decide(wait, approve=True)`, then resume."""
        return self._session_run.waiting

    @property
    def head(self) -> int:
        """The seq of the session's last event."""
        return self._session_run.head

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole context after the run."""
        return CONTEXT.messages(self._session_run.view)

    @property
    def text(self) -> str:
        """The text of the last answer, empty when there is none."""
        if self.answers:
            return super().text
        last = self.messages[-1] if self.messages else None
        return last.text if isinstance(last, AssistantMessage) else ""

    @property
    def output(self) -> T:
        """The last answer as the agent's output type.

        Raises: OutputError when the agent declares none, the answer does not fit it, or the run is not done; then with
            why.
        """
        if self._output is not None and self.status == "waiting":
            waits = "; ".join(wait.words for wait in self.waits)
            raise OutputError("", f"the run is not over, session {self.session.id} {waits}")
        return super().output

"""What a run came to."""

from __future__ import annotations

from functools import cached_property
from typing import Generic, Literal, TypeAlias, TypeVar

from eventsource.errors import OutputError
from eventsource.events import MessageEnd, Retry
from eventsource.machine.outcome import Outcome, outcome
from eventsource.machine.steps import Suspend
from eventsource.messages import AssistantMessage, Message, Usage

from .context import CONTEXT
from .drive import Driven
from .output import Output
from .session import Session
from .waits import Waiting

T = TypeVar("T")
RunStatus: TypeAlias = Literal["done", "error", "aborted", "limit", "refused", "waiting"]


class Run(Generic[T]):
    """A run that has ended, or waits for somebody.

    status: done, error, aborted, limit, refused (by the provider, or its filter), or waiting (then `waits` says for
    what). head: the log's last seq.
    """

    def __init__(self, session: Session, driven: Driven, output: Output[T] | None) -> None:
        self.session, self._driven, self._output = session, driven, output

    def __repr__(self) -> str:
        return f"Run(session={self.session.id!r}, status={self.status!r}, head={self.head})"

    @property
    def status(self) -> RunStatus:
        """How the run stands."""
        return "waiting" if isinstance(self._driven.end, Suspend) else self._outcome.status

    @cached_property
    def _outcome(self) -> Outcome:
        return outcome(self._driven.state.ending)

    @property
    def waits(self) -> tuple[Waiting, ...]:
        """What the run, or an agent that it called, waits for: `session.decide(wait, approve=True)`, then resume."""
        return self._driven.waiting

    @property
    def head(self) -> int:
        """The seq of the session's last event."""
        return self._driven.head

    @cached_property
    def answers(self) -> tuple[AssistantMessage, ...]:
        """The assistant messages of this run, failed ones included."""
        ends = (recorded.event for recorded in self._driven.recorded)
        return tuple(end.message for end in ends if isinstance(end, MessageEnd) and end.message is not None)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole context after the run."""
        return CONTEXT.messages(self._driven.view)

    @property
    def text(self) -> str:
        """The text of the last answer, empty when there is none."""
        if self.answers:
            return self.answers[-1].text
        last = self.messages[-1] if self.messages else None
        return last.text if isinstance(last, AssistantMessage) else ""

    @property
    def error(self) -> str:
        """Why the run is not done: the words of the provider, a hook, a limit, an abort; empty when it is, or waits."""
        return "" if self.status in ("done", "waiting") else self._outcome.reason

    @property
    def output(self) -> T:
        """The last answer as the agent's output type.

        Raises: OutputError when the agent declares none, the answer does not fit it, or the run is not done; then with
            why.
        """
        if self._output is None:
            raise OutputError("", "the agent declares no output type; use `text`")
        if self.status == "waiting":
            waits = "; ".join(wait.words for wait in self.waits)
            raise OutputError("", f"the run is not over, session {self.session.id} {waits}")
        return self._output.read_ended(self.text, self._outcome)

    @cached_property
    def usage(self) -> Usage:
        """The tokens of this run's model calls, those that were made again included."""
        retries = (one.event for one in self._driven.recorded)
        retried = (event.usage for event in retries if isinstance(event, Retry))
        return sum((used for used in (*(answer.usage for answer in self.answers), *retried) if used), Usage())

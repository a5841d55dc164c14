"""What a run came to."""

from __future__ import annotations

from functools import cached_property
from typing import Generic, Literal, TypeAlias, TypeVar

from eventsource.errors import OutputError
from eventsource.events import AgentEnd, EndReason, MessageEnd
from eventsource.messages import AssistantMessage, Message, Usage
from eventsource.steps import Suspend

from .context import CONTEXT
from .drive import Driven
from .output import Output
from .session import Session
from .waiting import Waiting

T = TypeVar("T")
RunStatus: TypeAlias = Literal["done", "error", "aborted", "limit", "waiting"]
_STATUS: dict[EndReason | None, RunStatus] = {
    None: "done",
    "stop": "done",
    "error": "error",
    "aborted": "aborted",
    "limit": "limit",
}


class Run(Generic[T]):
    """A run that has ended, or waits for somebody.

    status: done, error, aborted, limit, or waiting (then `waits` says for what). head: the log's last seq.
    """

    def __init__(self, session: Session, driven: Driven, output: Output[T] | None) -> None:
        self.session, self._driven, self._output = session, driven, output

    def __repr__(self) -> str:
        return f"Run(session={self.session.id!r}, status={self.status!r}, head={self.head})"

    @property
    def status(self) -> RunStatus:
        """How the run stands."""
        end = self._driven.end
        return "waiting" if isinstance(end, Suspend) else _STATUS[end.reason]

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
        """What the run ended with: the words of the provider, a hook, a callback or a limit; empty when it was done."""
        if self.status in ("done", "waiting"):
            return ""
        ends = [recorded.event for recorded in self._driven.recorded if isinstance(recorded.event, AgentEnd)]
        said = self.answers[-1].error if self.answers else ""
        return said or (ends[-1].error if ends else "")

    @property
    def output(self) -> T:
        """The last answer as the agent's output type.

        Raises: OutputError when the agent declares none, or the answer does not fit it.
        """
        if self._output is None:
            raise OutputError("", "the agent declares no output type; use `text`")
        return self._output.read(self.text)

    @cached_property
    def usage(self) -> Usage:
        """The tokens of this run's model calls."""
        total = Usage()
        for answer in self.answers:
            total = total + (answer.usage or Usage())
        return total

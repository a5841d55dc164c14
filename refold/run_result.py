"""What a run of an agent came to: its answers, how it ended, and what it used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Literal, TypeAlias, TypeVar

from eventsource.errors import OutputError
from eventsource.machine.outcome import Ending, outcome
from eventsource.messages import AssistantMessage, Usage

from .output import Output

T = TypeVar("T")
RunStatus: TypeAlias = Literal["done", "error", "aborted", "limit", "refused", "waiting"]


class RunResult(Generic[T]):
    """What a run of an agent came to.

    answers: its assistant messages, failed ones included.
    """

    def __init__(
        self, answers: Iterable[AssistantMessage], ended: Ending, retried: Usage, output: Output[T] | None
    ) -> None:
        self.answers = tuple(answers)
        self._outcome, self._retried, self._output = outcome(ended), retried, output

    @property
    def status(self) -> RunStatus:
        """How it ended: done, error, aborted, limit, or refused (by the provider, or its filter)."""
        return self._outcome.status

    @property
    def text(self) -> str:
        """The text of the last answer, empty when there is none."""
        return self.answers[-1].text if self.answers else ""

    @property
    def error(self) -> str:
        """Why it is not done: the words of the provider, a hook, a limit, an abort; empty when it is, or waits."""
        return "" if self.status in ("done", "waiting") else self._outcome.reason

    @property
    def output(self) -> T:
        """The last answer as the agent's output type.

        Raises: OutputError when the agent declares none, the answer does not fit it, or the run is not done; then with
            why.
        """
        if self._output is None:
            raise OutputError("", "the agent declares no output type; use `text`")
        return self._output.read_ended(self.text, self._outcome)

    @property
    def usage(self) -> Usage:
        """The tokens of its model calls, those that were made again included."""
        return sum((answer.usage for answer in self.answers if answer.usage is not None), self._retried)

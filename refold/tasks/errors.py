"""What may go wrong with tasks, as fields for programs and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from eventsource.errors import RefoldError


@dataclass(eq=False, repr=False)
class PathError(RefoldError):
    """A task's code took another path than the recorded one; nothing of the other path was recorded."""

    session: str
    key: str
    problem: str
    _TEXT: ClassVar[str] = "session {session}, key {key!r}: {problem}"


@dataclass(eq=False, repr=False)
class StepError(RefoldError):
    """A step of a task failed for good."""

    key: str
    problem: str
    _TEXT: ClassVar[str] = "step {key} failed: {problem}"


@dataclass(eq=False, repr=False)
class ChildError(RefoldError):
    """A child session came to no good end: it failed, was cancelled, or belongs to another branch."""

    key: str
    child: str
    problem: str
    _TEXT: ClassVar[str] = "child {key} (session {child}): {problem}"


@dataclass(eq=False, repr=False)
class WaitEndedError(RefoldError):
    """A wait ended without a value: its deadline passed, or it was cancelled."""

    key: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.key} {'was cancelled' if self.outcome == 'cancelled' else 'was not completed in time'}"


@dataclass(eq=False, repr=False)
class TaskPayloadError(RefoldError):
    """A task was triggered with something that is no payload of it; no session was made."""

    task: str
    problem: str
    _TEXT: ClassVar[str] = "task {task} does not take this payload: {problem}"


@dataclass(eq=False, repr=False)
class NoTaskError(RefoldError):
    """A session cannot be run as a task: it has none, or this process does not know it."""

    session: str
    task: str

    def __str__(self) -> str:
        what = f"this process does not know task {self.task!r}" if self.task else "no task was ever started in it"
        return f"session {self.session}: {what}"

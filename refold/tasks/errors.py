"""What may go wrong with tasks, as fields for programs and a sentence for people."""

from __future__ import annotations

from eventsource.errors import RefoldError


class PathError(RefoldError):
    """A task's code took another path than the recorded one; nothing of the other path was recorded."""

    def __init__(self, session: str, key: str, problem: str) -> None:
        super().__init__(session, key, problem)
        self.session, self.key, self.problem = session, key, problem

    def __str__(self) -> str:
        return f"session {self.session}, key {self.key!r}: {self.problem}"


class StepError(RefoldError):
    """A step of a task failed for good."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key, self.problem = key, problem

    def __str__(self) -> str:
        return f"step {self.key} failed: {self.problem}"


class ChildError(RefoldError):
    """A child session came to no good end: it failed, was cancelled, or belongs to another branch."""

    def __init__(self, key: str, child: str, problem: str) -> None:
        super().__init__(key, child, problem)
        self.key, self.child, self.problem = key, child, problem

    def __str__(self) -> str:
        return f"child {self.key} (session {self.child}): {self.problem}"


class WaitEndedError(RefoldError):
    """A wait ended without a value: its deadline passed, or it was cancelled."""

    def __init__(self, key: str, outcome: str) -> None:
        super().__init__(key, outcome)
        self.key, self.outcome = key, outcome

    def __str__(self) -> str:
        return f"{self.key} {'was cancelled' if self.outcome == 'cancelled' else 'was not completed in time'}"


class TaskPayloadError(RefoldError):
    """A task was triggered with something that is no payload of it; no session was made."""

    def __init__(self, task: str, problem: str) -> None:
        super().__init__(task, problem)
        self.task, self.problem = task, problem

    def __str__(self) -> str:
        return f"task {self.task} does not take this payload: {self.problem}"


class NoTaskError(RefoldError):
    """A session cannot be run as a task: it has none, or this process does not know it."""

    def __init__(self, session: str, task: str) -> None:
        super().__init__(session, task)
        self.session, self.task = session, task

    def __str__(self) -> str:
        what = f"this process does not know task {self.task!r}" if self.task else "no task was ever started in it"
        return f"session {self.session}: {what}"

"""Tasks: functions whose work is recorded, so that it survives the process, waits for days, and is never done twice."""

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from ..inbox_message import InboxMessage
    from .context import TaskContext, Token, WaitResult
    from .errors import ChildError, NoTaskError, PathError, StepError, TaskPayloadError, WaitEndedError
    from .inbox import Inbox
    from .runs import TaskRun, runs
    from .task import Task, task
    from .turns import Turn
    from .worker import Worker

__all__ = [
    "ChildError",
    "Inbox",
    "InboxMessage",
    "NoTaskError",
    "PathError",
    "StepError",
    "Task",
    "TaskContext",
    "TaskPayloadError",
    "TaskRun",
    "Token",
    "Turn",
    "WaitEndedError",
    "WaitResult",
    "Worker",
    "runs",
    "task",
]

load_when_asked(
    __name__,
    {
        "..inbox_message": "InboxMessage",
        ".context": "TaskContext Token WaitResult",
        ".errors": "ChildError NoTaskError PathError StepError TaskPayloadError WaitEndedError",
        ".inbox": "Inbox",
        ".runs": "TaskRun runs",
        ".task": "Task task",
        ".turns": "Turn",
        ".worker": "Worker",
    },
)

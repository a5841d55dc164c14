"""Tasks: functions whose work is recorded, so that it survives the process, waits for days, and is never done twice."""

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

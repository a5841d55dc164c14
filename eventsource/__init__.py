"""The write side: events, messages, the state machine, the log, the loop.

Events, messages and errors are many; they are imported from `eventsource.events`, `eventsource.messages` and
`eventsource.errors`.
"""

from .codec import decode, encode
from .context_fold import ContextFold
from .envelope import Cursor, Recorded, SessionInfo
from .log import MemoryLog, open_store
from .log.protocol import EventLog
from .machine.evolve import evolve, fold
from .machine.guards import legal
from .machine.state import Phase, State
from .machine.steps import Step, next_step
from .models.protocol import Model
from .request import Request, request_sha256
from .runner.hooks import Hooks
from .runner.loop import Loop, Program
from .runner.recorder import Recorder
from .runner.writer import Writer
from .session import Session

__all__ = [
    "ContextFold",
    "Cursor",
    "EventLog",
    "Hooks",
    "Loop",
    "MemoryLog",
    "Model",
    "Phase",
    "Program",
    "Recorded",
    "Recorder",
    "Request",
    "Session",
    "SessionInfo",
    "State",
    "Step",
    "Writer",
    "decode",
    "encode",
    "evolve",
    "fold",
    "legal",
    "next_step",
    "open_store",
    "request_sha256",
]

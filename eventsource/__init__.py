"""The write side: events, messages, the state machine, the log, the loop.

Events, messages and errors are many; they are imported from `eventsource.events`, `eventsource.messages` and
`eventsource.errors`.
"""

from .codec import decode, encode
from .context_fold import ContextFold
from .evolve import evolve, fold
from .guards import legal
from .hooks import Hooks
from .log import MemoryLog, open_store
from .loop import Loop, Program
from .models.protocol import Model
from .ports import Cursor, EventLog, Recorded, SessionInfo
from .recorder import Recorder
from .request import Request, request_sha256
from .session import Session
from .state import Phase, State
from .steps import Step, next_step
from .writer import Writer

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

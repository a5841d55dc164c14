"""Session files, our own and those of other agents: which format a file has, and a folder for each."""

from __future__ import annotations

import asyncio
from pathlib import Path

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from .jsonl import Fields, LineNote, read_lines
from .pi.read import FORMAT as PI, import_pi, plan_pi
from .pi.tree import is_record
from .planner import ImportedBranch, ImportPlan, ImportReport
from .refold.file import is_export
from .refold.read import FORMAT as REFOLD, import_refold

_HEAD_BYTES = 1 << 20  # enough for a header and some records; what it cuts short is not judged

__all__ = [
    "ImportPlan",
    "ImportReport",
    "ImportedBranch",
    "LineNote",
    "detect",
    "import_file",
    "import_pi",
    "import_refold",
    "plan_pi",
]


async def import_file(log: EventLog, path: str, *, session: str | None = None, title: str = "") -> ImportReport:
    """Write a session file of a known format into the log.

    Raises: TranscriptError when it is none, cannot be read or holds nothing; SessionExistsError.
    """
    read = {REFOLD: import_refold, PI: import_pi}[await asyncio.to_thread(detect, path)]
    return await read(log, path, session=session, title=title)


def detect(path: str) -> str:
    """Find which format a file has: `refold` (Refold's own) or `pi`.

    Raises: TranscriptError when it is missing, empty or of no format this program reads.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise TranscriptError(path, f"cannot be read: {error.strerror or error}") from error
    if not head.strip():
        raise TranscriptError(path, "is empty")
    if is_export(head):
        return REFOLD
    records = read_lines(head, is_record).records
    if any(_is_pi(record.fields) for record in records[:20]):
        return PI
    raise TranscriptError(
        path, "is not a session this program can read; it reads its own exports and session files of pi"
    )


def _is_pi(fields: Fields) -> bool:
    match fields:
        case {"type": "session", "id": str(), "timestamp": str()}:
            return True
        case {"type": "message", "timestamp": str(), "message": {"role": str()}}:
            return True
        case _:
            return False

"""The formats of other agents that are read here: which of them a file has, and reading it into the log."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import msgspec

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from .claude_code.file import CLAUDE_CODE
from .codex.file import CODEX
from .format import Format, Head, head_of
from .gemini.file import GEMINI
from .importing import import_sessions
from .inspect.file import INSPECT
from .openai_agents.file import OPENAI_AGENTS
from .openai_chat.file import OPENAI_CHAT
from .opencode.file import OPENCODE
from .openhands.file import OPENHANDS
from .pi.file import PI
from .pydantic_ai.file import PYDANTIC_AI
from .refold.file import is_export
from .refold.read import REFOLD, import_refold
from .report import ImportReport
from .warm import WarmFiles

FORMATS: tuple[Format, ...] = (
    PI,
    CLAUDE_CODE,
    CODEX,
    GEMINI,
    OPENCODE,
    OPENAI_AGENTS,
    PYDANTIC_AI,
    INSPECT,
    OPENHANDS,
    OPENAI_CHAT,  # the last, since such messages stand in files of others too
)
"""The formats of other agents that are read here; the first that fits a file is taken."""


async def import_file(
    log: EventLog,
    path: str,
    *,
    session: str | None = None,
    title: str = "",
    format: str = "",  # noqa: A002 - the word users know
    again: bool = False,
    dry: bool = False,
    growing: bool = False,
    without: Collection[str] = (),
    only_said: bool = False,
    warm: WarmFiles | None = None,
) -> ImportReport:
    """Write the sessions of a file into the log; of those that were imported before, only what is new.

    Args:
        session: the id of a new session.
        title: what a new session is called if its file does not say.
        format: which format it has; without, that is found by looking.
        again: make a copy, though it was imported before.
        dry: write nothing, and say what would be written.
        growing: somebody writes the file: what may not have come whole is left for the next time.
        without: sources of sessions that are left out (`ImportReport.source`).
        only_said: leave out a new session in which nothing was said.
        warm: what was kept of files that are imported again and again, as they grow: only what is new is read.

    Returns: what was done of the file's first session, with those of the others.
    Raises: TranscriptError when it is of no format, cannot be read or holds nothing; SessionExistsError.
    """
    name = format or await asyncio.to_thread(detect, path)
    if name == REFOLD:
        if dry:
            raise TranscriptError(path, "is an export of Refold: what it would change is not told beforehand")
        return await import_refold(log, path, session=session, title=title)
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        known = ", ".join([REFOLD, *(one.name for one in FORMATS)])
        raise TranscriptError(path, f"{name} is no format that is read here; there are {known}")
    earlier = [] if again else await _import_before(log, found, Path(path), dry=dry, growing=growing, without=without)
    sources = await asyncio.to_thread(found.sessions, Path(path), growing=growing)
    first, *others = await import_sessions(
        log,
        sources,
        path=path,
        session=session,
        title=title,
        again=again,
        dry=dry,
        growing=growing,
        without=without,
        only_said=only_said,
        warm=None if again or dry else warm,
    )
    return msgspec.structs.replace(first, others=(*others, *earlier))


async def _import_before(
    log: EventLog, format_: Format, path: Path, *, dry: bool, growing: bool, without: Collection[str]
) -> list[ImportReport]:
    """Import what the sessions of a file go on from, the first one first. Returns: what was new of it."""
    reports: list[ImportReport] = []
    for one in await asyncio.to_thread(format_.before, path):
        try:
            sources = await asyncio.to_thread(format_.sessions, one, growing=growing)
            done = await import_sessions(log, sources, path=str(one), dry=dry, growing=growing, without=without)
        except TranscriptError:  # it is told of the session that goes on from it
            continue
        reports += [report for report in done if report.branches]
    return reports


def detect(path: str) -> str:
    """Find which format a file has: `refold` (Refold's own) or the name of one of `FORMATS`.

    Raises: TranscriptError when it is missing, empty or of no format this program reads.
    """
    head = head_of(Path(path))
    if not head.data.strip():
        raise TranscriptError(path, "is empty")
    if is_export(head.data):
        return REFOLD
    found = format_of(head)
    if found is not None:
        return found.name
    known = "; ".join(["Refold's own exports", *(one.what for one in FORMATS)])
    raise TranscriptError(path, f"is not a session this program can read; it reads {known}")


def format_of(head: Head) -> Format | None:
    """Find the format of another agent that a file has, by how it begins."""
    return next((one for one in FORMATS if one.fits(head)), None)

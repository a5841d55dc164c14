"""Exit codes, and which of them an error means."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eventsource import errors

from ..client.errors import ClientError

if TYPE_CHECKING:
    from ..run_result import RunStatus

OK, NO, USAGE, MISSING, LOG, HELD, REFUSED, LIMIT, STUCK, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 7, 8, 130

MEANINGS: Mapping[int, str] = {
    OK: "done; or a run waits for somebody, and says for what",
    NO: "the answer is no: a difference, a defect, nothing found, a run that ended in an error",
    USAGE: "the command line is wrong, or names a model, tool or agent that cannot be used",
    MISSING: "no such session, seq or file",
    LOG: "the log cannot be used: damaged, locked, of a newer format, or no log at all",
    HELD: "somebody else holds it, or builds on it",
    REFUSED: "the provider refused a run's request or its answer, or a filter of the provider did",
    LIMIT: "a run ended at a limit: of turns, tokens, time, or the length of an answer",
    STUCK: "a worker left runs of tasks that nobody could go on with",
    INTERRUPTED: "interrupted or aborted; what was recorded is kept",
}
"""What each code says; they stay as they are."""

RUN_EXIT_CODES: Mapping[RunStatus, int] = {
    "done": OK,
    "waiting": OK,
    "error": NO,
    "refused": REFUSED,
    "limit": LIMIT,
    "aborted": INTERRUPTED,
}
"""What the end of a run means for the command that ran it."""

_CODES: Mapping[type[errors.RefoldError], int] = {
    errors.UnknownSessionError: MISSING,
    errors.UnknownSeqError: MISSING,
    errors.UnknownLabelError: MISSING,
    errors.TranscriptError: MISSING,
    errors.ScriptFileError: MISSING,
    errors.StoreError: LOG,
    errors.CorruptLogError: LOG,
    errors.IllegalEventError: LOG,
    errors.OutcomeUnknownError: LOG,
    errors.TailLostError: LOG,
    ClientError: LOG,
    errors.ConflictError: HELD,
    errors.FencedError: HELD,
    errors.LeaseHeldError: HELD,
    errors.SessionExistsError: HELD,
    errors.HasForksError: HELD,
    errors.SessionOpenError: HELD,
}


def exit_code_of(error: errors.RefoldError | OSError) -> int:
    """Return the exit code of an error; what is not listed is a mistake of the command line."""
    if isinstance(error, OSError):
        return MISSING
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), USAGE)


def error_text(error: errors.RefoldError | OSError) -> str:
    """Return an error as one sentence."""
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        folder = Path(error.filename).parent
        if not folder.is_dir():
            return f"{error.filename}: there is no folder {folder}; make it first: mkdir -p {shlex.quote(str(folder))}"
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename is not None else ""
        return f"{named}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)

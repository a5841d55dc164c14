"""Which log a command works on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eventsource.log.place import file_of

VARIABLE = "REFOLD_DB"


@dataclass(frozen=True)
class LogFile:
    """The file of a log, and who named it."""

    path: Path
    named_by: Literal["option", "environment", "nobody"]


def log_file(option: str | None = None) -> LogFile:
    """Find the log: the file of `--db`, else the one that REFOLD_DB names, else one in the user's data folder."""
    if option:
        return LogFile(file_of(option).expanduser(), "option")
    if named := os.environ.get(VARIABLE):
        return LogFile(file_of(named).expanduser(), "environment")
    import platformdirs

    return LogFile(platformdirs.user_data_path("refold", appauthor=False) / "refold.db", "nobody")

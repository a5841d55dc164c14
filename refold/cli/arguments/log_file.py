"""Which log a command works on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eventsource.log.place import file_of, is_http, is_server, shown

VARIABLE = "REFOLD_DB"


@dataclass(frozen=True)
class LogFile:
    """Where a log is, and who said so."""

    place: Path | str
    named_by: Literal["option", "environment", "nobody"]

    @property
    def path(self) -> Path | None:
        """Its file; None on a server."""
        return self.place if isinstance(self.place, Path) else None

    @property
    def shown(self) -> str:
        """The place as it may be printed, without a password or token."""
        return shown(self.place)


def log_file(option: str | None = None) -> LogFile:
    """Find the log: the one of `--db`, else the one that REFOLD_DB names, else one in the user's data folder."""
    if option:
        return LogFile(_place(option), "option")
    if named := os.environ.get(VARIABLE):
        return LogFile(_place(named), "environment")
    import platformdirs

    return LogFile(platformdirs.user_data_path("refold", appauthor=False) / "refold.db", "nobody")


def _place(named: str) -> Path | str:
    return named if is_server(named) or is_http(named) else file_of(named).expanduser()

"""Where a log is: a file's path, or a URL that says which store it is in."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import StoreError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def file_of(place: str | Path) -> Path:
    """Return the file of a log in SQLite: of a path, or of `sqlite:///FILE` (`sqlite:////FILE` for a whole path).

    Raises: StoreError for the URL of a store that there is none of; of the URL it tells the scheme alone, since what
        follows may hold a password.
    """
    named = _SCHEME.match(place) if isinstance(place, str) else None
    if named is None:
        return Path(place)
    rest = str(place)[named.end() :]
    if named[1].lower() == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Path(rest[1:])
    problem = "this release has no such store" if named[1].lower() != "sqlite" else "it names no file"
    raise StoreError(f"{named[1]}://", problem, "name a file, or sqlite:///FILE")

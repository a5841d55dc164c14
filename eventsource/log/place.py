"""Where a log is: a file's path, or a URL that says which store it is in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeGuard

from ..errors import StoreError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SERVERS = ("postgresql", "postgres")
_HTTP = ("http", "https", "unix")


def is_server(place: object) -> TypeGuard[str]:
    """Return whether a place is a database on a server, named by a URL, and no file."""
    named = _SCHEME.match(place) if isinstance(place, str) else None
    return named is not None and named[1].lower() in _SERVERS


def is_http(place: object) -> TypeGuard[str]:
    """Return whether a place is the address of a server that has a log and speaks HTTP, also on a Unix socket."""
    named = _SCHEME.match(place) if isinstance(place, str) else None
    return named is not None and named[1].lower() in _HTTP


def shown(place: str | Path) -> str:
    """Return a place as it may be printed: a URL without what is secret in it."""
    if not (is_server(place) or is_http(place)):
        return str(place)
    from urllib.parse import parse_qsl, quote, urlencode, urlsplit  # of which a file needs nothing

    if is_http(place):
        scheme, _, rest = re.split("[?#]", place, maxsplit=1)[0].partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    try:
        parts = urlsplit(place)
        user, _, host = parts.netloc.rpartition("@")
        user = user.partition(":")[0]
        kept = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
    except ValueError:
        return "postgresql://..."
    rest = urlencode(kept, quote_via=quote, safe="/")
    return f"postgresql://{f'{user}@' if user else ''}{host}{parts.path}{f'?{rest}' if rest else ''}"


def secrets_of(place: str) -> tuple[str, ...]:
    """Return what is secret in the URL of a server, as it stands there and as it is meant."""
    from urllib.parse import parse_qsl, quote, unquote, urlsplit  # of which a file needs nothing

    try:
        parts = urlsplit(place)
        found = [parts.netloc.rpartition("@")[0].partition(":")[2]]
        found += [value for name, value in parse_qsl(parts.query) if "password" in name]
    except ValueError:
        found = [place]
    return tuple({form for one in found if one for form in (one, unquote(one), quote(one, safe=""))})


def file_of(place: str | Path) -> Path:
    """Return the file of a log in SQLite: of a path, or of `sqlite:///FILE` (`sqlite:////FILE` for a whole path).

    Raises: StoreError for the URL of a store that is in no file, or that there is none of; of the URL it tells the
        scheme alone, since what follows may hold a password.
    """
    named = _SCHEME.match(place) if isinstance(place, str) else None
    if named is None:
        return Path(place)
    rest = str(place)[named.end() :]
    if named[1].lower() == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Path(rest[1:])
    problem = "this release has no such store" if named[1].lower() != "sqlite" else "it names no file"
    if named[1].lower() in _SERVERS:
        problem = "it names a server, and a file is needed here"
    if is_http(place):
        problem = "over HTTP a log is opened by refold.open_log alone"
    raise StoreError(f"{named[1]}://", problem, "name a file, or sqlite:///FILE")

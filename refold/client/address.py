"""Where a log is served: the address of a server, and what stands in it that nobody else may read."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from eventsource.errors import ArgumentError
from eventsource.models.secrets import Secrets

VARIABLE = "REFOLD_TOKEN"
_SESSIONS = "/v1/sessions/"
_FORMS = "http://HOST:PORT, https://HOST or unix:///SOCKET"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A server: `base` is where its paths begin, `socket` the Unix socket that leads there, if one does.

    `session`: the one that the address names, if it names one. `token`: what is to be borne there, never shown.
    """

    base: str
    socket: str = ""
    session: str = ""
    token: str = ""

    @property
    def shown(self) -> str:
        """The server's address, as it may be printed."""
        return f"unix://{self.socket}" if self.socket else self.base

    @property
    def is_near(self) -> bool:
        """True when it is on this machine, so that no proxy is asked on the way."""
        host = urlsplit(self.base).hostname or ""
        try:
            return bool(self.socket) or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def read_address(url: str, *, where: str, token: str | None = None, of_session: bool = False) -> Address:
    """Read an address: `http://HOST:PORT`, with a path in front of the server's own if it has one, or `unix:///SOCKET`.

    `of_session`: it may go on as the address of a session (`/v1/sessions/NAME`). The token: the one that is given, else
    the one in the fragment (`#token=...`), else REFOLD_TOKEN's. It is kept out of whatever this process records.

    Raises: ArgumentError, which does not tell what may be secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ArgumentError(where, "url", _FORMS, "no address", str(error)) from error
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https", "unix") or bool(parts.hostname) == (scheme == "unix"):
        raise ArgumentError(where, "url", _FORMS, f"{scheme}://" if scheme else "no address")
    if parts.username is not None or parts.query:
        found = "a user in it" if parts.username is not None else "parameters in it"
        raise ArgumentError(where, "url", _FORMS, found, f"the token goes behind it, #token=..., or in {VARIABLE}")
    path, _, session = parts.path.partition(_SESSIONS)
    path, session = path.rstrip("/"), session.partition("/")[0]
    if session and not of_session:
        raise ArgumentError(where, "url", "the address of a server", "that of a session", "leave out /v1/sessions/...")
    if scheme == "unix" and not path:
        raise ArgumentError(where, "url", _FORMS, "no path of a socket")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    base = "http://localhost" if scheme == "unix" else f"{scheme}://{host}{f':{port}' if port else ''}{path}"
    said = token or parse_qs(parts.fragment).get("token", [""])[0] or os.environ.get(VARIABLE, "")
    borne = said.strip()
    if not (borne.isascii() and borne.isprintable()) or " " in borne:
        raise ArgumentError(where, "token", "a token of printable ASCII", "another text")
    Secrets().add(borne)
    return Address(base=base, socket=unquote(path) if scheme == "unix" else "", session=unquote(session), token=borne)

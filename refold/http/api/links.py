"""Links by which whoever holds one decides one wait of one session, once, until it expires."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import NamedTuple

from ..interface.links import PATH
from .credentials import signature
from .problems import ProblemError

_MOST_CHARS = 4_000


class Link(NamedTuple):
    """What a link names: a session, the key of a wait in it, and when it expires."""

    session: str
    key: str
    expires_at_us: int


def signed_url(token: str, base: str, session: str, key: str, expires_at_us: int) -> str:
    """Make a link. `base`: the address of the server that has this token."""
    expiry = str(expires_at_us // 1_000_000)
    named = _write(f"{session}\n{key}".encode())
    return f"{base}{PATH}{named}.{_write(signature(token, session, key, expiry))}.{expiry}"


def read_link(token: str, signed: str, now_us: int) -> Link:
    """Read a link. Raises: ProblemError, the same for whatever is wrong with it: it does not say what is there."""
    named, _, rest = signed.partition(".")
    signature_text, _, expiry = rest.partition(".")
    if len(signed) > _MOST_CHARS or not (expiry.isascii() and expiry.isdecimal() and len(expiry) < 15):
        raise no_link()
    try:
        session, _, key = _read(named).decode().partition("\n")
        given = _read(signature_text)
    except (Base64Error, UnicodeError) as error:
        raise no_link() from error
    if not hmac.compare_digest(given, signature(token, session, key, expiry)) or int(expiry) * 1_000_000 <= now_us:
        raise no_link()
    return Link(session, key, int(expiry) * 1_000_000)


def no_link() -> ProblemError:
    """Make the answer to a link that is none, or none any more."""
    return ProblemError(404, "this link is not one, or not any more")


def _write(said: bytes) -> str:
    return urlsafe_b64encode(said).rstrip(b"=").decode()


def _read(said: str) -> bytes:
    return urlsafe_b64decode(said.encode("ascii") + b"=" * (-len(said) % 4))

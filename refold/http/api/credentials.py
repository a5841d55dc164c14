"""Who may ask: a token of 256 bits that a server keeps beside its log, so that a restart keeps its readers."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from eventsource.errors import StoreError
from eventsource.models.secrets import Secrets

VARIABLE = "REFOLD_TOKEN"
_MIN_CHARS = 16


def token_path(log: Path) -> Path:
    """Return the file that holds the token of a log's servers: beside it, under its name."""
    real = log.resolve()
    return real.with_name(f"{real.name}-token")


def server_token(log: str | Path | None, environment: str | None = None) -> str:
    """Return the token of a log's servers: REFOLD_TOKEN's, else the one in the file beside the log, made if needed.

    `environment`: what stands in REFOLD_TOKEN; it is read if it is not given. The token is kept out of whatever this
    process records. Without a file to keep it in, it lasts as long as the server.

    Raises: StoreError when it is no token, or others may read the file.
    """
    given = (os.environ.get(VARIABLE, "") if environment is None else environment).strip()
    if given:
        if len(given) < _MIN_CHARS or not given.isascii() or not given.isprintable() or " " in given:
            raise StoreError(VARIABLE, "it holds no token", f"at least {_MIN_CHARS} characters of ASCII, no spaces")
        token = given
    else:
        token = _kept(token_path(Path(log))) if log is not None else secrets.token_urlsafe(32)
    Secrets().add(token)
    return token


def _kept(path: Path) -> str:
    """Read a token, or make one; of two servers that make it at the same time, both take the first one's."""
    if not path.exists():
        made = path.with_name(f"{path.name}-{os.getpid()}")
        try:
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
            with suppress(FileExistsError):
                os.link(made, path)  # whole, or not there
        except OSError as error:
            problem = f"the server's token cannot be kept there: {error.strerror}"
            raise StoreError(str(path), problem, f"give one in {VARIABLE}") from error
        finally:
            made.unlink(missing_ok=True)
    try:
        if path.stat().st_mode & 0o077:
            raise StoreError(str(path), "others may read the server's token", f"chmod 600 {path}, or remove it")
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(str(path), f"the server's token cannot be read: {error}", "remove it") from error
    if len(found) < _MIN_CHARS:
        raise StoreError(str(path), "it holds no token", "remove it, and a server makes another one")
    return found


def page_address(base: str, token: str) -> str:
    """Return where the page finds the token: in a part of the address that no browser sends."""
    return f"{base}#token={quote(token, safe='')}"


def signature(token: str, *said: str) -> bytes:
    """Sign what a link says, with a key made of the token."""
    key = hmac.digest(token.encode(), b"refold links", hashlib.sha256)
    return hmac.digest(key, "\n".join(said).encode(), hashlib.sha256)


def bears(authorization: str, token: str) -> bool:
    """Return whether a header gives the token."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), token.encode())

"""The server a log is on: how it is connected to, and what goes wrong there as sentences that tell what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from ...errors import StoreError
from ..defaults import utc_now_us
from ..place import secrets_of, shown

try:
    import psycopg
    from psycopg import conninfo
except ImportError as error:
    raise StoreError(
        "postgresql://", f"psycopg cannot be loaded ({error})", "install it: pip install 'refold[postgres]'"
    ) from error

_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "refold",
    "client_encoding": "utf8",
}
"""What a connection is made with unless the URL says otherwise: one that was cut is noticed within half a minute."""
_NO_TABLES = ("there is no log in this schema", "`refold db init URL` makes one, and nothing else does")
_ADVICE = {
    "08": ("it cannot be reached", "check that the server runs and that host, port and network are right"),
    "28": ("the server refuses the user", "check user, password and pg_hba.conf"),
    "3D": ("there is no such database", "make it: createdb NAME"),
    "42501": ("the user may not do that", "grant it: `refold db init --role` says what a role needs"),
    "42P01": _NO_TABLES,
    "3F": _NO_TABLES,
    "42883": ("its functions are not those of this release", "bring it up to date: `refold db upgrade`"),
    "53": ("the server lacks room, memory or connections", "free some and try again"),
    "55P03": ("another program keeps rows locked", "let it finish or stop it, then try again"),
    "57014": ("it took longer than the server allows", "try again, or raise statement_timeout"),
    "57P": ("the server was stopped or restarted", "try again when it is up"),
    "25006": ("it cannot be written: a standby, or a read-only setting", "name the primary server"),
    "XX": ("the server failed, or its data is damaged", "look at its log"),
}


def _without_direct(url: str) -> tuple[str, dict[str, str]]:
    """Take `direct=HOST:PORT` out of a URL: where the server is reached past a pooler that stands before it."""
    head, mark, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(mark))
    given = [value for name, value in pairs if name == "direct"]
    if not given:
        return url, {}
    host, colon, port = given[-1].rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError("direct is HOST:PORT")
    rest = urlencode([pair for pair in pairs if pair[0] != "direct"], quote_via=quote)
    return f"{head}{'?' if rest else ''}{rest}", {"host": host, "port": port}


class ServerClock:
    """The server's clock, as it is known here without asking; where clocks agree, it is this machine's own.

    The server reads its clock between two readings of this one, so the difference lies between two bounds; what was
    known of it is changed as little as they allow.
    """

    def __init__(self) -> None:
        self._ahead_us = 0

    def note(self, server_us: int, before_us: int, after_us: int) -> None:
        """Take in what the server's clock said between two times of this machine's."""
        self._ahead_us = min(max(self._ahead_us, server_us - after_us), server_us - before_us)

    def now_us(self) -> int:
        """Return the time."""
        return utc_now_us() + self._ahead_us


class Server:
    """The URL of a log, kept where nobody prints it."""

    def __init__(self, url: str) -> None:
        """Read a URL. Raises: StoreError."""
        self.shown, self.clock = shown(url), ServerClock()
        self._secrets = secrets_of(url)
        try:
            plain, past = _without_direct(url)
            self._conninfo: dict[str, Any] = _DEFAULTS | conninfo.conninfo_to_dict(plain)
        except (psycopg.Error, ValueError):
            problem = "its URL cannot be read"
            raise self.error(problem, "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
        self.is_pooled, self._direct = bool(past), self._conninfo | past
        if self.is_pooled and "options" in self._conninfo:
            problem = "a pooler passes no `options` on"
            raise self.error(problem, "leave them out, and choose a schema by ALTER ROLE ... SET search_path")

    def connect(self, *, direct: bool = False) -> psycopg.Connection[Any]:
        """Connect; `direct`: past the pooler, if there is one. Raises: psycopg.Error."""
        chosen = self._direct if direct else self._conninfo
        return psycopg.connect(**chosen, autocommit=True, prepare_threshold=None)

    def error(self, problem: str, advice: str) -> StoreError:
        """Make an error that says where."""
        return StoreError(self.shown, problem, advice)

    def no_log(self) -> StoreError:
        """Make the error that says that there is no log."""
        return self.error("there is no log in this schema", "`refold db init URL` makes one, and nothing else does")

    def words(self, error: BaseException) -> str:
        """Return what an error says, without what is secret."""
        words = " ".join(str(error).split())[:300]
        for secret in self._secrets:
            words = words.replace(secret, "***")
        return words

    def store_error(self, error: psycopg.Error) -> StoreError:
        """Turn what the server or the library says into what a person can do."""
        state = error.sqlstate or ("08" if isinstance(error, psycopg.OperationalError) else "")
        known = next((_ADVICE[state[:size]] for size in (5, 3, 2) if state[:size] in _ADVICE), None)
        problem, advice = known or ("the server refused", "this should not happen; please report it")
        return self.error(f"{problem} ({self.words(error)})", advice)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise StoreError in place of what psycopg raises."""
        try:
            yield
        except psycopg.Error as error:
            raise self.store_error(error) from error

"""Keeps secrets out of what is written: known values are replaced as wholes, wherever a text repeats them."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

MARK = "[redacted]"
_MIN_CHARS = 8  # shorter values are words of a language as well ("ollama", "test")
_SECRET_NAME = re.compile(r"auth|key|token|secret|password|cookie|credential|signature|^sig$", re.IGNORECASE)


class Secrets:
    """The secret values a program knows. Values are only ever added: an expired key stays secret."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str | None) -> None:
        """Keep a value out of texts from now on, also as URLs, JSON and basic authorization write it."""
        value = (value or "").strip()
        if len(value) < _MIN_CHARS or value in self._values:
            return
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        self._values |= {value, quote(value, safe=""), escaped, b64encode(value.encode()).decode()}
        self._pattern = re.compile("|".join(map(re.escape, sorted(self._values, key=len, reverse=True))))

    def add_header(self, name: str, value: str) -> None:
        """Keep a header's value out of texts if its name says that it is secret, with and without its scheme."""
        if _SECRET_NAME.search(name):
            self.add(value)
            self.add(value.partition(" ")[2])

    def add_url(self, url: str) -> None:
        """Keep a URL's password and secret parameters out of texts."""
        parts = urlsplit(url)
        for value in (parts.password, parts.username if parts.password is None else None):
            self.add(unquote(value or ""))
        if parts.password and parts.username:
            self.add(b64encode(f"{unquote(parts.username)}:{unquote(parts.password)}".encode()).decode())
        for name, value in parse_qsl(parts.query):
            if _SECRET_NAME.search(name):
                self.add(value)

    def redact(self, text: str) -> str:
        """Replace every known value in a text."""
        return text if self._pattern is None else self._pattern.sub(MARK, text)


def public_url(url: str) -> str:
    """Give a URL without user, password, parameters and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

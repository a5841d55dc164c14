"""Keeps secrets out of what is written: known values are replaced as wholes, wherever a text repeats them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from .protocol import Model

MARK = "[redacted]"
_MIN_CHARS = 8  # shorter values are words of a language as well ("ollama", "test")
_VARIABLE = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_MIN_VARIABLE_CHARS = 12  # of a variable's value, whose name alone says that it is secret
_WORDS = re.compile(r"([A-Za-z]{1,14}([-_.:]|$))+|[\d.:-]+")  # words, or a number, a date, an address
_PLACE = re.compile(r"[.~]{0,2}/|[A-Za-z]:\\|[a-z][a-z0-9+.-]*://")
_JSON_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[0-9.eE+-]*', re.DOTALL)
_SECRET_NAME = re.compile(r"auth|key|token|secret|password|cookie|credential|signature|^sig$", re.IGNORECASE)


_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_LOOK_BYTES = 1 << 16  # of JSON; most of what is longer is images, which nobody looks at


class Secrets:
    """The secret values a program knows. Values are only ever added: an expired key stays secret."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._in_json: tuple[bytes, ...] | None = ()  # as JSON writes them; None: some it may write in several ways

    def add(self, value: str | None) -> None:
        """Keep a value out of texts from now on, also as URLs, JSON and basic authorization write it."""
        value = (value or "").strip()
        if len(value) < _MIN_CHARS or value in self._values:
            return
        escaped = _escaped(value)
        twice = {two for one in escaped for two in _escaped(one)}
        whole = value.encode("utf-8", "replace")
        self._values |= {value, quote(value, safe="", errors="replace"), *escaped, *twice, b64encode(whole).decode()}
        # backwards, so that of two values that begin alike the longer one comes first
        self._pattern = re.compile("|".join(map(re.escape, sorted(self._values, reverse=True))))
        self._in_json = (
            None
            if any(map(_ESCAPED.search, self._values))
            else tuple(one.encode("utf-8", "replace") for one in self._values)
        )
        if self is not _KNOWN:
            _KNOWN.add(value)

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

    def add_environment(self, variables: Mapping[str, str]) -> None:
        """Keep the values out of texts whose variables' names say that they are keys, tokens, secrets or passwords.

        Short values, words, numbers, paths and addresses are none: texts hold them for other reasons.
        """
        for value in [variables[name] for name in variables if _VARIABLE.search(name)]:
            if len(value) < _MIN_VARIABLE_CHARS or not value.isprintable():
                continue
            if not (" " in value or _WORDS.fullmatch(value) or _PLACE.match(value)):
                self.add(value)

    def are_absent(self, body: bytes) -> bool:
        """Return whether JSON surely tells none of the values: then its texts need not be looked at one by one."""
        if not self._values:
            return True
        if self._in_json is None or len(body) > _LOOK_BYTES:
            return False
        if b"\\u" in body or b"\\/" in body:  # what is escaped needlessly is found only when it is read
            return False
        return not any(value in body for value in self._in_json)

    def redact(self, text: str) -> str:
        """Replace every known value in a text."""
        return text if self._pattern is None else self._pattern.sub(MARK, text)


def _escaped(text: str) -> set[str]:
    """Write a text as JSON does within its quotes, in ASCII and in Unicode."""
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


_KNOWN = Secrets()  # of this process: a key that one agent was given must not turn up in what another writes


def redact_known(text: str) -> str:
    """Replace every value that anything in this process has learned to be secret."""
    return _KNOWN.redact(text)


def are_known_absent(body: bytes, redact: Callable[[str], str] | None) -> bool:
    """Return whether JSON surely tells nothing that this process knows to be secret, nor what `redact` replaces."""
    covered = redact is None or isinstance(getattr(redact, "__self__", None), Secrets)  # all of theirs is known
    return covered and _KNOWN.are_absent(body)


def know_environment(variables: Mapping[str, str]) -> None:
    """Learn the secrets of an environment, for `redact_known`."""
    _KNOWN.add_environment(variables)


def known_secrets(model: Model, api_key: str | None) -> Secrets:
    """Collect what must not reach the log: the model's own keys as it comes to know them, and one that was given."""
    own = getattr(model, "secrets", None)
    secrets = own if isinstance(own, Secrets) else Secrets()
    secrets.add(api_key)
    return secrets


def redact_json(text: str, redact: Callable[[str], str]) -> str:
    """Replace secrets in JSON text, in what its strings say; it stays JSON, and the rest of it as it is.

    Text that is no JSON is treated as any other.
    """
    if "\\" not in text and redact(text) == text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return redact(text)

    def change(found: re.Match[str]) -> str:
        written = found.group()
        said = json.loads(written) if written.startswith('"') else written
        changed = redact(said)
        return written if changed == said else json.dumps(changed, ensure_ascii=False)

    return _JSON_VALUE.sub(change, text)


def public_url(url: str) -> str:
    """Return a URL without user, password, parameters and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

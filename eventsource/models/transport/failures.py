"""What went wrong at a provider, read from error bodies and error events of any shape, in the provider's words."""

from __future__ import annotations

import json
import re

import msgspec

from ...codec import clean_text
from .retry import delay_in_text

_MAX_CHARS = 2000  # of an error text; some servers answer with a whole web page
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_RETRYABLE_KINDS = re.compile(
    r"overloaded|unavailable|rate_?limit|connection_error|resource_exhausted|too_many_requests|timeout|deadline_exceeded"
    r"|^api_error$|server_error|^internal$|internal_error|processing_error",
    re.IGNORECASE,
)
_FINAL_KINDS = re.compile(r"insufficient_quota|billing|credit|payment", re.IGNORECASE)
_OVERFLOW = re.compile(
    r"(prompt|input|request|context) is too (long|large)|prompt too long|context[_ ]length[_ ]exceeded"
    r"|exceeds? the (model'?s )?(maximum )?context|exceed(s|ed)? (the )?context (limit|window|size|length)"
    r"|context window exceeds|exceeds the available context|(greater|larger|longer) than the (model'?s )?context"
    r"|input token count.{0,40}exceeds|maximum prompt length is|maximum context length|max(imum)? context (size|window)"
    r"|exceeded (the )?(model'?s? )?(max(imum)? )?(token limit|context length)|exceeds the limit of \d+( tokens)?"
    r"|reduce the length of (the|your) (messages|prompt|input)|too many (input )?tokens|token limit exceeded"
    r"|context_window_exceeded|context_too_large|tokens? \+ .{0,30}must be <=|input length .{0,60}exceeds",
    re.IGNORECASE,
)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's error: its words, its own name for the kind, the HTTP status, and how long it asks to wait.

    `status` is 0 when none is known (an error inside a stream), `wait_us` None when nothing was asked.
    """

    message: str
    kind: str = ""
    status: int = 0
    wait_us: int | None = None

    @property
    def overflow(self) -> bool:
        """True when the request holds more tokens than the model takes."""
        return self.status != 429 and bool(_OVERFLOW.search(f"{self.kind} {self.message}"))

    @property
    def retryable(self) -> bool:
        """True when the same request may succeed later."""
        if self.overflow or _FINAL_KINDS.search(self.kind):
            return False
        return self.status in _RETRYABLE_STATUS or self.status >= 500 or bool(_RETRYABLE_KINDS.search(self.kind))

    @property
    def text(self) -> str:
        """One line: `context overflow` if it is one, status, kind, and the provider's words."""
        named = " ".join(str(part) for part in (self.status or "", self.kind) if part)
        words = f"{named}: {self.message}" if named and self.message else named or self.message
        return f"context overflow: {words}" if self.overflow else words or "the provider gave an error without a word"


def read_failure(value: object, *, status: int = 0) -> Failure:
    """Read an error from a JSON value of any shape; what has no message is quoted whole."""
    error = _innermost(value)
    if not isinstance(error, dict):
        words = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        return Failure(message=_short(words), status=status, wait_us=delay_in_text(words))
    words = _first_text(error, "message", "error_message", "detail", "msg", "error", "title", "reason")
    more = _read(error, "metadata", "raw")
    if isinstance(more, str) and more and more not in words:
        words = f"{words}: {more}"
    kind = _first_text(error, "type", "code", "status", "__type")
    code = _first_text(error, "code") if error.get("type") in ("invalid_request_error", "error", None) else ""
    number = error.get("code") if isinstance(error.get("code"), int) else error.get("status_code", error.get("status"))
    if not status and isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
        status = number
    if code and not code.isdigit():
        kind = code
    if isinstance(error.get("status"), str) and (not kind or kind.isdigit()):
        kind = str(error["status"])
    wait = _retry_info(error)
    return Failure(
        message=_short(words or json.dumps(error, ensure_ascii=False)),
        kind="" if kind == str(status) or kind == "error" else clean_text(kind),
        status=status,
        wait_us=wait if wait is not None else delay_in_text(words),
    )


def body_failure(status: int, body: bytes) -> Failure:
    """Read an HTTP error's body: JSON of any shape, plain text, a web page, or nothing."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value: object = json.loads(text)
    except ValueError:
        page = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text) if text.startswith("<") else text
        return Failure(message=_short(" ".join(page.split())), status=status)
    return read_failure(value, status=status)


def _innermost(value: object) -> object:
    """Find the object with the words: inside `error`, `errors`, `response`, or the first of a list."""
    while True:
        inner: object = None
        if isinstance(value, list) and value:
            inner = value[0]
        elif isinstance(value, dict):
            inner = next((value[key] for key in ("error", "errors") if value.get(key)), None)
            if isinstance(inner, str) and any(isinstance(value.get(key), str) for key in ("message", "detail")):
                inner = None
            elif inner is None and isinstance(value.get("response"), dict) and "message" not in value:
                inner = value["response"]
        if inner is None:
            return value
        value = inner


def _first_text(value: dict[str, object], *names: str) -> str:
    for name in names:
        found = value.get(name)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        if isinstance(found, list | dict) and found and name in ("message", "detail"):
            return json.dumps(found, ensure_ascii=False)
    return ""


def _read(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _retry_info(error: dict[str, object]) -> int | None:
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        delay = _read(detail, "retryDelay")
        if isinstance(delay, str):
            return delay_in_text(f"retry in {delay}")
    return None


def _short(text: str) -> str:
    text = clean_text(text.strip())
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}… ({len(text)} characters)"

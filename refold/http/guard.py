"""What a server on this machine takes from whom: its names, targets, lengths, sizes. What is refused gets 4xx."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import msgspec

from eventsource.errors import ErrorFields

BODY_BYTES = 1 << 26
"""64 MiB, twice what Anthropic's Messages take; of a compressed body, when it is unpacked."""
HEAD_BYTES = 1 << 20
HEAD_S = 10.0
"""For a request's head, and for a body to begin with; a body gets a second more for each `SLOW_BYTES` of it."""
SLOW_BYTES = 10_000
KEEP_ALIVE_S = 75
"""For which a connection is kept between two requests: longer than most tools of an agent take."""


class Limits(msgspec.Struct, frozen=True):
    """What a server takes: how large a request's head and body may be, the latter when it is unpacked.

    `navigation`: a link on a page of another site may lead a browser here; that page cannot read what it gets.
    """

    head_bytes: int = HEAD_BYTES
    body_bytes: int = BODY_BYTES
    navigation: bool = False


Headers = Sequence[tuple[bytes, bytes]]


@dataclass(eq=False, repr=False)
class RefusedError(ErrorFields, Exception):
    """Raised to refuse a request, with a status and a sentence."""

    status: int
    problem: str
    _TEXT: ClassVar[str] = "{problem}"


class Names(msgspec.Struct, frozen=True):
    """The names a server goes by: those of loopback, what it is bound to, and those it is told to allow.

    A page in a browser can give its own name this machine's address (DNS rebinding), but not ask by another name.
    """

    bound: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    def knows(self, authority: str) -> bool:
        """Return whether a name, with or without a port, is one of them."""
        name, _, port = authority.lower().rpartition(":")
        if not name or authority.endswith("]"):
            name, port = authority.lower(), ""
        if port and not port.isdecimal():
            return False
        bare = name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            return name == "localhost" or name in self._lower()
        return address.is_loopback or bare in self._lower() or any(map(_everywhere, self.bound))

    def _lower(self) -> set[str]:
        return {name.lower() for name in (*self.bound, *self.allowed)}


def check_request(
    method: str,
    target: str,
    version: str,
    headers: Headers,
    names: Names,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> None:
    """Refuse a request that is not for this server, or that two servers may read differently. Raises: RefusedError."""
    if method == "CONNECT" or target[:1] != "/" or target[:2] == "//":
        raise RefusedError(400, "expected a target that begins with one slash: a base URL is to be set, no HTTP proxy")
    if {".", ".."} & set(unquote(target.partition("?")[0]).replace("\\", "/").split("/")):
        raise RefusedError(400, "the target has . or .. among its parts")
    if sum(len(name) + len(value) for name, value in headers) > limits.head_bytes:
        raise RefusedError(431, f"the headers have more than {limits.head_bytes:,} bytes")
    given = _values(headers)
    for name in ("content-length", "transfer-encoding", "host", "origin", "content-encoding"):
        if len(given.get(name, ())) > 1:
            raise RefusedError(400, f"the header {name} is there twice")
    if "transfer-encoding" in given and ("content-length" in given or version == "1.0"):
        raise RefusedError(400, "the body's length is said in two ways")
    (length,) = given.get("content-length", ["0"])
    if len(length) > 12 or int(length) > limits.body_bytes:
        raise too_large(limits.body_bytes)
    (host,) = given.get("host", [""])
    if ("host" in given or version != "1.0") and not names.knows(host):
        raise RefusedError(403, f"this server does not go by the name {host[:100]!r}; --allow-host NAME allows one")
    if not (limits.navigation and is_navigation(method, given.get("sec-fetch-mode", [""])[0])):
        _check_origin(given, names)


def is_navigation(method: str, mode: str) -> bool:
    """Return whether a browser goes to a page, by a link or by its address: nothing is changed by that."""
    return method in ("GET", "HEAD") and mode == "navigate"


def _check_origin(given: dict[str, list[str]], names: Names) -> None:
    """Refuse what a page of another site asks for; programs do not say where they come from."""
    if "origin" in given:
        (origin,) = given["origin"]
        try:
            parts = urlsplit(origin)
            own = parts.scheme in ("http", "https") and "@" not in parts.netloc and names.knows(parts.netloc)
        except ValueError:
            own = False
        if not own:
            raise RefusedError(403, f"a page of {origin[:100]!r} may not ask this server; --allow-host NAME allows it")
    elif "cross-site" in given.get("sec-fetch-site", ()):
        raise RefusedError(403, "a page of another site may not ask this server")


def unpacked(body: bytes, encoding: str) -> bytes:
    """Undo the compression of a request's body. Raises: RefusedError."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            unpacking = zlib.decompressobj(wbits=47)  # gzip's header or zlib's
            try:
                plain = unpacking.decompress(body, BODY_BYTES + 1)
            except zlib.error as error:
                raise RefusedError(400, f"the body is not {encoding}, as its header says") from error
            if len(plain) > BODY_BYTES:
                raise too_large(BODY_BYTES)
            if not unpacking.eof:
                raise RefusedError(400, "the compressed body ends too early")
            return plain
        case _:
            raise RefusedError(415, f"a body of the encoding {encoding[:40]!r} cannot be read: gzip and deflate can")


def too_large(body_bytes: int) -> RefusedError:
    """Make the error for a body that is too large."""
    return RefusedError(413, f"the body has more than {body_bytes:,} bytes")


def too_slow() -> RefusedError:
    """Make the error for a request that takes too long to come."""
    return RefusedError(408, "the request took too long to come")


def _values(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _everywhere(bound: str) -> bool:
    return bound in ("0.0.0.0", "::")  # compared, not bound to

"""Where requests go on to, and which model that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from eventsource.events import ModelRef
from eventsource.models.catalog import VENDORS
from eventsource.models.secrets import public_url

from ..guard import RefusedError
from ..server import ServerUnavailableError
from ..wires.protocol import Wire

DEFAULTS: Mapping[str, str] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com",
    "google": "https://generativelanguage.googleapis.com",
}
"""Where each protocol's requests go, if nobody says: whom it comes from."""
_VERSION = re.compile(r"/v\d\w*$")
_ENDS: Mapping[str, str] = {
    "anthropic-messages": "/v1/messages",
    "openai-responses": "/responses",
    "openai-completions": "/chat/completions",
}


class Upstreams:
    """The providers behind the proxy, by whose protocol is spoken."""

    def __init__(self, given: Sequence[str] = ()) -> None:
        """Read what `lead` reads. Raises: as `lead`."""
        self._urls = dict(DEFAULTS)
        self.lead(given)

    def lead(self, given: Sequence[str]) -> None:
        """Lead requests elsewhere: `URL` (for all protocols) or `anthropic=URL`, `openai=URL`, `google=URL`.

        Raises: ServerUnavailableError for anything else.
        """
        for one in given:
            whose, named, url = one.partition("=")
            if not named or "/" in whose:
                whose, url = "", one
            if not _usable(url) or (whose and whose not in DEFAULTS):
                expected = "URL, anthropic=URL, openai=URL or google=URL"
                raise ServerUnavailableError(
                    f"upstream {_shown(one)}: expected {expected}, with http:// or https://, a host, no ? and no #"
                )
            self._urls.update(dict.fromkeys([whose] if whose else DEFAULTS, url.rstrip("/")))

    def url(self, whose: str, target: str) -> str:
        """Return where a request goes; a version that ends the base URL and begins the path stands once.

        Whatever the target is, it is the host of the base URL. Raises: RefusedError for a target that is no path.
        """
        base = self._urls[whose]
        version = _VERSION.search(urlsplit(base).path)
        if version is not None and target.startswith(f"{version[0]}/"):
            target = target.removeprefix(version[0])
        if not target.startswith("/") or urlsplit(base + target)[:2] != urlsplit(base)[:2]:
            raise RefusedError(400, "the request's target names no path of the upstream")
        return base + target


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not {*url} & {*"?#\\"}
    except ValueError:
        return False


def _shown(given: str) -> str:
    """Return what was given without what may be a password in it."""
    head, at, tail = given.partition("?")[0].partition("#")[0].rpartition("@")
    before = head.partition("//")[0] + "//" if "//" in head else ""
    return repr(f"{before}{tail}" if at else tail)


def model_ref(wire: Wire, whose: str, url: str, model: str) -> ModelRef:
    """Name the model behind a URL, as an agent would that goes on with the session."""
    base = public_url(url)
    end = _ENDS.get(wire.api)
    base = base.rpartition("/models/")[0] if end is None else base.removesuffix(end)
    vendor = next((name for name, known in VENDORS.items() if known.base_url == base), None)
    return ModelRef(api=wire.api, provider=vendor or whose, model=model, base_url="" if vendor else base)

"""Where requests go on to, and which model that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from eventsource.events import ModelRef
from eventsource.models.catalog import VENDORS
from eventsource.models.redact import public_url

from .server import ServerUnavailableError
from .wire import Wire

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
        """Read `URL` (for all protocols) or `anthropic=URL`, `openai=URL`, `google=URL`.

        Raises: ServerUnavailableError for anything else.
        """
        self._urls = dict(DEFAULTS)
        for one in given:
            whose, named, url = one.partition("=")
            if not named or "/" in whose:
                whose, url = "", one
            if urlsplit(url).scheme not in ("http", "https") or (whose and whose not in DEFAULTS):
                expected = "URL, anthropic=URL, openai=URL or google=URL"
                raise ServerUnavailableError(f"upstream {one!r}: expected {expected}, with http:// or https://")
            self._urls.update(dict.fromkeys([whose] if whose else DEFAULTS, url.rstrip("/")))

    def url(self, whose: str, target: str) -> str:
        """Say where a request goes; a version that ends the base URL and begins the path stands once."""
        base = self._urls[whose]
        version = _VERSION.search(urlsplit(base).path)
        if version is not None and target.startswith(f"{version[0]}/"):
            target = target.removeprefix(version[0])
        return base + target


def model_ref(wire: Wire, whose: str, url: str, model: str) -> ModelRef:
    """Name the model behind a URL, as an agent would that goes on with the session."""
    base = public_url(url)
    end = _ENDS.get(wire.api)
    base = base.rpartition("/models/")[0] if end is None else base.removesuffix(end)
    vendor = next((name for name, known in VENDORS.items() if known.base_url == base), None)
    return ModelRef(api=wire.api, provider=vendor or whose, model=model, base_url="" if vendor else base)

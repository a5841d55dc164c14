"""Which protocol a path speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..server import Exchange
from .anthropic import AnthropicWire
from .chat import ChatWire
from .google import GoogleWire
from .protocol import Wire
from .responses import ResponsesWire

_PATHS: tuple[tuple[re.Pattern[str], Wire], ...] = (
    (re.compile(r"/messages/?$"), AnthropicWire()),
    (re.compile(r"/responses/?$"), ResponsesWire()),
    (re.compile(r"/chat/completions/?$"), ChatWire()),
    (re.compile(r"/models/[^/]+:(stream)?[gG]enerateContent/?$"), GoogleWire()),
)
WIRES: Mapping[str, Wire] = {wire.api: wire for _, wire in _PATHS}
"""The protocols by name."""


def find_wire(path: str) -> Wire | None:
    """Find the protocol of requests to a path (without its query); None when no model is asked there."""
    return next((wire for pattern, wire in _PATHS if pattern.search(path)), None)


def family(exchange: Exchange) -> str:
    """Return whose protocol is spoken, also where no model is asked: `anthropic`, `google` or `openai`."""
    path = exchange.path
    if exchange.header("anthropic-version") or "/messages" in path:
        return "anthropic"
    if exchange.header("x-goog-api-key") or "/v1beta" in path or isinstance(find_wire(path), GoogleWire):
        return "google"
    return "openai"

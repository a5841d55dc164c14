"""Signs that would steer a terminal or turn the reading order round, made visible in texts and escaped in JSON."""

from __future__ import annotations

import json
import re

# C0 but tab and line feed, DEL, C1; what turns the reading order round or is not seen at all; lone surrogates; tags.
# The joiners U+200C and U+200D stay: scripts and emoji are written with them.
_FORMAT = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_STEERING = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_FORMAT}\ud800-\udfff\U000e0000-\U000e007f]")
_IN_JSON = re.compile(f"[\x7f-\x9f{_FORMAT}\ud800-\udfff\U000e0000-\U000e007f]")


def plain(text: str) -> str:
    """Make signs that would steer a terminal visible; a text of a model, a tool or a file may hold any."""
    return text if text.isprintable() else _STEERING.sub(_picture, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Make a text visible on one line: what is asked or complained about must not look like two."""
    return plain(" ".join(text.split()))


def has_control_characters(text: str) -> bool:
    """Return whether JSON text holds signs that `escaped_json` escapes."""
    return not text.isprintable() and _IN_JSON.search(text) is not None


def escaped_json(text: str) -> str:
    """Escape such signs in JSON text, which says the same then: they stand in its strings only."""
    return text if text.isprintable() else _IN_JSON.sub(lambda found: json.dumps(found.group())[1:-1], text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    return chr(code + 0x2400) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"

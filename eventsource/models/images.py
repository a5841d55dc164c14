"""Images as providers want them: of a type they take, as their bytes say, in plain base64."""

from __future__ import annotations

import base64
import binascii

import msgspec

from ..messages import ImageContent, TextContent
from .rules.limits import Limits

NO_IMAGE = "(an image was left out: this model does not take images)"
_SIGNS: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypheic", 4, "image/heic"),
    (b"ftypheix", 4, "image/heic"),
    (b"ftypmif1", 4, "image/heif"),
)
"""What the bytes of a type hold, and where."""


def media_type_of(data: str) -> str:
    """Find an image's type by its first bytes; empty when they are of none that any provider takes."""
    try:
        head = base64.b64decode(data[:64], validate=True)
    except (binascii.Error, ValueError):
        return ""
    return next((name for sign, at, name in _SIGNS if head[at : at + len(sign)] == sign), "")


def is_base64(data: str) -> bool:
    """True for plain base64: no line ends, no other alphabet, whole."""
    try:
        binascii.a2b_base64(data.encode(), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return False
    return bool(data)


def fit_image(image: ImageContent, limits: Limits) -> ImageContent | TextContent:
    """Give the image as it may be sent, under the type that its bytes have, or a remark that says why not."""
    if limits.image_types is None:
        return image
    if not limits.image_types:
        return TextContent(text=NO_IMAGE)
    data = "".join(image.data.split()) if any(sign in image.data for sign in " \r\n\t") else image.data
    if data.startswith("data:") and ";base64," in data:
        data = data.split(";base64,", 1)[1]
    if not is_base64(data):
        return _left_out("its data is not base64")
    found = media_type_of(data)
    if found not in limits.image_types:
        said = found or f"not of the type {image.media_type}" if found != image.media_type else image.media_type
        return _left_out(f"it is {said or 'of an unknown type'}, and this model takes {', '.join(limits.image_types)}")
    if limits.image_chars and len(data) > limits.image_chars:
        return _left_out(f"it has {len(data)} characters of base64, and this model takes {limits.image_chars}")
    if data == image.data and found == image.media_type:
        return image
    return msgspec.structs.replace(image, data=data, media_type=found)


def _left_out(why: str) -> TextContent:
    return TextContent(text=f"(an image was left out: {why})")

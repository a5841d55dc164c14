"""Images as providers want them: of a type they take, as their bytes say, in plain base64."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence

import msgspec

from ...messages import ImageContent, Message, TextContent, ToolResultMessage, UserContent, UserMessage
from ..rules.limits import Limits

NO_IMAGE = "(an image was left out: this model does not take images)"
_FEW_IMAGES = 20
"""Where a request may hold no more than so many, only those beyond are left out."""
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


def size_of(data: bytes) -> tuple[int, int]:
    """Read an image's width and height in pixels from its header; zeros when it does not say."""
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
    elif data[:4] == b"GIF8" and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
    elif data[8:12] == b"WEBP" and len(data) >= 30:
        width, height = _webp_size(data)
    elif data.startswith(b"\xff\xd8"):
        width, height = _jpeg_size(data)
    else:
        return 0, 0
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    """Of the three kinds of WebP: https://developers.google.com/speed/webp/docs/riff_container."""
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case _:
            return 0, 0


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Of the first frame header, behind whatever segments stand before it (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


def longest_side(image: ImageContent) -> int:
    """Return the longer of an image's sides in pixels; 0 when it cannot be read."""
    try:
        return max(size_of(base64.b64decode(image.data)))
    except (binascii.Error, ValueError):
        return 0


def is_base64(data: str) -> bool:
    """True for plain base64: no line ends, no other alphabet, whole."""
    try:
        binascii.a2b_base64(data.encode(), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return False
    return bool(data)


def fit_image(image: ImageContent, limits: Limits) -> ImageContent | TextContent:
    """Return the image as it may be sent, under the type that its bytes have, or a remark that says why not."""
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
    fit = image if data == image.data else msgspec.structs.replace(image, data=data)
    if limits.image_side and (side := longest_side(fit)) > limits.image_side:
        return _left_out(f"a side of it has {side} pixels, and this model takes {limits.image_side}")
    return fit if found == image.media_type else msgspec.structs.replace(fit, media_type=found)


def fewer_images(messages: Sequence[Message], limits: Limits) -> tuple[Message, ...]:
    """Put a remark in place of the oldest images where a request would hold too many, and of large ones among many.

    The oldest go by the half of what a request may hold, so that what was sent stays the same for a while.
    """
    count = sum(isinstance(part, ImageContent) for message in messages for part in _parts(message))
    most, gone = limits.image_count, 0
    if most and count > most:
        step = max(1, most // 2) if most > _FEW_IMAGES else 1
        gone = -(-(count - most) // step) * step
    long = _too_long(messages, limits.all_image_chars)
    why = f"this model takes {limits.all_image_chars if long > gone else most}"
    why += " characters of images in a request" if long > gone else " images in a request"
    gone = max(gone, long)
    side = limits.many_image_side if limits.many_images and count - gone > limits.many_images else 0
    if not gone and not side:
        return tuple(messages)
    fit: list[Message] = []
    for message in messages:
        parts: list[UserContent] = []
        for part in _parts(message):
            if isinstance(part, ImageContent) and gone:
                gone -= 1
                part = _left_out(f"it is one of the oldest, and {why}")
            elif isinstance(part, ImageContent) and side and (longest := longest_side(part)) > side:
                part = _left_out(
                    f"a side of it has {longest} pixels, and this model takes {side} in a request of more than "
                    f"{limits.many_images} images"
                )
            parts.append(part)
        changed = isinstance(message, UserMessage | ToolResultMessage) and tuple(parts) != _parts(message)
        fit.append(msgspec.structs.replace(message, content=tuple(parts)) if changed else message)
    return tuple(fit)


def _too_long(messages: Sequence[Message], most: int) -> int:
    """Count the oldest images that must go where all have too much base64; they go by the half, as above."""
    sizes = [len(part.data) for message in messages for part in _parts(message) if isinstance(part, ImageContent)]
    gone = held = 0
    for at, size in enumerate(sizes if most else ()):
        held += size
        least = most if held <= most else most // 2
        while held > least and gone < at:
            held -= sizes[gone]
            gone += 1
    return gone


def _parts(message: Message) -> tuple[UserContent, ...]:
    if isinstance(message, UserMessage | ToolResultMessage) and not isinstance(message.content, str):
        return message.content
    return ()


def _left_out(why: str) -> TextContent:
    return TextContent(text=f"(an image was left out: {why})")

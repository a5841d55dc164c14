"""Images go out as their bytes say, or as a remark that says why they do not."""

from __future__ import annotations

import base64
import struct
import zlib
from itertools import pairwise

import pytest

from eventsource.messages import ImageContent, Message, TextContent, ToolResultMessage, UserMessage
from eventsource.models.adapt.images import NO_IMAGE, fewer_images, fit_image, size_of
from eventsource.models.rules.limits import Limits

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
LIMITS = Limits(image_types=("image/png", "image/jpeg"), image_chars=60)


def image(data: str, media_type: str = "image/png") -> ImageContent:
    return ImageContent(data=data, media_type=media_type)


@pytest.mark.parametrize(
    "given",
    [image(PNG), image(PNG, "image/jpeg"), image(f"{PNG[:8]}\n{PNG[8:]}"), image(f"data:image/png;base64,{PNG}")],
)
def test_an_image_goes_out_in_plain_base64_under_the_type_of_its_bytes(given: ImageContent) -> None:
    assert fit_image(given, LIMITS) == image(PNG)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (image("no base64!"), "not base64"),
        (image(base64.b64encode(b"<svg/>").decode(), "image/svg+xml"), "image/svg+xml"),
        (image(base64.b64encode(b"nothing").decode()), "not of the type image/png"),
        (image(base64.b64encode(b"GIF89a").decode(), "image/gif"), "image/gif"),
        (image(base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(90)).decode()), "characters of base64"),
    ],
)
def test_an_image_that_would_be_refused_is_a_remark_that_says_why(given: ImageContent, why: str) -> None:
    remark = fit_image(given, LIMITS)
    assert isinstance(remark, TextContent)
    assert why in remark.text
    assert fit_image(given, Limits()) == given
    assert fit_image(given, Limits(image_types=())) == TextContent(text=NO_IMAGE)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 40_002) + b"\xff\xc0" * 20_000  # a thumbnail has frames of its own
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xfe\x00\x04hi" + exif + b"\xff\xff\xc4\x00\x03\x00" + b"\xff\xc2" + frame + b"\xff\xd9"


def webp(kind: bytes, data: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBP" + kind + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(300, 9_000), (300, 9_000)),
        (jpeg(4_000, 30), (4_000, 30)),
        (b"GIF89a" + struct.pack("<HH", 7, 260) + bytes(9), (7, 260)),
        (webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 0x4000 | 640, 481)), (640, 481)),
        (webp(b"VP8L", b"\x2f" + (2_999 | 8_499 << 14).to_bytes(4, "little") + bytes(8)), (3_000, 8_500)),
        (webp(b"VP8X", bytes(4) + (69_999).to_bytes(3, "little") + (9).to_bytes(3, "little")), (70_000, 10)),
        (png(1, 2)[:20], (0, 0)),
        (jpeg(1, 2)[:40], (0, 0)),
        (webp(b"ALPH", bytes(30)), (0, 0)),
        (b"", (0, 0)),
    ],
)
def test_the_size_of_an_image_is_read_from_its_header(data: bytes, size: tuple[int, int]) -> None:
    assert size_of(data) == size


def shot(number: int, side: int = 10) -> ImageContent:
    return image(base64.b64encode(png(side, number + 1)).decode())


def images_of(messages: tuple[Message, ...]) -> list[int]:
    kept = [
        m.content for m in messages if isinstance(m, UserMessage | ToolResultMessage) and not isinstance(m.content, str)
    ]
    parts = [part for content in kept for part in content]
    return [size_of(base64.b64decode(part.data))[1] - 1 for part in parts if isinstance(part, ImageContent)]


def session_of(count: int, **sides: int) -> list[Message]:
    """Say count images, one a message, in turns as the user's and as a tool's."""
    messages: list[Message] = []
    for number in range(count):
        content = (TextContent(text="look"), shot(number, sides.get(f"of_{number}", 10)))
        asked = UserMessage(content=content)
        messages.append(asked if number % 2 else ToolResultMessage(tool_call_id="c", tool_name="t", content=content))
    return messages


def test_the_oldest_images_give_way_where_a_request_may_hold_no_more() -> None:
    few = Limits(image_count=5)
    assert images_of(fewer_images(session_of(5), few)) == [0, 1, 2, 3, 4]
    assert images_of(fewer_images(session_of(7), few)) == [2, 3, 4, 5, 6]
    first = fewer_images(session_of(7), few)[0]
    assert isinstance(first, ToolResultMessage)
    assert "oldest" in str(first.content[1])


def test_what_is_sent_of_a_long_session_stays_the_same_while_images_come() -> None:
    many = Limits(image_count=100)
    sent = [fewer_images(session_of(count), many) for count in range(101, 150)]
    assert all(len(images_of(one)) <= 100 for one in sent)
    assert all(later[: len(one)] == one for one, later in pairwise(sent))


def test_large_images_are_left_out_of_a_request_of_many() -> None:
    limits = Limits(many_images=3, many_image_side=100)
    assert images_of(fewer_images(session_of(3, of_1=101), limits)) == [0, 1, 2]
    assert images_of(fewer_images(session_of(4, of_1=101), limits)) == [0, 2, 3]
    assert images_of(fewer_images(session_of(4, of_1=100), limits)) == [0, 1, 2, 3]
    large = fit_image(shot(1, 8_001), Limits(image_types=("image/png",), image_side=8_000))
    assert "8001 pixels" in str(large)

"""Images go out as their bytes say, or as a remark that says why they do not."""

from __future__ import annotations

import base64

import pytest

from eventsource.messages import ImageContent, TextContent
from eventsource.models.images import NO_IMAGE, fit_image
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

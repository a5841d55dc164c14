"""Compares two pictures, inside Chromium: what draws them knows best how to read them, and nothing else is needed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, Page

LEAST = 4
"""How much a channel of a pixel, of 255, may be off: what is not to be seen."""
_COMPARE = """async ([before, now, least]) => {
  const read = async (written) => {
    const bytes = Uint8Array.from(atob(written), (one) => one.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const draw = new OffscreenCanvas(image.width, image.height).getContext("2d", { willReadFrequently: true });
    draw.drawImage(image, 0, 0);
    const { data, width, height } = draw.getImageData(0, 0, image.width, image.height);
    return { image, data, width, height };
  };
  const [left, right] = [await read(before), await read(now)];
  const width = Math.max(left.width, right.width), height = Math.max(left.height, right.height);
  const marked = new ImageData(width, height);
  let pixels = 0, box = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isIn = x < left.width && x < right.width && y < left.height && y < right.height;
      const l = 4 * (y * left.width + x), r = 4 * (y * right.width + x), at = 4 * (y * width + x);
      let far = isIn ? 0 : 255;
      for (let c = 0; isIn && c < 3; c++) far = Math.max(far, Math.abs(left.data[l + c] - right.data[r + c]));
      const grey = isIn ? 255 - (255 - right.data[r + 1]) / 4 : 255;
      marked.data.set(far > least ? [208, 0, 64, 255] : [grey, grey, grey, 255], at);
      if (far <= least) continue;
      pixels++;
      box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x + 1), Math.max(box[3], y + 1)];
    }
  }
  if (pixels === 0) return { pixels, box: null, picture: null };
  const sheet = new OffscreenCanvas(3 * width + 16, height), draw = sheet.getContext("2d");
  draw.drawImage(left.image, 0, 0);
  draw.drawImage(right.image, width + 8, 0);
  draw.putImageData(marked, 2 * width + 16, 0);
  const written = new FileReader();
  written.readAsDataURL(await sheet.convertToBlob());
  await new Promise((done) => (written.onload = done));
  return { pixels, box, picture: written.result.split(",")[1] };
}"""


@dataclass(frozen=True)
class Difference:
    """How two pictures differ.

    pixels: how many of them. box: left, top, right and bottom of all those. picture: a PNG of what was, what is, and
    where it differs, side by side.
    """

    pixels: int
    box: tuple[int, int, int, int] | None = None
    picture: bytes = b""

    def __str__(self) -> str:
        if self.box is None:
            return "no difference"
        left, top, right, bottom = self.box
        return f"{self.pixels:,} pixels, all in {right - left} x {bottom - top} from ({left}, {top})"


class Comparer:
    """Compares pictures in a tab of its own."""

    def __init__(self, page: Page) -> None:
        self._page = page

    @classmethod
    async def open(cls, browser: Browser) -> Comparer:
        """Open the tab; it ends with its browser."""
        return cls(await browser.new_page())

    async def compare(self, before: bytes, now: bytes) -> Difference:
        """Compare two PNGs; what one has and the other has not differs."""
        if before == now:
            return Difference(0)
        words = [*(base64.b64encode(one).decode() for one in (before, now)), LEAST]
        found: dict[str, Any] = await self._page.evaluate(_COMPARE, words)
        if not found["pixels"]:
            return Difference(0)
        return Difference(found["pixels"], tuple(found["box"]), base64.b64decode(found["picture"]))

    async def close(self) -> None:
        """Close the tab."""
        await self._page.close()

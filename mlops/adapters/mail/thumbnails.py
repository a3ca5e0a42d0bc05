"""One PNG sheet of example images: the reference above, the window below."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

PER_ROW = 6
TILE = 96  # pixels; the page shows three quarters of that, fewer on a phone
GAP = 12


def sheet(reference_NHWC: NDArray[np.uint8], current_NHWC: NDArray[np.uint8]) -> bytes | None:
    """Return the sheet as PNG with transparent gaps, or None if there is no image at all.

    Args:
        reference_NHWC: images of the reference, uint8; more than six are left out.
        current_NHWC: images of the window, likewise.
    """
    from PIL import Image

    rows = [images[:PER_ROW] for images in (reference_NHWC, current_NHWC) if len(images)]
    if not rows:
        return None
    width = max(len(images) for images in rows) * (TILE + GAP) - GAP
    canvas = Image.new("RGBA", (width, len(rows) * (TILE + GAP) - GAP), (0, 0, 0, 0))
    for y, images in enumerate(rows):
        for x, image_HWC in enumerate(images):
            tile = _tile(image_HWC)
            left = x * (TILE + GAP) + (TILE - tile.width) // 2
            canvas.paste(tile, (left, y * (TILE + GAP) + (TILE - tile.height) // 2))
    out = io.BytesIO()
    canvas.save(out, "PNG", optimize=True)
    return out.getvalue()


def _tile(image_HWC: NDArray[np.uint8]) -> Image:
    """Fit one image into a tile: small ones grow by whole pixels, so that none is invented."""
    from PIL import Image

    channels = image_HWC.shape[2]
    picture = Image.fromarray(image_HWC if channels in {3, 4} else image_HWC[:, :, 0])
    longest = max(picture.size)
    if longest > TILE:
        picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        return picture
    scale = TILE // longest
    size = (picture.width * scale, picture.height * scale)
    return picture.resize(size, Image.Resampling.NEAREST)

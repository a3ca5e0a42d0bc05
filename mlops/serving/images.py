"""Image files → canonical uint8 arrays, by one documented rule; bombs are refused undecoded.

The rule: first frame; rotated as EXIF says; 16 bits become 8 by dropping the low byte; alpha is
laid over black (the background of the template's sources); grey for one channel (ITU-R 601), else
red, green, blue; then resized to the schema's height and width with a box filter, which averages
when shrinking. Proportions are not kept: crop before sending where that matters.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mlops.serving.reply import Refused, invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_SIDE = 16_384  # a strip of 1 × 16,000,000 passes a limit on pixels but is no picture


def decode(content: bytes, schema: ImageSchema, max_pixels: int) -> NDArray[np.uint8]:
    """Return one image file as uint8 of the schema's shape (H, W, C).

    Raises:
        Refused: 413 for too many pixels, 415 for another format, 422 for a damaged file.
    """
    image = _open(content)
    width, height = image.size
    if width * height > max_pixels or max(image.size) > MAX_SIDE:
        raise Refused(
            413, "too_many_pixels", f"{width} × {height} pixels, at most {max_pixels} in all",
            remedy="send a smaller image",
        )  # fmt: skip
    try:
        image = ImageOps.exif_transpose(image)
        fitted = _channels(image, schema.channels).resize(
            (schema.width, schema.height), Image.Resampling.BOX
        )
    except Exception:  # noqa: BLE001 - decoders raise whatever a damaged file makes them raise
        raise invalid("the image is damaged or truncated", remedy="send the whole file") from None
    return np.asarray(fitted, dtype=np.uint8).reshape(schema.shape)


def is_picture(content: bytes) -> bool:
    """Say whether bytes begin as a file of `FORMATS` does.

    The decoder says so, not the first bytes: JPEG's three are a pixel like any other.
    """
    try:
        _open(content)
    except Refused as refused:
        return refused.code != "unknown_format"
    return True


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused(
            415, "unknown_format", f"not one of {', '.join(FORMATS)}", remedy="convert the image"
        ) from None
    except Image.DecompressionBombError:
        raise Refused(
            413, "too_many_pixels", "far too many pixels", remedy="send a smaller image"
        ) from None
    except Exception:  # noqa: BLE001 - a header that claims to be an image and breaks its own decoder
        raise invalid("the image's header is damaged", remedy="send the whole file") from None


def _channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.uint32)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        black = Image.new("RGBA", seen.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, seen)
    return image.convert("L" if channels == 1 else "RGB")
